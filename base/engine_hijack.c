/* Hijacked connections by a hand-written request on a raw socket, the frames that run over them, and the
 * small texts the engine wants encoded. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <viking/api.h>
#include <viking/crypt.h>
#include <viking/httpd.h>
#include <viking/str.h>

#include "engine_op.h"

#define HIJACK_MS \
	5000 /* the engine answers in about a millisecond; the agent's loop waits meanwhile */
#define REFUSAL_MAX 65536
#define FRAME_HEAD  8

struct hijack {
	int fd;
	int64_t deadline;
	int status;
	bool raw, done;
	struct vk_buf refusal;
	struct vk_buf *early;
};

static int on_head(void *arg, int status, const char *type, bool upgrade, struct vk_err *err)
{
	struct hijack *h = arg;
	(void)type, (void)err;
	h->status = status;
	h->raw = upgrade || status == 200; /* without the Upgrade header older engines answer 200 */
	return 0;
}

static int on_body(void *arg, const void *p, size_t n, struct vk_err *err)
{
	struct hijack *h = arg;
	if (vk_buf_add(h->raw ? h->early : &h->refusal, p, n) != 0)
		return vk_err_set(err, VK_LIMIT, "too many bytes came with the engine's answer");
	return 0;
}

static int on_end(void *arg, struct vk_err *err)
{
	struct hijack *h = arg;
	(void)err;
	h->done = true;
	return 0;
}

static int wait_readable(const struct hijack *h, struct vk_err *err)
{
	for (;;) {
		int64_t left = h->deadline - vk_mono_ms();
		struct pollfd p = {.fd = h->fd, .events = POLLIN};
		int n = left > 0 ? poll(&p, 1, (int)left) : 0;
		if (n > 0)
			return 0;
		if (n == 0)
			return vk_err_set(err, VK_TIMEOUT, "the engine did not answer within %d ms",
				HIJACK_MS);
		if (errno != EINTR)
			return vk_err_errno(err, errno, "poll");
	}
}

static int read_answer(struct hijack *h, struct vk_http1 *reader, struct vk_err *err)
{
	char piece[4096];
	while (!h->raw && !h->done) {
		int rc = wait_readable(h, err);
		if (rc != 0)
			return rc;
		ssize_t n = recv(h->fd, piece, sizeof(piece), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return vk_http1_eof(reader, err);
		size_t used;
		rc = vk_http1_feed(reader, piece, (size_t)n, &used, err);
		if (rc == 0 && h->raw && vk_buf_add(h->early, piece + used, (size_t)n - used) != 0)
			rc = vk_err_set(
				err, VK_LIMIT, "too many bytes came with the engine's answer");
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int write_request(struct hijack *h, const char *prefix, const char *path, const json_t *body,
	struct vk_err *err)
{
	vk_autobuf b = VK_BUF_INIT(1 << 20);
	vk_autofree char *text = body != NULL ? vk_json_text(body) : vk_strdup("");
	for (const char *p = path; *p != '\0'; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f)
			return vk_err_set(err, VK_INVALID, "not a path the engine could have");
	vk_buf_addf(&b,
		"POST %s%s HTTP/1.1\r\nHost: engine\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n",
		prefix, path);
	if (body != NULL)
		vk_buf_adds(&b, "Content-Type: application/json\r\n");
	vk_buf_addf(&b, "Content-Length: %zu\r\n\r\n", strlen(text));
	if (vk_buf_adds(&b, text) != 0)
		return vk_err_set(err, VK_LIMIT, "the request to the engine is too long");
	for (size_t off = 0; off < b.len;) {
		ssize_t n = send(h->fd, b.data + off, b.len - off, MSG_NOSIGNAL);
		if (n < 0 && errno != EINTR)
			return vk_err_errno(err, errno, "the engine");
		off += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int open_socket(struct vk_engine *e, int *ret_fd, struct vk_err *err)
{
	struct vk_err why = {0};
	if (vk_connect_unix(e->socket, ret_fd, &why) == 0)
		return 0;
	struct vk_err own = {0};
	vk_engine_away(e, why.code == VK_DENIED ? EACCES : ECONNREFUSED, &own);
	if (err != NULL)
		*err = own;
	return own.code;
}

int vk_engine_hijack(struct vk_engine *e, const char *path, const json_t *body, int *ret_fd,
	struct vk_buf *early, struct vk_err *err)
{
	static const struct vk_http1_events events = {on_head, on_body, on_end};
	struct hijack h = {.fd = -1, .deadline = vk_mono_ms() + HIJACK_MS, .early = early};
	vk_buf_init(&h.refusal, REFUSAL_MAX);
	int rc = vk_engine_negotiate(e, err);
	if (rc == 0)
		rc = open_socket(e, &h.fd, err);
	if (rc == 0)
		rc = write_request(&h, e->prefix, path, body, err);
	if (rc == 0) {
		struct vk_http1 *reader = vk_http1_new(&events, &h);
		rc = read_answer(&h, reader, err);
		vk_http1_free(reader);
	}
	if (rc == 0 && !h.raw)
		rc = vk_engine_refusal(h.status, vk_buf_str(&h.refusal), h.refusal.len, err);
	if (rc == 0)
		*ret_fd = VK_TAKE_FD(h.fd);
	vk_closep(&h.fd);
	vk_buf_release(&h.refusal);
	return rc;
}

/* ---- frames ---- */

static int open_frame(struct vk_frames *f, struct vk_err *err)
{
	const uint8_t *p = f->head;
	if (p[0] > 3 || p[1] != 0 || p[2] != 0 || p[3] != 0)
		return vk_err_set(
			err, VK_INVALID, "the engine's stream is not framed as it should be");
	f->stream = p[0] == 2 ? 2 : 1;
	f->left = (uint32_t)p[4] << 24 | (uint32_t)p[5] << 16 | (uint32_t)p[6] << 8 | p[7];
	f->have = 0;
	return 0;
}

int vk_frames_feed(struct vk_frames *f, const void *p, size_t n, vk_frames_fn *fn, void *arg,
	struct vk_err *err)
{
	const uint8_t *at = p, *end = at + n;
	while (at < end) {
		if (f->left == 0) {
			f->head[f->have++] = *at++;
			int rc = f->have == FRAME_HEAD ? open_frame(f, err) : 0;
			if (rc != 0)
				return rc;
			continue;
		}
		size_t len = (size_t)(end - at) < f->left ? (size_t)(end - at) : f->left;
		f->left -= (uint32_t)len;
		int rc = fn(arg, f->stream, at, len);
		if (rc != 0)
			return rc;
		at += len;
	}
	return 0;
}

/* ---- texts ---- */

char *vk_engine_escape(const char *s)
{
	static const char unreserved[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	struct vk_buf b = VK_BUF_INIT(SIZE_MAX / 4);
	for (; *s != '\0'; s++) {
		if (strchr(unreserved, *s) != NULL)
			vk_buf_addc(&b, *s);
		else
			vk_buf_addf(&b, "%%%02X", (unsigned char)*s);
	}
	return vk_buf_take(&b);
}

char *vk_engine_registry_auth(const char *user, const char *password, const char *server)
{
	vk_autojson *j = json_pack(
		"{s:s, s:s, s:s}", "username", user, "password", password, "serveraddress", server);
	vk_autofree char *text = vk_json_text(j);
	char *encoded = vk_base64url(text, strlen(text));
	explicit_bzero(text, strlen(text));
	return encoded;
}
