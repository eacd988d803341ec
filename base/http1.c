/* HTTP/1.1 response reader (RFC 9112), a state machine over bytes that come split at random. */
#include <ctype.h>
#include <viking/api.h>
#include <viking/str.h>

#define HEAD_MAX       16384
#define LINE_MAX_BYTES 256 /* chunk sizes and their extensions, trailers */

enum state { HEAD, BODY_LENGTH, BODY_EOF, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, DONE, RAW };

struct vk_http1 {
	const struct vk_http1_events *ev;
	void *arg;
	enum state state;
	struct vk_buf line; /* the head so far, or the current line of the chunked framing */
	uint64_t left;      /* bytes of body or chunk still to come */
	size_t trailer_bytes;
	/* of the head */
	int status;
	bool chunked, has_length;
	char type[128];
};

struct vk_http1 *vk_http1_new(const struct vk_http1_events *ev, void *arg)
{
	struct vk_http1 *h = vk_alloc(sizeof(*h));
	h->ev = ev;
	h->arg = arg;
	vk_buf_init(&h->line, HEAD_MAX);
	return h;
}

void vk_http1_free(struct vk_http1 *h)
{
	if (h == NULL)
		return;
	vk_buf_release(&h->line);
	free(h);
}

static int malformed(struct vk_err *err, const char *what)
{
	return vk_err_set(err, VK_INVALID, "malformed HTTP answer: %s", what);
}

static int parse_status(struct vk_http1 *h, const char *line, struct vk_err *err)
{
	if (!vk_starts(line, "HTTP/1.") || !isdigit((unsigned char)line[7]) || line[8] != ' ')
		return malformed(err, "status line");
	char digits[4] = {0};
	for (int i = 0; i < 3 && isdigit((unsigned char)line[9 + i]); i++)
		digits[i] = line[9 + i];
	uint64_t status;
	bool ends = strlen(digits) == 3 && (line[12] == ' ' || line[12] == '\0');
	if (!ends || vk_parse_u64(digits, 100, 599, &status) != 0)
		return malformed(err, "status code");
	h->status = (int)status;
	return 0;
}

static int take_length(struct vk_http1 *h, const char *value, struct vk_err *err)
{
	uint64_t n;
	if (vk_parse_u64(value, 0, INT64_MAX, &n) != 0 || (h->has_length && n != h->left))
		return malformed(err, "Content-Length");
	h->has_length = true;
	h->left = n;
	return 0;
}

static int take_header(struct vk_http1 *h, char *line, struct vk_err *err)
{
	size_t name = strcspn(line, ": \t");
	if (name == 0 || line[name] != ':')
		return malformed(err, "header line");
	char *colon = line + name;
	*colon = '\0';
	char *value = colon + 1 + strspn(colon + 1, " \t");
	for (size_t n = strlen(value); n > 0 && (value[n - 1] == ' ' || value[n - 1] == '\t'); n--)
		value[n - 1] = '\0';
	if (strcasecmp(line, "Content-Length") == 0)
		return take_length(h, value, err);
	if (strcasecmp(line, "Transfer-Encoding") == 0) {
		if (strcasecmp(value, "chunked") != 0)
			return malformed(err, "Transfer-Encoding");
		h->chunked = true;
	} else if (strcasecmp(line, "Content-Type") == 0) {
		vk_str_printable(value, strlen(value), h->type, sizeof(h->type));
	}
	return 0;
}

/* Splits the collected head into lines; each ends with LF or CRLF. */
static int parse_head(struct vk_http1 *h, struct vk_err *err)
{
	char *text = h->line.data;
	if (strlen(text) != h->line.len)
		return malformed(err, "NUL in the head");
	h->has_length = h->chunked = false;
	h->type[0] = '\0';
	h->left = 0;
	bool first = true;
	for (char *line = text, *next; line != NULL && *line != '\0'; line = next, first = false) {
		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		size_t n = strlen(line);
		if (n > 0 && line[n - 1] == '\r')
			line[--n] = '\0';
		if (n == 0)
			break;
		int rc = first ? parse_status(h, line, err) : take_header(h, line, err);
		if (rc != 0)
			return rc;
	}
	return h->status == 0 ? malformed(err, "no status line") : 0;
}

static int finish(struct vk_http1 *h, struct vk_err *err)
{
	h->state = DONE;
	return h->ev->end(h->arg, err);
}

/* RFC 9112 6.3: what follows a head. Answers to HEAD are never asked for. */
static int begin_body(struct vk_http1 *h, struct vk_err *err)
{
	if (h->status >= 100 && h->status < 200 && h->status != 101) {
		h->status = 0; /* interim: the real head follows */
		return 0;
	}
	bool raw = h->status == 101;
	int rc = h->ev->head(h->arg, h->status, h->type, raw, err);
	if (rc != 0)
		return rc;
	if (raw)
		h->state = RAW;
	else if (h->status == 204 || h->status == 304)
		return finish(h, err);
	else if (h->chunked)
		h->state = CHUNK_SIZE;
	else if (h->has_length && h->left == 0)
		return finish(h, err);
	else
		h->state = h->has_length ? BODY_LENGTH : BODY_EOF;
	return 0;
}

