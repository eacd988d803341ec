/*
 * S1 to the end: from a described cluster to every host's assignment on the disk of a store, in the scheduler's rows, and
 * back into a new leader's memory. Prints a JSON object of seconds; wall clock, for the disk is waited for.
 *
 *	durable sqlite FILE | etcd ENDPOINT [HOSTS SERVICES MEAN_REPLICAS]    the file or prefix is empty before
 *	durable rows [...]    the rows alone, a JSON line each, for whoever wants to write the same bytes
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <viking/mem.h>
#include <viking/store.h>
#include <viking/str.h>

#include "planted.h"
#include "state.h"

#define LEADER  "/leader"
#define TXN_OPS 127 /* etcd's default bound is 128, and the store adds one */
#define FLIGHT  8   /* transactions submitted and not answered */

struct replica {
	uint32_t service, n;
};
struct placed { /* on one host */
	struct replica *v;
	uint32_t n, cap;
};
struct run {
	struct vk_loop *loop;
	struct vk_store *store;
	struct placed *placed; /* nhosts */
	uint64_t lead_rev;
	uint32_t next, pending;
	size_t bytes, read;
	struct state st;
};

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(const struct vk_err *err)
{
	if (err->code == 0)
		return;
	fprintf(stderr, "durable: %s\n", err->msg);
	exit(1);
}

/* ---- rows ---- */

static bool place(void *arg, const char *service, unsigned n, const char *host)
{
	struct placed *p = &((struct run *)arg)->placed[strtoul(host + 1, NULL, 10)];
	if (p->n == p->cap) {
		p->cap = p->cap > 0 ? 2 * p->cap : 64;
		p->v = vk_reallocarray(p->v, p->cap, sizeof(*p->v));
	}
	p->v[p->n++] = (struct replica){(uint32_t)strtoul(service + 1, NULL, 10), n};
	return true;
}

static void plan(struct run *r)
{
	struct dow_plan p;
	struct dowding *d = tell(false);
	dow_plan(d, &p);
	if (p.nunplaced > 0)
		must(&(struct vk_err){.code = VK_FAILED, .msg = "not everything was placed"});
	dow_each(d, place, r);
	dow_plan_release(&p);
	dow_free(d);
}

/* As scheduler/assign.c has it; each service is a stack of one node. */
static char *row_text(struct run *r, uint32_t h)
{
	const struct placed *p = &r->placed[h];
	struct assign_row row = {.name = hosts[h].name, .stacks = json_object()};
	for (uint32_t i = 0; i < p->n; i++) {
		const char *stack = services[p->v[i].service].name;
		json_t *names = json_object_get(row.stacks, stack);
		if (names == NULL)
			json_object_set_new(row.stacks, stack, names = json_array());
		json_array_append_new(names, json_sprintf("%s-web-%u-1", stack, p->v[i].n));
	}
	vk_autojson *value = model_encode(assign_fields, &row);
	char *text = vk_json_text(value);
	json_decref(row.stacks);
	r->bytes += strlen(text);
	return text;
}

static void print_rows(struct run *r)
{
	for (uint32_t h = 0; h < nhosts; h++) {
		vk_autofree char *text = row_text(r, h);
		vk_autojson *line = json_pack("{s:o,s:s}", "key",
			json_sprintf("/assign/%s", hosts[h].name), "value", text);
		vk_autofree char *out = vk_json_text(line);
		puts(out);
	}
}

/* ---- writing ---- */

static void submit(struct run *r);

static void written(void *arg, const struct vk_err *err, bool committed, uint64_t rev)
{
	struct run *r = arg;
	(void)rev;
	must(err);
	if (!committed)
		must(&(struct vk_err){.code = VK_CONFLICT, .msg = "a compare did not hold"});
	r->pending--;
	submit(r);
}

