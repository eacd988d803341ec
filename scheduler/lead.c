/* Election, keeping the lease, losing it. */
#include "lead.h"

#include <string.h>
#include <unistd.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "front.h"
#include "holder.h"
#include "model.h"

#define AGAIN_MS   1000 /* a store that does not answer is asked again */
#define REMOVED_MS 2000 /* a host that is none of the cluster looks whether it is */

struct lead {
	struct sched *s;
	lead_fn *led, *waits;
	void *arg;
	struct vk_timer *timer;    /* asks again; later renews the lease */
	uint64_t floor, epoch_rev; /* epochs so far, mod_rev of /epoch */
	uint64_t found_rev;        /* mod_rev of the /leader that is there */
	uint64_t own_rev;          /* create_rev of our /host row, by which we may lead */
	uint64_t lease, watch;
	char *other; /* the host that leads, while we wait */
	bool leading, doubt, between;
	struct vk_err away; /* code 0: the store answers */
};

static void elect(void *arg);

void lead_give_up(const char *why)
{
	vk_log(VK_ERROR, "store-lost", "why=\"%s\" action=restart", why);
	_exit(1);
}

struct vk_cmp lead_fence(const struct sched *s)
{
	return (struct vk_cmp){.key = "/leader", .target = VK_CMP_CREATE_REV, .rev = s->lead_rev};
}

/* ---- election ---- */

static void over(struct lead *l, const struct vk_err *err)
{
	l->led(l->arg, err);
}

/* A store that does not answer yet is waited for; any other failure is the end. */
static void failed(struct lead *l, const struct vk_err *err)
{
	l->between = false;
	if (!l->s->store->shared || (err->code != VK_UNAVAILABLE && err->code != VK_TIMEOUT)) {
		over(l, err);
		return;
	}
	l->waits(l->arg, err);
	vk_timer_set(l->timer, AGAIN_MS);
}

static void arm_renewal(struct lead *l)
{
	if (l->lease != 0)
		vk_timer_set(l->timer, (int64_t)l->s->cfg->etcd_lease_ms / 3);
}

static void taken(void *arg, const struct vk_err *err, bool committed, uint64_t rev)
{
	struct lead *l = arg;
	if (err->code != 0) {
		failed(l, err);
		return;
	}
	if (!committed) { /* another was faster */
		elect(l);
		return;
	}
	l->s->lead_rev = rev;
	l->leading = true;
	vk_log(VK_INFO, "leading", "epoch=%llu rev=%llu", (unsigned long long)l->floor + 1,
		(unsigned long long)rev);
	arm_renewal(l);
	over(l, NULL);
}

static void take(struct lead *l)
{
	struct sched *s = l->s;
	json_int_t n = (json_int_t)l->floor + 1;
	vk_autojson *row = json_pack("{s:i,s:I,s:s,s:s,s:i,s:I}", "v", MODEL_VERSION, "epoch", n,
		"host", s->cfg->host_name, "id", s->installation, "pid", (int)getpid(), "since_ms",
		(json_int_t)s->started_ms);
	vk_autojson *count = json_pack("{s:i,s:I}", "v", MODEL_VERSION, "epoch", n);
	vk_autofree char *text = vk_json_text(row), *epoch = vk_json_text(count);
	vk_autofree char *own = vk_asprintf("/host/%s", s->cfg->host_name);
	const struct vk_cmp cmps[] = {{"/leader", VK_CMP_CREATE_REV, 0},
		{"/epoch", VK_CMP_MOD_REV, l->epoch_rev}, {own, VK_CMP_CREATE_REV, l->own_rev}};
	const struct vk_op puts[] = {
		{.key = "/leader", .value = text, .len = strlen(text), .lease = l->lease},
		{.key = "/epoch", .value = epoch, .len = strlen(epoch)}};
	s->store->ops->txn(s->store, cmps, s->store->shared ? 3 : 2, puts, 2, taken, l);
}

static void granted(void *arg, const struct vk_err *err, uint64_t lease)
{
	struct lead *l = arg;
	l->lease = lease;
	if (err->code != 0)
		failed(l, err);
	else
		take(l);
}

