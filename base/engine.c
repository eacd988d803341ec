#include "engine_op.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>
#include <viking/str.h>

#define ANSWER_MAX     (16u << 20)
#define LINE_MAX_BYTES (4u << 20) /* buildkit packs whole status updates into one line */
#define UPLOAD_BUFFER  (256L << 10)
#define STREAM_BUFFER  4096L /* there may be one a container */
#define API_MINOR_MIN  41    /* Docker 20.10 */
#define API_MINOR_BEST 44    /* what this code was written for; the oldest that Docker 29 takes */

int vk_engine_new(
	const char *socket_path, struct vk_loop *loop, struct vk_engine **ret, struct vk_err *err)
{
	/* nothing: no TLS, and no threads that could race for the initialisation */
	if (curl_global_init(CURL_GLOBAL_NOTHING) != CURLE_OK)
		return vk_err_set(err, VK_INTERNAL, "libcurl does not start");
	struct vk_engine *e = vk_alloc(sizeof(*e));
	e->socket = vk_strdup(socket_path);
	e->loop = loop;
	e->blocking = curl_multi_init();
	curl_multi_setopt(e->blocking, CURLMOPT_MAXCONNECTS, 2L);
	if (loop != NULL)
		vk_engine_async_init(e);
	*ret = e;
	return 0;
}

void vk_engine_free(struct vk_engine *e)
{
	if (e == NULL)
		return;
	if (e->loop != NULL)
		vk_engine_async_release(e);
	curl_multi_cleanup(e->blocking);
	free(e->socket);
	free(e);
}

/* ---- answers ---- */

static bool good(long status)
{
	return (status >= 200 && status < 300) || status == 304;
}

static size_t fail_write(struct vk_engine_op *op, int rc)
{
	op->rc = rc;
	return CURL_WRITEFUNC_ERROR;
}

static size_t on_write(char *p, size_t size, size_t n, void *arg)
{
	struct vk_engine_op *op = arg;
	long status = 0;
	(void)size;
	op->got_bytes = true;
	if (op->cancelled)
		return fail_write(op, VK_CANCELLED);
	curl_easy_getinfo(op->easy, CURLINFO_RESPONSE_CODE, &status);
	if (!op->negotiating && good(status) && op->line_fn != NULL) {
		int rc = vk_jsonl_feed(&op->lines, p, n, op->line_fn, op->sink_arg, &op->err);
		return rc == 0 ? n : fail_write(op, rc);
	}
	if (!op->negotiating && good(status) && op->bytes_fn != NULL) {
		op->bytes_fn(op->sink_arg, p, n);
		return op->cancelled ? fail_write(op, VK_CANCELLED) : n;
	}
	if (vk_buf_add(&op->answer, p, n) == 0)
		return n;
	return fail_write(op,
		vk_err_set(&op->err, VK_LIMIT, "the engine's answer is over %u bytes", ANSWER_MAX));
}

void vk_engine_away(const struct vk_engine *e, int errnum, struct vk_err *err)
{
	if (errnum == EACCES || errnum == EPERM) {
		vk_err_set(err, VK_DENIED, "no right to use the engine's socket %s", e->socket);
		vk_err_hint(
			err, "let this user into the group that owns it: usermod -aG docker USER");
		return;
	}
	vk_err_set(err, VK_UNAVAILABLE, "no Docker Engine answers at %s", e->socket);
	vk_err_hint(err, "start it: systemctl start docker");
}

int vk_engine_refusal(long status, const char *body, size_t n, struct vk_err *err)
{
	vk_autojson *j = NULL;
	const char *message = NULL;
	if (vk_json_parse_max(body, n, ANSWER_MAX, &j, NULL) == 0)
		message = vk_json_str(j, "message", NULL);
	int code = VK_FAILED;
	if (status == 400)
		code = VK_INVALID;
	else if (status == 401 || status == 403)
		code = VK_DENIED;
	else if (status == 404)
		code = VK_NOTFOUND;
	else if (status == 409)
		code = VK_CONFLICT;
	else if (status == 503)
		code = VK_UNAVAILABLE;
	if (message != NULL)
		return vk_err_set(err, code, "%s", message);
	return vk_err_set(err, code, "the engine answered with status %ld", status);
}

