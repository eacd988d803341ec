/* A small stand-in for HAProxy's runtime: executes the lines of a plan on a model, strictly, so
 * that a wrong command, order or name is seen. For the tests of plan.c. */
#ifndef TESTS_ROUTER_SIMULATED_H
#define TESTS_ROUTER_SIMULATED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <viking/str.h>

#include "plan.h"

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

static inline bool sim_map(char **w, size_t n, struct model *m)
{
	struct routes *r = &m->hosts;
	unsigned backend = 0;
	size_t at = 0;
	if (n < 4 || strcmp(w[2], "H") != 0)
		return false;
	while (at < r->n && strcmp(r->v[at].key, w[3]) != 0)
		at++;
	bool there = at < r->n;
	if (strcmp(w[0], "del") == 0) {
		if (n != 4 || !there)
			return false;
		free(r->v[at].key);
		memmove(&r->v[at], &r->v[at + 1], (r->n - at - 1) * sizeof(*r->v));
		r->n--;
		return true;
	}
	if (n != 5 || !backend_number(w[4], strlen(w[4]), &backend) || backend > m->n)
		return false;
	if (strcmp(w[0], "add") == 0 && !there) {
		routes_add(r, w[3], backend);
		return true;
	}
	if (strcmp(w[0], "set") != 0 || !there)
		return false;
	r->v[at].backend = backend;
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
	return strcmp(w[1], "map") == 0 && sim_map(w, n, m);
}

static inline void sim_swap(struct routes *to, const struct routes *from)
{
	routes_release(to);
	for (size_t i = 0; i < from->n; i++)
		routes_add(to, from->v[i].key, from->v[i].backend);
}

/* False at the first command that HAProxy would refuse. */
static inline bool sim_run(const struct plan *p, const struct model *want, struct model *live)
{
	for (size_t i = 0; i < p->n; i++) {
		if (p->steps[i].kind == STEP_SWAP_HOSTS)
			sim_swap(&live->hosts, &want->hosts);
		if (p->steps[i].kind == STEP_SWAP_SUFFIXES)
			sim_swap(&live->suffixes, &want->suffixes);
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
	routes_sort_hosts(&live->hosts);
	return true;
}

#endif
