/* The classic keys from what is wanted and what is reported. */
#include "view.h"

#include <stdarg.h>
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "hosts.h"
#include "instances.h"
#include "jobs.h"

#define TAG_MAX 24

struct view {
	struct sched *s;
	const char *prefix;
	json_t *keys;
	json_int_t rev;
	size_t stack_max; /* a mirror's: larger stacks are left out, and the jobs that others put; 0 = all */
};

/* What is known of one instance while its keys are made. */
struct view_inst {
	const struct stack *sk;
	const struct inst *i;
	const struct inst_status *st; /* NULL when nothing is reported */
	const json_t *def;
	char tag[TAG_MAX];
};

static void put(struct view *v, json_t *value, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void put(struct view *v, json_t *value, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vk_autofree char *key = vk_vasprintf(fmt, ap);
	va_end(ap);
	if (vk_starts(key, v->prefix))
		json_array_append_new(v->keys,
			json_pack("{s:s,s:o,s:I}", "key", key, "value", value, "rev", v->rev));
	else
		json_decref(value);
}

/* ---- one instance ---- */

static json_t *names_of(const json_t *object)
{
	json_t *list = json_array();
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)object, name, value)
		json_array_append_new(list, json_string(name));
	return list;
}

static void put_proc(struct view *v, const struct view_inst *x)
{
	static const char *const shown[] = {
		"image", "cmd", "cwd", "expose", "publish", "mounts", "memory", "cpus_milli"};
	json_t *job = json_pack("{s:s,s:i,s:i}", "kind", x->i->task ? "task" : "app", "version",
		(int)x->i->version, "n", (int)x->i->n);
	for (size_t i = 0; i < VK_COUNT(shown); i++)
		json_object_set(job, shown[i], json_object_get(x->def, shown[i]));
	json_object_set_new(job, "env", names_of(json_object_get(x->def, "env")));
	put(v, job, "/proc/%s/%s/%s", x->sk->name, x->i->node, x->tag);
}

static void put_placed(struct view *v, const struct view_inst *x)
{
	const char *host = x->i->host[0] != '\0' ? x->i->host : v->s->cfg->host_name;
	bool runs = x->st != NULL && x->st->container != NULL && x->st->state != INST_GONE;
	put(v, json_string(host), "/run/%s/%s/%s", x->sk->name, x->i->node, x->tag);
	put(v, json_string(runs ? x->i->name : ""), "/deploy/%s/%s/%s/%s", host, x->sk->name,
		x->i->node, x->tag);
	if (x->st != NULL)
		put(v, json_integer((json_int_t)x->st->restarts), "/counter/%s/%s/%s/%s", host,
			x->sk->name, x->i->node, x->tag);
}

static void put_port(struct view *v, const struct view_inst *x, int64_t port, const char *proto,
	const char *ip, int64_t host_port)
{
	put(v, json_sprintf("%s:%lld", ip, (long long)host_port), "/ports/%s/%s/%lld/%s/%s/%lld/%s",
		x->sk->name, x->i->node, (long long)port, proto, ip, (long long)host_port,
		x->i->name);
}

/* Where the hosts of a cluster reach it; without one, and for UDP, the container's address, which its own host reaches. */
static void put_exposed(
	struct view *v, const struct view_inst *x, const struct inst_addr *a, const json_t *expose)
{
	int64_t port = vk_json_int(expose, "port", 0);
	const char *proto = vk_json_str(expose, "proto", "tcp");
	char name[24];
	snprintf(name, sizeof(name), "%lld", (long long)port);
	int64_t far =
		a->far != NULL && strcmp(proto, "tcp") == 0 ? vk_json_int(a->ports, name, 0) : 0;
	put_port(v, x, port, proto, far > 0 ? a->far : a->ip, far > 0 ? far : port);
}

/* A published port is reached from everywhere. */
static void put_ports(struct view *v, const struct view_inst *x)
{
	struct inst_addr a = {0};
	size_t i;
	json_t *p;
	if (x->st == NULL || x->st->state != INST_HEALTHY || x->i->drain)
		return;
	if (hosts_address(v->s, x->i->name, &a))
		json_array_foreach(json_object_get(x->def, "expose"), i, p)
			put_exposed(v, x, &a, p);
	json_array_foreach(json_object_get(x->def, "publish"), i, p)
		put_port(v, x, vk_json_int(p, "port", 0), vk_json_str(p, "proto", "tcp"), "0.0.0.0",
			vk_json_int(p, "host", 0));
}