static int judge_code(struct vk_engine_op *op, CURLcode code, struct vk_err *err)
{
	long errnum = 0;
	if (op->rc != 0) {
		if (op->err.code != 0)
			*err = op->err;
		else
			vk_err_set(err, op->rc, "the engine's answer was not wanted any more");
		return op->rc;
	}
	switch (code) {
	case CURLE_OK:
		return 0;
	case CURLE_COULDNT_CONNECT:
		op->e->prefix[0] = '\0'; /* it may come back as another version */
		curl_easy_getinfo(op->easy, CURLINFO_OS_ERRNO, &errnum);
		vk_engine_away(op->e, (int)errnum, err);
		return err->code;
	case CURLE_OPERATION_TIMEDOUT:
		return vk_err_set(err, VK_TIMEOUT, "the engine did not answer %s %s within %lld ms",
			op->method, op->path,
			(long long)(op->timeout_ms > 0 ? op->timeout_ms : VK_ENGINE_TIMEOUT_MS));
	default:
		op->e->prefix[0] = '\0';
		vk_err_set(err, VK_UNAVAILABLE, "the engine broke off %s %s: %s", op->method,
			op->path, curl_easy_strerror(code));
		return VK_UNAVAILABLE;
	}
}

/* "1.41" -> 41; -1 for what is no version 1.x. */
static int minor_of(const char *version)
{
	uint64_t n;
	if (!vk_starts(version, "1.") || vk_parse_u64(version + 2, 0, 999, &n) != 0)
		return -1;
	return (int)n;
}

static int take_version(struct vk_engine_op *op, struct vk_err *err)
{
	vk_autojson *j = NULL;
	int rc = vk_engine_op_json(op, &j, err);
	if (rc != 0)
		return rc;
	int newest = minor_of(vk_json_str(j, "ApiVersion", "")),
	    oldest = minor_of(vk_json_str(j, "MinAPIVersion", "1.0"));
	if (newest < API_MINOR_MIN)
		return vk_err_set(err, VK_UNAVAILABLE,
			"the engine at %s is too old: API %s, viking needs 1.%d (Docker 20.10)",
			op->e->socket, vk_json_str(j, "ApiVersion", "unknown"), API_MINOR_MIN);
	int use = newest < API_MINOR_BEST ? newest : API_MINOR_BEST;
	use = use < oldest ? oldest : use;
	snprintf(op->e->prefix, sizeof(op->e->prefix), "/v1.%d", use);
	return 0;
}

int vk_engine_op_judge(struct vk_engine_op *op, CURLcode code, struct vk_err *err)
{
	long status = 0;
	curl_easy_getinfo(op->easy, CURLINFO_RESPONSE_CODE, &status);
	/* a refused upload may end in a send error, with the reason already read */
	bool refused = status >= 400 && op->answer.len > 0;
	int rc = refused ? 0 : judge_code(op, code, err);
	if (rc != 0)
		return rc;
	if (!good(status))
		return vk_engine_refusal(status, vk_buf_str(&op->answer), op->answer.len, err);
	if (op->negotiating)
		return take_version(op, err);
	if (op->line_fn != NULL)
		return vk_jsonl_end(&op->lines, op->line_fn, op->sink_arg, err);
	return 0;
}

int vk_engine_op_json(struct vk_engine_op *op, json_t **ret, struct vk_err *err)
{
	const char *type = NULL;
	curl_easy_getinfo(op->easy, CURLINFO_CONTENT_TYPE, &type);
	if (op->answer.len == 0)
		return 0;
	if (type != NULL && !vk_starts(type, "application/json")) {
		*ret = vk_json_safe_string(vk_buf_str(&op->answer), op->answer.len);
		return 0;
	}
	return vk_json_parse_max(vk_buf_str(&op->answer), op->answer.len, ANSWER_MAX, ret, err);
}

/* ---- requests ---- */

struct vk_engine_op *vk_engine_op_new(
	struct vk_engine *e, const char *method, const char *path, const json_t *body)
{
	struct vk_engine_op *op = vk_alloc(sizeof(*op));
	op->e = e;
	op->method = vk_strdup(method);
	op->path = vk_strdup(path);
	op->body = body != NULL ? vk_json_text(body) : NULL;
	op->upload_fd = -1;
	op->timeout_ms = VK_ENGINE_TIMEOUT_MS;
	vk_buf_init(&op->answer, ANSWER_MAX);
	vk_jsonl_init(&op->lines, LINE_MAX_BYTES);
	return op;
}

void vk_engine_op_free(struct vk_engine_op *op)
{
	if (op == NULL)
		return;
	curl_easy_cleanup(op->easy);
	curl_slist_free_all(op->headers);
	vk_buf_release(&op->answer);
	vk_jsonl_release(&op->lines);
	if (op->registry_auth != NULL)
		explicit_bzero(op->registry_auth, strlen(op->registry_auth));
	free(op->registry_auth);
	free(op->method);
	free(op->path);
	free(op->body);
	free(op);
}

