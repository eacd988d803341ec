/* Questions as they come, answers as they must be. */
#include <criterion/criterion.h>
#include <string.h>

#include "wire.h"

static const uint8_t web[] = {0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0, 3, 'W', 'e', 'b', 1,
	's', 6, 'v', 'i', 'k', 'i', 'n', 'g', 0, 0, 1, 0, 1};

static enum dns_verdict parse(const uint8_t *p, size_t n, struct dns_query *q, enum dns_rcode *rc)
{
	/* on the heap, to the byte, so that a sanitizer sees a byte too far */
	uint8_t *copy = vk_alloc(n + (n == 0));
	if (n > 0)
		memcpy(copy, p, n);
	enum dns_verdict v = dns_parse(copy, n, q, rc);
	free(copy);
	return v;
}

Test(wire, reads_a_question)
{
	struct dns_query q;
	enum dns_rcode rc;
	cr_assert_eq(parse(web, sizeof(web), &q, &rc), DNS_ASK);
	cr_assert_str_eq(q.name, "web.s.viking");
	cr_assert_eq(q.id, 0x1234);
	cr_assert_eq(q.type, DNS_A);
	cr_assert(q.recursion && !q.edns && !q.odd);
	cr_assert_eq(q.length, sizeof(web));
	cr_assert_eq(q.size, DNS_UDP_PLAIN);
}

Test(wire, every_prefix_is_dropped_or_rejected)
{
	struct dns_query q;
	enum dns_rcode rc;
	for (size_t n = 0; n < sizeof(web); n++)
		cr_assert_eq(parse(web, n, &q, &rc), n < 12 ? DNS_DROP : DNS_REJECT, "%zu", n);
}

Test(wire, answers_pointers_and_odd_heads)
{
	struct dns_query q;
	enum dns_rcode rc;
	uint8_t m[sizeof(web)];
	memcpy(m, web, sizeof(web));
	m[2] |= 0x80;
	cr_assert_eq(parse(m, sizeof(m), &q, &rc), DNS_DROP, "an answer");
	memcpy(m, web, sizeof(web));
	m[2] = 0x28;
	cr_assert_eq(parse(m, sizeof(m), &q, &rc), DNS_REJECT);
	cr_assert_eq(rc, DNS_NOTIMP, "an update");
	memcpy(m, web, sizeof(web));
	m[12] = 0xc0;
	cr_assert_eq(parse(m, sizeof(m), &q, &rc), DNS_REJECT, "a pointer in a question");
	memcpy(m, web, sizeof(web));
	m[5] = 2;
	cr_assert_eq(parse(m, sizeof(m), &q, &rc), DNS_REJECT, "two questions");
	memcpy(m, web, sizeof(web));
	m[sizeof(m) - 1] = 3;
	cr_assert_eq(parse(m, sizeof(m), &q, &rc), DNS_REJECT);
	cr_assert_eq(rc, DNS_REFUSED, "CHAOS");
	memcpy(m, web, sizeof(web));
	m[14] = '.';
	cr_assert_eq(parse(m, sizeof(m), &q, &rc), DNS_ASK);
	cr_assert(q.odd && q.name[0] == '\0', "a dot within a label is no name of ours");
}

Test(wire, names_of_255_bytes_and_not_one_more)
{
	struct dns_query q;
	enum dns_rcode rc;
	for (size_t last = 60; last <= 63; last++) {
		uint8_t m[400] = {0, 1, 1, 0, 0, 1};
		size_t at = 12;
		for (int i = 0; i < 4; i++) {
			size_t n = i == 3 ? last : 63;
			m[at++] = (uint8_t)n;
			memset(m + at, 'a', n);
			at += n;
		}
		m[at + 2] = 1;
		m[at + 4] = 1;
		enum dns_verdict v = parse(m, at + 5, &q, &rc);
		/* 3 x 64, 1 + last, 1 for the root: 255 in all */
		cr_assert_eq(v, last <= 61 ? DNS_ASK : DNS_REJECT, "%zu", last);
	}
}

Test(wire, size_is_what_opt_says_within_limits)
{
	static const uint16_t given[] = {0, 512, 900, 4096}, got[] = {512, 512, 900, 1232};
	struct dns_query q;
	enum dns_rcode rc;
	for (size_t i = 0; i < 4; i++) {
		uint8_t m[sizeof(web) + 11] = {0};
		memcpy(m, web, sizeof(web));
		m[11] = 1;
		m[sizeof(web) + 2] = DNS_OPT;
		dns_put16(m + sizeof(web) + 3, given[i]);
		cr_assert_eq(parse(m, sizeof(m), &q, &rc), DNS_ASK);
		cr_assert(q.edns);
		cr_assert_eq(q.size, got[i]);
	}
}

Test(wire, an_answer_that_does_not_fit_is_marked)
{
	struct dns_query q;
	enum dns_rcode rc;
	struct dns_records r = {0};
	uint8_t out[DNS_UDP_PLAIN];
	cr_assert_eq(parse(web, sizeof(web), &q, &rc), DNS_ASK);
	for (uint32_t i = 0; i < 40; i++)
		dns_records_add(&r, DNS_A, q.name)->addr = 0x0a000000 + i;
	r.answers = r.n;
	size_t n = dns_answer(web, &q, DNS_OK, &r, 5, out, sizeof(out));
	cr_assert_leq(n, sizeof(out));
	cr_assert_eq(dns_get16(out + 6), (512 - sizeof(web)) / 16);
	cr_assert(out[2] & 0x02, "truncated");
	r.n = r.answers = 2;
	n = dns_answer(web, &q, DNS_OK, &r, 5, out, sizeof(out));
	cr_assert_eq(n, sizeof(web) + 2 * 16);
	cr_assert_not(out[2] & 0x02);
	cr_assert_eq(memcmp(out + n - 4, "\x0a\0\0\1", 4), 0);
	dns_records_release(&r);
}

Test(wire, a_reply_is_known_by_id_and_question)
{
	uint8_t m[sizeof(web)];
	memcpy(m, web, sizeof(web));
	m[2] |= 0x80;
	m[13] = 'w';
	cr_assert(dns_matches(m, sizeof(m), 0x1234, web, sizeof(web)));
	cr_assert_not(dns_matches(m, sizeof(m), 0x1235, web, sizeof(web)));
	cr_assert_not(dns_matches(m, sizeof(m) - 1, 0x1234, web, sizeof(web)));
	m[14] = 'x';
	cr_assert_not(dns_matches(m, sizeof(m), 0x1234, web, sizeof(web)));
}
