#include "planted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <viking/mem.h>

struct host *hosts;
struct service *services;
uint32_t nhosts, nservices;
static uint32_t lists[LISTS][LIST_SIZE];
static uint32_t *of_kind[ROLES + LISTS + 1], of_kind_n[ROLES + LISTS + 1]; /* the hosts of each */
uint64_t seed;

uint64_t rnd(uint64_t below) /* xorshift64*, Vigna 2016 */
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return (seed * UINT64_C(2685821657736338717) >> 16) % below;
}

bool may(const struct service *s, uint32_t h)
{
	if (s->kind == 0)
		return true;
	if (s->kind <= ROLES)
		return hosts[h].roles >> (s->kind - 1) & 1;
	for (int i = 0; i < LIST_SIZE; i++)
		if (lists[s->kind - ROLES - 1][i] == h)
			return true;
	return false;
}

static void make_hosts(void)
{
	static const uint64_t sizes[3][DIMS] = {{16000, UINT64_C(64) << 30, UINT64_C(500) << 30},
		{32000, UINT64_C(128) << 30, UINT64_C(1000) << 30},
		{64000, UINT64_C(256) << 30, UINT64_C(2000) << 30}};
	for (uint32_t h = 0; h < nhosts; h++) {
		snprintf(hosts[h].name, sizeof(hosts[h].name), "h%06u", h);
		memcpy(hosts[h].cap, sizes[rnd(3)], sizeof(hosts[h].cap));
		for (int r = 0; r < ROLES; r++)
			hosts[h].roles |= (uint32_t)(rnd(2 + 4 * (unsigned)r) == 0) << r;
	}
	for (int l = 0; l < LISTS; l++)
		for (int i = 0; i < LIST_SIZE; i++)
			lists[l][i] = (uint32_t)rnd(nhosts);
}

static void list_kinds(void)
{
	for (uint32_t kind = 0; kind <= ROLES + LISTS; kind++) {
		struct service probe = {.kind = kind};
		of_kind[kind] = vk_reallocarray(of_kind[kind], nhosts, sizeof(uint32_t));
		of_kind_n[kind] = 0;
		for (uint32_t h = 0; h < nhosts; h++)
			if (may(&probe, h))
				of_kind[kind][of_kind_n[kind]++] = h;
	}
}

/* A random host of a kind with room for one more, or nhosts. */
static uint32_t room(const struct service *s, double util, const uint32_t *taken, uint32_t n)
{
	for (int tries = 0; tries < 40; tries++) {
		uint32_t h = of_kind[s->kind][rnd(of_kind_n[s->kind])];
		bool ok = may(s, h);
		for (uint32_t i = 0; ok && i < n; i++)
			ok = taken[i] != h;
		for (int k = 0; ok && k < DIMS; k++)
			ok = (double)(hosts[h].used[k] + s->demand[k]) <=
				util * (double)hosts[h].cap[k];
		if (ok)
			return h;
	}
	return nhosts;
}

/* The filling: each service takes hosts at random, one replica a host, for as long as there is room. */
static void make_services(uint32_t shapes, double util, uint32_t mean)
{
	uint64_t(*shape)[DIMS] = vk_calloc(shapes, sizeof(*shape));
	uint32_t *taken = vk_calloc(2 * mean, sizeof(*taken));
	double total[DIMS] = {0};
	for (uint32_t h = 0; h < nhosts; h++)
		for (int k = 0; k < DIMS; k++)
			total[k] += (double)hosts[h].cap[k];
	for (uint32_t i = 0; i < shapes; i++)
		for (int k = 0; k < DIMS; k++)
			shape[i][k] = (uint64_t)((double)(50 + rnd(101)) / 100 * util * total[k] /
				nservices / mean);
	for (uint32_t i = 0; i < nservices; i++) {
		struct service *s = &services[i];
		snprintf(s->name, sizeof(s->name), "s%06u", i);
		memcpy(s->demand, shape[rnd(shapes)], sizeof(s->demand));
		uint64_t dice = rnd(100);
		s->kind = dice < 20 ? 1 + (uint32_t)rnd(ROLES)
			: dice < 23 ? ROLES + 1 + (uint32_t)rnd(LISTS)
				    : 0;
		uint32_t want =
			s->kind > ROLES ? 1 + (uint32_t)rnd(2) : 1 + (uint32_t)rnd(2 * mean - 1);
		for (uint32_t h;
			s->replicas < want && (h = room(s, util, taken, s->replicas)) < nhosts;) {
			taken[s->replicas++] = h;
			for (int k = 0; k < DIMS; k++)
				hosts[h].used[k] += s->demand[k];
		}
	}
	free(taken);
	free(shape);
}

void make(uint32_t shapes, double util, uint32_t mean)
{
	seed = 88172645463325252U;
	memset(hosts, 0, nhosts * sizeof(*hosts));
	for (uint32_t i = 0; i < nservices; i++)
		free(services[i].at);
	memset(services, 0, nservices * sizeof(*services));
	make_hosts();
	list_kinds();
	make_services(shapes, util, mean);
	for (uint32_t i = 0; i < nservices; i++)
		services[i].at = vk_calloc(services[i].replicas + 1, sizeof(uint32_t));
}

void tell_host(struct dowding *d, uint32_t h)
{
	static const char *const names[ROLES] = {"r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7",
		"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};
	const char *labels[ROLES];
	struct dow_host in = {.name = hosts[h].name, .labels = labels, .down = hosts[h].down};
	memcpy(in.cap, hosts[h].cap, sizeof(in.cap));
	for (int r = 0; r < ROLES; r++)
		if (hosts[h].roles >> r & 1)
			labels[in.nlabels++] = names[r];
	dow_set_host(d, &in);
}

void tell_service(struct dowding *d, const struct service *s)
{
	char role[8];
	const char *roles[1] = {role}, *names[LIST_SIZE];
	struct dow_service in = {.name = s->name,
		.group = s->group,
		.replicas = s->replicas,
		.volume = s->volume,
		.roles = roles,
		.hosts = names};
	memcpy(in.demand, s->demand, sizeof(in.demand));
	snprintf(role, sizeof(role), "r%u", s->kind - 1);
	in.nroles = s->kind > 0 && s->kind <= ROLES;
	for (int i = 0; s->kind > ROLES && i < LIST_SIZE; i++)
		names[in.nhosts++] = hosts[lists[s->kind - ROLES - 1][i]].name;
	dow_set_service(d, &in);
}

struct dowding *tell(bool shuffled)
{
	struct dowding *d = dow_new();
	uint32_t h0 = shuffled ? (uint32_t)rnd(nhosts) : 0,
		 s0 = shuffled ? (uint32_t)rnd(nservices) : 0;
	for (uint32_t i = 0; i < nhosts; i++)
		tell_host(d, shuffled ? (h0 + nhosts - i) % nhosts : i);
	for (uint32_t i = 0; i < nservices; i++)
		tell_service(d, &services[shuffled ? (s0 + nservices - i) % nservices : i]);
	return d;
}