/* Never blocks: libcurl is paused until the descriptor can be read. */
static size_t on_read(char *p, size_t size, size_t n, void *arg)
{
	struct vk_engine_op *op = arg;
	struct pollfd ready = {.fd = op->upload_fd, .events = POLLIN};
	if (poll(&ready, 1, 0) == 0) {
		op->upload_paused = true;
		return CURL_READFUNC_PAUSE;
	}
	ssize_t got = read(op->upload_fd, p, size * n);
	if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
		op->upload_paused = true;
		return CURL_READFUNC_PAUSE;
	}
	if (got >= 0)
		return (size_t)got;
	op->rc = vk_err_errno(&op->err, errno, "what is to be sent to the engine");
	return CURL_READFUNC_ABORT;
}

static void add_header(struct vk_engine_op *op, const char *line)
{
	struct curl_slist *more = curl_slist_append(op->headers, line);
	if (more == NULL)
		abort();
	op->headers = more;
}

static void prepare_body(struct vk_engine_op *op)
{
	if (op->upload_fd >= 0) {
		curl_easy_setopt(op->easy, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(op->easy, CURLOPT_READFUNCTION, on_read);
		curl_easy_setopt(op->easy, CURLOPT_READDATA, op);
		curl_easy_setopt(op->easy, CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BUFFER);
		curl_easy_setopt(
			op->easy, CURLOPT_FRESH_CONNECT, 1L); /* a pipe cannot be sent again */
		add_header(op, "Transfer-Encoding: chunked");
		add_header(op, "Content-Type: application/x-tar");
	} else if (op->body != NULL) {
		curl_easy_setopt(op->easy, CURLOPT_POSTFIELDS, op->body);
		curl_easy_setopt(op->easy, CURLOPT_POSTFIELDSIZE, (long)strlen(op->body));
		add_header(op, "Content-Type: application/json");
	} else if (strcmp(op->method, "POST") == 0 || strcmp(op->method, "PUT") == 0) {
		curl_easy_setopt(op->easy, CURLOPT_POSTFIELDS, "");
		curl_easy_setopt(op->easy, CURLOPT_POSTFIELDSIZE, 0L);
		add_header(op, "Content-Type:");
	}
}

static void prepare_request(struct vk_engine_op *op)
{
	prepare_body(op);
	add_header(op,
		"Expect:"); /* the engine never answers 100, libcurl would wait a second for it */
	if (op->registry_auth != NULL) {
		vk_autofree char *line = vk_asprintf("X-Registry-Auth: %s", op->registry_auth);
		add_header(op, line);
		explicit_bzero(line, strlen(line));
	}
	if (strcmp(op->method, "HEAD") == 0)
		curl_easy_setopt(op->easy, CURLOPT_NOBODY, 1L);
	else
		curl_easy_setopt(op->easy, CURLOPT_CUSTOMREQUEST, op->method);
	if (op->bytes_fn != NULL)
		curl_easy_setopt(op->easy, CURLOPT_BUFFERSIZE, STREAM_BUFFER);
	curl_easy_setopt(op->easy, CURLOPT_HTTPHEADER, op->headers);
}

static bool plain_path(const char *s)
{
	for (const char *p = s; *p != '\0'; p++)
		if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f || *p == '#')
			return false;
	return *s == '/';
}

int vk_engine_op_prepare(struct vk_engine_op *op, struct vk_err *err)
{
	if (!plain_path(op->path))
		return vk_err_set(err, VK_INVALID, "not a path the engine could have");
	op->negotiating = op->e->prefix[0] == '\0';
	vk_buf_clear(&op->answer);
	curl_slist_free_all(op->headers);
	op->headers = NULL;
	if (op->easy == NULL)
		op->easy = curl_easy_init();
	if (op->easy == NULL)
		abort();
	curl_easy_reset(op->easy);
	vk_autofree char *url = op->negotiating
		? vk_strdup("http://engine/version")
		: vk_asprintf("http://engine%s%s", op->e->prefix, op->path);
	curl_easy_setopt(op->easy, CURLOPT_URL, url);
	curl_easy_setopt(op->easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(op->easy, CURLOPT_UNIX_SOCKET_PATH, op->e->socket);
	curl_easy_setopt(op->easy, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(op->easy, CURLOPT_PROXY, ""); /* whatever the environment says */
	curl_easy_setopt(op->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(op->easy, CURLOPT_WRITEFUNCTION, on_write);
	curl_easy_setopt(op->easy, CURLOPT_WRITEDATA, op);
	curl_easy_setopt(op->easy, CURLOPT_PRIVATE, op);
	if (op->timeout_ms > 0 || op->negotiating)
		curl_easy_setopt(op->easy, CURLOPT_TIMEOUT_MS,
			(long)(op->timeout_ms > 0 ? op->timeout_ms : VK_ENGINE_TIMEOUT_MS));
	if (!op->negotiating)
		prepare_request(op);
	return 0;
}
