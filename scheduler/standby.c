/* The hosts' rows, followed; requests, handed on. */
#include "standby.h"

#include <viking/id.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "api.h"
#include "desired.h"
#include "feed.h"
#include "front.h"
#include "holder.h"
#include "lead.h"
#include "peer.h"

#define ROWS     "/host/"
#define AGAIN_MS 1000

struct standby {
	struct sched *s;
	struct state st; /* the hosts' rows alone */
	uint64_t watch;
	struct vk_timer *again;
	struct feed *nothing; /* to agents, once this host was removed from the cluster; or NULL */
	bool over;
};

/* ---- the hosts ---- */

static void apply(struct standby *b, const struct vk_kv *kv, bool del)
{
	vk_autojson *value = NULL;
	struct vk_err err = {0};
	if (del || vk_json_parse_max(kv->value, kv->len, kv->len + 1, &value, &err) == 0)
		(void)state_apply(&b->st, kv->key, value, &err);
	if (err.code != 0)
		vk_log_err(VK_WARN, "bad-row", &err);
}

/* Others are in the cluster, this host is not. */
static bool is_removed(const struct standby *b)
{
	return front_check_member(&b->st, b->s->cfg->host_name, &(struct vk_err){0}) != 0;
}

static void tell_front(struct standby *b)
{
	feed_set(b->s->front, front_table(&b->st, b->s->cfg->host_name));
	if (!is_removed(b))
		feed_free(VK_TAKE(b->nothing));
	holder_note(b->s, &b->st);
}

static void on_change(void *arg, const struct vk_event *ev, size_t n, uint64_t rev, bool compacted)
{
	struct standby *b = arg;
	(void)rev;
	if (compacted) {
		b->watch = 0;
		vk_timer_set(b->again, 0);
		return;
	}
	for (size_t i = 0; i < n; i++)
		apply(b, &ev[i].kv, ev[i].del);
	tell_front(b);
}

static void on_rows(
	void *arg, const struct vk_err *err, const struct vk_kv *kvs, size_t n, uint64_t rev)
{
	struct standby *b = arg;
	if (b->over)
		return;
	if (err->code != 0) {
		vk_timer_set(b->again, AGAIN_MS);
		return;
	}
	state_release(&b->st);
	state_init(&b->st);
	for (size_t i = 0; i < n; i++)
		apply(b, &kvs[i], false);
	tell_front(b);
	b->watch = b->s->store->ops->watch(b->s->store, ROWS, rev + 1, on_change, b);
}

static void read_rows(void *arg)
{
	struct standby *b = arg;
	b->s->store->ops->range(b->s->store, ROWS, on_rows, b);
}

/* ---- requests ---- */

/* What is answered here; all else is the leader's. */
static bool is_local(const char *path)
{
	static const char *const paths[] = {"/v1/ping", "/v1/version", "/v1/internal/front/watch"};
	for (size_t i = 0; i < VK_COUNT(paths); i++)
		if (vk_streq(path, paths[i]))
			return true;
	return false;
}

/* The leader's host, if this one and that one are known to each other; or NULL. */
static const char *reachable_leader(const struct standby *b)
{
	const char *leader = lead_other(b->s->lead);
	const struct host_row *own = table_get(&b->st.hosts, b->s->cfg->host_name);
	const struct host_row *row = leader != NULL ? table_get(&b->st.hosts, leader) : NULL;
	return own != NULL && own->addr != NULL && row != NULL && row != own && row->addr != NULL
		? row->name
		: NULL;
}

/* Another host's is never handed on; of who is none, the request to join, which shows itself by its invitation. */
static bool may_go_on(struct vk_req *r)
{
	const char *from = vk_req_peer_host(r);
	return from == NULL || (!vk_is_host(from) && vk_streq(vk_req_path(r), "/v1/internal/join"));
}

/* What the agent of a removed host runs is others' by now, and its own copy does not say so. */
static bool dismiss(struct standby *b, struct vk_req *r)
{
	if (b->watch == 0 || lead_other(b->s->lead) == NULL || vk_req_peer_host(r) != NULL ||
		!vk_streq(vk_req_path(r), "/v1/internal/agent/watch") || !is_removed(b))
		return false;
	uint64_t epoch = lead_epoch(b->s->lead);
	if (b->nothing == NULL)
		b->nothing = feed_new(epoch, NULL, NULL);
	feed_set(b->nothing, desired_none(epoch));
	feed_attach(b->nothing, r);
	return true;
}

void standby_request(struct standby *b, struct vk_req *r, const struct vk_err *why)
{
	const char *leader = reachable_leader(b);
	struct vk_err err = {0};
	if (is_local(vk_req_path(r))) {
		api_request(b->s, r);
		return;
	}
	if (dismiss(b, r))
		return;
	if (leader == NULL && lead_between(b->s->lead)) {
		vk_req_error_again(r, why);
		return;
	}
	if (leader == NULL || !may_go_on(r)) {
		bool member = front_check_member(&b->st, b->s->cfg->host_name, &err) == 0;
		vk_req_error(r, member ? why : &err);
		return;
	}
	struct call *c = call_new(b->s, r);
	if (peer_vouch(c, &err) != 0)
		call_error(c, &err);
	else if (vk_streq(vk_req_path(r), "/v1/doctor"))
		api_doctor_standby(c, leader);
	else
		front_forward(c, leader);
}

/* ---- life ---- */

struct standby *standby_new(struct sched *s)
{
	struct standby *b = vk_alloc(sizeof(*b));
	*b = (struct standby){.s = s};
	state_init(&b->st);
	s->front = feed_new(0, NULL, NULL);
	b->again = vk_timer_new(s->loop, read_rows, b);
	read_rows(b);
	return b;
}

void standby_turn(struct standby *b, const struct vk_err *why)
{
	front_end_all(b->s, why);
}

void standby_end(struct standby *b)
{
	if (b == NULL)
		return;
	b->over = true;
	vk_timer_set(b->again, -1);
	if (b->watch != 0)
		b->s->store->ops->unwatch(b->s->store, b->watch);
	b->watch = 0;
	feed_free(VK_TAKE(b->s->front));
	feed_free(VK_TAKE(b->nothing));
}

void standby_free(struct standby *b)
{
	if (b == NULL)
		return;
	vk_timer_free(b->again);
	state_release(&b->st);
	free(b);
}
