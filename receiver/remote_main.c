/* viking-remote: stands where git would, while git runs on the host that has the repositories (far.h). Started by viking-monitor. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include <viking/exec_frames.h>
#include <viking/fs.h>
#include <viking/httpd.h>
#include <viking/json.h>
#include <viking/log.h>

#include "link.h"

#define JSON_MAX 4096

struct remote {
	struct vk_loop *loop;
	struct link *link;
	int status; /* -1 until the other host has said it */
	bool gone;
};

static void on_frame(void *arg, int type, const void *p, size_t n)
{
	struct remote *r = arg;
	vk_autojson *end = NULL;
	if (type == VK_EXEC_END && n <= JSON_MAX && vk_json_parse(p, n, &end, NULL) == 0)
		r->status = (int)vk_json_int(end, "status", 255) & 0xff;
}

static void on_ended(void *arg, int type)
{
	struct remote *r = arg;
	(void)type;
	link_send(r->link, VK_EXEC_EOF, NULL, 0);
}

static void on_idle(void *arg)
{
	struct remote *r = arg;
	if (r->status >= 0 || r->gone)
		vk_loop_stop(r->loop, 0);
}

static void on_gone(void *arg)
{
	((struct remote *)arg)->gone = true;
}

static const struct link_ops link_ops = {
	.frame = on_frame, .ended = on_ended, .idle = on_idle, .gone = on_gone};

static const char *env(const char *name)
{
	const char *value = getenv(name);
	return value != NULL ? value : "";
}

static int ask(int fd, const char *command, bool copy, struct vk_err *err)
{
	vk_autojson *line = json_pack("{s:s,s:s,s:s,s:s,s:b}", "command", command, "key",
		env("VIKING_KEY"), "token", env("VIKING_TOKEN"), "git_protocol",
		env("GIT_PROTOCOL"), "copy", copy);
	if (line == NULL)
		return vk_err_set(err, VK_INVALID, "a command that is not text");
	vk_autofree char *text = vk_json_text(line);
	int rc = vk_write_all(fd, text, strlen(text), err);
	return rc == 0 ? vk_write_all(fd, "\n", 1, err) : rc;
}

static int run(struct remote *r, const char *host, const char *socket, const char *command,
	bool copy, struct vk_err *err)
{
	int fd = -1;
	int rc = vk_loop_new(&r->loop, err);
	if (rc == 0)
		rc = vk_connect_unix(socket, &fd, err);
	if (rc == 0)
		rc = ask(fd, command, copy, err);
	if (rc == 0) {
		r->link = link_new(r->loop, fd, &link_ops, r);
		link_source(r->link, VK_EXEC_STDIN, STDIN_FILENO);
		link_sink(r->link, VK_EXEC_STDOUT, STDOUT_FILENO);
		link_sink(r->link, VK_EXEC_STDERR, STDERR_FILENO);
		vk_loop_run(r->loop);
		link_free(r->link);
	}
	vk_loop_free(r->loop);
	if (rc == 0 && r->status >= 0)
		return 0;
	vk_err_set(
		err, VK_UNAVAILABLE, "host %s, which has the repositories, does not answer", host);
	vk_err_hint(err, "the same again, in a moment; viking hosts");
	return VK_UNAVAILABLE;
}

int main(int argc, char **argv)
{
	struct remote r = {.status = -1};
	struct vk_err err = {0};
	vk_log_init("remote");
	signal(SIGPIPE, SIG_IGN);
	bool copy = argc == 3 && env("VIKING_COPY")[0] != '\0'; /* as git calls its GIT_SSH */
	if (argc != 4 && !copy) {
		fputs("viking-remote is started by viking-monitor\n", stderr);
		return vk_err_exit(VK_USAGE);
	}
	int said = dup(STDERR_FILENO); /* the link closes what it has */
	if (run(&r, argv[1], copy ? env("VIKING_COPY") : argv[2], argv[argc - 1], copy, &err) == 0)
		return r.status;
	dprintf(said, " !     %s\n       try: %s\n", err.msg, err.hint);
	return vk_err_exit(err.code);
}
