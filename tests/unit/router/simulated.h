/* A small stand-in for HAProxy's runtime: executes the lines of a plan on a model, strictly, so
 * that a wrong command, order or name is seen. For the tests of plan.c. */
#ifndef TESTS_ROUTER_SIMULATED_H
#define TESTS_ROUTER_SIMULATED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <viking/str.h>

#include "plan.h"
#include "policy.h"

static inline bool sim_target(const char *word, struct model *m, unsigned *backend, unsigned *slot)
{
	const char *slash = strchr(word, '/');
	return slash != NULL && backend_number(word, (size_t)(slash - word), backend) &&
		*backend > 0 && *backend <= m->n && slot_number(slash + 1, strlen(slash + 1), slot);
}

static inline bool sim_state(struct slot *s, const char *state)
{
	if (strcmp(state, "ready") == 0)
		s->state = SLOT_READY;
	else if (strcmp(state, "drain") == 0)
		s->state = SLOT_DRAIN;
	else if (strcmp(state, "maint") == 0)
		s->state = SLOT_FREE;
	else
		return false;
	return true;
}

static inline bool sim_server(char **w, size_t n, struct model *m)
{
	unsigned backend, slot;
	uint64_t port;
	if (n < 4 || !sim_target(w[2], m, &backend, &slot))
		return false;
	bool exists = slot <= m->backends[backend - 1].n &&
		m->backends[backend - 1].slots[slot - 1].state != SLOT_NONE;
	struct slot *s = model_slot(m, backend, slot);
	if (strcmp(w[0], "add") == 0) {
		char *colon = strrchr(w[3], ':');
		if (exists || colon == NULL || vk_parse_u64(colon + 1, 1, 65535, &port) != 0)
			return false;
		*colon = '\0';
		bool v6 = w[3][0] == '[';
		snprintf(s->addr, sizeof(s->addr), "%.*s", (int)strlen(w[3]) - (v6 ? 2 : 0),
			w[3] + v6);
		s->port = (uint16_t)port;
		s->state = SLOT_FREE;
		return true;
	}
	if (!exists)
		return false;
	if (strcmp(w[3], "state") == 0)
		return n == 5 && sim_state(s, w[4]);
	if (n != 7 || strcmp(w[3], "addr") != 0 || strcmp(w[5], "port") != 0 ||
		vk_parse_u64(w[6], 1, 65535, &port) != 0)
		return false;
	snprintf(s->addr, sizeof(s->addr), "%s", w[4]);
	s->port = (uint16_t)port;
	return true;
}

/* The maps are called H S P O A K C in the tests; L is the list of certificates, files lie in /D. */
static const struct plan_paths sim_paths = {
	.maps = {"H", "S", "P", "O", "A", "K", "C"}, .certs = "L", .cert_dir = "/D"};

static inline size_t sim_find(const struct routes *r, const char *key)
{
	size_t at = 0;
	while (at < r->n && strcmp(r->v[at].key, key) != 0)
		at++;
	return at;
}

static inline void sim_drop(struct routes *r, size_t at)
{
	free(r->v[at].key);
	free(r->v[at].value);
	memmove(&r->v[at], &r->v[at + 1], (r->n - at - 1) * sizeof(*r->v));
	r->n--;
}

/* A route leads to a backend that is there, and names a policy and a group that are. */
static inline bool sim_route(const struct model *m, const char *value)
{
	unsigned backend = 0;
	char policy[POLICY_ID_SIZE];
	if (!vk_starts(value, "0|") && (!route_backend(value, &backend) || backend > m->n))
		return false;
	const char *bar = strchr(value, '|');
	if (bar == NULL || vk_starts(bar, "|0|"))
		return true;
	snprintf(policy, sizeof(policy), "%s", bar + 1);
	return sim_find(&m->maps[MAP_POLICIES], policy) < m->maps[MAP_POLICIES].n;
}

