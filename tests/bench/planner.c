/*
 * Scenarios S1-S8 and S10 for the planner, with a checker that knows nothing of its inside: it keeps its own copy of hosts
 * and services and reads placements only. Prints a JSON line a figure; counts over their goal (breaches, unplaced, moves,
 * hashes) make it fail, times do not.
 *
 *	planner [HOSTS SERVICES MEAN_REPLICAS] (10000 100000 10: S1's million containers)
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <viking/mem.h>

#include "planted.h"

static uint32_t nplaced;

/* Processor time: the planner waits for nothing, and the machine is not ours alone. */
static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool wrong; /* a count that must hold on any machine does not */

static void figure(const char *name, double value, const char *unit, double goal)
{
	if (strcmp(unit, "count") == 0 || strcmp(unit, "breaches") == 0)
		wrong |= value > goal;
	printf("{\"name\": \"%s\", \"value\": %.6g, \"unit\": \"%s\", \"goal\": %g}\n", name, value,
		unit, goal);
	fflush(stdout);
}

/* ---- the checker ---- */

struct reading {
	uint32_t at;
	size_t breaches;
};

static bool read_one(void *arg, const char *service, unsigned n, const char *host)
{
	uint32_t s = (uint32_t)strtoul(service + 1, NULL, 10),
		 h = (uint32_t)strtoul(host + 1, NULL, 10);
	struct reading *r = arg;
	if (s >= nservices || n == 0 || n > services[s].replicas || h >= nhosts ||
		!may(&services[s], h)) {
		r->breaches++;
		return true;
	}
	services[s].at[n - 1] = h;
	for (int k = 0; k < DIMS; k++)
		hosts[h].used[k] += services[s].demand[k];
	nplaced++;
	return true;
}

static double bound(void)
{
	double best = 0;
	for (uint32_t kind = 0; kind <= ROLES + LISTS; kind++)
		for (int k = 0; k < DIMS; k++) {
			double demand = 0, cap = 0;
			struct service probe = {.kind = kind};
			for (uint32_t i = 0; i < nservices; i++)
				if (kind == 0 || services[i].kind == kind)
					demand += (double)services[i].demand[k] *
						services[i].replicas;
			for (uint32_t h = 0; h < nhosts; h++)
				cap += !hosts[h].down && may(&probe, h) ? (double)hosts[h].cap[k]
									: 0;
			best = demand / cap > best ? demand / cap : best;
		}
	return best;
}

static size_t spread_excess(void)
{
	uint32_t *count = vk_calloc(nhosts, sizeof(*count));
	size_t excess = 0, feasible[ROLES + LISTS + 1] = {0};
	for (uint32_t kind = 0; kind <= ROLES + LISTS; kind++)
		for (uint32_t h = 0; h < nhosts; h++)
			feasible[kind] += !hosts[h].down && may(&(struct service){.kind = kind}, h);
	for (uint32_t i = 0; i < nservices; i++) {
		const struct service *s = &services[i];
		uint32_t most = 0, placed = 0;
		for (uint32_t n = 0; n < s->replicas; n++)
			if (s->at[n] != UINT32_MAX) {
				uint32_t c = ++count[s->at[n]];
				most = c > most ? c : most;
				placed++;
			}
		for (uint32_t n = 0; n < s->replicas; n++)
			if (s->at[n] != UINT32_MAX)
				count[s->at[n]] = 0;
		size_t fair = feasible[s->kind]
			? (placed + feasible[s->kind] - 1) / feasible[s->kind]
			: 0;
		excess += most > fair ? most - fair : 0;
	}
	free(count);
	return excess;
}

/* Fills services[].at; returns breaches of capacity, constraint or group. */
static size_t check(struct dowding *d, double *ret_balance)
{
	struct reading r = {0};
	nplaced = 0;
	*ret_balance = 0;
	for (uint32_t h = 0; h < nhosts; h++)
		memset(hosts[h].used, 0, sizeof(hosts[h].used));
	for (uint32_t i = 0; i < nservices; i++)
		memset(services[i].at, 0xff, services[i].replicas * sizeof(uint32_t));
	dow_each(d, read_one, &r);
	for (uint32_t h = 0; h < nhosts; h++)
		for (int k = 0; k < DIMS; k++) {
			double share = (double)hosts[h].used[k] / (double)hosts[h].cap[k];
			r.breaches += hosts[h].used[k] > hosts[h].cap[k];
			*ret_balance = share > *ret_balance ? share : *ret_balance;
		}
	for (uint32_t i = 1; i < nservices; i++)
		if (services[i].group[0] != '\0' &&
			strcmp(services[i].group, services[i - 1].group) == 0)
			for (uint32_t n = 0;
				n < services[i].replicas && n < services[i - 1].replicas; n++)
				r.breaches += services[i].at[n] != services[i - 1].at[n];
	return r.breaches;
}

/* ---- scenarios ---- */

