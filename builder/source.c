#include "source.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <viking/fs.h>
#include <viking/httpd.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#define HEADER_MS 300000 /* a site is written to disk before its header comes */
#define PEEK      16384

static int wait_readable(int fd, int64_t deadline, struct vk_err *err)
{
	for (;;) {
		int64_t left = deadline - vk_mono_ms();
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int n = left > 0 ? poll(&p, 1, (int)left) : 0;
		if (n > 0)
			return 0;
		if (n == 0)
			return vk_err_set(
				err, VK_TIMEOUT, "the receiver does not hand over the source");
		if (errno != EINTR)
			return vk_err_errno(err, errno, "poll");
	}
}

int source_read_header(int fd, int64_t timeout_ms, json_t **ret, struct vk_err *err)
{
	vk_autobuf line = VK_BUF_INIT(SOURCE_HEADER_MAX);
	int64_t deadline = vk_mono_ms() + timeout_ms;
	char chunk[PEEK];
	const char *end = NULL;
	while (end == NULL) {
		int code = wait_readable(fd, deadline, err);
		if (code != 0)
			return code;
		ssize_t n = recv(
			fd, chunk, sizeof(chunk), MSG_PEEK); /* what follows the line is not ours */
		if (n <= 0)
			return vk_err_set(err, VK_UNAVAILABLE,
				"the receiver closed the connection without an answer");
		end = memchr(chunk, '\n', (size_t)n);
		size_t take = end != NULL ? (size_t)(end - chunk) + 1 : (size_t)n;
		if (recv(fd, chunk, take, MSG_WAITALL) != (ssize_t)take)
			return vk_err_errno(err, errno, "read");
		if (vk_buf_add(&line, chunk, take) != 0)
			return vk_err_set(err, VK_LIMIT, "the source's header is over %u bytes",
				SOURCE_HEADER_MAX);
	}
	return vk_json_parse_max(vk_buf_str(&line), line.len, SOURCE_HEADER_MAX, ret, err);
}

static int send_request(const struct job *j, const char *mode, int fd, struct vk_err *err)
{
	vk_autojson *request = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "mode", mode, "stack",
		j->stack, "id", vk_json_str(j->doc, "stack_id", ""), "commit", j->commit, "node",
		j->node, "document_root", j->document_root);
	if (json_is_object(j->recipe))
		json_object_set_new(request, "recipe", json_deep_copy(j->recipe));
	json_object_set_new(
		request, "refs", json_is_object(j->refs) ? json_deep_copy(j->refs) : json_object());
	if (json_is_array(j->keep))
		json_object_set(request, "keep", (json_t *)(uintptr_t)j->keep);
	if (j->site != NULL)
		json_object_set(request, "site", j->site);
	if (j->owner != 0)
		json_object_set_new(request, "owner", json_integer(j->owner));
	vk_autofree char *text = vk_json_text(request);
	vk_autofree char *line = vk_asprintf("%s\n", text);
	return vk_write_all(fd, line, strlen(line), err);
}

static int header_error(const json_t *header, struct vk_err *err)
{
	const char *name = vk_json_str(header, "error", NULL);
	if (name == NULL)
		return 0;
	vk_err_set(err, vk_err_from_name(name), "%s",
		vk_json_str(header, "message", "the source cannot be read"));
	const char *hint = vk_json_str(header, "hint", "");
	return hint[0] != '\0' ? vk_err_hint(err, "%s", hint) : vk_err_from_name(name);
}

int source_open(const struct job *j, const char *mode, struct source *ret, struct vk_err *err)
{
	vk_autofree char *path = vk_run_path(j->config, "export.sock");
	vk_autoclose int fd = -1;
	vk_autojson *header = NULL;
	int code = vk_connect_unix(path, &fd, err);
	if (code != 0) {
		vk_err_wrap(err, "the receiver does not answer");
		vk_err_hint(err, "sudo viking doctor");
		return code;
	}
	code = send_request(j, mode, fd, err);
	if (code == 0)
		code = source_read_header(fd, HEADER_MS, &header, err);
	if (code == 0)
		code = header_error(header, err);
	if (code != 0)
		return code;
	*ret = (struct source){.fd = VK_TAKE_FD(fd), .header = VK_TAKE(header)};
	return 0;
}

void source_close(struct source *s)
{
	vk_closep(&s->fd);
	s->fd = -1;
	vk_json_decrefp(&s->header);
	s->header = NULL;
}