static inline bool sim_map(char **w, size_t n, struct model *m)
{
	enum map_id id = 0;
	while (id < MAPS && n >= 4 && strcmp(w[2], sim_paths.maps[id]) != 0)
		id++;
	if (n < 4 || id == MAPS || id == MAP_SUFFIXES)
		return false;
	struct routes *r = &m->maps[id];
	size_t at = sim_find(r, w[3]);
	if (strcmp(w[0], "del") == 0) {
		if (n != 4 || at == r->n)
			return false;
		sim_drop(r, at);
		return true;
	}
	if (n != 5 || (id == MAP_HOSTS && !sim_route(m, w[4])))
		return false;
	if (strcmp(w[0], "add") == 0 && at == r->n) {
		routes_add(r, w[3], w[4]);
		return true;
	}
	if (strcmp(w[0], "set") != 0 || at == r->n)
		return false;
	free(r->v[at].value);
	r->v[at].value = vk_strdup(w[4]);
	return true;
}

/* del ssl crt-list L /D/ID.pem; del ssl cert /D/ID.pem */
static inline bool sim_ssl(char **w, size_t n, struct model *m)
{
	bool list = n == 5 && strcmp(w[2], "crt-list") == 0 && strcmp(w[3], "L") == 0;
	if (strcmp(w[0], "del") != 0 || (!list && (n != 4 || strcmp(w[2], "cert") != 0)) ||
		!vk_starts(w[n - 1], "/D/") || !vk_ends(w[n - 1], ".pem"))
		return false;
	vk_autofree char *id = vk_strndup(w[n - 1] + 3, strlen(w[n - 1]) - 7);
	size_t at = sim_find(&m->certs, id);
	if (list != (at < m->certs.n))
		return false; /* from the list first */
	if (list)
		sim_drop(&m->certs, at);
	return true;
}

static inline bool sim_command(char *text, struct model *m)
{
	char *w[16];
	size_t n = 0;
	for (char *at = text; *at != '\0' && n < 16;) {
		w[n++] = at;
		at += strcspn(at, " ");
		if (*at != '\0')
			*at++ = '\0';
	}
	if (n < 3)
		return false;
	if (strcmp(w[1], "server") == 0)
		return sim_server(w, n, m);
	return strcmp(w[1], "ssl") == 0 ? sim_ssl(w, n, m)
					: strcmp(w[1], "map") == 0 && sim_map(w, n, m);
}

static inline void sim_swap(struct routes *to, const struct routes *from)
{
	routes_release(to);
	for (size_t i = 0; i < from->n; i++)
		routes_add(to, from->v[i].key, from->v[i].value);
}

/* False at the first command that HAProxy would refuse. */
static inline bool sim_run(const struct plan *p, const struct model *want, struct model *live)
{
	for (size_t i = 0; i < p->n; i++) {
		enum map_id map = p->steps[i].map;
		if (p->steps[i].kind == STEP_SWAP)
			sim_swap(&live->maps[map], &want->maps[map]);
		if (p->steps[i].kind == STEP_CERT) {
			const struct route *c = routes_find(&want->certs, p->steps[i].line);
			if (sim_find(&live->certs, c->key) < live->certs.n)
				sim_drop(&live->certs, sim_find(&live->certs, c->key));
			routes_add(&live->certs, c->key, c->value);
		}
		if (p->steps[i].kind != STEP_LINE)
			continue;
		vk_autofree char *line = vk_strdup(p->steps[i].line);
		size_t n = strlen(line);
		if (n > PLAN_LINE_MAX || n == 0 || line[n - 1] != '\n')
			return false;
		line[n - 1] = '\0';
		for (char *at = line, *end; at != NULL; at = end) {
			end = strchr(at, ';');
			if (end != NULL)
				*end++ = '\0';
			if (!sim_command(at, live))
				return false;
		}
	}
	for (enum map_id i = 0; i < MAPS; i++)
		if (i != MAP_SUFFIXES)
			routes_sort(&live->maps[i], i);
	routes_sort(&live->certs, MAP_HOSTS);
	return true;
}

#endif