static void submit(struct run *r)
{
	while (r->next < nhosts && r->pending < FLIGHT) {
		struct vk_op ops[TXN_OPS];
		vk_autostrv texts = {0};
		size_t n = 0;
		for (; n < TXN_OPS && r->next < nhosts; n++, r->next++) {
			vk_strv_take(&texts, vk_asprintf("/assign/%s", hosts[r->next].name));
			vk_strv_take(&texts, row_text(r, r->next));
			ops[n] = (struct vk_op){.key = texts.v[2 * n],
				.value = texts.v[2 * n + 1],
				.len = strlen(texts.v[2 * n + 1])};
		}
		const struct vk_cmp fence = {LEADER, VK_CMP_CREATE_REV, r->lead_rev};
		r->pending++;
		r->store->ops->txn(r->store, &fence, 1, ops, n, written, r);
	}
}

static void led(void *arg, const struct vk_err *err, bool committed, uint64_t rev)
{
	struct run *r = arg;
	must(err);
	r->lead_rev = committed ? rev : 0;
	r->pending--;
}

static void lead(struct run *r)
{
	const struct vk_cmp nobody = {LEADER, VK_CMP_CREATE_REV, 0};
	const struct vk_op op = {.key = LEADER, .value = "{}", .len = 2};
	r->pending++;
	r->store->ops->txn(r->store, &nobody, 1, &op, 1, led, r);
}

/* ---- reading, as scheduler/load.c ---- */

static void loaded(
	void *arg, const struct vk_err *err, const struct vk_kv *kvs, size_t n, uint64_t rev)
{
	struct run *r = arg;
	struct vk_err bad = {0};
	(void)rev;
	must(err);
	for (size_t i = 0; i < n; i++) {
		vk_autojson *value = NULL;
		if (vk_json_parse_max(kvs[i].value, kvs[i].len, kvs[i].len + 1, &value, &bad) == 0)
			state_apply(&r->st, kvs[i].key, value, &bad);
		must(&bad);
	}
	r->read = r->st.assigns.n;
	r->pending--;
}

static void wait_all(struct run *r)
{
	while (r->pending > 0)
		vk_loop_once(r->loop, -1);
}

static void open_store(struct run *r, const char *kind, const char *where)
{
	struct vk_err err = {0};
	if (strcmp(kind, "sqlite") == 0)
		vk_store_sqlite_open(r->loop, where, &r->store, &err);
	else
		vk_store_etcd_open(r->loop,
			&(struct vk_store_etcd_opts){
				.endpoints = where, .prefix = "/viking", .client = "bench"},
			&r->store, &err);
	must(&err);
}

static void measure(struct run *r, const char *kind, const char *where)
{
	struct vk_err err = {0};
	vk_loop_new(&r->loop, &err);
	must(&err);
	open_store(r, kind, where);
	lead(r);
	wait_all(r);
	double start = now();
	plan(r);
	double planned = now();
	submit(r);
	wait_all(r);
	double durable = now();
	r->store->ops->close(r->store);
	state_init(&r->st);
	double closed = now();
	open_store(r, kind, where);
	r->pending++;
	r->store->ops->range(r->store, "/", loaded, r);
	wait_all(r);
	printf("{\"rows\": %zu, \"mib\": %.1f, \"plan\": %.3f, \"write\": %.3f, \"read\": %.3f}\n",
		r->read, (double)r->bytes / (1 << 20), planned - start, durable - planned,
		now() - closed);
	r->store->ops->close(r->store);
	state_release(&r->st);
	vk_loop_free(r->loop);
}

int main(int argc, char **argv)
{
	bool rows = argc > 1 && strcmp(argv[1], "rows") == 0;
	int at = rows ? 2 : 3;
	if (argc < at)
		return 2;
	nhosts = argc > at + 2 ? (uint32_t)strtoul(argv[at], NULL, 10) : 10000;
	nservices = argc > at + 2 ? (uint32_t)strtoul(argv[at + 1], NULL, 10) : 100000;
	hosts = vk_calloc(nhosts, sizeof(*hosts));
	services = vk_calloc(nservices, sizeof(*services));
	make(200, 0.9, argc > at + 2 ? (uint32_t)strtoul(argv[at + 2], NULL, 10) : 10);
	struct run r = {.placed = vk_calloc(nhosts, sizeof(*r.placed))};
	if (!rows) {
		measure(&r, argv[1], argv[2]);
		return r.read == nhosts ? 0 : 1;
	}
	plan(&r);
	print_rows(&r);
	return 0;
}
