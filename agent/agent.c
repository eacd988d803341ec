#include "agent.h"

#include <sys/sysinfo.h>
#include <viking/api.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/str.h>

#include "diff.h"
#include "diskwatch.h"
#include "events.h"
#include "host.h"
#include "images.h"
#include "instance.h"
#include "killer.h"
#include "logring.h"
#include "net.h"
#include "policy.h"
#include "ports.h"
#include "relay.h"
#include "spec.h"
#include "status.h"

#define SETTLE_MS    2000
#define SAVE_MS      200
#define COUNTERS_MAX (64u << 20)

/* ---- what is known of the engine ---- */

static void on_info(void *arg, const struct vk_err *err, json_t *answer)
{
	struct agent *a = arg;
	a->info_op = NULL;
	status_host(a->status, host_facts(a->config, err->code == 0 ? answer : NULL, a->desired));
}

static void send_facts(struct agent *a)
{
	if (a->info_op != NULL)
		return;
	a->load = host_load();
	a->info_op =
		vk_engine_call_async(a->engine, "GET", "/info", NULL, AGENT_CALL_MS, on_info, a);
}

void agent_engine_failed(struct agent *a, const struct vk_err *err)
{
	if (!a->engine_up)
		return;
	a->engine_up = false;
	vk_log(VK_ERROR, "engine-away", "error=\"%s\"", err->code != 0 ? err->msg : "events ended");
	status_host(a->status, host_facts(a->config, NULL, a->desired));
	vk_timer_set(a->resync, AGENT_RETRY_MS);
}

static void on_pulse(void *arg, const struct vk_err *err, json_t *answer)
{
	struct agent *a = arg;
	(void)answer;
	a->pulse_op = NULL;
	if (err->code == VK_TIMEOUT || err->code == VK_UNAVAILABLE)
		agent_engine_failed(a, err);
	vk_timer_set(a->pulse, AGENT_PULSE_MS);
}

/* An engine that stands still keeps its connections and says nothing: only asking finds it out.
 * (/version would have it run two programs.) */
static void ask_pulse(void *arg)
{
	struct agent *a = arg;
	a->pulse_op =
		vk_engine_call_async(a->engine, "GET", "/_ping", NULL, AGENT_PULSE_MS, on_pulse, a);
}

static void engine_answers(struct agent *a)
{
	if (a->engine_up)
		return;
	a->engine_up = true;
	vk_log(VK_INFO, "engine", "socket=%s", a->config->engine_socket);
	nets_recheck(a->nets);
	send_facts(a);
}

/* ---- the listing ---- */

static const char *label(const json_t *container, const char *name)
{
	return vk_json_str(json_object_get(container, "Labels"), name, NULL);
}

static struct diff_know *known(struct agent *a, uint64_t listing, size_t *ret_n)
{
	size_t n = 0;
	for (struct inst *i = a->insts; i != NULL; i = i->next)
		n++;
	struct diff_know *v = vk_calloc(n + 1, sizeof(*v));
	n = 0;
	for (struct inst *i = a->insts; i != NULL; i = i->next)
		v[n++] = (struct diff_know){.name = i->name,
			.id = i->id[0] != '\0' ? i->id : NULL,
			.running = i->phase == PHASE_UP && !i->dead,
			.busy = inst_busy(i, listing)};
	*ret_n = n;
	return v;
}

/* Containers of `run` have an owner of their own while their session lives. */
static struct diff_have *listed(struct agent *a, const json_t *list, size_t *ret_n)
{
	struct diff_have *v = vk_calloc(json_array_size(list) + 1, sizeof(*v));
	size_t i, n = 0;
	json_t *c;
	json_array_foreach(list, i, c)
	{
		const char *id = vk_json_str(c, "Id", "");
		if (relay_holds(a->relay, id))
			continue;
		v[n++] = (struct diff_have){.id = id,
			.root = label(c, "viking.root"),
			.instance = label(c, "viking.instance"),
			.running = !vk_streq(vk_json_str(c, "State", ""), "exited") &&
				!vk_streq(vk_json_str(c, "State", ""), "created") &&
				!vk_streq(vk_json_str(c, "State", ""), "dead")};
	}
	*ret_n = n;
	return v;
}

static const json_t *container_of(const json_t *list, const char *id)
{
	size_t i;
	json_t *c;
	json_array_foreach(list, i, c) if (vk_streq(vk_json_str(c, "Id", ""), id)) return c;
	return NULL;
}

static struct inst *reaper(struct agent *a, const struct diff_have *h, const char *name)
{
	vk_autofree char *own = vk_asprintf("%s.%.12s", name, h->id);
	struct inst *i = inst_find(a, own);
	return i != NULL ? i : inst_new(a, own, NULL, NULL);
}

