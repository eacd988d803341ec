#include "members.h"

#include <string.h>
#include <viking/fs.h>
#include <viking/host_name.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "lead.h"

#define LOOK_MS  3000
#define TEXT_MAX 8192

struct members {
	struct sched *s;
	struct vk_timer *look;
	struct state hosts; /* the hosts' rows alone */
	char *peer;         /* our URL for the other members */
};

static void again(struct members *m)
{
	vk_timer_set(m->look, LOOK_MS);
}

/* ---- steps ---- */

static void on_stepped(void *arg, const struct vk_err *err, const json_t *answer, unsigned sent)
{
	struct members *m = arg;
	(void)answer, (void)sent;
	if (err->code != 0) /* a learner that is not ready, another that is being added */
		vk_log_err(VK_INFO, "member-later", err);
	again(m);
}

static void call(struct members *m, const char *path, json_t *take_body)
{
	vk_log(VK_INFO, "member", "step=%s", path);
	m->s->etcd_call(m->s->store, path, take_body, on_stepped, m);
}

/* vikingd reads the file before it starts us again. */
static void run_own(struct members *m, const json_t *list)
{
	vk_autofree char *path = vk_state_path(m->s->cfg, "sched/etcd-cluster");
	vk_autofree char *text = members_cluster(list, m->s->cfg->host_name, m->peer);
	struct vk_err err = {0};
	if (text != NULL && vk_fs_write_atomic(path, text, strlen(text), 0600, &err) == 0)
		lead_give_up("this host becomes a member of etcd");
	if (err.code != 0)
		vk_log_err(VK_ERROR, "member", &err);
	again(m);
}

static void step(struct members *m, enum members_step next, const char *id, const json_t *list)
{
	switch (next) {
	case MEMBERS_NOTHING:
		again(m);
		break;
	case MEMBERS_ADD:
		call(m, "/v3/cluster/member/add",
			json_pack("{s:[s],s:b}", "peerURLs", m->peer, "isLearner", 1));
		break;
	case MEMBERS_RUN:
		run_own(m, list);
		break;
	case MEMBERS_PROMOTE:
		call(m, "/v3/cluster/member/promote", json_pack("{s:s}", "ID", id));
		break;
	case MEMBERS_MOVE:
		call(m, "/v3/cluster/member/update",
			json_pack("{s:s,s:[s]}", "ID", id, "peerURLs", m->peer));
		break;
	case MEMBERS_REMOVE:
		call(m, "/v3/cluster/member/remove", json_pack("{s:s}", "ID", id));
		break;
	}
}

/* ---- looking ---- */

/* For the next start; this one is told at once. */
static void keep_endpoints(struct members *m, const json_t *list)
{
	vk_autofree char *path = vk_state_path(m->s->cfg, "sched/etcd-endpoints");
	vk_autofree char *text = members_endpoints(list);
	vk_autobuf there = VK_BUF_INIT(TEXT_MAX);
	struct vk_err err = {0};
	m->s->etcd_know(m->s, text);
	if (text[0] == '\0' ||
		(vk_fs_read(path, &there, NULL) == 0 && vk_streq(vk_buf_str(&there), text)))
		return;
	if (vk_fs_write_atomic(path, text, strlen(text), 0600, &err) != 0)
		vk_log_err(VK_WARN, "endpoints", &err);
}

static void on_list(void *arg, const struct vk_err *err, const json_t *answer, unsigned sent)
{
	(void)sent;
	struct members *m = arg;
	struct sched *s = m->s;
	const json_t *list = json_object_get(answer, "members");
	const char *id;
	vk_autofree char *set = vk_state_path(s->cfg, "sched/etcd-cluster");
	if (err->code != 0 || !json_is_array(list)) {
		again(m);
		return;
	}
	json_decref(s->etcd_members);
	s->etcd_members = members_shown(list);
	keep_endpoints(m, list);
	const struct members_view v = {.st = &m->hosts,
		.list = list,
		.name = s->cfg->host_name,
		.peer = m->peer,
		.leading = s->lead_rev != 0,
		.runs = s->cfg->run_etcd || vk_fs_exists(set)};
	enum members_step next = members_next(&v, &id);
	step(m, next, id, list);
}

static void on_hosts(
	void *arg, const struct vk_err *err, const struct vk_kv *kvs, size_t n, uint64_t rev)
{
	struct members *m = arg;
	(void)rev;
	if (err->code != 0) {
		again(m);
		return;
	}
	state_release(&m->hosts);
	state_init(&m->hosts);
	for (size_t i = 0; i < n; i++) {
		vk_autojson *value = NULL;
		if (vk_json_parse_max(kvs[i].value, kvs[i].len, kvs[i].len + 1, &value, NULL) == 0)
			(void)state_apply(&m->hosts, kvs[i].key, value, NULL);
	}
	m->s->etcd_call(m->s->store, "/v3/cluster/member/list", json_object(), on_list, m);
}

static void look(void *arg)
{
	struct members *m = arg;
	m->s->store->ops->range(m->s->store, "/host/", on_hosts, m);
}

struct members *members_new(struct sched *s)
{
	vk_autofree char *ca = vk_state_path(s->cfg, "sched/etcd-ca.key");
	if (s->etcd_call == NULL || !vk_fs_exists(ca) || vk_config_cluster_address(s->cfg) == NULL)
		return NULL;
	struct members *m = vk_alloc(sizeof(*m));
	m->s = s;
	m->peer = vk_https_url(s->cfg->cluster_address, s->cfg->etcd_peer_port);
	state_init(&m->hosts);
	m->look = vk_timer_new(s->loop, look, m);
	again(m);
	return m;
}

void members_free(struct members *m)
{
	if (m == NULL)
		return;
	vk_timer_free(m->look);
	state_release(&m->hosts);
	free(m->peer);
	free(m);
}
