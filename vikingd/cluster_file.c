#include "cluster_file.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <viking/fs.h>
#include <viking/mem.h>
#include <viking/str.h>

#define WAIT_MS  60000
#define AGAIN_MS 200

int cluster_file_reread(const struct vk_config *c, struct vk_err *err)
{
	vk_autofree char *path = vk_run_path(c, "vikingd.pid");
	vk_autobuf text = VK_BUF_INIT(32);
	uint64_t pid;
	int rc = vk_fs_read(path, &text, err);
	if (rc == 0 && text.len > 0)
		text.data[strcspn(text.data, "\n")] = '\0';
	if (rc == 0 &&
		(vk_parse_u64(vk_buf_str(&text), 2, 1 << 30, &pid) != 0 ||
			kill((pid_t)pid, SIGHUP) != 0))
		rc = vk_err_set(err, VK_UNAVAILABLE, "vikingd does not run");
	return rc;
}

int cluster_file_write(const struct vk_config *c, const char *text, struct vk_err *err)
{
	vk_autofree char *dir = vk_asprintf("%s/conf.d", c->etc_dir);
	vk_autofree char *path = vk_asprintf("%s/50-cluster.yml", dir);
	int rc = vk_fs_mkdir_p(dir, 0755, err);
	if (rc == 0)
		rc = vk_fs_write_atomic(path, text, strlen(text), 0644, err);
	return rc == 0 ? cluster_file_reread(c, err) : rc;
}

static void wake(void *arg)
{
	*(bool *)arg = true;
}

int cluster_file_wait(
	struct vk_loop *l, const char *path, bool there, const char *what, struct vk_err *err)
{
	int64_t end = vk_mono_ms() + WAIT_MS;
	bool awake = true;
	struct vk_timer *t = vk_timer_new(l, wake, &awake);
	while (vk_fs_exists(path) != there && vk_mono_ms() < end) {
		awake = false;
		vk_timer_set(t, AGAIN_MS);
		while (!awake)
			vk_loop_once(l, -1);
	}
	vk_timer_free(t);
	return vk_fs_exists(path) == there
		? 0
		: vk_err_set(err, VK_TIMEOUT, "vikingd did not %s", what);
}

void cluster_file_say(const char *line)
{
	printf("%s\n", line);
	fflush(stdout);
}
