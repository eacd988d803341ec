#include "store_etcd_http.h"

#include <string.h>
#include <viking/fs.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "multi.h"
#include "store_etcd_wire.h"

#define ENDPOINTS_MAX 16
#define IDLE_MAX      16L
#define CALL_MS       8000
#define TRY_MS \
	2000 /* a call in flight when a leader dies hangs for 7 s, with a new leader after 1.3 s */
#define CONNECT_MS      1500L
#define AGAIN_MS        150 /* when all endpoints have been tried */
#define DRAIN_STEP_MS   20
#define PEM_MAX         (256u << 10)
#define ANSWER_MAX      (64u << 20)
#define STREAM_LINE_MAX (64u << 20)

struct vk_etcd_op {
	struct vk_etcd_http *h;
	struct vk_etcd_op *next;
	char *path, *body;
	vk_etcd_done_fn *done;
	void *arg;
	CURL *easy;      /* while it is being tried */
	size_t endpoint; /* of this try */
	unsigned tries, sent;
	int64_t deadline;   /* vk_mono_ms; 0 = a stream */
	int64_t not_before; /* of the next try */
	struct vk_buf answer;
	vk_jsonl_fn *line;
	struct vk_jsonl lines;
	bool dropped, lost; /* lost: the endpoint of this stream is given up */
	struct vk_err err;  /* of the last try */
};

struct vk_etcd_http {
	struct vk_multi multi;
	struct vk_strv endpoints;
	size_t now; /* the endpoint in use */
	struct vk_buf ca, cert, key;
	struct curl_slist *headers;
	int64_t call_ms;
	struct vk_etcd_op *ops;
	struct vk_timer *later; /* the next try or deadline */
	bool settling;
};

static void settle(void *arg);

/* ---- one try ---- */

static size_t on_bytes(char *p, size_t size, size_t n, void *arg)
{
	struct vk_etcd_op *op = arg;
	return vk_buf_add(&op->answer, p, size * n) == 0 ? size * n : CURL_WRITEFUNC_ERROR;
}

static void set_blob(CURL *easy, CURLoption option, struct vk_buf *pem)
{
	struct curl_blob blob = {.data = pem->data, .len = pem->len, .flags = CURL_BLOB_NOCOPY};
	if (pem->len > 0)
		curl_easy_setopt(easy, option, &blob);
}

static void set_times(CURL *easy, const struct vk_etcd_op *op)
{
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	if (op->deadline == 0) {
		curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
		curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 10L);
		curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 5L);
		return;
	}
	int64_t left = op->deadline - vk_mono_ms();
	long most = left < 1 ? 1 : left > TRY_MS ? TRY_MS : (long)left;
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, most);
}

/* libcurl, too, sends again by itself when a connection it has kept turns out to be dead. */
static int on_send(void *arg, char *ip, char *local_ip, int port, int local_port)
{
	struct vk_etcd_op *op = arg;
	(void)ip, (void)local_ip, (void)port, (void)local_port;
	op->sent++;
	return CURL_PREREQFUNC_OK;
}

static void begin(struct vk_etcd_op *op)
{
	struct vk_etcd_http *h = op->h;
	CURL *easy = curl_easy_init();
	op->easy = easy;
	op->endpoint = h->now;
	op->tries++;
	vk_buf_clear(&op->answer);
	vk_autofree char *url = vk_asprintf("%s%s", h->endpoints.v[op->endpoint], op->path);
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, h->headers);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, op->body);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(op->body));
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_bytes);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, op);
	curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_send);
	curl_easy_setopt(easy, CURLOPT_PREREQDATA, op);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, op);
	set_blob(easy, CURLOPT_CAINFO_BLOB, &h->ca);
	set_blob(easy, CURLOPT_SSLCERT_BLOB, &h->cert);
	set_blob(easy, CURLOPT_SSLKEY_BLOB, &h->key);
	set_times(easy, op);
	vk_multi_add(&h->multi, easy);
}

static void end_try(struct vk_etcd_op *op)
{
	if (op->easy == NULL)
		return;
	curl_multi_remove_handle(op->h->multi.curl, op->easy);
	curl_easy_cleanup(op->easy);
	op->easy = NULL;
}

/* ---- life of an op ---- */

static void op_free(struct vk_etcd_op *op)
{
	struct vk_etcd_op **at = &op->h->ops;
	while (*at != op)
		at = &(*at)->next;
	*at = op->next;
	end_try(op);
	free(op->path);
	free(op->body);
	vk_buf_release(&op->answer);
	vk_jsonl_release(&op->lines);
	free(op);
}