static bool head_complete(const struct vk_buf *b)
{
	return (b->len >= 2 && b->data[b->len - 1] == '\n' && b->data[b->len - 2] == '\n') ||
		(b->len >= 3 && memcmp(b->data + b->len - 3, "\n\r\n", 3) == 0);
}

/* Takes bytes up to a line's end; *ret_line tells that h->line now holds it, LF included. */
static int take_line(struct vk_http1 *h, const char *p, size_t n, size_t max, size_t *used,
	bool *ret_line, struct vk_err *err)
{
	const char *nl = memchr(p, '\n', n);
	size_t len = nl != NULL ? (size_t)(nl - p) + 1 : n;
	if (h->line.len + len > max || vk_buf_add(&h->line, p, len) != 0)
		return vk_err_set(
			err, VK_LIMIT, "HTTP answer: a line or head is over %zu bytes", max);
	*used = len;
	*ret_line = nl != NULL;
	return 0;
}

static int feed_head(struct vk_http1 *h, const char *p, size_t n, size_t *used, struct vk_err *err)
{
	bool line;
	int rc = take_line(h, p, n, HEAD_MAX, used, &line, err);
	if (rc != 0 || !line || !head_complete(&h->line))
		return rc;
	rc = parse_head(h, err);
	vk_buf_release(&h->line);
	return rc != 0 ? rc : begin_body(h, err);
}

static int feed_body(struct vk_http1 *h, const char *p, size_t n, size_t *used, struct vk_err *err)
{
	size_t len = h->state == BODY_EOF || h->left > n ? n : (size_t)h->left;
	*used = len;
	int rc = h->ev->body(h->arg, p, len, err);
	if (rc != 0 || h->state == BODY_EOF)
		return rc;
	h->left -= len;
	if (h->left > 0)
		return 0;
	if (h->state == BODY_LENGTH)
		return finish(h, err);
	h->state = CHUNK_END;
	return 0;
}

static int chunk_size(struct vk_http1 *h, struct vk_err *err)
{
	const char *p = vk_buf_str(&h->line);
	uint64_t size = 0;
	size_t digits = 0;
	for (; isxdigit((unsigned char)p[digits]); digits++) {
		int c = tolower((unsigned char)p[digits]);
		size = size << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	if (digits == 0 || digits > 15 || strchr(";\r\n \t", p[digits]) == NULL)
		return malformed(err, "chunk size");
	h->left = size;
	h->trailer_bytes = 0;
	h->state = size > 0 ? CHUNK_DATA : TRAILER;
	return 0;
}

static bool line_is_empty(const struct vk_buf *b)
{
	return b->len == 1 || (b->len == 2 && b->data[0] == '\r');
}

static int feed_framing(
	struct vk_http1 *h, const char *p, size_t n, size_t *used, struct vk_err *err)
{
	bool line;
	int rc = take_line(
		h, p, n, h->state == TRAILER ? HEAD_MAX : LINE_MAX_BYTES, used, &line, err);
	if (rc != 0 || !line)
		return rc;
	bool empty = line_is_empty(&h->line);
	h->trailer_bytes += h->line.len;
	if (h->state == CHUNK_SIZE)
		rc = chunk_size(h, err);
	else if (h->state == CHUNK_END && !empty)
		rc = malformed(err, "end of chunk");
	else if (h->state == CHUNK_END)
		h->state = CHUNK_SIZE;
	else if (h->trailer_bytes > HEAD_MAX)
		rc = vk_err_set(err, VK_LIMIT, "HTTP answer: the trailer is too long");
	else if (empty)
		rc = finish(h, err);
	vk_buf_clear(&h->line);
	return rc;
}

int vk_http1_feed(struct vk_http1 *h, const void *p, size_t n, size_t *ret_used, struct vk_err *err)
{
	const char *at = p, *end = at + n;
	int rc = 0;
	while (rc == 0 && at < end && h->state != DONE && h->state != RAW) {
		size_t used = 0, left = (size_t)(end - at);
		if (h->state == HEAD)
			rc = feed_head(h, at, left, &used, err);
		else if (h->state == BODY_LENGTH || h->state == BODY_EOF || h->state == CHUNK_DATA)
			rc = feed_body(h, at, left, &used, err);
		else
			rc = feed_framing(h, at, left, &used, err);
		at += used;
	}
	*ret_used = (size_t)(at - (const char *)p);
	return rc;
}

int vk_http1_eof(struct vk_http1 *h, struct vk_err *err)
{
	if (h->state == DONE || h->state == RAW)
		return 0;
	if (h->state == BODY_EOF)
		return finish(h, err);
	return vk_err_set(
		err, VK_UNAVAILABLE, "the connection ended in the middle of an HTTP answer");
}
