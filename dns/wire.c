/* Reading questions, writing answers. */
#include "wire.h"

#include <ctype.h>
#include <string.h>
#include <viking/str.h>

#define HEAD      12
#define LABEL_MAX 63
#define CLASS_IN  1
#define FLAG_QR   0x8000
#define FLAG_AA   0x0400
#define FLAG_TC   0x0200
#define FLAG_RD   0x0100
#define FLAG_RA   0x0080
#define OPCODE    0x7800
#define OPT_SIZE  11 /* root name, type, class, TTL, length 0 */
#define POINTER   0xc000

uint16_t dns_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

void dns_put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* ---- questions ---- */

static bool ours(int c)
{
	return isalnum(c) || c == '-' || c == '_';
}

/* The name at p: its length on the wire, 0 if it is none. */
static size_t read_name(const uint8_t *p, size_t n, struct dns_query *q)
{
	size_t at = 0, text = 0;
	for (;;) {
		if (at >= n || p[at] > LABEL_MAX)
			return 0;
		size_t label = p[at++];
		if (label == 0)
			break;
		/* with the root's byte 255 in all; the text has no more */
		if (label > n - at || at + label + 1 > DNS_NAME_MAX)
			return 0;
		if (text > 0)
			q->name[text++] = '.';
		for (size_t i = 0; i < label; i++) {
			int c = p[at + i];
			q->odd = q->odd || !ours(c);
			q->name[text++] = (char)tolower(c);
		}
		at += label;
	}
	q->name[q->odd ? 0 : text] = '\0';
	return at;
}

/* What may stand behind the question: nothing, or one OPT first of all. */
static void read_opt(const uint8_t *p, size_t n, struct dns_query *q)
{
	if (n < OPT_SIZE || p[0] != 0 || dns_get16(p + 1) != DNS_OPT)
		return;
	uint16_t size = dns_get16(p + 3);
	q->edns = true;
	q->size = size < DNS_UDP_PLAIN ? DNS_UDP_PLAIN : size > DNS_UDP_MOST ? DNS_UDP_MOST : size;
}

enum dns_verdict dns_parse(
	const uint8_t *p, size_t n, struct dns_query *ret, enum dns_rcode *ret_rcode)
{
	struct dns_query q = {.size = DNS_UDP_PLAIN};
	if (n < HEAD || (dns_get16(p + 2) & FLAG_QR) != 0)
		return DNS_DROP;
	uint16_t flags = dns_get16(p + 2);
	q.id = dns_get16(p);
	q.recursion = (flags & FLAG_RD) != 0;
	*ret_rcode = (flags & OPCODE) != 0 ? DNS_NOTIMP : DNS_FORMERR;
	if ((flags & OPCODE) != 0 || dns_get16(p + 4) != 1 || dns_get16(p + 6) != 0 ||
		dns_get16(p + 8) != 0)
		return DNS_REJECT;
	size_t name = read_name(p + HEAD, n - HEAD, &q);
	if (name == 0 || n - HEAD - name < 4)
		return DNS_REJECT;
	q.length = HEAD + name + 4;
	q.type = dns_get16(p + q.length - 4);
	q.class = dns_get16(p + q.length - 2);
	if (q.class != CLASS_IN) {
		*ret_rcode = DNS_REFUSED; /* CHAOS and such: nothing is told of this server */
		return DNS_REJECT;
	}
	if (dns_get16(p + 10) > 0)
		read_opt(p + q.length, n - q.length, &q);
	*ret = q;
	return DNS_ASK;
}

/* ---- answers ---- */

struct dns_record *dns_records_add(struct dns_records *r, enum dns_type type, const char *name)
{
	if ((r->n & (r->n - 1)) == 0) /* at every power of two */
		r->v = vk_reallocarray(r->v, r->n > 0 ? r->n * 2 : 1, sizeof(*r->v));
	struct dns_record *rec = &r->v[r->n++];
	*rec = (struct dns_record){.type = type};
	snprintf(rec->name, sizeof(rec->name), "%s", name);
	return rec;
}

void dns_records_release(struct dns_records *r)
{
	free(r->v);
	*r = (struct dns_records){0};
}