static void put_failed(struct view *v, const struct view_inst *x)
{
	if (x->st == NULL || x->st->state != INST_FAILED)
		return;
	put(v, json_pack("{s:s?,s:O?}", "reason", x->st->reason, "tail", x->st->tail),
		"/failed/%s/%s/%s", x->sk->name, x->i->node, x->tag);
}

/* ---- stacks and the host ---- */

static void put_instances(struct view *v, const struct stack *sk)
{
	struct inst_list list = {0};
	stack_instances(sk, stack_overlay(sk), &list);
	for (size_t i = 0; i < list.n && (v->stack_max == 0 || list.n <= v->stack_max); i++) {
		struct view_inst x = {
			.sk = sk, .i = &list.v[i], .st = hosts_find(v->s, list.v[i].name)};
		if (list.v[i].stop)
			continue;
		x.def = hub_def(v->s, sk, list.v[i].born, list.v[i].node);
		snprintf(x.tag, sizeof(x.tag), "%u-%u", list.v[i].version, list.v[i].n);
		if (v->stack_max == 0 || !jobs_own(sk))
			put_proc(v, &x);
		put_placed(v, &x);
		put_ports(v, &x);
		put_failed(v, &x);
	}
	inst_list_release(&list);
}

static void put_fixed(struct view *v)
{
	const struct volume_row *row;
	const char *stack = "", *node = "";
	table_each(&v->s->st.volumes, i, row)
	{
		if (strcmp(row->stack, stack) == 0 && strcmp(row->node, node) == 0)
			continue; /* sorted by names that begin with both */
		stack = row->stack;
		node = row->node;
		put(v, json_string(row->host != NULL ? row->host : v->s->cfg->host_name),
			"/fixed/%s/%s", stack, node);
	}
}

static void put_host(struct view *v, const char *name)
{
	const struct host_row *row = table_get(&v->s->st.hosts, name);
	const json_t *facts = hosts_facts(v->s, name);
	json_t *host = row != NULL ? model_encode(host_fields, row) : json_object();
	json_object_update(host, (json_t *)(uintptr_t)facts);
	json_object_set_new(host, "live", json_boolean(hosts_life(v->s, name) == HOST_UP));
	put(v, host, "/host/%s", name);
}

static void put_hosts(struct view *v)
{
	const struct host_row *row;
	table_each(&v->s->st.hosts, i, row) put_host(v, row->name);
	if (table_get(&v->s->st.hosts, v->s->cfg->host_name) == NULL)
		put_host(v, v->s->cfg->host_name);
}

static void put_all(struct view *v)
{
	struct stack *sk;
	v->rev = vk_json_int(hosts_wanted(v->s), "rev", 0);
	put_hosts(v);
	put_fixed(v);
	table_each(&v->s->st.stacks, i, sk) if (sk->exists) put_instances(v, sk);
}

void view_add(struct sched *s, const char *prefix, json_t *keys)
{
	put_all(&(struct view){.s = s, .prefix = prefix, .keys = keys});
}

json_t *view_mirror(struct sched *s, size_t stack_max)
{
	vk_autojson *keys = json_array();
	json_t *texts = json_object(), *row;
	size_t i;
	put_all(&(struct view){.s = s, .prefix = "/", .keys = keys, .stack_max = stack_max});
	json_array_foreach(keys, i, row)
	{
		json_t *value = json_object_get(row, "value");
		vk_autofree char *text = json_is_string(value) ? NULL : vk_json_text(value);
		json_object_set_new(texts, vk_json_str(row, "key", ""),
			text != NULL ? json_string(text) : json_incref(value));
	}
	return texts;
}

json_t *view_public(const char *key, const json_t *value)
{
	static const char *const hidden[] = {"sealed", "doc", "config"};
	if (!json_is_object(value))
		return json_null();
	json_t *copy = json_copy((json_t *)(uintptr_t)value);
	for (size_t i = 0; i < VK_COUNT(hidden); i++)
		json_object_del(copy, hidden[i]);
	if (vk_starts(key, "/release/")) /* the names are of use: which values a release has */
		json_object_set_new(copy, "config", names_of(json_object_get(value, "config")));
	return copy;
}
