/*
 * A random table: what it renders reads back as the model it came from, has no long line, and holds
 * checked names only; and the plan from an empty HAProxy to it is taken by a strict stand-in. The input is
 * JSON, or (first byte not '{') bytes from which a table is made.
 */
#include <stddef.h>
#include <stdint.h>
#include <viking/json.h>

#include "../unit/router/cfg_parse.h"
#include "../unit/router/made_up.h"
#include "../unit/router/simulated.h"
#include "assign.h"
#include "render.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define TEXT_MAX (8u << 20)

#define must(cond) \
	do { \
		if (!(cond)) \
			__builtin_trap(); \
	} while (0)

static bool made_of(const char *text, const char *bytes)
{
	return text[strspn(text, bytes)] == '\0';
}

#define NAME_BYTES "abcdefghijklmnopqrstuvwxyz0123456789.-"
#define PATH_BYTES "ABCDEFGHIJKLMNOPQRSTUVWXYZ_~/" NAME_BYTES

static void check_maps(const struct model *m)
{
	const struct routes *hosts = &m->maps[MAP_HOSTS], *suffixes = &m->maps[MAP_SUFFIXES];
	for (enum map_id id = 0; id < MAPS; id++)
		for (size_t i = 0; i < m->maps[id].n; i++) {
			const struct route *r = &m->maps[id].v[i];
			must(made_of(r->key, PATH_BYTES ":@"));
			must(made_of(r->value, PATH_BYTES "|+="));
			must(strlen(r->key) + strlen(r->value) < PLAN_LINE_MAX / 2);
			must(id > MAP_PATHS || sim_route(m, r->value));
		}
	for (size_t i = 0; i < hosts->n; i++)
		must(made_of(hosts->v[i].key, NAME_BYTES) && hosts->v[i].key[0] != '.');
	for (size_t i = 0; i < suffixes->n; i++)
		must(made_of(suffixes->v[i].key, NAME_BYTES) && suffixes->v[i].key[0] == '.');
	for (size_t i = 1; i < suffixes->n; i++)
		must(strlen(suffixes->v[i - 1].key) >= strlen(suffixes->v[i].key));
	for (size_t i = 1; i < hosts->n; i++)
		must(strcmp(hosts->v[i - 1].key, hosts->v[i].key) < 0);
}

static void check_text(const struct model *m)
{
	vk_autobuf b = VK_BUF_INIT(TEXT_MAX);
	struct model back = {0};
	const struct render_settings settings = {.address = "127.0.0.1", .route_dir = "/R"};
	render_backends(&settings, m, &b);
	must(cfg_parse(b.data, &back));
	must(cfg_same(m, &back));
	model_release(&back);
}

static void check_plan(const struct model *m)
{
	struct model live;
	struct plan p;
	model_init(&live, m->n, 2);
	plan_make(m, &live, &sim_paths, &p);
	must(sim_run(&p, m, &live));
	plan_release(&p);
	plan_make(m, &live, &sim_paths, &p);
	must(plan_empty(&p));
	plan_release(&p);
	model_release(&live);
}

static void check_doc(const json_t *doc, struct assign *a, struct table **current)
{
	struct table *t = NULL;
	struct faults faults = {0};
	struct model m;
	if (table_parse(doc, "uno", &t, &faults, NULL) == 0) {
		table_settle(t, *current, &faults);
		table_free(*current);
		*current = t;
		assign_update(a, t);
		assign_model(a, t, &m);
		check_maps(&m);
		check_text(&m);
		check_plan(&m);
		model_release(&m);
	}
	faults_release(&faults);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct assign a;
	struct table *current = NULL;
	assign_init(&a);
	if (n > 0 && data[0] == '{') {
		vk_autojson *doc = NULL;
		if (vk_json_parse((const char *)data, n, &doc, NULL) == 0)
			check_doc(doc, &a, &current);
	} else {
		struct input in = {data, n < 4096 ? n : 4096};
		for (unsigned i = 0; i < 3 && in.n > 0; i++) {
			vk_autojson *doc = made_up(&in);
			check_doc(doc, &a, &current);
		}
	}
	table_free(current);
	assign_release(&a);
	return 0;
}
