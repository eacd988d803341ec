/*
 * DNS messages as far as a resolver at the edge needs them (RFC 1035 section 4, RFC 2782 for SRV, RFC 6891 for the size in OPT).
 * Of a query the header, its one question and an OPT record are read; names in questions are never compressed, so no pointer is
 * ever followed. Answers are written whole or marked truncated. Pure; every byte of a query is a stranger's.
 */
#ifndef DNS_WIRE_H
#define DNS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <viking/mem.h>

#define DNS_NAME_MAX  255   /* text without the final dot */
#define DNS_UDP_PLAIN 512   /* bytes of an answer to who says nothing of size */
#define DNS_UDP_MOST  1232  /* what passes every path without fragments */
#define DNS_TCP_MOST  65535 /* by the length before it */

enum dns_type { DNS_A = 1, DNS_AAAA = 28, DNS_SRV = 33, DNS_OPT = 41, DNS_ANY = 255 };
enum dns_rcode {
	DNS_OK = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5
};

struct dns_query {
	uint16_t id, type, class;
	uint16_t size; /* the answer over UDP may have so many bytes */
	bool recursion;
	bool edns;
	char name[DNS_NAME_MAX + 1]; /* lower case, dots between, "" for the root */
	bool odd;                    /* a label holds bytes that no name of ours has: name is "" */
	size_t length;               /* of header and question */
};

/* What to do with a message. */
enum dns_verdict {
	DNS_DROP, /* too short, or itself an answer: silence, else two servers might talk for ever */
	DNS_REJECT, /* answer with *ret_rcode and no question */
	DNS_ASK
};
enum dns_verdict dns_parse(
	const uint8_t *p, size_t n, struct dns_query *ret, enum dns_rcode *ret_rcode);

struct dns_record {
	enum dns_type type; /* DNS_A or DNS_SRV */
	char name[DNS_NAME_MAX + 1];
	uint32_t addr; /* A; host order */
	uint16_t port; /* SRV */
	char target[DNS_NAME_MAX + 1];
};

struct dns_records {
	struct dns_record *v;
	size_t n, answers; /* the first are answers, the rest additional */
};
struct dns_record *dns_records_add(struct dns_records *r, enum dns_type type, const char *name);
void dns_records_release(struct dns_records *r);

/* The answer to q (whose message begins at query), at most max bytes; records that do not fit are left out: additional ones
 * silently, answers with the truncation bit. Returns 0 if not even the head fits. */
size_t dns_answer(const uint8_t *query, const struct dns_query *q, enum dns_rcode rcode,
	const struct dns_records *r, uint32_t ttl, uint8_t *out, size_t max);
/* A head alone, to a message of which nothing but the head can be trusted. query has 12 bytes at least. */
size_t dns_reject(const uint8_t *query, enum dns_rcode rcode, uint8_t out[static 12]);
/* Is p an answer to this forwarded question: same id, an answer, same question byte for byte but for case? */
bool dns_matches(const uint8_t *p, size_t n, uint16_t id, const uint8_t *query, size_t length);

uint16_t dns_get16(const uint8_t *p);
void dns_put16(uint8_t *p, uint16_t v);

#endif