static void carry_out(struct agent *a, const struct diff_action *act, const json_t *list)
{
	const json_t *c = act->have != NULL ? container_of(list, act->have->id) : NULL;
	struct inst *i = act->know != NULL ? inst_find(a, act->know->name) : NULL;
	switch (act->what) {
	case DIFF_ADOPT:
		/* a container of `run` whose session is gone goes too, whatever its name */
		if (i == NULL || label(c, "viking.run") != NULL)
			i = reaper(a, act->have, act->have->instance);
		inst_adopt(i, act->have->id, label(c, "viking.hash"), act->have->running);
		break;
	case DIFF_REAP:
		i = reaper(a, act->have, act->have->instance);
		inst_adopt(i, act->have->id, NULL, act->have->running);
		break;
	case DIFF_DEAD:
		inst_died(i, true);
		return;
	case DIFF_LOST:
		inst_lost(i);
		return;
	}
	inst_step(i);
}

static void check_addresses(struct agent *a, const json_t *list, uint64_t listing)
{
	size_t k;
	json_t *c;
	json_array_foreach(list, k, c)
	{
		struct inst *i = inst_by_container(a, vk_json_str(c, "Id", ""));
		if (i == NULL || i->want == NULL || i->want->network == NULL ||
			inst_busy(i, listing))
			continue;
		const json_t *nets =
			json_object_get(json_object_get(c, "NetworkSettings"), "Networks");
		const char *ip =
			vk_json_str(json_object_get(nets, i->want->network), "IPAddress", "");
		if (ip[0] != '\0')
			inst_moved(i, ip);
	}
}

static bool settled(const struct agent *a)
{
	for (const struct inst *i = a->insts; i != NULL; i = i->next)
		if (i->id[0] != '\0' && i->want != NULL &&
			(i->phase != PHASE_UP || i->health == HEALTH_UNKNOWN))
			return false;
	return true;
}

void agent_settle(struct agent *a)
{
	if (!a->listed || a->settled || (!settled(a) && vk_mono_ms() < a->settle_until))
		return;
	a->settled = true;
	status_release(a->status);
}

static void on_settle_time(void *arg)
{
	agent_settle(arg);
}

static void first_listing(struct agent *a)
{
	a->listed = true;
	a->settle_until = vk_mono_ms() + SETTLE_MS;
	a->settle = vk_timer_new(a->loop, on_settle_time, a);
	vk_timer_set(a->settle, SETTLE_MS);
}

static void apply_listing(struct agent *a, const json_t *list)
{
	size_t n_have, n_know, n;
	struct diff_action *acts;
	/* the names in `know` live as long as no instance is freed: the copies outlive that */
	struct diff_know *know = known(a, a->listing, &n_know);
	struct diff_have *have = listed(a, list, &n_have);
	for (size_t k = 0; k < n_know; k++) {
		know[k].name = vk_strdup(know[k].name);
		know[k].id = vk_strdup(know[k].id);
	}
	if (!a->listed)
		first_listing(a);
	diff_containers(a->root, have, n_have, know, n_know, &acts, &n);
	for (size_t k = 0; k < n; k++)
		if (acts[k].know == NULL || inst_find(a, acts[k].know->name) != NULL)
			carry_out(a, &acts[k], list);
	check_addresses(a, list, a->listing);
	for (size_t k = 0; k < n_know; k++) {
		free((void *)(uintptr_t)know[k].name);
		free((void *)(uintptr_t)know[k].id);
	}
	free(acts);
	free(know);
	free(have);
	agent_step_all(a);
	agent_settle(a);
}

static void on_listing(void *arg, const struct vk_err *err, json_t *answer)
{
	struct agent *a = arg;
	a->list_op = NULL;
	if (err->code != 0) {
		agent_engine_failed(a, err);
		vk_timer_set(a->resync, AGENT_RETRY_MS);
		return;
	}
	vk_timer_set(a->resync, AGENT_RESYNC_MS);
	uint64_t load = host_load();
	if (a->engine_up && load / AGENT_LOAD_STEP != a->load / AGENT_LOAD_STEP)
		send_facts(a);
	engine_answers(a);
	apply_listing(a, answer);
	if (a->list_again) {
		a->list_again = false;
		agent_resync(a);
	}
}

void agent_resync(struct agent *a)
{
	if (a->list_op != NULL) {
		a->list_again = true;
		return;
	}
	vk_autofree char *text = vk_asprintf("{\"label\":[\"viking.root=%s\"]}", a->root);
	vk_autofree char *filters = vk_engine_escape(text);
	vk_autofree char *path = vk_asprintf("/containers/json?all=1&filters=%s", filters);
	a->listing++;
	a->list_op =
		vk_engine_call_async(a->engine, "GET", path, NULL, AGENT_CALL_MS, on_listing, a);
}