static struct vk_etcd_op *op_new(struct vk_etcd_http *h, const char *path, json_t *take_body,
	vk_etcd_done_fn *done, void *arg)
{
	struct vk_etcd_op *op = vk_alloc(sizeof(*op));
	op->h = h;
	op->path = vk_strdup(path);
	op->body = vk_json_text(take_body);
	json_decref(take_body);
	op->done = done;
	op->arg = arg;
	vk_buf_init(&op->answer, ANSWER_MAX);
	vk_jsonl_init(&op->lines, STREAM_LINE_MAX);
	struct vk_etcd_op **at = &h->ops;
	while (*at != NULL)
		at = &(*at)->next;
	*at = op;
	vk_multi_soon(&h->multi);
	return op;
}

void vk_etcd_call(struct vk_etcd_http *h, const char *path, json_t *take_body,
	vk_etcd_done_fn *done, void *arg)
{
	op_new(h, path, take_body, done, arg)->deadline = vk_mono_ms() + h->call_ms;
}

struct vk_etcd_op *vk_etcd_stream(struct vk_etcd_http *h, const char *path, json_t *take_body,
	vk_jsonl_fn *line, vk_etcd_done_fn *done, void *arg)
{
	struct vk_etcd_op *op = op_new(h, path, take_body, done, arg);
	op->line = line;
	return op;
}

void vk_etcd_drop(struct vk_etcd_op *op)
{
	if (op == NULL)
		return;
	op->dropped = true;
	vk_multi_soon(&op->h->multi);
}

/* The op is over; done may begin and drop others. */
static void conclude(struct vk_etcd_op *op, const struct vk_err *err, const json_t *answer)
{
	vk_etcd_done_fn *done = op->done;
	void *arg = op->arg;
	unsigned sent = op->sent;
	bool tell = !op->dropped;
	struct vk_err copy = *err;
	op_free(op);
	if (tell)
		done(arg, &copy, answer, sent);
}

/* ---- what came of a try ---- */

static void give_up_endpoint(struct vk_etcd_http *h, size_t endpoint)
{
	if (h->now == endpoint)
		h->now = (endpoint + 1) % h->endpoints.n;
	for (struct vk_etcd_op *op = h->ops; op != NULL; op = op->next)
		op->lost |= op->line != NULL && op->easy != NULL && op->endpoint == endpoint;
}

static void no_answer(struct vk_etcd_op *op, CURLcode code)
{
	const char *where = strstr(op->h->endpoints.v[op->endpoint], "//") + 2;
	vk_err_set(&op->err, VK_UNAVAILABLE, "etcd at %s: %s", where,
		code == CURLE_OPERATION_TIMEDOUT ? "no answer in time" : curl_easy_strerror(code));
}

static int judge(struct vk_etcd_op *op, CURLcode code, json_t **ret)
{
	long status = 0;
	/* cut short by the call's deadline, it tells less than the try before it */
	if (code == CURLE_OPERATION_TIMEDOUT && op->err.code != 0)
		return op->err.code;
	op->err = (struct vk_err){0};
	if (code == CURLE_WRITE_ERROR)
		return vk_err_set(
			&op->err, VK_LIMIT, "an answer of etcd is over %u bytes", ANSWER_MAX);
	if (code != CURLE_OK) {
		no_answer(op, code);
		return op->err.code;
	}
	curl_easy_getinfo(op->easy, CURLINFO_RESPONSE_CODE, &status);
	struct vk_err bad = {0};
	int rc = vk_json_parse_max(vk_buf_str(&op->answer), op->answer.len, ANSWER_MAX, ret, &bad);
	if (status != 200)
		return vk_etcd_refusal(status, *ret, &op->err);
	return rc != 0 ? vk_err_set(&op->err, VK_UNAVAILABLE, "etcd's answer: %s", bad.msg) : 0;
}

static void call_ended(struct vk_etcd_op *op, CURLcode code)
{
	vk_autojson *answer = NULL;
	int rc = judge(op, code, &answer);
	int64_t now = vk_mono_ms();
	size_t all = op->h->endpoints.n;
	end_try(op);
	if (rc != VK_UNAVAILABLE) {
		conclude(op, &op->err, answer);
		return;
	}
	give_up_endpoint(op->h, op->endpoint);
	op->not_before = op->tries % all == 0 ? now + AGAIN_MS : now;
}

static void hand_lines(struct vk_etcd_op *op)
{
	struct vk_buf bytes = op->answer; /* a line function may end all this */
	vk_buf_init(&op->answer, ANSWER_MAX);
	struct vk_err err = {0};
	if (vk_jsonl_feed(&op->lines, bytes.data, bytes.len, op->line, op->arg, &err) != 0) {
		op->err = err;
		op->lost = true;
		vk_multi_soon(&op->h->multi);
	}
	vk_buf_release(&bytes);
}

