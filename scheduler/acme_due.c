#include "acme_due.h"

#define DAY_MS INT64_C(86400000)

/* FNV-1a: 0 to of - 1. */
static int64_t spread(const char *domain, int64_t of)
{
	uint32_t h = 2166136261u;
	for (; *domain != '\0'; domain++)
		h = (h ^ (unsigned char)*domain) * 16777619u;
	return of > 0 ? (int64_t)(h % (uint64_t)of) : 0;
}

int64_t acme_renew_ms(int64_t from_ms, int64_t until_ms, const char *domain)
{
	int64_t life = until_ms > from_ms ? until_ms - from_ms : 0;
	int64_t at = from_ms + life / 3 * 2;
	if (at < until_ms - 30 * DAY_MS)
		at = until_ms - 30 * DAY_MS;
	return at - spread(domain, life / 40);
}

int64_t acme_wait_ms(int64_t first_ms, uint64_t failures, const char *domain)
{
	int64_t wait = first_ms;
	for (uint64_t i = 1; i < failures && wait < DAY_MS; i++)
		wait *= 2;
	if (wait > DAY_MS)
		wait = DAY_MS;
	return wait + spread(domain, wait / 4);
}