static void on_resync(void *arg)
{
	agent_resync(arg);
}

/* ---- what is wanted ---- */

void agent_step_all(struct agent *a)
{
	for (struct inst *i = a->insts, *next; i != NULL; i = next) {
		next = i->next; /* a step may free its own instance, never another */
		inst_step(i);
	}
}

void agent_slots(struct agent *a)
{
	/* new instances are put in front of the list: the oldest waiting one is the last */
	while (a->starting < a->starts_max) {
		struct inst *oldest = NULL;
		for (struct inst *i = a->insts; i != NULL; i = i->next)
			if (i->phase == PHASE_QUEUE && i->op == NULL)
				oldest = i;
		if (oldest == NULL)
			return;
		inst_start(oldest);
	}
}

static void apply_desired(struct agent *a, struct desired *d)
{
	struct desired *old = a->desired;
	for (size_t k = 0; k < d->n_instances; k++)
		if (d->instances[k].refused.code == 0)
			policy_check(a->config, &d->instances[k], &d->instances[k].refused);
	a->desired = d;
	for (struct inst *i = a->insts; i != NULL; i = i->next)
		inst_want(i, desired_find(d, i->name));
	for (size_t k = 0; k < d->n_instances; k++) {
		struct desired_instance *w = &d->instances[k];
		if (inst_find(a, w->name) == NULL)
			inst_want(inst_new(a, w->name, w->stack, w->node), w);
	}
	desired_free(old);
	for (size_t k = 0; k < d->forget_logs.n; k++)
		logset_forget(a->logs, d->forget_logs.v[k]);
	for (size_t k = 0; k + 1 < d->move_logs.n; k += 2)
		logset_move(a->logs, d->move_logs.v[k], d->move_logs.v[k + 1]);
	nets_want(a->nets, d);
	for (struct inst *i = a->insts; i != NULL; i = i->next)
		inst_reprobe(i);
	agent_step_all(a);
}

int agent_desire(struct agent *a, const json_t *doc, struct vk_err *err)
{
	struct desired *d = NULL;
	int r = desired_parse(doc, &d, err);
	if (r < 0)
		return r;
	if (a->desired != NULL && d->epoch < a->desired->epoch) {
		vk_err_set(err, VK_CONFLICT, "a document of epoch %llu after one of %llu",
			(unsigned long long)d->epoch, (unsigned long long)a->desired->epoch);
		desired_free(d);
		return VK_CONFLICT;
	}
	apply_desired(a, d);
	return 0;
}

static void on_document(void *arg, json_t *line)
{
	struct agent *a = arg;
	struct vk_err err = {0};
	vk_autofree char *path = vk_state_path(a->config, "agent/desired.json");
	if (agent_desire(a, line, &err) < 0) {
		vk_log_err(VK_ERROR, "document-refused", &err);
		return;
	}
	vk_log(VK_INFO, "document", "rev=%llu instances=%zu", (unsigned long long)a->desired->rev,
		a->desired->n_instances);
	if (desired_save(path, &a->key, line, &err) < 0)
		vk_log_err(VK_ERROR, "document-not-saved", &err);
}

static void on_scheduler(void *arg, bool connected, const struct vk_err *err)
{
	struct agent *a = arg;
	if (!connected) {
		if (err != NULL)
			vk_log_err(VK_WARN, "scheduler-away", err);
		return;
	}
	vk_log(VK_INFO, "scheduler", "%s", "connected=1");
	send_facts(a);
	status_full(a->status);
}

/* ---- counters ---- */

static void save_counters(void *arg)
{
	struct agent *a = arg;
	struct vk_err err = {0};
	vk_autofree char *path = vk_state_path(a->config, "agent/counters.json");
	vk_autofree char *text = vk_json_text(a->counters);
	vk_timer_set(a->save, -1);
	if (vk_fs_write_atomic(path, text, strlen(text), 0600, &err) < 0)
		vk_log_err(VK_ERROR, "counters-not-saved", &err);
}

void agent_count(struct agent *a, const char *name, json_t *record, bool now)
{
	if (record != NULL)
		json_object_set_new(a->counters, name, record);
	else if (json_object_del(a->counters, name) != 0)
		return;
	if (now)
		save_counters(a);
	else
		vk_timer_set(a->save, SAVE_MS);
}

const json_t *agent_counted(const struct agent *a, const char *name)
{
	return json_object_get(a->counters, name);
}

