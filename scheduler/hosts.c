/* What agents shall do and what they say. */
#include "hosts.h"

#include <string.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "desired.h"
#include "feed.h"
#include "join.h"
#include "op.h"
#include "rollcall.h"
#include "txn.h"

#define PATIENCE_MS 10000
#define BLINK_MS    5000 /* an agent that comes back, or comes to a new leader, needs less */

/* One that has a row or an agent: what it shall run, and what it said since our start. */
struct host {
	char *name;
	struct hosts *h;
	struct feed *feed;
	struct table status;
	json_t *facts;
	char *id;            /* of the installation whose agent is connected, or was last */
	int64_t engine_gone; /* monotonic; 0 = it is there, or nothing is known */
	int64_t away;        /* monotonic: since when no agent is connected; 0 = one is */
	bool synced;
};

struct hosts {
	struct sched *s;
	struct table host;
	json_t *where;             /* {instance: {"host", "stack", "node"}} of all that is wanted */
	struct vk_timer *patience; /* with operations that wait for an engine that is gone */
	struct vk_timer *grace;    /* of the next host to be given up */
	struct rollcall *roll;
};

static const char *const state_names[] = {
	[INST_PULLING] = "pulling",
	[INST_STARTING] = "starting",
	[INST_RUNNING] = "running",
	[INST_HEALTHY] = "healthy",
	[INST_UNHEALTHY] = "unhealthy",
	[INST_BACKOFF] = "backoff",
	[INST_EXITED] = "exited",
	[INST_FAILED] = "failed",
	[INST_STOPPING] = "stopping",
	[INST_GONE] = "gone",
	[INST_UNKNOWN] = "unknown",
};

const char *inst_why(const struct inst_status *st)
{
	static const char cannot[] = "cannot start: ";
	const char *why = st->reason != NULL ? st->reason : st->probe;
	char said[48];
	if (why == NULL)
		return NULL;
	snprintf(said, sizeof(said), "exited with status %lld", (long long)st->exit);
	if (st->exited && strcmp(why, said) == 0)
		return NULL;
	return !st->exited && vk_starts(why, cannot) ? why + strlen(cannot) : why;
}

const char *inst_state_name(enum inst_state st)
{
	return state_names[st];
}

static enum inst_state state_from_name(const char *name)
{
	for (size_t i = 0; i < VK_COUNT(state_names); i++)
		if (strcmp(state_names[i], name) == 0)
			return (enum inst_state)i;
	return INST_UNKNOWN;
}

static void status_clear(struct inst_status *st)
{
	free(st->container);
	free(st->ip);
	free(st->reason);
	free(st->probe);
	json_decref(st->tail);
	json_decref(st->published);
	json_decref(st->reach);
}

static void status_free(void *row)
{
	struct inst_status *st = row;
	if (st == NULL)
		return;
	status_clear(st);
	free(st->name);
	free(st);
}

/* ---- hosts ---- */

static struct host *own(const struct sched *s)
{
	return table_get(&s->hosts->host, s->cfg->host_name);
}

/* Away from now on. */
static void host_went(struct host *o)
{
	struct hosts *h = o->h;
	o->away = vk_mono_ms();
	vk_timer_set(h->grace, 0);
	if (strcmp(o->name, h->s->cfg->host_name) != 0)
		rollcall_begin(h->roll, o->name);
}

static void watch_changed(void *arg)
{
	struct host *o = arg;
	size_t live = feed_live(o->feed);
	vk_log(VK_INFO, "agent-watch", "host=%s live=%zu", o->name, live);
	if (live > 0)
		o->away = 0;
	else
		host_went(o);
	hub_touch(o->h->s);
}

static struct host *host_ensure(struct hosts *h, const char *name)
{
	struct host *o = table_get(&h->host, name);
	if (o != NULL)
		return o;
	o = vk_alloc(sizeof(*o));
	o->name = vk_strdup(name);
	o->h = h;
	o->feed = feed_new(h->s->st.epoch, watch_changed, o);
	table_add(&h->host, o);
	host_went(o);
	return o;
}

static void host_free(void *row)
{
	struct host *o = row;
	feed_free(o->feed);
	table_release(&o->status, status_free);
	json_decref(o->facts);
	free(o->id);
	free(o->name);
	free(o);
}

enum host_life hosts_life(const struct sched *s, const char *host)
{
	const struct host *o = table_get(&s->hosts->host, host);
	if (o == NULL)
		return HOST_LOST;
	if (o->away == 0)
		return HOST_UP;
	bool over = vk_mono_ms() - o->away >= (int64_t)s->cfg->host_grace_ms;
	return over || rollcall_silent(s->hosts->roll, host) ? HOST_LOST : HOST_AWAY;
}