static void stream_ended(struct vk_etcd_op *op, CURLcode code)
{
	long status = 0;
	curl_easy_getinfo(op->easy, CURLINFO_RESPONSE_CODE, &status);
	vk_autojson *body = NULL;
	struct vk_err err = {0};
	if (code != CURLE_OK)
		no_answer(op, code);
	else if (status != 200) {
		vk_json_parse_max(vk_buf_str(&op->answer), op->answer.len, ANSWER_MAX, &body, &err);
		vk_etcd_refusal(status, body, &op->err);
	} else if (!op->dropped) {
		hand_lines(op); /* an error of the stream is a last line without its end */
		if (op->err.code == 0 && !op->dropped &&
			vk_jsonl_end(&op->lines, op->line, op->arg, &err) != 0)
			op->err = err;
	}
	if (op->err.code == 0)
		vk_err_set(&op->err, VK_UNAVAILABLE, "etcd ended a watch");
	if (code != CURLE_OK || status != 200)
		give_up_endpoint(op->h, op->endpoint);
	conclude(op, &op->err, NULL);
}

/* ---- after libcurl ---- */

enum step { STEP_DROP, STEP_LOST, STEP_LINES, STEP_LATE, STEP_BEGIN };

static bool due(const struct vk_etcd_op *op, enum step step, int64_t now)
{
	bool waiting = op->easy == NULL;
	switch (step) {
	case STEP_DROP:
		return op->dropped;
	case STEP_LOST:
		return op->lost;
	case STEP_LINES:
		return op->line != NULL && op->answer.len > 0 && !waiting && !op->dropped;
	case STEP_LATE:
		return waiting && op->deadline != 0 && op->deadline <= now;
	case STEP_BEGIN:
		return waiting && op->not_before <= now;
	}
	return false;
}

static void late(struct vk_etcd_op *op)
{
	if (op->err.code == 0)
		vk_err_set(&op->err, VK_UNAVAILABLE, "etcd: no answer in time");
	if (op->h->endpoints.n > 1)
		vk_err_wrap(&op->err, "none of %zu endpoints answers, the last one is",
			op->h->endpoints.n);
	conclude(op, &op->err, NULL);
}

static bool stream_is_good(struct vk_etcd_op *op)
{
	long status = 0;
	curl_easy_getinfo(op->easy, CURLINFO_RESPONSE_CODE, &status);
	return status == 200;
}

static void lost(struct vk_etcd_op *op)
{
	if (op->err.code == 0)
		vk_err_set(&op->err, VK_UNAVAILABLE, "etcd at %s was given up",
			op->h->endpoints.v[op->endpoint]);
	conclude(op, &op->err, NULL);
}

static void take(struct vk_etcd_op *op, enum step step)
{
	switch (step) {
	case STEP_DROP:
		op_free(op);
		return;
	case STEP_LOST:
		lost(op);
		return;
	case STEP_LINES:
		hand_lines(op);
		return;
	case STEP_LATE:
		late(op);
		return;
	case STEP_BEGIN:
		begin(op);
		return;
	}
}

static struct vk_etcd_op *find(struct vk_etcd_http *h, enum step step)
{
	int64_t now = vk_mono_ms();
	for (struct vk_etcd_op *op = h->ops; op != NULL; op = op->next)
		if (due(op, step, now) && (step != STEP_LINES || stream_is_good(op)))
			return op;
	return NULL;
}

static void arm_later(struct vk_etcd_http *h)
{
	int64_t next = -1, now = vk_mono_ms();
	for (const struct vk_etcd_op *op = h->ops; op != NULL; op = op->next) {
		if (op->easy != NULL)
			continue;
		int64_t at = op->not_before;
		if (op->deadline != 0 && op->deadline < at)
			at = op->deadline;
		int64_t left = at > now ? at - now : 0;
		next = next < 0 || left < next ? left : next;
	}
	vk_timer_set(h->later, next);
}

/* What callbacks of libcurl and of the loop have left to do; every callback of a user is made from here. */
static void settle(void *arg)
{
	struct vk_etcd_http *h = arg;
	if (h->multi.inside > 0 || h->settling)
		return;
	h->settling = true;
	CURLcode code = CURLE_OK;
	for (CURL *easy; (easy = vk_multi_ended(&h->multi, &code)) != NULL;) {
		struct vk_etcd_op *op = NULL;
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&op);
		if (op->line != NULL)
			stream_ended(op, code);
		else
			call_ended(op, code);
	}
	struct vk_etcd_op *op;
	for (enum step step = STEP_DROP; step <= STEP_BEGIN; step++)
		while ((op = find(h, step)) != NULL)
			take(op, step);
	h->settling = false;
	arm_later(h);
}

