/* Volumes: data that outlives instances; and the collection of what nothing needs. */
#include <stdarg.h>
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "api.h"
#include "gc.h"
#include "instances.h"

#define QUEUE_MAX ((size_t)1 << 20)

/* ---- list and remove ---- */

static bool mounts_volume(const json_t *def, const char *volume)
{
	size_t i;
	json_t *m;
	json_array_foreach(json_object_get(def, "mounts"), i,
		m) if (vk_streq(vk_json_str(m, "volume", NULL), volume)) return true;
	return false;
}

/* The instance that shall run and has the volume, stopped ones included. Caller frees; NULL = none. */
static char *volume_user(struct sched *s, const struct volume_row *v)
{
	const struct stack *sk = state_stack(&s->st, v->stack);
	struct inst_list list = {0};
	char *user = NULL;
	if (sk != NULL)
		stack_instances(sk, stack_overlay(sk), &list);
	for (size_t i = 0; i < list.n && user == NULL; i++)
		if (mounts_volume(hub_def(s, sk, list.v[i].born, list.v[i].node), v->name))
			user = vk_strdup(list.v[i].name);
	inst_list_release(&list);
	return user;
}

/* A node scaled to nothing still has its volume. */
static const char *volume_node(struct sched *s, const struct volume_row *v)
{
	const struct stack *sk = state_stack(&s->st, v->stack);
	const struct release *r = sk != NULL ? stack_current(sk) : NULL;
	const char *node;
	json_t *entry;
	json_object_foreach(r != NULL ? r->nodes : NULL, node,
		entry) if (mounts_volume(hub_def(s, sk, (unsigned)vk_json_int(entry, "born", 0),
						 node),
				   v->name)) return node;
	return NULL;
}

void api_volumes(struct call *c)
{
	const char *stack = vk_req_query(c->r, "stack");
	struct vk_err err = {0};
	if (stack != NULL && stack[0] != '\0' &&
		rights_check(&c->who, VERB_READ, stack, &err) != 0) {
		call_error(c, &err);
		return;
	}
	json_t *list = json_array();
	struct volume_row *v;
	table_each(&c->s->st.volumes, i, v)
	{
		if (!rights_sees(&c->who, v->stack) ||
			(stack != NULL && stack[0] != '\0' && strcmp(stack, v->stack) != 0))
			continue;
		vk_autofree char *user = volume_user(c->s, v);
		json_array_append_new(list,
			json_pack("{s:s,s:s,s:s,s:s,s:s?,s:I,s:s?}", "name", v->name, "stack",
				v->stack, "node", v->node, "path", v->path, "host", v->host,
				"created_ms", (json_int_t)v->created_ms, "instance", user));
	}
	call_json(c, 200, json_pack("{s:o}", "volumes", list));
}

void api_volume_remove(struct call *c)
{
	struct vk_err err = {0};
	const struct volume_row *v = table_get(&c->s->st.volumes, c->part[0]);
	vk_autofree char *user = v != NULL ? volume_user(c->s, v) : NULL;
	const char *node = v != NULL ? volume_node(c->s, v) : NULL;
	if (v == NULL)
		vk_err_set(&err, VK_NOTFOUND, "there is no volume %.128s", c->part[0]);
	else if (user != NULL)
		vk_err_set(&err, VK_CONFLICT, "volume %s is in use by %s", v->name, user);
	else if (node != NULL)
		vk_err_set(&err, VK_CONFLICT, "volume %s belongs to node %s of %s", v->name, node,
			v->stack);
	if (err.code == VK_CONFLICT)
		vk_err_hint(&err, "push a manifest without it first, or: viking stacks:destroy %s",
			v->stack);
	if (err.code != 0) {
		call_error(c, &err);
		return;
	}
	struct txn *t = txn_new(c->s);
	txn_del(t, "/volume/%s", v->name);
	txn_put(t, json_pack("{s:i}", "v", MODEL_VERSION), "/gone/volume/%s", v->name);
	hub_event(c->s, "volume", v->stack, "removed", c->who.name);
	call_commit(c, t, NULL);
}

/* ---- gc ---- */

struct collection {
	struct sched *s;
	struct vk_req *r;
	struct build *b;
	int64_t began;
};

static void gc_line(struct collection *g, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void gc_line(struct collection *g, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vk_autofree char *text = vk_vasprintf(fmt, ap);
	va_end(ap);
	vk_req_line(g->r, json_pack("{s:o}", "out", vk_json_safe_string(text, strlen(text))));
}

static void gc_closed(void *arg, struct vk_req *r)
{
	struct collection *g = arg;
	(void)r;
	builds_cancel(g->s, g->b, "the client went away");
	free(g);
}

static void gc_out(void *arg, struct build *b, const char *line)
{
	(void)b;
	gc_line(arg, "       %s", line);
}

static json_t *gc_result(struct collection *g, const json_t *done)
{
	char freed[24], took[24];
	if (!vk_json_bool(done, "ok", false))
		return json_pack("{s:b,s:s,s:s,s:s}", "ok", 0, "error",
			vk_json_str(done, "error", "FAILED"), "message",
			vk_json_str(done, "message", "the collection failed"), "hint",
			vk_json_str(done, "hint", ""));
	vk_format_size((uint64_t)vk_json_int(done, "freed", 0), freed);
	gc_line(g, "=====> %lld images removed, %s freed (%s)",
		(long long)vk_json_int(done, "removed", 0), freed, op_seconds(g->began, took));
	return json_pack("{s:b,s:I,s:I}", "ok", 1, "freed",
		(json_int_t)vk_json_int(done, "freed", 0), "removed",
		(json_int_t)vk_json_int(done, "removed", 0));
}

static void gc_done(void *arg, struct build *b, const json_t *done)
{
	struct collection *g = arg;
	struct vk_req *r = g->r;
	(void)b;
	json_t *end = gc_result(g, done);
	free(g);
	vk_req_line(r, json_pack("{s:o}", "end", end));
	vk_req_end(r);
}

static const struct build_events gc_events = {.out = gc_out, .done = gc_done};

void api_gc(struct call *c)
{
	struct vk_err err = {0};
	struct sched *s = c->s;
	if (builds_collecting(s))
		vk_err_set(&err, VK_CONFLICT, "a collection is under way");
	else if (!builds_live(s))
		vk_err_set(&err, VK_UNAVAILABLE, "the builder is not connected");
	if (err.code != 0) {
		call_error(c, &err);
		return;
	}
	struct collection *g = vk_alloc(sizeof(*g));
	g->s = s;
	g->began = vk_mono_ms();
	g->b = gc_start(s, c->who.name, &gc_events, g); /* tells nothing before the next report */
	g->r = call_take(c);
	vk_req_stream(g->r, 200, NULL, QUEUE_MAX, gc_closed, g);
	gc_line(g, "-----> Collecting images that no kept release needs");
}