bool hosts_lost(const struct sched *s, const char *host)
{
	return strcmp(host, s->cfg->host_name) != 0 && hosts_life(s, host) == HOST_LOST;
}

bool hosts_fit(const struct sched *s, const char *host)
{
	const struct host *o = table_get(&s->hosts->host, host);
	return o != NULL && (o->away == 0 || vk_mono_ms() - o->away < BLINK_MS);
}

/* The next host whose grace is over: those who decide by it look again. */
static void grace_over(void *arg)
{
	struct hosts *h = arg;
	int64_t now = vk_mono_ms(), next = -1;
	const struct host *o;
	table_each(&h->host, i, o)
	{
		int64_t left = o->away + (int64_t)h->s->cfg->host_grace_ms - now;
		if (o->away != 0 && left > 0 && (next < 0 || left < next))
			next = left;
	}
	vk_timer_set(h->grace, next);
	hub_touch(h->s);
}

int hosts_engine(const struct sched *s, int64_t ms, struct vk_err *err)
{
	int64_t gone = own(s)->engine_gone;
	if (gone == 0 || vk_mono_ms() - gone < ms)
		return 0;
	char since[24];
	vk_format_duration_ms(vk_mono_ms() - gone, since);
	vk_err_set(err, VK_UNAVAILABLE, "the Docker Engine of %s does not answer (for %s)",
		s->cfg->host_name, since);
	return vk_err_hint(err, "on the host: viking doctor; sudo systemctl restart docker");
}

static void patience_over(void *arg)
{
	struct hosts *h = arg;
	struct vk_err err = {0};
	if (hosts_engine(h->s, 0, &err) != 0)
		ops_cancel_all(h->s, &err);
}

struct hosts *hosts_new(struct sched *s)
{
	struct hosts *h = vk_alloc(sizeof(*h));
	h->s = s;
	h->where = json_object();
	h->patience = vk_timer_new(s->loop, patience_over, h);
	h->grace = vk_timer_new(s->loop, grace_over, h);
	h->roll = rollcall_new(s);
	host_ensure(h, s->cfg->host_name);
	return h;
}

void hosts_free(struct hosts *h)
{
	if (h == NULL)
		return;
	table_release(&h->host, host_free);
	json_decref(h->where);
	vk_timer_free(h->patience);
	vk_timer_free(h->grace);
	rollcall_free(h->roll);
	free(h);
}

static const json_t *wanted_def(void *arg, const struct stack *sk, unsigned born, const char *node)
{
	return hub_def(arg, sk, born, node);
}

static void where_add(json_t *where, const char *host, const json_t *doc)
{
	size_t i;
	json_t *j;
	json_array_foreach(json_object_get(doc, "instances"), i, j)
		json_object_set_new(where, vk_json_str(j, "name", ""),
			json_pack("{s:s,s:O,s:O}", "host", host, "stack",
				json_object_get(j, "stack"), "node", json_object_get(j, "node")));
}

void hosts_refresh(struct sched *s)
{
	struct desired_in in = {
		.st = &s->st,
		.own = s->cfg->host_name,
		.range = s->range,
		.health_timeout_ms = (int64_t)s->cfg->health_timeout_ms,
		.dns = s->cfg->dns_enabled,
		.def = wanted_def,
		.arg = s,
	};
	vk_autojson *docs = desired_build(&in);
	const char *name;
	json_t *doc;
	json_object_clear(s->hosts->where);
	json_object_foreach(docs, name, doc)
	{
		where_add(s->hosts->where, name, doc);
		feed_set(host_ensure(s->hosts, name)->feed, json_incref(doc));
	}
}

const json_t *hosts_wanted(const struct sched *s)
{
	return feed_doc(own(s)->feed);
}

/* Two machines of one name would each stop what the other runs. */
static int host_claim(struct host *o, const char *id, struct vk_err *err)
{
	const struct host_row *row = table_get(&o->h->s->st.hosts, o->name);
	const char *known = o->id != NULL ? o->id : row != NULL ? row->id : NULL;
	if (id == NULL || known == NULL || strcmp(known, id) == 0 || o->away != 0)
		return 0;
	vk_err_set(err, VK_CONFLICT, "another machine is connected as host %s", o->name);
	return vk_err_hint(err, "give this one another name: host.name in viking.conf");
}

int hosts_watch(
	struct sched *s, const char *name, const char *id, struct vk_req *r, struct vk_err *err)
{
	struct host *o = host_ensure(s->hosts, name != NULL ? name : s->cfg->host_name);
	int rc = host_claim(o, id, err);
	if (rc != 0)
		return rc;
	free(o->id);
	o->id = vk_strdup(id);
	feed_attach(o->feed, r);
	return 0;
}

