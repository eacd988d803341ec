#include <criterion/criterion.h>
#include <viking/str.h>

#include "proc_receive.h"

#define ZERO "0000000000000000000000000000000000000000"
#define ONE  "1111111111111111111111111111111111111111"

static void conversation(struct vk_buf *b)
{
	static const char version[] = "version=1\0push-options atomic";
	pktline_add(b, version, sizeof(version) - 1);
	pktline_flush(b);
	pktline_addf(b, ZERO " " ONE " refs/heads/main");
	pktline_addf(b, ZERO " " ONE " refs/heads/other\n");
	pktline_flush(b);
	pktline_addf(b, "wait");
	pktline_addf(b, "note=hello");
	pktline_flush(b);
}

static void check(const struct proc_request *q, const struct vk_buf *out)
{
	static const char reply[] = "001bversion=1\0push-options\n0000";
	cr_expect_eq(q->phase, PROC_READY);
	cr_expect_eq(q->updates.n, 2);
	cr_expect_str_eq(q->updates.v[1].ref, "refs/heads/other");
	cr_expect(q->options.wait);
	cr_expect_str_eq(q->options.note, "hello");
	cr_expect_eq(out->len, sizeof(reply) - 1);
	cr_expect_arr_eq(out->data, reply, sizeof(reply) - 1);
}

Test(proc_request, the_same_for_every_split)
{
	vk_autobuf in = VK_BUF_INIT(4096);
	conversation(&in);
	srandom(1);
	for (int round = 0; round < 300; round++) {
		struct proc_request q;
		vk_autobuf out = VK_BUF_INIT(4096);
		proc_request_init(&q);
		for (size_t at = 0; at < in.len;) {
			size_t n = round == 0 ? 1 : 1 + (size_t)random() % 40;
			if (n > in.len - at)
				n = in.len - at;
			cr_assert_eq(proc_request_feed(&q, in.data + at, n, &out, NULL), 0);
			at += n;
		}
		check(&q, &out);
		proc_request_release(&q);
	}
}

Test(proc_request, without_options)
{
	struct proc_request q;
	vk_autobuf out = VK_BUF_INIT(4096);
	char text[256];
	int n = snprintf(text, sizeof(text), "000eversion=1\n0000%04zx%s0000",
		strlen(ZERO " " ONE " refs/heads/main") + 4, ZERO " " ONE " refs/heads/main");
	proc_request_init(&q);
	cr_assert_eq(proc_request_feed(&q, text, (size_t)n, &out, NULL), 0);
	cr_expect_eq(q.phase, PROC_READY);
	cr_expect_eq(q.updates.n, 1);
	cr_expect_str_eq(vk_buf_str(&out), "000eversion=1\n0000");
	proc_request_release(&q);
}

Test(proc_request, wrong_talk_is_refused)
{
	static const char *const bad[] = {"000dversion=2", "0003", "fff1", "zzzz", "0005x",
		"000dversion=1"
		"0000"
		"0008what",
		"000dversion=1"
		"0000"
		"0000"
		"0008more"};
	for (size_t i = 0; i < VK_COUNT(bad); i++) {
		struct proc_request q;
		vk_autobuf out = VK_BUF_INIT(4096);
		proc_request_init(&q);
		cr_expect_eq(proc_request_feed(&q, bad[i], strlen(bad[i]), &out, NULL), VK_INVALID,
			"%s", bad[i]);
		proc_request_release(&q);
	}
}

Test(proc_answer, reason_is_one_short_printable_line)
{
	vk_autobuf out = VK_BUF_INIT(4096);
	char text[400];
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	text[5] = '\n';
	text[6] = '\x1b';
	proc_answer_ng(&out, "refs/heads/main", text);
	cr_expect_null(strchr(vk_buf_str(&out), '\n'));
	cr_expect_null(strchr(vk_buf_str(&out), '\x1b'));
	cr_expect_leq(out.len, 4 + strlen("ng refs/heads/main ") + REASON_MAX);
	vk_buf_clear(&out);
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		text[i] = i % 7 == 6 ? ' ' : 'w';
	proc_answer_ng(&out, "refs/heads/main", text);
	cr_expect_not_null(strstr(vk_buf_str(&out), " wwwwww..."), "it ends behind a whole word");
	cr_expect_leq(out.len, 4 + strlen("ng refs/heads/main ") + REASON_MAX);
	vk_buf_clear(&out);
	proc_answer_ng(&out, "refs/heads/main", "");
	cr_expect(strstr(vk_buf_str(&out), "ng refs/heads/main refused") != NULL);
}
