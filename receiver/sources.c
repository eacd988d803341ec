#include "sources.h"

#include <string.h>
#include <viking/mem.h>

struct source {
	struct source_id id;
	unsigned starting;
	int64_t penalty_until; /* 0 = none */
};

/* A small open table: searched in a row, it holds only sources with something to remember. */
struct sources {
	unsigned total_max, per_source_max, starting;
	size_t n;
	struct source rows[SOURCES_MAX];
};

static const int64_t penalties[] = {
	[ENDING_FINE] = 0,
	[ENDING_NO_LOGIN] = 1000,
	[ENDING_FAILED] = 5000,
	[ENDING_GARBAGE] = 1000,
	[ENDING_GRACE] = 20000,
	[ENDING_CRASHED] = 90000,
};

struct sources *sources_new(unsigned total_max, unsigned per_source_max)
{
	struct sources *s = vk_alloc(sizeof(*s));
	s->total_max = total_max;
	s->per_source_max = per_source_max;
	return s;
}

void sources_free(struct sources *s)
{
	free(s);
}

struct source_id source_of(const struct sockaddr_storage *a)
{
	struct source_id id = {0};
	if (a->ss_family == AF_INET) {
		memcpy(id.bytes, &((const struct sockaddr_in *)a)->sin_addr, 4);
	} else if (a->ss_family == AF_INET6) {
		const struct in6_addr *six = &((const struct sockaddr_in6 *)a)->sin6_addr;
		if (IN6_IS_ADDR_V4MAPPED(six)) {
			memcpy(id.bytes, six->s6_addr + 12, 4);
		} else if (IN6_IS_ADDR_LOOPBACK(six)) {
			id = (struct source_id){.bytes = {127, 0, 0, 1}};
		} else {
			id.v6 = true;
			memcpy(id.bytes, six->s6_addr, 8);
		}
	}
	return id;
}

static bool same(const struct source_id *a, const struct source_id *b)
{
	return a->v6 == b->v6 && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static bool exempt(const struct source_id *id)
{
	return !id->v6 && memcmp(id->bytes, (uint8_t[]){127, 0, 0, 1}, 4) == 0;
}

static struct source *find(struct sources *s, const struct source_id *id)
{
	for (size_t i = 0; i < s->n; i++)
		if (same(&s->rows[i].id, id))
			return &s->rows[i];
	return NULL;
}

/* Rows without connections whose penalty is over go. */
static void forget_old(struct sources *s, int64_t now_ms)
{
	for (size_t i = 0; i < s->n;) {
		const struct source *r = &s->rows[i];
		if (r->starting == 0 && r->penalty_until <= now_ms)
			s->rows[i] = s->rows[--s->n];
		else
			i++;
	}
}

static struct source *find_or_add(struct sources *s, const struct source_id *id, int64_t now_ms)
{
	struct source *r = find(s, id);
	if (r != NULL)
		return r;
	if (s->n == SOURCES_MAX)
		forget_old(s, now_ms);
	if (s->n == SOURCES_MAX)
		return NULL;
	r = &s->rows[s->n++];
	*r = (struct source){.id = *id};
	return r;
}

enum verdict sources_start(struct sources *s, const struct source_id *id, int64_t now_ms)
{
	struct source *r = find_or_add(s, id, now_ms);
	/* a table full of sources in trouble: an attack from everywhere */
	if (r == NULL || r->penalty_until - now_ms >= PENALTY_MIN_MS)
		return VERDICT_REFUSE;
	if (r->starting >= s->per_source_max || s->starting >= s->total_max)
		return VERDICT_WAIT;
	r->starting++;
	s->starting++;
	return VERDICT_GO;
}

void sources_login(struct sources *s, const struct source_id *id)
{
	struct source *r = find(s, id);
	if (r != NULL && r->starting > 0) {
		r->starting--;
		s->starting--;
	}
}

void sources_end(struct sources *s, const struct source_id *id, enum ending how, bool logged_in,
	int64_t now_ms)
{
	if (!logged_in)
		sources_login(s, id);
	if (penalties[how] == 0 || exempt(id))
		return;
	struct source *r = find_or_add(s, id, now_ms);
	if (r == NULL)
		return;
	int64_t from = r->penalty_until > now_ms ? r->penalty_until : now_ms;
	r->penalty_until = from + penalties[how];
	if (r->penalty_until > now_ms + PENALTY_MAX_MS)
		r->penalty_until = now_ms + PENALTY_MAX_MS;
}

unsigned sources_starting(const struct sources *s)
{
	return s->starting;
}
