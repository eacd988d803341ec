/* What agents shall do and what they say. */
#include "hosts.h"

#include <string.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "desired.h"
#include "feed.h"
#include "op.h"

#define PATIENCE_MS 10000

struct hosts {
	struct sched *s;
	struct feed *feed;
	struct table status;
	json_t *facts;
	int64_t engine_gone;       /* monotonic; 0 = it is there, or nothing is known */
	struct vk_timer *patience; /* with operations that wait for an engine that is gone */
	bool synced;
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
	json_decref(st->listening);
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

static void watch_changed(void *arg)
{
	struct hosts *h = arg;
	vk_log(VK_INFO, "agent-watch", "live=%zu", feed_live(h->feed));
	hub_touch(h->s);
}

int hosts_engine(const struct sched *s, int64_t ms, struct vk_err *err)
{
	int64_t gone = s->hosts->engine_gone;
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
	h->patience = vk_timer_new(s->loop, patience_over, h);
	h->feed = feed_new(s->st.epoch, watch_changed, h);
	return h;
}

void hosts_free(struct hosts *h)
{
	if (h == NULL)
		return;
	feed_free(h->feed);
	table_release(&h->status, status_free);
	vk_timer_free(h->patience);
	json_decref(h->facts);
	free(h);
}

static const json_t *wanted_def(void *arg, const struct stack *sk, unsigned born, const char *node)
{
	return hub_def(arg, sk, born, node);
}

void hosts_refresh(struct sched *s)
{
	struct desired_in in = {
		.st = &s->st,
		.range = s->range,
		.health_timeout_ms = (int64_t)s->cfg->health_timeout_ms,
		.dns = s->cfg->dns_enabled,
		.def = wanted_def,
		.arg = s,
	};
	feed_set(s->hosts->feed, desired_build(&in));
}

const json_t *hosts_wanted(const struct sched *s)
{
	return feed_doc(s->hosts->feed);
}

void hosts_watch(struct sched *s, const char *host, struct vk_req *r)
{
	(void)host; /* one host: its document is the whole */
	feed_attach(s->hosts->feed, r);
}

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
		.tail = json_incref(json_object_get(j, "tail")),
		.published = json_incref(json_object_get(j, "published")),
		.listening = json_incref(json_object_get(j, "listening")),
	};
}

/* Stack and node of an instance that is wanted; borrowed from the wanted document. */
static const json_t *wanted_instance(const struct hosts *h, const char *name)
{
	size_t i;
	json_t *j;
	json_array_foreach(json_object_get(feed_doc(h->feed), "instances"), i,
		j) if (strcmp(vk_json_str(j, "name", ""), name) == 0) return j;
	return NULL;
}

static void status_event(struct hosts *h, const struct inst_status *st)
{
	const json_t *j = wanted_instance(h, st->name);
	char what[256];
	snprintf(what, sizeof(what), "%s%s%s", state_names[st->state],
		st->reason != NULL ? ": " : "", st->reason != NULL ? st->reason : "");
	events_add(h->s->events,
		&(struct event){.type = "instance",
			.stack = vk_json_str(j, "stack", NULL),
			.node = vk_json_str(j, "node", NULL),
			.instance = st->name,
			.what = what});
}

static void status_one(struct hosts *h, const json_t *j)
{
	const char *name = vk_json_str(j, "name", NULL);
	if (name == NULL)
		return;
	struct inst_status *st = table_get(&h->status, name);
	enum inst_state before = st != NULL ? st->state : INST_UNKNOWN;
	if (st == NULL) {
		st = vk_alloc(sizeof(*st));
		st->name = vk_strdup(name);
		table_add(&h->status, st);
	}
	status_fill(st, j);
	if (st->state != before)
		status_event(h, st);
	if (st->state == INST_GONE && wanted_instance(h, name) == NULL)
		status_free(table_take(&h->status, name));
}

static bool named(const json_t *list, const char *name)
{
	size_t i;
	json_t *j;
	json_array_foreach(
		list, i, j) if (strcmp(vk_json_str(j, "name", ""), name) == 0) return true;
	return false;
}

int hosts_status(struct sched *s, const json_t *body, struct vk_err *err)
{
	struct hosts *h = s->hosts;
	const json_t *list = json_object_get(body, "instances");
	if (!json_is_array(list))
		return vk_err_set(err, VK_INVALID, "instances is missing");
	if (vk_json_bool(body, "full", false)) {
		for (size_t i = h->status.n; i-- > 0;) {
			struct inst_status *st = h->status.row[i];
			if (!named(list, st->name))
				status_free(table_take(&h->status, st->name));
		}
		h->synced = true;
	}
	size_t i;
	json_t *j;
	json_array_foreach(list, i, j) status_one(h, j);
	hub_touch(s);
	return 0;
}

void hosts_facts_set(struct sched *s, const json_t *body)
{
	struct hosts *h = s->hosts;
	json_decref(h->facts);
	h->facts = json_incref((json_t *)(uintptr_t)body);
	const char *engine = vk_json_str(body, "engine", NULL);
	bool gone = engine != NULL && engine[0] == '\0';
	if (gone == (h->engine_gone != 0))
		return;
	h->engine_gone = gone ? vk_mono_ms() : 0;
	vk_timer_set(h->patience, gone ? PATIENCE_MS : -1);
}

const json_t *hosts_facts(const struct sched *s)
{
	return s->hosts->facts;
}

const struct inst_status *hosts_find(const struct sched *s, const char *instance)
{
	return table_get(&s->hosts->status, instance);
}

bool hosts_live(const struct sched *s)
{
	return feed_live(s->hosts->feed) > 0;
}

bool hosts_synced(const struct sched *s)
{
	return s->hosts->synced;
}

const char *hosts_address(void *arg, const char *instance, bool *ret_healthy)
{
	const struct inst_status *st = hosts_find(arg, instance);
	if (st == NULL || st->ip == NULL ||
		(st->state != INST_HEALTHY && st->state != INST_UNHEALTHY))
		return NULL;
	*ret_healthy = st->state == INST_HEALTHY;
	return st->ip;
}

bool hosts_is_gone(const struct sched *s, const char *instance)
{
	const struct inst_status *st = hosts_find(s, instance);
	return st == NULL ? s->hosts->synced : st->state == INST_GONE;
}