void vk_etcd_http_drain(struct vk_etcd_http *h, int64_t ms)
{
	int64_t end = vk_mono_ms() + ms;
	for (;;) {
		bool calls = false;
		for (struct vk_etcd_op *op = h->ops; op != NULL; op = op->next) {
			calls |= op->deadline != 0;
			if (op->deadline > end)
				op->deadline = end;
		}
		if (!calls || vk_mono_ms() > end + TRY_MS)
			return;
		vk_multi_step(&h->multi, DRAIN_STEP_MS);
	}
}

/* ---- opening ---- */

static int read_pem(const char *path, struct vk_buf *ret, struct vk_err *err)
{
	vk_buf_init(ret, PEM_MAX);
	return path == NULL || *path == '\0' ? 0 : vk_fs_read(path, ret, err);
}

static int add_endpoint(struct vk_strv *list, const char *p, size_t n, struct vk_err *err)
{
	while (n > 0 && (p[n - 1] == '/' || p[n - 1] == ' '))
		n--;
	vk_autofree char *url = vk_strndup(p, n);
	const char *rest = vk_starts(url, "http://") ? url + 7
		: vk_starts(url, "https://")         ? url + 8
						     : "";
	if (*rest == '\0' || strpbrk(rest, "/@?# ") != NULL || list->n == ENDPOINTS_MAX) {
		vk_err_set(err, VK_INVALID, "%s is no endpoint of etcd",
			n > 0 ? url : "an empty word");
		return vk_err_hint(
			err, "endpoints are like https://10.0.0.1:2379, with commas between");
	}
	vk_strv_add(list, url);
	return 0;
}

void vk_etcd_http_know(struct vk_etcd_http *h, const char *endpoints)
{
	for (const char *p = endpoints; *p != '\0';) {
		size_t n = strcspn(p, ",");
		vk_autofree char *url = vk_strndup(p, n);
		if (!vk_strv_has(&h->endpoints, url))
			(void)add_endpoint(&h->endpoints, p, n, NULL);
		p += n + (p[n] == ',');
	}
}

static int split_endpoints(struct vk_strv *list, const char *text, struct vk_err *err)
{
	int rc = 0;
	for (const char *p = text; rc == 0; p++) {
		p += strspn(p, " ");
		size_t n = strcspn(p, ",");
		rc = add_endpoint(list, p, n, err);
		p += n;
		if (*p == '\0')
			break;
	}
	return rc;
}

int vk_etcd_http_new(struct vk_loop *l, const struct vk_store_etcd_opts *o,
	struct vk_etcd_http **ret, struct vk_err *err)
{
	if (curl_global_init(CURL_GLOBAL_SSL) != CURLE_OK)
		return vk_err_set(err, VK_INTERNAL, "libcurl does not start");
	struct vk_etcd_http *h = vk_alloc(sizeof(*h));
	h->call_ms = o->timeout_ms > 0 ? o->timeout_ms : CALL_MS;
	h->headers = curl_slist_append(NULL, "Content-Type: application/json");
	/* a member without a leader says so at once instead of waiting for one */
	h->headers = curl_slist_append(h->headers, "Grpc-Metadata-Hasleader: true");
	h->headers = curl_slist_append(h->headers, "Expect:");
	vk_multi_init(&h->multi, l, IDLE_MAX, settle, h);
	h->later = vk_timer_new(l, settle, h);
	int rc = split_endpoints(&h->endpoints, o->endpoints, err);
	if (rc == 0)
		rc = read_pem(o->ca, &h->ca, err);
	if (rc == 0)
		rc = read_pem(o->cert, &h->cert, err);
	if (rc == 0)
		rc = read_pem(o->key, &h->key, err);
	if (rc == 0)
		*ret = h;
	else
		vk_etcd_http_free(h);
	return rc;
}

void vk_etcd_http_free(struct vk_etcd_http *h)
{
	if (h == NULL)
		return;
	while (h->ops != NULL)
		op_free(h->ops);
	vk_multi_release(&h->multi);
	vk_timer_free(h->later);
	curl_slist_free_all(h->headers);
	vk_strv_release(&h->endpoints);
	vk_buf_release(&h->ca);
	vk_buf_release(&h->cert);
	if (h->key.data != NULL)
		explicit_bzero(h->key.data, h->key.cap);
	vk_buf_release(&h->key);
	free(h);
}
