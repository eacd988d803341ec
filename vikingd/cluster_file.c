#include "cluster_file.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <viking/api.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/loop.h>
#include <viking/mem.h>
#include <viking/str.h>

#define WAIT_MS  60000
#define AGAIN_MS 100

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

typedef bool check_fn(const void *arg);

static void wake(void *arg)
{
	*(bool *)arg = true;
}

static int wait_until(check_fn *check, const void *arg, const char *what, struct vk_err *err)
{
	int64_t end = vk_mono_ms() + WAIT_MS;
	bool awake = true;
	struct vk_loop *l = NULL;
	int rc = vk_loop_new(&l, err);
	if (rc != 0)
		return rc;
	struct vk_timer *t = vk_timer_new(l, wake, &awake);
	while (!check(arg)) {
		if (vk_mono_ms() >= end) {
			rc = vk_err_set(err, VK_TIMEOUT, "vikingd did not %s", what);
			break;
		}
		awake = false;
		vk_timer_set(t, AGAIN_MS);
		while (!awake)
			vk_loop_once(l, -1);
	}
	vk_timer_free(t);
	vk_loop_free(l);
	return rc;
}

static bool is_there(const void *path)
{
	return vk_fs_exists(path);
}

static bool is_gone(const void *path)
{
	return !vk_fs_exists(path);
}

int cluster_file_wait(const char *path, bool there, const char *what, struct vk_err *err)
{
	return wait_until(there ? is_there : is_gone, path, what, err);
}

static bool is_served(const void *socket)
{
	vk_autojson *answer = NULL;
	const struct vk_api_opts api = {.socket = socket};
	return vk_api_call(&api, "GET", "/v1/cluster", NULL, &answer, &(struct vk_err){0}) == 0 &&
		vk_streq(vk_json_str(answer, "store", ""), "etcd");
}

int cluster_file_wait_served(const struct vk_config *c, struct vk_err *err)
{
	vk_autofree char *socket = vk_run_path(c, "api.sock");
	int rc = wait_until(is_served, socket, "serve the cluster's state within a minute", err);
	return rc == VK_TIMEOUT ? vk_err_hint(err, "viking doctor") : rc;
}

void cluster_file_say(const char *line)
{
	printf("%s\n", line);
	fflush(stdout);
}

static int allowed(const struct vk_config *c, struct vk_err *err)
{
	if (geteuid() == 0 || c->single_uid)
		return 0;
	vk_err_set(err, VK_DENIED, "only root may do this");
	return vk_err_hint(err, "sudo viking ...");
}

int cluster_tool_run(int argc, char **argv, cluster_tool *tool)
{
	struct vk_config *c = NULL;
	struct vk_err err = {0};
	signal(SIGPIPE, SIG_IGN);
	int rc = vk_config_from_argv(&argc, argv, &c, &err);
	if (rc == 0)
		rc = allowed(c, &err);
	if (rc == 0)
		rc = tool(c, argc, argv, &err);
	if (rc != 0)
		fprintf(stderr, " !     %s\n", err.msg);
	if (rc != 0 && err.hint[0] != '\0')
		fprintf(stderr, "       try: %s\n", err.hint);
	vk_config_free(c);
	return rc != 0 ? vk_err_exit(rc) : 0;
}
