#include <criterion/criterion.h>
#include <viking/api.h>
#include <viking/mem.h>
#include <viking/str.h>

/* Writes down what the reader tells: "[200 type]body$". */
struct log {
	struct vk_buf b;
	int stop_at_body;
};

static int on_head(void *arg, int status, const char *type, bool upgrade, struct vk_err *err)
{
	struct log *l = arg;
	(void)err;
	vk_buf_addf(&l->b, "[%d%s%s%s]", status, *type ? " " : "", type, upgrade ? " raw" : "");
	return 0;
}

static int on_body(void *arg, const void *p, size_t n, struct vk_err *err)
{
	struct log *l = arg;
	if (l->stop_at_body)
		return vk_err_set(err, VK_FAILED, "stop");
	return vk_buf_add(&l->b, p, n);
}

static int on_end(void *arg, struct vk_err *err)
{
	struct log *l = arg;
	(void)err;
	return vk_buf_addc(&l->b, '$');
}

static const struct vk_http1_events events = {on_head, on_body, on_end};

/* Feeds `text` in two pieces, then the end; gives the code and the log. */
static int run(const char *text, size_t n, size_t cut, bool eof, struct log *l, size_t *ret_used)
{
	struct vk_http1 *h = vk_http1_new(&events, l);
	size_t used = 0, more = 0;
	int rc = vk_http1_feed(h, text, cut, &used, NULL);
	if (rc == 0 && used == cut)
		rc = vk_http1_feed(h, text + cut, n - cut, &more, NULL);
	if (rc == 0 && eof)
		rc = vk_http1_eof(h, NULL);
	*ret_used = used + more;
	vk_http1_free(h);
	return rc;
}

static void reads(const char *text, const char *log, const char *rest, bool eof)
{
	size_t n = strlen(text);
	for (size_t cut = 0; cut <= n; cut++) {
		struct log l = {.b = VK_BUF_INIT(65536)};
		size_t used;
		int rc = run(text, n, cut, eof, &l, &used);
		cr_assert_eq(rc, 0, "%s", text);
		cr_assert_str_eq(vk_buf_str(&l.b), log);
		cr_assert_str_eq(text + used, rest);
		vk_buf_release(&l.b);
	}
}

Test(http1, bodies_of_every_framing)
{
	reads("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: "
	      "application/json\r\n\r\nhellonext",
		"[200 application/json]hello$", "next", false);
	reads("HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\nnext", "[200]$", "next", false);
	reads("HTTP/1.1 200 OK\r\nTransfer-Encoding: "
	      "chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\n\r\nnext",
		"[200]hello0123456789$", "next", false);
	reads("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\nx\r\n0\r\nTrailer: "
	      "a\r\nMore: b\r\n\r\n",
		"[200]x$", "", false);
	reads("HTTP/1.0 200 OK\r\n\r\nuntil the end", "[200]until the end$", "", true);
	reads("HTTP/1.1 204 No Content\r\n\r\nnext", "[204]$", "next", false);
	reads("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", "[304]$", "", false);
	reads("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
		"[404]no$", "", false);
	reads("HTTP/1.1 200\nContent-Length: 2\n\nok", "[200]ok$", "", false);
}

Test(http1, a_101_leaves_the_rest_alone)
{
	reads("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nraw bytes",
		"[101 raw]", "raw bytes", true);
}

static int refused(const char *text, size_t n)
{
	int code = 1;
	for (size_t cut = 0; cut <= n; cut++) {
		struct log l = {.b = VK_BUF_INIT(65536)};
		size_t used;
		int rc = run(text, n, cut, true, &l, &used);
		cr_assert(code == 1 || code == rc, "the same verdict at every split");
		code = rc;
		vk_buf_release(&l.b);
	}
	return code;
}

Test(http1, malformed_answers_are_refused)
{
	static const char *const bad[] = {
		"SSH-2.0-x\r\n\r\n",
		"HTTP/2 200\r\n\r\n",
		"HTTP/1.1 20 x\r\n\r\n",
		"HTTP/1.1 600 x\r\n\r\n",
		"HTTP/1.1 2000 x\r\n\r\n",
		"\r\n\r\n",
		"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
		"HTTP/1.1 200 OK\r\n: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA : x\r\n\r\n",
		"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1234567890abcdef\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
	};
	for (size_t i = 0; i < VK_COUNT(bad); i++)
		cr_assert_eq(refused(bad[i], strlen(bad[i])), VK_INVALID, "%s", bad[i]);
	cr_assert_eq(refused("HTTP/1.1 200 OK\r\nA: \0b\r\n\r\n", 26), VK_INVALID);
}

Test(http1, an_answer_cut_short_is_no_answer)
{
	static const char *const cut[] = {"", "HTTP/1.1 200 OK\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"};
	for (size_t i = 0; i < VK_COUNT(cut); i++)
		cr_assert_eq(refused(cut[i], strlen(cut[i])), VK_UNAVAILABLE, "%s", cut[i]);
}

Test(http1, heads_and_framing_have_a_longest)
{
	vk_autobuf b = VK_BUF_INIT(1 << 20);
	struct log l = {.b = VK_BUF_INIT(65536)};
	size_t used;
	vk_buf_adds(&b, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < 300; i++)
		vk_buf_addf(&b, "X-Header-%d: %060d\r\n", i, i);
	cr_assert_eq(run(b.data, b.len, b.len / 2, false, &l, &used), VK_LIMIT);
	vk_buf_clear(&b);
	vk_buf_adds(&b, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;");
	for (int i = 0; i < 300; i++)
		vk_buf_addc(&b, 'x');
	cr_assert_eq(run(b.data, b.len, b.len / 2, false, &l, &used), VK_LIMIT);
	vk_buf_clear(&b);
	vk_buf_adds(&b, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
	for (int i = 0; i < 300; i++)
		vk_buf_addf(&b, "X-Header-%d: %060d\r\n", i, i);
	cr_assert_eq(run(b.data, b.len, b.len / 2, false, &l, &used), VK_LIMIT);
	vk_buf_release(&l.b);
}

Test(http1, the_receiver_may_stop)
{
	struct log l = {.b = VK_BUF_INIT(65536), .stop_at_body = 1};
	size_t used;
	static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
	cr_assert_eq(run(text, sizeof(text) - 1, 10, true, &l, &used), VK_FAILED);
	vk_buf_release(&l.b);
}