static double plan(struct dowding *d, size_t *ret_moved, size_t *ret_unplaced)
{
	struct dow_plan p;
	double start = now();
	dow_plan(d, &p);
	double took = now() - start;
	if (ret_moved != NULL)
		*ret_moved = p.moved;
	if (ret_unplaced != NULL)
		*ret_unplaced = p.nunplaced;
	dow_plan_release(&p);
	return took;
}

static long rss_kib(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return u.ru_maxrss;
}

static struct dowding *bulk(
	const char *id, uint32_t shapes, double util, uint32_t mean, double goal_s)
{
	char name[64];
	double balance;
	size_t unplaced;
	make(shapes, util, mean);
	long before = rss_kib();
	struct dowding *d = tell(false);
	double took = plan(d, NULL, &unplaced);
	long after = rss_kib();
	size_t breaches = check(d, &balance);
#define NAME(what) (snprintf(name, sizeof(name), "planner %s %s", id, what), name)
	figure(NAME("time"), took, "s", goal_s);
	if (strcmp(id, "S1") == 0)
		figure(NAME("memory"), (double)(after - before) / 1024, "MiB", 64);
	figure(NAME("containers"), nplaced, "containers", 0);
	figure(NAME("unplaced"), (double)unplaced, "count", 0);
	figure(NAME("balance / bound"), balance / bound(), "ratio", 1.005);
	figure(NAME("spread excess"), (double)spread_excess(), "count", 0);
	figure(NAME("valid"), (double)breaches, "breaches", 0);
	return d;
}

static int by_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void one_service(struct dowding *d)
{
	enum { RUNS = 1000 };
	static double took[RUNS];
	for (int i = 0; i < RUNS; i++) {
		char name[16];
		snprintf(name, sizeof(name), "t%05d", i);
		struct dow_service s = {.name = name,
			.replicas = 10,
			.demand = {10 + rnd(90), rnd(1 << 26), rnd(1 << 26)}};
		dow_set_service(d, &s);
		took[i] = plan(d, NULL, NULL) * 1e3;
	}
	for (int i = 0; i < RUNS; i++) {
		char name[16];
		snprintf(name, sizeof(name), "t%05d", i);
		dow_remove_service(d, name);
	}
	qsort(took, RUNS, sizeof(double), by_double);
	figure("planner S4 one service p50", took[RUNS / 2], "ms", 1);
	figure("planner S4 one service p99", took[RUNS * 99 / 100], "ms", 1);
	struct dow_service s = {.name = "t00000", .replicas = 10, .demand = {50, 1 << 24, 1 << 24}};
	dow_set_service(d, &s);
	plan(d, NULL, NULL);
	s.replicas = 100;
	dow_set_service(d, &s);
	figure("planner S4 scale 10 to 100", plan(d, NULL, NULL) * 1e3, "ms", 1);
	dow_remove_service(d, "t00000");
}

static size_t displaced_by(uint32_t first, uint32_t n)
{
	size_t moves = 0;
	for (uint32_t i = 0; i < nservices; i++)
		for (uint32_t r = 0; r < services[i].replicas; r++)
			moves += services[i].at[r] >= first && services[i].at[r] < first + n &&
				!services[i].volume;
	return moves;
}

static void loss(struct dowding *d, uint32_t n, double goal_ms)
{
	char name[64];
	double balance;
	size_t moved, unplaced;
	size_t breaches = check(d, &balance);
	size_t least = displaced_by(17, n);
	for (uint32_t h = 17; h < 17 + n; h++) {
		dow_set_down(d, hosts[h].name, true);
		hosts[h].down = true;
	}
	double took = plan(d, &moved, &unplaced);
	breaches += check(d, &balance);
	snprintf(name, sizeof(name), "planner S5 lose %u", n);
	figure(name, took * 1e3, "ms", goal_ms);
	figure("planner S5 moves / displaced", (double)(moved + unplaced) / (double)least, "ratio",
		1);
	figure("planner S5 unplaced", (double)unplaced, "count", 0);
	figure("planner S5 valid", (double)breaches, "breaches", 0);
	for (uint32_t h = 17; h < 17 + n; h++) {
		dow_set_down(d, hosts[h].name, false);
		hosts[h].down = false;
	}
	plan(d, &moved, NULL);
	figure("planner S6 moves on return", (double)moved, "count", 0);
}

static void join_hosts(struct dowding *d)
{
	size_t moved;
	for (int i = 0; i < 100; i++) {
		char name[16];
		snprintf(name, sizeof(name), "j%03d", i);
		struct dow_host h = {
			.name = name, .cap = {64000, UINT64_C(1) << 37, UINT64_C(1) << 40}};
		dow_set_host(d, &h);
	}
	plan(d, &moved, NULL);
	figure("planner S6 moves on join", (double)moved, "count", 0);
	plan(d, &moved, NULL);
	figure("planner no-op moves", (double)moved, "count", 0);
}

