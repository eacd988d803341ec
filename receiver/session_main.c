/* viking-session: the nursery of SSH sessions. Started by viking-receiver only. */
#include <viking/config.h>
#include <viking/log.h>
#include <viking/sandbox.h>
#include <viking/str.h>

#include "hostkeys.h"
#include "nursery.h"

static int find_control(int argc, char **argv, int *ret, struct vk_err *err)
{
	uint64_t fd = 0;
	if (argc != 3 || !vk_streq(argv[1], "--control") ||
		vk_parse_u64(argv[2], 3, 1 << 20, &fd) != 0)
		return vk_err_set(err, VK_USAGE, "viking-session is started by viking-receiver");
	*ret = (int)fd;
	return 0;
}

/* The nursery itself needs no files any more, but must fork; its sessions take the rest off. */
static int confine(const struct vk_config *c, struct vk_err *err)
{
	const struct vk_sandbox box = {.no_files = true,
		.use_landlock = true,
		.seccomp = VK_SECCOMP_NONE,
		.mode = c->sandbox};
	struct vk_sandbox_report report;
	return vk_sandbox_enter(&box, &report, err);
}

int main(int argc, char **argv)
{
	struct vk_config *config = NULL;
	struct hostkeys *keys = NULL;
	struct vk_err err = {0};
	int control = -1;
	vk_log_init("session");
	int rc = vk_config_from_argv(&argc, argv, &config, &err);
	if (rc == 0)
		rc = find_control(argc, argv, &control, &err);
	if (rc == 0)
		rc = hostkeys_load(config, &keys, &err);
	if (rc == 0)
		rc = confine(config, &err);
	if (rc == 0)
		rc = nursery_serve(control, config, keys, &err);
	if (rc != 0)
		vk_log_err(VK_ERROR, "nursery", &err);
	hostkeys_free(keys);
	vk_config_free(config);
	return vk_err_exit(rc);
}
