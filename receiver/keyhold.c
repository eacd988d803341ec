#include "keyhold.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <viking/fs.h>
#include <viking/httpd.h>
#include <viking/json.h>
#include <viking/str.h>

#define FIRST_LINE_MS  10000
#define LINE_MAX_BYTES 65536
#define RETRY_MS       1000

struct keyhold {
	struct vk_loop *loop;
	char *socket, *key, *addr;
	keyhold_fn *revoked;
	void *arg;
	int fd;
	struct vk_io *io;
	struct vk_timer *retry;
	struct vk_http1 *reader;
	struct vk_jsonl lines;
	struct vk_buf refusal; /* body of an answer that is not 200 */
	int status;
	json_t *who; /* the first line */
	char *why;   /* revoked: the reason */
	bool over;   /* an answer has ended */
};

/* ---- the answer's bytes ---- */

static int on_head(void *arg, int status, const char *type, bool upgrade, struct vk_err *err)
{
	(void)type, (void)upgrade, (void)err;
	((struct keyhold *)arg)->status = status;
	return 0;
}

static int on_line(void *arg, json_t *line, struct vk_err *err)
{
	struct keyhold *k = arg;
	(void)err;
	if (!json_is_object(line) || json_object_size(line) == 0)
		return 0;
	const char *why = vk_json_str(line, "revoked", NULL);
	if (why != NULL && k->why == NULL)
		k->why = vk_strdup(why);
	else if (k->who == NULL && vk_json_str(line, "token", NULL) != NULL)
		k->who = json_incref(line);
	return 0;
}

static int on_body(void *arg, const void *p, size_t n, struct vk_err *err)
{
	struct keyhold *k = arg;
	if (k->status == 200)
		return vk_jsonl_feed(&k->lines, p, n, on_line, k, err);
	return vk_buf_add(&k->refusal, p, n);
}

static int on_end(void *arg, struct vk_err *err)
{
	struct keyhold *k = arg;
	(void)err;
	k->over = true;
	if (k->status != 403)
		return 0;
	vk_autojson *j = NULL;
	const char *message = "this key may not log in";
	if (vk_json_parse(vk_buf_str(&k->refusal), k->refusal.len, &j, NULL) == 0)
		message = vk_json_str(j, "message", message);
	k->why = vk_strdup(message);
	return 0;
}

static const struct vk_http1_events events = {on_head, on_body, on_end};

/* ---- the connection ---- */

static void disconnect(struct keyhold *k)
{
	vk_io_free(k->io);
	k->io = NULL;
	vk_closep(&k->fd);
	k->fd = -1;
	vk_http1_free(k->reader);
	k->reader = NULL;
	vk_jsonl_release(&k->lines);
	vk_buf_clear(&k->refusal);
	k->status = 0;
	k->over = false;
}

static int send_request(struct keyhold *k, struct vk_err *err)
{
	vk_autojson *body = json_pack("{s:s, s:s}", "key", k->key, "addr", k->addr);
	if (body == NULL)
		return vk_err_set(err, VK_INVALID, "a key that is not text");
	vk_autofree char *text = vk_json_text(body);
	vk_autofree char *request =
		vk_asprintf("POST /v1/internal/session HTTP/1.1\r\nHost: viking\r\n"
			    "Viking-Role: receiver\r\nContent-Type: application/json\r\n"
			    "Content-Length: %zu\r\n\r\n%s",
			strlen(text), text);
	return vk_write_all(k->fd, request, strlen(request), err);
}

/* Reads once. 0: more may come; VK_UNAVAILABLE: the stream has ended. */
static int read_some(struct keyhold *k, struct vk_err *err)
{
	char chunk[4096];
	ssize_t n = read(k->fd, chunk, sizeof(chunk));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0) {
		(void)vk_http1_eof(k->reader, NULL);
		return vk_err_set(err, VK_UNAVAILABLE, "viking does not answer");
	}
	size_t used = 0;
	int rc = vk_http1_feed(k->reader, chunk, (size_t)n, &used, err);
	if (rc != 0)
		return rc;
	return k->over ? vk_err_set(err, VK_UNAVAILABLE, "viking does not answer") : 0;
}