/* One that was removed and returns has etcd's certificates still; the others would not talk to it. */
static void got_hosts(
	void *arg, const struct vk_err *failure, const struct vk_kv *kvs, size_t n, uint64_t rev)
{
	struct lead *l = arg;
	struct sched *s = l->s;
	struct vk_err err = *failure;
	struct state st;
	(void)rev;
	if (err.code != 0) {
		failed(l, &err);
		return;
	}
	state_init(&st);
	l->own_rev = 0;
	for (size_t i = 0; i < n; i++) {
		vk_autojson *row = NULL;
		if (vk_json_parse_max(kvs[i].value, kvs[i].len, kvs[i].len + 1, &row, NULL) == 0)
			(void)state_apply(&st, kvs[i].key, row, NULL);
		if (vk_streq(kvs[i].key + strlen("/host/"), s->cfg->host_name))
			l->own_rev = kvs[i].create_rev;
	}
	int rc = front_check_member(&st, s->cfg->host_name, &err);
	state_release(&st);
	if (rc == 0) {
		s->store->ops->lease_grant(s->store, (int64_t)s->cfg->etcd_lease_ms, granted, l);
		return;
	}
	l->between = false;
	l->waits(l->arg, &err);
	vk_timer_set(l->timer, REMOVED_MS);
}

static void candidate(struct lead *l)
{
	if (l->s->store->shared)
		l->s->store->ops->range(l->s->store, "/host/", got_hosts, l);
	else
		take(l);
}

static void removed(void *arg, const struct vk_err *err, bool committed, uint64_t rev)
{
	struct lead *l = arg;
	(void)rev;
	if (err->code != 0)
		failed(l, err);
	else if (!committed)
		elect(l);
	else
		candidate(l);
}

/* A new create_revision needs the old key gone first. */
static void succeed_ourselves(struct lead *l)
{
	const struct vk_cmp same = {"/leader", VK_CMP_MOD_REV, l->found_rev};
	const struct vk_op del = {.key = "/leader", .del = true};
	l->s->store->ops->txn(l->s->store, &same, 1, &del, 1, removed, l);
}

static void leader_changed(
	void *arg, const struct vk_event *ev, size_t n, uint64_t rev, bool compacted)
{
	struct lead *l = arg;
	(void)ev, (void)n, (void)rev;
	if (!compacted)
		l->s->store->ops->unwatch(l->s->store, l->watch);
	l->watch = 0;
	l->away = (struct vk_err){0};
	free(VK_TAKE(l->other));
	l->between = true;
	struct vk_err err = {0};
	vk_err_set(&err, VK_UNAVAILABLE, "another host is about to lead this cluster");
	vk_err_hint(&err, "the same again, in a moment");
	l->waits(l->arg, &err);
	vk_timer_set(l->timer, 0);
}

/* While another leads: does the store answer? Who wants a change of a leader that does not, is told. */
static void looked(
	void *arg, const struct vk_err *err, const struct vk_kv *kvs, size_t n, uint64_t rev)
{
	struct lead *l = arg;
	(void)kvs, (void)n, (void)rev;
	if (l->other == NULL)
		return;
	l->away = *err;
	vk_timer_set(l->timer, (int64_t)l->s->cfg->etcd_lease_ms);
}

static void wait_for_other(struct lead *l, uint64_t rev)
{
	vk_timer_set(l->timer, (int64_t)l->s->cfg->etcd_lease_ms);
	struct vk_err err = {0};
	if (vk_streq(l->other, l->s->cfg->host_name)) {
		vk_err_set(&err, VK_CONFLICT, "another machine leads this cluster as host %s",
			l->other);
		vk_err_hint(&err, "give this one another name: host.name in viking.conf");
	} else {
		vk_err_set(
			&err, VK_UNAVAILABLE, "%s leads this cluster, this host waits", l->other);
		vk_err_hint(&err, "type it on %s", l->other);
	}
	l->waits(l->arg, &err);
	if (l->watch == 0)
		l->watch =
			l->s->store->ops->watch(l->s->store, "/leader", rev + 1, leader_changed, l);
}

static uint64_t epoch_of(const struct vk_kv *kv, json_t **ret)
{
	if (vk_json_parse_max(kv->value, kv->len, kv->len + 1, ret, NULL) != 0)
		return 0;
	return (uint64_t)vk_json_int(*ret, "epoch", 0);
}

static void raise(uint64_t *floor, uint64_t epoch)
{
	*floor = *floor < epoch ? epoch : *floor;
}

static void got_leader(
	void *arg, const struct vk_err *err, const struct vk_kv *kvs, size_t n, uint64_t rev)
{
	struct lead *l = arg;
	vk_autojson *row = NULL;
	if (err->code != 0) {
		failed(l, err);
		return;
	}
	if (n == 0) {
		candidate(l);
		return;
	}
	raise(&l->floor, epoch_of(&kvs[0], &row));
	l->found_rev = kvs[0].mod_rev;
	bool ours = vk_streq(vk_json_str(row, "id", ""), l->s->installation);
	if (ours || !l->s->store->shared) {
		succeed_ourselves(l);
		return;
	}
	free(l->other);
	l->other = vk_strdup(vk_json_str(row, "host", "another host"));
	l->between = false;
	wait_for_other(l, rev);
}