/* ---- reports ---- */

static char *text_of(const json_t *j, const char *key)
{
	const char *s = vk_json_str(j, key, NULL);
	return s != NULL && s[0] != '\0' ? vk_strdup(s) : NULL;
}

static void status_fill(struct inst_status *st, const json_t *j)
{
	status_clear(st);
	const json_t *exit_status = json_object_get(j, "exit");
	*st = (struct inst_status){
		.name = st->name,
		.state = state_from_name(vk_json_str(j, "state", "unknown")),
		.gen = (uint64_t)vk_json_int(j, "gen", 0),
		.container = text_of(j, "container"),
		.ip = text_of(j, "ip"),
		.reason = text_of(j, "reason"),
		.probe = text_of(j, "probe"),
		.started_ms = vk_json_int(j, "started_ms", 0),
		.exit = json_is_integer(exit_status) ? json_integer_value(exit_status) : 0,
		.exited = json_is_integer(exit_status),
		.restarts = (uint64_t)vk_json_int(j, "restarts", 0),
		.oom = vk_json_bool(j, "oom", false),
		.old_resolver = vk_json_bool(j, "old_resolver", false),
		.tail = json_incref(json_object_get(j, "tail")),
		.published = json_incref(json_object_get(j, "published")),
		.reach = json_incref(json_object_get(j, "reach")),
	};
}

static void status_event(struct host *o, const struct inst_status *st)
{
	const json_t *j = json_object_get(o->h->where, st->name);
	char what[256];
	snprintf(what, sizeof(what), "%s%s%s", state_names[st->state],
		st->reason != NULL ? ": " : "", st->reason != NULL ? st->reason : "");
	events_add(o->h->s->events,
		&(struct event){.type = "instance",
			.stack = vk_json_str(j, "stack", NULL),
			.node = vk_json_str(j, "node", NULL),
			.instance = st->name,
			.what = what});
}

static void status_one(struct host *o, const json_t *j)
{
	const char *name = vk_json_str(j, "name", NULL);
	if (name == NULL)
		return;
	struct inst_status *st = table_get(&o->status, name);
	enum inst_state before = st != NULL ? st->state : INST_UNKNOWN;
	if (st == NULL) {
		st = vk_alloc(sizeof(*st));
		st->name = vk_strdup(name);
		table_add(&o->status, st);
	}
	status_fill(st, j);
	if (st->state != before)
		status_event(o, st);
	if (st->state == INST_GONE && json_object_get(o->h->where, name) == NULL)
		status_free(table_take(&o->status, name));
}

static bool named(const json_t *list, const char *name)
{
	size_t i;
	json_t *j;
	json_array_foreach(
		list, i, j) if (strcmp(vk_json_str(j, "name", ""), name) == 0) return true;
	return false;
}

static struct host *host_named(struct sched *s, const json_t *body)
{
	return host_ensure(s->hosts, vk_json_str(body, "host", s->cfg->host_name));
}

int hosts_status(struct sched *s, const json_t *body, struct vk_err *err)
{
	struct host *o = host_named(s, body);
	const json_t *list = json_object_get(body, "instances");
	if (!json_is_array(list))
		return vk_err_set(err, VK_INVALID, "instances is missing");
	if (vk_json_bool(body, "full", false)) {
		for (size_t i = o->status.n; i-- > 0;) {
			struct inst_status *st = o->status.row[i];
			if (!named(list, st->name))
				status_free(table_take(&o->status, st->name));
		}
		o->synced = true;
	}
	size_t i;
	json_t *j;
	json_array_foreach(list, i, j) status_one(o, j);
	hub_touch(s);
	return 0;
}

/* One of the cluster's that has got another cluster.address: the others are to find it there. */
static void move_host(
	const struct sched *s, struct host_row *row, const char *name, const json_t *facts)
{
	const char *addr = vk_json_str(facts, "cluster_address", NULL);
	struct vk_err err = {0};
	if (row->addr == NULL || addr == NULL || strcmp(row->addr, addr) == 0)
		return;
	if (join_place_check(&s->st, name, addr, row->port, &err) == 0) /* else doctor tells */
		row->addr = (char *)(uintptr_t)addr;
}