struct writer {
	uint8_t *out;
	size_t n, max;
	bool full;
};

static void put(struct writer *w, const void *p, size_t n)
{
	if (n > w->max - w->n) {
		w->full = true;
		return;
	}
	memcpy(w->out + w->n, p, n);
	w->n += n;
}

static void put16(struct writer *w, unsigned v)
{
	put(w, (uint8_t[]){(uint8_t)(v >> 8), (uint8_t)v}, 2);
}

static void put32(struct writer *w, uint32_t v)
{
	put16(w, v >> 16);
	put16(w, v & 0xffff);
}

static void put_name(struct writer *w, const char *name)
{
	while (*name != '\0') {
		size_t n = strcspn(name, ".");
		put(w, (uint8_t[]){(uint8_t)n}, 1);
		put(w, name, n);
		name += n + (name[n] == '.' ? 1 : 0);
	}
	put(w, "", 1);
}

static void put_record(
	struct writer *w, const struct dns_query *q, const struct dns_record *r, uint32_t ttl)
{
	size_t before = w->n;
	if (strcmp(r->name, q->name) == 0)
		put16(w, POINTER | HEAD); /* the question's name */
	else
		put_name(w, r->name);
	put16(w, r->type);
	put16(w, CLASS_IN);
	put32(w, ttl);
	if (r->type == DNS_A) {
		put16(w, 4);
		put32(w, r->addr);
	} else {
		put16(w, (unsigned)(6 + strlen(r->target) + 2));
		put16(w, 0); /* priority */
		put16(w, 1); /* weight */
		put16(w, r->port);
		put_name(w, r->target);
	}
	if (w->full)
		w->n = before;
}

static void put_opt(struct writer *w)
{
	put(w, "", 1);
	put16(w, DNS_OPT);
	put16(w, DNS_UDP_MOST);
	put32(w, 0);
	put16(w, 0);
}

static uint16_t answer_flags(uint16_t query, enum dns_rcode rcode)
{
	return (uint16_t)(FLAG_QR | FLAG_RA | (query & (OPCODE | FLAG_RD)) | rcode);
}

size_t dns_answer(const uint8_t *query, const struct dns_query *q, enum dns_rcode rcode,
	const struct dns_records *r, uint32_t ttl, uint8_t *out, size_t max)
{
	if (q->length + OPT_SIZE > max)
		return 0;
	struct writer w = {.out = out, .max = max - (q->edns ? OPT_SIZE : 0)};
	uint16_t flags = (uint16_t)(answer_flags(dns_get16(query + 2), rcode) |
		(rcode == DNS_OK || rcode == DNS_NXDOMAIN ? FLAG_AA : 0));
	size_t answers = 0, more = 0, n = r != NULL ? r->n : 0;
	put(&w, query, q->length);
	for (size_t i = 0; i < n && !w.full; i++) {
		put_record(&w, q, &r->v[i], ttl);
		if (!w.full)
			*(i < r->answers ? &answers : &more) += 1;
	}
	if (r != NULL && answers < r->answers)
		flags |= FLAG_TC;
	w.max = max;
	w.full = false;
	if (q->edns)
		put_opt(&w);
	dns_put16(out + 2, flags);
	dns_put16(out + 6, (uint16_t)answers);
	dns_put16(out + 8, 0);
	dns_put16(out + 10, (uint16_t)(more + (q->edns ? 1 : 0)));
	return w.n;
}

size_t dns_reject(const uint8_t *query, enum dns_rcode rcode, uint8_t out[static HEAD])
{
	memset(out, 0, HEAD);
	memcpy(out, query, 2);
	dns_put16(out + 2, answer_flags(dns_get16(query + 2), rcode));
	return HEAD;
}

bool dns_matches(const uint8_t *p, size_t n, uint16_t id, const uint8_t *query, size_t length)
{
	if (n < length || dns_get16(p) != id || (dns_get16(p + 2) & FLAG_QR) == 0 ||
		dns_get16(p + 4) != 1)
		return false;
	for (size_t i = HEAD; i < length; i++)
		if (tolower(p[i]) != tolower(query[i]))
			return false;
	return true;
}
