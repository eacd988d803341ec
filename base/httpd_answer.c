/* What a handler can ask of a request and answer to it. */
#include "httpd_req.h"

#include <ctype.h>
#include <fcntl.h>
#include <unistd.h>
#include <viking/json.h>
#include <viking/str.h>

#define STREAM_BLOCK 4096
#define QUEUE_MAX    (4u << 20)
#define QUEUE_KEEP   65536 /* a drained queue bigger than this gives its memory back */
#define NDJSON       "application/x-ndjson"

const char *vk_req_method(const struct vk_req *r)
{
	return r->method;
}

const char *vk_req_path(const struct vk_req *r)
{
	return r->path;
}

const char *vk_req_query(const struct vk_req *r, const char *key)
{
	const char *value = NULL;
	size_t n;
	if (r->c == NULL ||
		MHD_lookup_connection_value_n(
			r->c, MHD_GET_ARGUMENT_KIND, key, strlen(key), &value, &n) != MHD_YES)
		return NULL;
	return value != NULL ? value : "";
}

static void add_encoded(struct vk_buf *out, const char *s, size_t n, bool path)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];
		if (isalnum(c) || strchr("-._~", c) != NULL || (path && c == '/'))
			vk_buf_addc(out, (char)c);
		else
			vk_buf_addf(out, "%%%02X", c);
	}
}

struct target {
	struct vk_buf *out;
	char separator;
};

static enum MHD_Result add_argument(void *cls, enum MHD_ValueKind kind, const char *key,
	size_t key_n, const char *value, size_t n)
{
	struct target *t = cls;
	(void)kind;
	vk_buf_addc(t->out, t->separator);
	t->separator = '&';
	add_encoded(t->out, key, key_n, false);
	if (value != NULL) {
		vk_buf_addc(t->out, '=');
		add_encoded(t->out, value, n, false);
	}
	return MHD_YES;
}

void vk_req_target(const struct vk_req *r, struct vk_buf *out)
{
	struct target t = {out, '?'};
	add_encoded(out, r->path, strlen(r->path), true);
	if (r->c != NULL)
		MHD_get_connection_values_n(r->c, MHD_GET_ARGUMENT_KIND, add_argument, &t);
}

const char *vk_req_header(const struct vk_req *r, const char *name)
{
	return r->c != NULL ? MHD_lookup_connection_value(r->c, MHD_HEADER_KIND, name) : NULL;
}

const struct vk_buf *vk_req_body(const struct vk_req *r)
{
	return &r->body;
}

void vk_req_peer(const struct vk_req *r, uid_t *ret_uid, pid_t *ret_pid)
{
	if (ret_uid != NULL)
		*ret_uid = r->uid;
	if (ret_pid != NULL)
		*ret_pid = r->pid;
}

const char *vk_req_peer_host(const struct vk_req *r)
{
	return r->peer_host[0] != '\0' ? r->peer_host : NULL;
}

void vk_req_on_closed(struct vk_req *r, vk_req_closed_fn *closed, void *arg)
{
	r->closed = closed;
	r->closed_arg = arg;
}

void vk_req_header_add(struct vk_req *r, const char *name, const char *value)
{
	vk_strv_add(&r->headers, name);
	vk_strv_add(&r->headers, value);
}

static void prepare(struct vk_req *r, int status, const char *type, struct MHD_Response *response)
{
	if (type != NULL)
		MHD_add_response_header(response, "Content-Type", type);
	for (size_t i = 0; i + 1 < r->headers.n; i += 2)
		MHD_add_response_header(response, r->headers.v[i], r->headers.v[i + 1]);
	r->status = status;
	r->response = response;
}

static void answer(struct vk_req *r, int status, const char *type, struct MHD_Response *response)
{
	prepare(r, status, type, response);
	vk_buf_release(&r->body);
	vk_req_settled(r);
}

/* Text is malloc'ed and taken over. */
static void answer_text(struct vk_req *r, int status, const char *type, char *text, size_t n)
{
	answer(r, status, type, MHD_create_response_from_buffer(n, text, MHD_RESPMEM_MUST_FREE));
}

void vk_req_json(struct vk_req *r, int status, json_t *body)
{
	char *text = body != NULL ? vk_json_text(body) : vk_strdup("");
	json_decref(body);
	answer_text(r, status, "application/json", text, strlen(text));
}

static void answer_error(struct vk_req *r, const struct vk_err *err, bool again)
{
	int code = err->code != 0 ? err->code : VK_INTERNAL;
	json_t *body = json_object();
	json_object_set_new(body, "error", json_string(vk_err_name(code)));
	json_object_set_new(body, "message", vk_json_safe_string(err->msg, strlen(err->msg)));
	json_object_set_new(body, "hint", vk_json_safe_string(err->hint, strlen(err->hint)));
	if (again)
		json_object_set_new(body, "again", json_true());
	vk_req_json(r, vk_err_http(code), body);
}