static void got_epoch(
	void *arg, const struct vk_err *err, const struct vk_kv *kvs, size_t n, uint64_t rev)
{
	struct lead *l = arg;
	vk_autojson *row = NULL;
	(void)rev;
	if (err->code != 0) {
		failed(l, err);
		return;
	}
	l->epoch_rev = n > 0 ? kvs[0].mod_rev : 0;
	if (n > 0)
		raise(&l->floor, epoch_of(&kvs[0], &row));
	l->s->store->ops->get(l->s->store, "/leader", got_leader, l);
}

static void elect(void *arg)
{
	struct lead *l = arg;
	l->s->store->ops->get(l->s->store, "/epoch", got_epoch, l);
}

/* ---- keeping ---- */

static void renewed(void *arg, const struct vk_err *err, uint64_t lease)
{
	struct lead *l = arg;
	(void)lease;
	if (err->code == VK_NOTFOUND)
		lead_give_up("the leader's lease has ended");
	if (err->code != 0) {
		if (l->away.code == 0)
			vk_log_err(VK_WARN, "store-away", err);
		l->away = *err;
		vk_timer_set(l->timer, AGAIN_MS);
		return;
	}
	if (l->doubt)
		lead_give_up("the store answers again; what came of the last write is not known");
	if (l->away.code != 0)
		vk_log(VK_INFO, "store-back", "epoch=%llu", (unsigned long long)l->s->st.epoch);
	l->away = (struct vk_err){0};
	arm_renewal(l);
}

static void on_timer(void *arg)
{
	struct lead *l = arg;
	if (l->leading)
		l->s->store->ops->lease_keep(l->s->store, l->lease, renewed, l);
	else if (l->other != NULL)
		l->s->store->ops->get(l->s->store, "/leader", looked, l);
	else
		elect(l);
}

void lead_lost_store(struct lead *l, const struct vk_err *err)
{
	if (!l->s->store->shared)
		lead_give_up(err->msg);
	l->doubt = true;
	if (l->away.code == 0)
		vk_log_err(VK_WARN, "store-away", err);
	l->away = *err;
	vk_timer_set(l->timer, AGAIN_MS);
}

void lead_hold(struct lead *l, const char *why)
{
	vk_err_set(&l->away, VK_UNAVAILABLE, "%s", why);
}

const struct vk_err *lead_away(const struct lead *l)
{
	return l != NULL && l->away.code != 0 ? &l->away : NULL;
}

int lead_check(const struct lead *l, struct vk_err *err)
{
	if (l->away.code == 0)
		return 0;
	vk_err_set(err, VK_UNAVAILABLE, "nothing can be changed now: %s", l->away.msg);
	return vk_err_hint(err, "viking cluster:status; applications and routes go on meanwhile");
}

json_t *lead_json(const struct sched *s)
{
	const struct lead *l = s->lead;
	json_t *endpoints = json_array();
	for (const char *p = s->cfg->etcd_endpoints; s->store->shared && *p != '\0';) {
		size_t n = strcspn(p, ",");
		json_array_append_new(endpoints, json_stringn(p, n));
		p += n + (p[n] == ',');
	}
	return json_pack("{s:s,s:{s:s,s:I,s:I},s:s*,s:o,s:O*,s:s?}", "store", s->cfg->store,
		"leader", "host", s->cfg->host_name, "epoch", (json_int_t)s->st.epoch, "since_ms",
		(json_int_t)s->started_ms, "registry", holder_of(&s->st, s->cfg->host_name),
		"endpoints", endpoints, "members", s->etcd_members, "away",
		l->away.code != 0 ? l->away.msg : NULL);
}

/* ---- life ---- */

struct lead *lead_start(struct sched *s, uint64_t floor, lead_fn *led, lead_fn *waits, void *arg)
{
	struct lead *l = vk_alloc(sizeof(*l));
	*l = (struct lead){.s = s, .floor = floor, .led = led, .waits = waits, .arg = arg};
	l->timer = vk_timer_new(s->loop, on_timer, l);
	elect(l);
	return l;
}

const char *lead_other(const struct lead *l)
{
	return l->other;
}

uint64_t lead_epoch(const struct lead *l)
{
	return l->floor;
}

bool lead_between(const struct lead *l)
{
	return l->between;
}

static void resigned(void *arg, const struct vk_err *err, uint64_t lease)
{
	(void)arg, (void)err, (void)lease;
}

void lead_resign(struct lead *l)
{
	if (l != NULL && l->leading && l->lease != 0 && l->away.code == 0)
		l->s->store->ops->lease_revoke(l->s->store, l->lease, resigned, NULL);
}

void lead_free(struct lead *l)
{
	if (l == NULL)
		return;
	vk_timer_free(l->timer);
	free(l->other);
	free(l);
}