/* 20 % pinned, 20 % in groups of 2 to 5; then a host is lost. */
static void pins_and_groups(uint32_t mean)
{
	double balance;
	size_t moved, unplaced;
	make(200, 0.85, mean);
	for (uint32_t i = 0; i + 5 < nservices; i += 10) {
		uint32_t n = 2 + (uint32_t)rnd(4);
		for (uint32_t m = 0; m < n && m < 2 + i % 4; m++) {
			struct service *s = &services[i + m];
			snprintf(s->group, sizeof(s->group), "g%06u", i);
			s->kind = services[i].kind;
			s->replicas = services[i].replicas;
			s->at = vk_reallocarray(s->at, s->replicas, sizeof(uint32_t));
		}
		services[i + 6 < nservices ? i + 6 : i].volume =
			services[i + 7 < nservices ? i + 7 : i].volume = true;
	}
	struct dowding *d = tell(false);
	figure("planner S7 time", plan(d, NULL, &unplaced), "s", 1);
	figure("planner S7 unplaced", (double)unplaced, "count", 0);
	size_t breaches = check(d, &balance), least = displaced_by(5, 1);
	dow_set_down(d, hosts[5].name, true);
	hosts[5].down = true;
	figure("planner S7 lose 1", plan(d, &moved, &unplaced) * 1e3, "ms", 20);
	hosts[5].down = false;
	breaches += check(d, &balance);
	figure("planner S7 moves / displaced", (double)(moved + unplaced) / (double)least, "ratio",
		1);
	figure("planner S7 valid", (double)breaches, "breaches", 0);
	dow_free(d);
}

static void shuffles(const char *want, uint32_t mean, int times)
{
	size_t other = 0;
	make(200, 0.9, mean);
	for (int i = 0; i < times; i++) {
		char hash[65];
		seed += (uint64_t)i * 7919;
		struct dowding *d = tell(true);
		plan(d, NULL, NULL);
		dow_hash(d, hash);
		other += strcmp(hash, want) != 0;
		dow_free(d);
	}
	figure("planner S8 other hashes of 20 shuffles", (double)other, "count", 0);
}

/* ---- S10 ---- */

static void event(struct dowding *d, uint32_t i)
{
	uint32_t kind = (uint32_t)rnd(10);
	struct service *s = &services[rnd(nservices)];
	if (kind < 5) { /* a deploy with other needs */
		s->demand[rnd(DIMS)] += rnd(3) == 0 ? 1 : 0;
		tell_service(d, s);
	} else if (kind < 8) {
		s->replicas = 1 + (uint32_t)rnd(2 * s->replicas + 1);
		s->at = vk_reallocarray(s->at, s->replicas, sizeof(uint32_t));
		tell_service(d, s);
	} else {
		uint32_t h = (uint32_t)rnd(nhosts);
		hosts[h].down = !hosts[h].down && i % 2;
		tell_host(d, h);
	}
}

struct copy {
	struct dowding *to;
};

static bool copy_one(void *arg, const char *service, unsigned n, const char *host)
{
	return dow_placed(((struct copy *)arg)->to, service, n, host);
}

static void churn(
	uint32_t events, uint32_t restart, uint32_t mean, char hash[static 65], double *ret_balance)
{
	make(200, 0.8, mean);
	struct dowding *d = tell(false);
	plan(d, NULL, NULL);
	for (uint32_t i = 0; i < events; i++) {
		event(d, i);
		if (i == restart) {
			uint64_t going = seed;
			struct copy c = {.to = tell(true)};
			seed = going;
			dow_each(d, copy_one, &c);
			dow_free(d);
			d = c.to;
		}
		plan(d, NULL, NULL);
	}
	dow_hash(d, hash);
	check(d, ret_balance);
	*ret_balance /= bound();
	dow_free(d);
}

int main(int argc, char **argv)
{
	nhosts = argc > 3 ? (uint32_t)strtoul(argv[1], NULL, 10) : 10000;
	nservices = argc > 3 ? (uint32_t)strtoul(argv[2], NULL, 10) : 100000;
	uint32_t mean = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 10;
	char hash[65], again[65];
	double balance;
	hosts = vk_calloc(nhosts, sizeof(*hosts));
	services = vk_calloc(nservices, sizeof(*services));
	struct dowding *d = bulk("S1", 200, 0.9, mean, 0.5);
	dow_hash(d, hash);
	one_service(d);
	loss(d, 1, 20);
	loss(d, 10, 50);
	loss(d, 100, 400);
	join_hosts(d);
	dow_free(d);
	dow_free(bulk("S2", nservices, 0.9, mean, 3));
	dow_free(bulk("S3", 200, 0.97, mean, 1));
	pins_and_groups(mean);
	shuffles(hash, mean, 20);
	churn(argc > 3 ? 500 : 10000, UINT32_MAX, mean, hash, &balance);
	churn(argc > 3 ? 500 : 10000, argc > 3 ? 250 : 5000, mean, again, &balance);
	figure("planner S10 hashes differ after a restart", strcmp(hash, again) != 0, "count", 0);
	figure("planner S10 balance / bound", balance, "ratio", 1.05);
	return wrong;
}