void vk_req_error(struct vk_req *r, const struct vk_err *err)
{
	answer_error(r, err, false);
}

void vk_req_error_again(struct vk_req *r, const struct vk_err *err)
{
	vk_req_header_add(r, "Retry-After", "1");
	answer_error(r, err, true);
}

void vk_req_bytes(struct vk_req *r, int status, const char *type, const void *p, size_t n)
{
	answer(r, status, type,
		MHD_create_response_from_buffer(n, (void *)(uintptr_t)p, MHD_RESPMEM_MUST_COPY));
}

void vk_req_file(struct vk_req *r, int status, const char *type, int fd, uint64_t off, uint64_t len)
{
	struct MHD_Response *response = MHD_create_response_from_fd_at_offset64(len, fd, off);
	if (response != NULL) {
		answer(r, status, type, response);
		return;
	}
	close(fd);
	struct vk_err err = {0};
	vk_err_set(&err, VK_INTERNAL, "the file cannot be sent");
	vk_req_error(r, &err);
}

static ssize_t read_queue(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct vk_req *r = cls;
	(void)pos;
	if (r->gone)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	size_t n = r->queue.len - r->off;
	if (n == 0) {
		if (r->ended)
			return MHD_CONTENT_READER_END_OF_STREAM;
		vk_req_suspend(r);
		return 0;
	}
	n = n < max ? n : max;
	memcpy(buf, r->queue.data + r->off, n);
	vk_req_dequeue(r, n);
	if (r->off == r->queue.len) {
		if (r->queue.cap > QUEUE_KEEP)
			vk_buf_release(&r->queue);
		vk_buf_clear(&r->queue);
		r->off = 0;
		if (r->drained != NULL && !r->released)
			r->drained(r->drained_arg);
	}
	return (ssize_t)n;
}

void vk_req_stream(struct vk_req *r, int status, const char *type, size_t queue_max,
	vk_req_closed_fn *closed, void *arg)
{
	r->closed = closed;
	r->closed_arg = arg;
	r->queue.max = queue_max ? queue_max : QUEUE_MAX;
	r->lines = type == NULL;
	struct MHD_Response *response = MHD_create_response_from_callback(
		MHD_SIZE_UNKNOWN, STREAM_BLOCK, read_queue, r, NULL);
	prepare(r, status, r->lines ? NDJSON : type, response);
	if (r->lines)
		vk_httpd_tick(r->h);
	if (r->c == NULL || r->gone) {
		r->gone = false;
		vk_req_cut(r); /* the client went before: closed is still called, from the loop */
	}
	vk_req_resume(r);
}

void vk_req_write(struct vk_req *r, const void *p, size_t n)
{
	if (r->gone || r->ended)
		return;
	if (r->off > r->queue.len / 2) {
		vk_buf_consume(&r->queue, r->off);
		r->off = 0;
	}
	if (vk_req_queued(r) + n > r->queue.max || vk_buf_add(&r->queue, p, n) != 0) {
		vk_req_cut(r);
		return;
	}
	vk_req_enqueue(r, n);
	vk_req_resume(r);
}

void vk_req_line(struct vk_req *r, json_t *line)
{
	vk_autofree char *text = vk_json_text(line);
	json_decref(line);
	size_t n = strlen(text);
	text[n] = '\n'; /* one write for both: the NUL's place is ours */
	vk_req_write(r, text, n + 1);
}

size_t vk_req_queued(const struct vk_req *r)
{
	return r->queue.len - r->off;
}

void vk_req_on_drained(struct vk_req *r, vk_req_drained_fn *fn, void *arg)
{
	r->drained = fn;
	r->drained_arg = arg;
}

void vk_req_end(struct vk_req *r)
{
	r->ended = true;
	vk_req_settled(r);
}

/* MHD gives its socket only on loan: the caller gets a duplicate, MHD closes its own. */
static void upgraded(void *cls, struct MHD_Connection *c, void *con_cls, const char *extra,
	size_t n, MHD_socket sock, struct MHD_UpgradeResponseHandle *urh)
{
	struct vk_req *r = cls;
	(void)c, (void)con_cls;
	struct vk_httpd *h = r->h;
	vk_io_free(r->watch);
	r->watch = NULL;
	vk_req_upgrade_fn *fn = VK_TAKE(r->upgrade);
	fn(r->upgrade_arg, fcntl(sock, F_DUPFD_CLOEXEC, 3), extra, n);
	MHD_upgrade_action(urh, MHD_UPGRADE_ACTION_CLOSE);
	vk_httpd_wake(h);
}

void vk_req_upgrade(struct vk_req *r, const char *protocol, vk_req_upgrade_fn *fn, void *arg)
{
	r->upgrade = fn;
	r->upgrade_arg = arg;
	struct MHD_Response *response = MHD_create_response_for_upgrade(upgraded, r);
	MHD_add_response_header(response, "Upgrade", protocol);
	answer(r, MHD_HTTP_SWITCHING_PROTOCOLS, NULL, response);
}