static int await_first_line(struct keyhold *k, struct vk_err *err)
{
	int64_t deadline = vk_mono_ms() + FIRST_LINE_MS;
	while (k->who == NULL && k->why == NULL) {
		struct pollfd p = {.fd = k->fd, .events = POLLIN};
		int64_t left = deadline - vk_mono_ms();
		if (left <= 0 || poll(&p, 1, (int)left) == 0)
			return vk_err_set(err, VK_TIMEOUT, "viking does not answer");
		int rc = read_some(k, err);
		if (rc != 0 && k->who == NULL && k->why == NULL)
			return rc;
	}
	if (k->why != NULL)
		return vk_err_set(err, VK_DENIED, "%s", k->why);
	return 0;
}

static void on_readable(void *arg, int fd, int what)
{
	(void)fd, (void)what;
	struct keyhold *k = arg;
	int rc = read_some(k, NULL);
	if (k->why != NULL) {
		disconnect(k);
		k->revoked(k->arg, k->why);
	} else if (rc != 0) {
		disconnect(k);
		vk_timer_set(k->retry, RETRY_MS);
	}
}

static int connect_now(struct keyhold *k, struct vk_err *err)
{
	disconnect(k);
	vk_autojson *before = VK_TAKE(k->who);
	k->reader = vk_http1_new(&events, k);
	vk_jsonl_init(&k->lines, LINE_MAX_BYTES);
	int rc = vk_connect_unix(k->socket, &k->fd, err);
	if (rc == 0)
		rc = send_request(k, err);
	if (rc == 0)
		rc = await_first_line(k, err);
	if (rc != 0) {
		disconnect(k);
		k->who = VK_TAKE(before);
		return rc;
	}
	(void)fcntl(k->fd, F_SETFL, O_NONBLOCK);
	k->io = vk_io_new(k->loop, k->fd, VK_READ, on_readable, k);
	return 0;
}

static void on_retry(void *arg)
{
	struct keyhold *k = arg;
	int rc = keyhold_renew(k, NULL);
	if (rc == VK_DENIED)
		k->revoked(k->arg, k->why);
	else if (rc != 0)
		vk_timer_set(k->retry, RETRY_MS);
}

int keyhold_new(struct vk_loop *l, const char *socket, const char *key, const char *addr,
	keyhold_fn *revoked, void *arg, struct keyhold **ret, struct vk_err *err)
{
	struct keyhold *k = vk_alloc(sizeof(*k));
	*k = (struct keyhold){.loop = l,
		.socket = vk_strdup(socket),
		.key = vk_strdup(key),
		.addr = vk_strdup(addr),
		.revoked = revoked,
		.arg = arg,
		.fd = -1,
		.refusal = VK_BUF_INIT(LINE_MAX_BYTES)};
	k->retry = vk_timer_new(l, on_retry, k);
	int rc = connect_now(k, err);
	if (rc != 0)
		keyhold_free(k);
	else
		*ret = k;
	return rc;
}

struct keyhold *keyhold_given(const char *name, const char *token)
{
	struct keyhold *k = vk_alloc(sizeof(*k));
	*k = (struct keyhold){.fd = -1, .refusal = VK_BUF_INIT(LINE_MAX_BYTES)};
	k->who = json_pack("{s:s,s:s}", "name", name, "token", token);
	return k;
}

int keyhold_renew(struct keyhold *k, struct vk_err *err)
{
	bool given = k->socket == NULL;
	if (k->io != NULL || given)
		return 0;
	vk_timer_set(k->retry, -1);
	int rc = connect_now(k, err);
	if (rc != 0 && rc != VK_DENIED)
		vk_timer_set(k->retry, RETRY_MS);
	return rc;
}

void keyhold_free(struct keyhold *k)
{
	if (k == NULL)
		return;
	disconnect(k);
	vk_timer_free(k->retry);
	json_decref(k->who);
	vk_buf_release(&k->refusal);
	free(k->socket);
	free(k->key);
	free(k->addr);
	free(k->why);
	free(k);
}

const char *keyhold_name(const struct keyhold *k)
{
	return vk_json_str(k->who, "name", "");
}

const char *keyhold_fingerprint(const struct keyhold *k)
{
	return vk_json_str(k->who, "fingerprint", "");
}

const char *keyhold_role(const struct keyhold *k)
{
	return vk_json_str(k->who, "role", "");
}

const char *keyhold_token(const struct keyhold *k)
{
	return vk_json_str(k->who, "token", "");
}
