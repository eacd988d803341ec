/* What ties the parts together: refreshing, definitions, configuration. */
#include "hub.h"

#include <string.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>

#include "acme.h"
#include "certwork.h"
#include "classic.h"
#include "copies.h"
#include "drain.h"
#include "front.h"
#include "holder.h"
#include "hosts.h"
#include "moves.h"
#include "net.h"
#include "netfeed.h"
#include "op.h"
#include "receipts.h"
#include "resolve.h"
#include "router.h"

void hub_event(
	struct sched *s, const char *type, const char *stack, const char *what, const char *who)
{
	events_add(
		s->events, &(struct event){.type = type, .stack = stack, .what = what, .who = who});
}

/* Definitions hold secrets: only those in use stay in memory. */
static void defs_sweep(struct sched *s)
{
	struct stack *sk;
	table_each(&s->st.stacks, i, sk)
	{
		for (size_t k = 0; k < sk->n_releases; k++) {
			struct release *r = sk->release[k];
			if (!r->defs_used) {
				json_decref(r->defs);
				r->defs = NULL;
			}
			r->defs_used = false;
		}
	}
}

void hub_refresh(struct sched *s)
{
	hosts_refresh(s);
	front_refresh(s);
	holder_note(s, &s->st);
	netfeed_refresh(s);
	defs_sweep(s);
	router_refresh(s);
	certwork_refresh(s);
}

static void hub_pass(void *arg)
{
	struct sched *s = arg;
	hub_refresh(s);
	drains_look(s);
	receipts_look(s);
	moves_look(s);
	copies_look(s);
	acme_touch(s);
	classic_touch(s->classic);
	ops_poke(s);
}

void hub_touch(struct sched *s)
{
	if (s->refresh == NULL)
		s->refresh = vk_timer_new(s->loop, hub_pass, s);
	vk_timer_set(s->refresh, 0);
}

json_t *hub_unseal(struct sched *s, const json_t *sealed)
{
	json_t *plain = json_object();
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)sealed, name, value)
	{
		vk_autobuf b = VK_BUF_INIT(1 << 20);
		struct vk_err err = {0};
		if (vk_unseal(&s->secret, json_string_value(value), &b, &err) != 0) {
			vk_err_wrap(&err, "config %s", name);
			vk_log_err(VK_ERROR, "unseal", &err);
			continue;
		}
		json_object_set_new(plain, name, vk_json_safe_string(vk_buf_str(&b), b.len));
		explicit_bzero(b.data, b.len);
	}
	return plain;
}

json_t *hub_config(const struct stack *sk)
{
	json_t *config = json_object();
	const struct config_row *row;
	table_each(&sk->config, i, row)
		json_object_set_new(config, row->name, json_string(row->sealed));
	return config;
}

json_t *hub_volume_names(const struct state *st, const struct stack *sk)
{
	json_t *names = json_object();
	const struct volume_row *v;
	table_each(&st->volumes, i, v)
	{
		if (strcmp(v->stack, sk->name) != 0)
			continue;
		vk_autofree char *key = vk_asprintf("%s:%s", v->node, v->path);
		json_object_set_new(names, key, json_string(v->name));
	}
	return names;
}

static json_t *def_make(
	struct sched *s, const struct stack *sk, const struct release *r, const char *node)
{
	vk_autojson *doc = release_doc(r);
	vk_autojson *config = hub_unseal(s, r->config);
	vk_autojson *volumes = hub_volume_names(&s->st, sk);
	char gateway[32];
	net_gateway(&s->range, sk, gateway);
	struct resolve_in in = {
		.stack = sk->name,
		.doc = doc,
		.boats = r->boats,
		.config = config,
		.volumes = volumes,
		.links = json_object_get(json_object_get(r->nodes, node), "links"),
		.gateway = gateway,
		.default_memory = s->cfg->default_memory,
		.default_pids = s->cfg->default_pids,
	};
	json_t *def = NULL;
	struct vk_err err = {0};
	if (doc == NULL)
		vk_err_set(&err, VK_NOTFOUND, "v%u of %s has no document any more", r->n, sk->name);
	if (doc == NULL || resolve_node(&in, node, &def, &err) != 0)
		vk_log_err(VK_ERROR, "definition", &err);
	return def;
}

const json_t *hub_def(struct sched *s, const struct stack *sk, unsigned born, const char *node)
{
	struct release *r = stack_release(sk, born);
	if (r == NULL)
		return NULL;
	if (r->defs == NULL)
		r->defs = json_object();
	json_t *def = json_object_get(r->defs, node);
	if (def == NULL) {
		def = def_make(s, sk, r, node);
		if (def != NULL)
			json_object_set_new(r->defs, node, def);
	}
	r->defs_used = true;
	return def;
}