static void load_counters(struct agent *a)
{
	vk_autofree char *path = vk_state_path(a->config, "agent/counters.json");
	vk_autobuf b = VK_BUF_INIT(COUNTERS_MAX);
	if (vk_fs_read(path, &b, NULL) < 0 ||
		vk_json_parse_max(vk_buf_str(&b), b.len, COUNTERS_MAX, &a->counters, NULL) < 0)
		a->counters = json_object();
}

/* ---- life ---- */

static void load_document(struct agent *a)
{
	struct vk_err err = {0};
	vk_autojson *doc = NULL;
	vk_autofree char *path = vk_state_path(a->config, "agent/desired.json");
	int r = desired_load(path, &a->key, &doc, &err);
	if (r == 0)
		r = agent_desire(a, doc, &err);
	if (r < 0 && r != VK_NOTFOUND)
		vk_log_err(VK_ERROR, "saved-document", &err);
}

static int make_directories(const struct vk_config *c, struct vk_err *err)
{
	vk_autofree char *state = vk_state_path(c, "agent");
	vk_autofree char *log = vk_state_path(c, "log");
	int r = vk_fs_mkdir_p(state, 0700, err);
	if (r == 0)
		r = vk_fs_mkdir_p(log, 0700, err);
	return r == 0 ? vk_fs_mkdir_p(c->run_dir, 0755, err) : r;
}

static void start_streams(struct agent *a, struct vk_role *role)
{
	vk_autofree char *host = vk_engine_escape(a->config->host_name);
	vk_autofree char *path =
		vk_asprintf("/v1/internal/agent/watch?host=%s&id=%s", host, vk_buf_str(&a->id));
	a->status = status_new(a, role->queue);
	a->nets = nets_new(a);
	load_document(a);
	a->events = events_new(a);
	a->diskwatch = diskwatch_new(a);
	a->watch = vk_api_watch_new(a->loop, &role->api, path, on_document, on_scheduler, a);
}

static int start(struct vk_role *role, struct vk_err *err)
{
	const struct vk_config *c = role->c;
	struct agent *a = role->self = vk_alloc(sizeof(*a));
	vk_autofree char *log = vk_state_path(c, "log");
	vk_autofree char *key = vk_state_path(c, "agent/secret.key");
	a->config = c;
	a->loop = role->l;
	a->starts_max = AGENT_STARTS_CPU * (unsigned)get_nprocs();
	spec_root(c, a->root);
	int r = make_directories(c, err);
	vk_buf_init(&a->id, AGENT_ID_MAX);
	if (r == 0)
		r = vk_secret_key_load(key, true, &a->key, err);
	if (r == 0)
		r = host_id(c, &a->id, err);
	if (r == 0)
		r = vk_engine_new(c->engine_socket, a->loop, &a->engine, err);
	if (r == 0)
		r = relay_new(a, &a->relay, err);
	if (r < 0)
		return r;
	load_counters(a);
	a->logs = logset_new(log, c->logs_stack_bytes);
	a->ports = ports_new(c);
	a->images = images_new(c, a->loop, a->engine);
	a->resync = vk_timer_new(a->loop, on_resync, a);
	a->save = vk_timer_new(a->loop, save_counters, a);
	a->pulse = vk_timer_new(a->loop, ask_pulse, a);
	vk_timer_set(a->pulse, AGENT_PULSE_MS);
	start_streams(a, role);
	relay_serve(a->relay);
	return 0;
}

/* The containers stay. */
static void agent_free(void *self)
{
	struct agent *a = self;
	if (a == NULL)
		return;
	if (a->counters != NULL)
		save_counters(a);
	vk_api_watch_free(a->watch);
	events_free(a->events);
	diskwatch_free(a->diskwatch);
	relay_free(a->relay);
	while (a->insts != NULL)
		inst_free(a->insts);
	nets_free(a->nets);
	ports_free(a->ports);
	images_free(a->images);
	status_free(a->status);
	logset_free(a->logs);
	vk_timer_free(a->resync);
	vk_timer_free(a->pulse);
	if (a->pulse_op != NULL)
		vk_engine_op_cancel(a->pulse_op);
	vk_timer_free(a->save);
	vk_timer_free(a->settle);
	if (a->list_op != NULL)
		vk_engine_op_cancel(a->list_op);
	if (a->info_op != NULL)
		vk_engine_op_cancel(a->info_op);
	vk_engine_free(a->engine);
	killer_forget(a);
	desired_free(a->desired);
	json_decref(a->counters);
	vk_buf_release(&a->id);
	free(a);
}

/* The engine's socket is as good as root: what counts is that nothing is executed here. */
static void rights(const struct vk_config *c, struct vk_role_rights *ret)
{
	(void)c;
	ret->any_file = true;
	ret->seccomp = VK_SECCOMP_DAEMON;
}

const struct vk_role_ops agent_role = {"agent", rights, NULL, start, agent_free};
