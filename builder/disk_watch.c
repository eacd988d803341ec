#include "disk_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/proc.h>
#include <viking/str.h>

#define LOOK_MS 1000
#define END_MS  5000

char *disk_root(struct vk_engine *e)
{
	vk_autojson *info = NULL;
	vk_engine_call(e, "GET", "/info", NULL, 0, &info, NULL);
	return vk_strdup(vk_json_str(info, "DockerRootDir", "/var/lib/docker"));
}

int disk_free(const char *root, const char *state_dir, uint64_t *ret)
{
	uint64_t total;
	if (vk_fs_free_bytes(root, ret, &total, NULL) == 0)
		return 0;
	return vk_fs_free_bytes(state_dir, ret, &total, NULL);
}

int disk_watch_run(char *const words[static 4])
{
	uint64_t first, now, may_go, floor;
	if (vk_parse_u64(words[2], 0, UINT64_MAX, &may_go) != 0 ||
		vk_parse_u64(words[3], 0, UINT64_MAX, &floor) != 0 ||
		disk_free(words[0], words[1], &first) != 0)
		return VK_INVALID;
	struct pollfd reader = {.fd = STDOUT_FILENO};
	while (poll(&reader, 1, LOOK_MS) <= 0) {
		if (disk_free(words[0], words[1], &now) != 0)
			continue;
		uint64_t gone = first > now ? first - now : 0;
		if (gone > may_go || now < floor)
			return dprintf(STDOUT_FILENO, "%llu", (unsigned long long)gone) < 0;
	}
	return 0;
}

int disk_watch_start(
	struct vk_engine *e, const struct vk_config *c, struct disk_watch *ret, struct vk_err *err)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) != 0)
		return vk_err_errno(err, errno, "pipe");
	vk_autoclose int read_end = ends[0], write_end = ends[1];
	vk_autofree char *self = vk_libexec_path(c, "viking-job");
	vk_autofree char *root = disk_root(e);
	vk_autofree char *may_go =
		vk_asprintf("%llu", (unsigned long long)(c->build_disk * c->builds_parallel));
	vk_autofree char *floor = vk_asprintf("%llu", (unsigned long long)(c->free_bytes_min / 2));
	const char *const argv[] = {
		"viking-job", "--disk", root, c->state_dir, may_go, floor, NULL};
	struct vk_proc proc;
	int code = vk_proc_start(&(struct vk_proc_opts){.path = self,
					 .argv = argv,
					 .in = VK_FD_NULL,
					 .out = write_end,
					 .err = VK_FD_INHERIT,
					 .die_with_parent = true},
		&proc, err);
	if (code == 0)
		*ret = (struct disk_watch){.pid = proc.pid, .fd = VK_TAKE_FD(read_end)};
	return code;
}

int disk_watch_end(struct disk_watch *w, const struct vk_config *c, struct vk_err *err)
{
	char said[24] = "", took[24], limit[24];
	uint64_t gone;
	struct pollfd p = {.fd = w->fd, .events = POLLIN};
	bool ended = poll(&p, 1, 0) > 0 && read(w->fd, said, sizeof(said) - 1) > 0;
	vk_closep(&w->fd);
	vk_proc_kill(w->pid, SIGKILL);
	(void)vk_proc_wait(w->pid, END_MS, NULL, NULL);
	if (!ended || vk_parse_u64(said, 0, UINT64_MAX, &gone) != 0)
		return 0;
	if (gone <= c->build_disk * c->builds_parallel) {
		vk_err_set(err, VK_LIMIT, "the disk of the host is nearly full");
		return vk_err_hint(err, "viking gc, as the host's administrator");
	}
	vk_format_size(gone, took);
	vk_format_size(c->build_disk, limit);
	vk_err_set(err, VK_LIMIT,
		"%s of the host's disk went while it was built (builds.disk is %s, builds.parallel "
		"%llu)",
		took, limit, (unsigned long long)c->builds_parallel);
	return vk_err_hint(
		err, "let it write less, or raise builds.disk in /etc/viking/viking.conf");
}