/* Its row, when what it is has changed. Load and free disk are not stored. */
static void host_write(struct sched *s, const struct host *o)
{
	const struct host_row *old = table_get(&s->st.hosts, o->name);
	vk_autojson *was = model_encode(host_fields, old != NULL ? old : &(struct host_row){0});
	struct host_row now = old != NULL ? *old : (struct host_row){.created_ms = vk_now_ms()};
	const char *engine = vk_json_str(o->facts, "engine", "");
	now.cpus = (uint64_t)vk_json_int(o->facts, "cpus", 0);
	now.memory = (uint64_t)vk_json_int(o->facts, "memory", 0);
	now.disk = (uint64_t)vk_json_int(o->facts, "disk", 0);
	now.told = json_object_get(o->facts, "roles");
	now.zone = (char *)(uintptr_t)vk_json_str(o->facts, "zone", NULL);
	now.id = o->id != NULL ? o->id : now.id;
	move_host(s, &now, o->name, o->facts);
	if (engine[0] != '\0') /* "" = it does not answer at the moment */
		now.engine = (char *)(uintptr_t)engine;
	json_t *row = model_encode(host_fields, &now);
	if (json_equal(was, row)) {
		json_decref(row);
		return;
	}
	struct txn *t = txn_new(s);
	txn_put(t, row, "/host/%s", o->name);
	txn_commit(t, NULL, NULL);
}

void hosts_facts_set(struct sched *s, const json_t *body)
{
	struct host *o = host_named(s, body);
	json_decref(o->facts);
	o->facts = json_incref((json_t *)(uintptr_t)body);
	host_write(s, o);
	const char *engine = vk_json_str(body, "engine", NULL);
	bool gone = engine != NULL && engine[0] == '\0';
	if (gone == (o->engine_gone != 0))
		return;
	o->engine_gone = gone ? vk_mono_ms() : 0;
	if (o == own(s))
		vk_timer_set(s->hosts->patience, gone ? PATIENCE_MS : -1);
}

const json_t *hosts_facts(const struct sched *s, const char *host)
{
	const struct host *o = table_get(&s->hosts->host, host != NULL ? host : s->cfg->host_name);
	return o != NULL ? o->facts : NULL;
}

/* ---- what is known ---- */

const char *hosts_where(const struct sched *s, const char *instance)
{
	return vk_json_str(json_object_get(s->hosts->where, instance), "host", NULL);
}

char *hosts_agent_socket(const struct sched *s, const char *host)
{
	if (host[0] == '\0' || strcmp(host, s->cfg->host_name) == 0)
		return vk_run_path(s->cfg, "agent.sock");
	return vk_run_path(s->cfg, "hosts/%s/agent.sock", host);
}

const char *hosts_stack(const struct sched *s, const char *instance)
{
	return vk_json_str(json_object_get(s->hosts->where, instance), "stack", NULL);
}

/* What another host says of an instance does not count: it is to stop it. */
const struct inst_status *hosts_find(const struct sched *s, const char *instance)
{
	const char *host = hosts_where(s, instance);
	const struct host *o = host != NULL ? table_get(&s->hosts->host, host) : NULL;
	if (o != NULL)
		return table_get(&o->status, instance);
	const struct inst_status *st = NULL;
	for (size_t i = 0; i < s->hosts->host.n && st == NULL; i++) {
		o = s->hosts->host.row[i];
		st = table_get(&o->status, instance);
	}
	return st;
}

bool hosts_live(const struct sched *s)
{
	return own(s)->away == 0;
}

bool hosts_synced(const struct sched *s)
{
	const struct host *o;
	bool any = false, all = true;
	table_each(&s->hosts->host, i, o)
	{
		any = any || o->synced;
		all = all && (o->synced || hosts_life(s, o->name) == HOST_LOST);
	}
	return any && all;
}

/* Only at the address that the others know its host by. */
static void far_address(const struct sched *s, const struct inst_status *st, struct inst_addr *ret)
{
	const struct host_row *own = table_get(&s->st.hosts, s->cfg->host_name);
	const char *host = hosts_where(s, st->name);
	const struct host_row *row = host != NULL ? table_get(&s->st.hosts, host) : NULL;
	if (own == NULL || own->addr == NULL || row == NULL)
		return;
	ret->host = row->name;
	ret->away = hosts_life(s, host) != HOST_UP;
	if (row->addr == NULL || !vk_streq(vk_json_str(st->reach, "addr", NULL), row->addr))
		return;
	ret->far = row->addr;
	ret->ports = json_object_get(st->reach, "ports");
}

bool hosts_address(void *arg, const char *instance, struct inst_addr *ret)
{
	const struct inst_status *st = hosts_find(arg, instance);
	if (st == NULL || st->ip == NULL ||
		(st->state != INST_HEALTHY && st->state != INST_UNHEALTHY))
		return false;
	*ret = (struct inst_addr){.healthy = st->state == INST_HEALTHY, .ip = st->ip};
	far_address(arg, st, ret);
	return true;
}

bool hosts_is_gone(const struct sched *s, const char *instance)
{
	const struct inst_status *st = hosts_find(s, instance);
	return st == NULL ? hosts_synced(s) : st->state == INST_GONE;
}
