/*
 * A described cluster for benches. Planted: hosts are filled at random to the utilisation asked for, demands and constraints
 * are read off that filling, and the filling is thrown away; so a complete solution exists. One at a time.
 */
#ifndef TESTS_BENCH_PLANTED_H
#define TESTS_BENCH_PLANTED_H

#include "dowding.h"

#define DIMS      DOW_DIMS
#define ROLES     16
#define LISTS     8
#define LIST_SIZE 20

struct host {
	char name[16];
	uint64_t cap[DIMS], used[DIMS];
	uint32_t roles; /* bits */
	bool down;
};
struct service {
	char name[16], group[16];
	uint64_t demand[DIMS];
	uint32_t replicas, kind; /* 0 open, 1.. role, ROLES + 1.. list */
	bool volume;
	uint32_t *at; /* the checker's reading: host or UINT32_MAX */
};
/* nhosts and nservices are set, and room for them is made, before the first make(). */
extern struct host *hosts;
extern struct service *services;
extern uint32_t nhosts, nservices;
extern uint64_t seed;

uint64_t rnd(uint64_t below);
/* May a replica be on the host, as far as roles and lists go? */
bool may(const struct service *s, uint32_t h);
void make(uint32_t shapes, double util, uint32_t mean_replicas);
void tell_host(struct dowding *d, uint32_t h);
void tell_service(struct dowding *d, const struct service *s);
struct dowding *tell(bool shuffled); /* the whole of it to a new planner */

#endif
