#include <criterion/criterion.h>
#include <string.h>

#include "stats.h"

struct seen {
	unsigned n, backend;
	uint64_t v[STATS];
};

static void note(void *arg, unsigned backend, const uint64_t v[STATS])
{
	struct seen *s = arg;
	s->n++;
	s->backend = backend;
	memcpy(s->v, v, sizeof(s->v));
}

Test(stats, columns_are_found_by_name)
{
	struct seen s = {0};
	stats_read("# pxname,svname,hrsp_5xx,scur,stot,bin,rtime,\nhttp,FRONTEND,9,9,9,9,9,\n"
		   "sites,BACKEND,9,9,9,9,9,\nb0012,BACKEND,1,2,300,4000,,\n\n",
		note, &s);
	cr_assert_eq(s.n, 1, "backends of ours only");
	cr_assert_eq(s.backend, 12);
	cr_assert_eq(s.v[STAT_5XX], 1);
	cr_assert_eq(s.v[STAT_NOW], 2);
	cr_assert_eq(s.v[STAT_REQUESTS], 300);
	cr_assert_eq(s.v[STAT_BYTES_IN], 4000);
	cr_assert_eq(s.v[STAT_RESPONSE], 0, "an empty field");
	cr_assert_eq(s.v[STAT_2XX], 0, "no such column");
}

Test(stats, rubbish_is_zero_or_nothing)
{
	struct seen s = {0};
	stats_read("", note, &s);
	stats_read("b0001", note, &s);
	stats_read("\n\n,,,\nUnknown command", note, &s);
	cr_assert_eq(s.n, 0);
	stats_read("stot\nb0001,x\nb0002", note, &s);
	stats_read("#,stot\nb0003,-7\nb0003,99999999999999999999\n", note, &s);
	cr_assert_eq(s.n, 4);
	cr_assert_eq(s.v[STAT_REQUESTS], 0);
}
