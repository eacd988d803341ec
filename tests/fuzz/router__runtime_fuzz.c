/* Answers of HAProxy's sockets: read without a fault, within the limits of the model, and what a plan makes
 * of any state that was read is taken by a strict stand-in. */
#include <stddef.h>
#include <stdint.h>

#include "../unit/router/simulated.h"
#include "answers.h"
#include "render.h"
#include "stats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define must(cond) \
	do { \
		if (!(cond)) \
			__builtin_trap(); \
	} while (0)

/* Backend numbers up to a million are legal in an answer; the stand-in stays small. */
static bool small(const struct model *m)
{
	if (m->n > 64)
		return false;
	for (unsigned i = 0; i < m->n; i++)
		if (m->backends[i].n > 64)
			return false;
	return true;
}

static void check_plan(struct model *live)
{
	struct model want;
	struct plan p;
	model_init(&want, live->n > 0 ? live->n : 1, 2);
	model_slot(live, want.n, 2);
	routes_add(&want.maps[MAP_HOSTS], "a.com", "b0001");
	want.backends[0].slots[0] = (struct slot){SLOT_READY, 80, "10.0.0.1"};
	routes_sort(&live->maps[MAP_HOSTS], MAP_HOSTS);
	for (enum map_id i = MAP_PATHS; i < MAPS; i++)
		routes_sort(&live->maps[i], i);
	plan_make(&want, live, &sim_paths, &p);
	must(sim_run(&p, &want, live));
	plan_release(&p);
	plan_make(&want, live, &sim_paths, &p);
	must(plan_empty(&p));
	plan_release(&p);
	model_release(&want);
}

static void count_row(void *arg, unsigned backend, const uint64_t v[STATS])
{
	must(backend >= 1 && backend <= MODEL_BACKENDS_MAX && v != NULL);
	++*(unsigned *)arg;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	unsigned rows = 0;
	vk_autofree char *text = vk_strndup((const char *)data, n);
	struct model live = {0};
	struct workers w;
	size_t len;
	answer_servers(text, &live);
	answer_map(text, true, &live.maps[MAP_HOSTS]);
	answer_map(text, false, &live.maps[MAP_SUFFIXES]);
	answer_map(text, true, &live.maps[MAP_POLICIES]);
	answer_map(text, false, &live.maps[MAP_ACCESS]);
	must(live.n <= MODEL_BACKENDS_MAX);
	answer_proc(text, &w);
	must(w.n_old <= ANSWER_WORKERS_MAX && w.current >= 0);
	must(answer_pid(text) >= 0);
	answer_version(text);
	answer_certs(text, &live.certs);
	stats_read(text, count_row, &rows);
	const char *trouble = answer_trouble(text, &len);
	must(trouble == NULL || (trouble >= text && trouble + len <= text + strlen(text)));
	answer_connections(text, "10.0.0.1", 80);
	must(render_owner(&live, text, render_fault_line(text, "x")) == NULL);
	if (small(&live))
		check_plan(&live);
	model_release(&live);
	return 0;
}
