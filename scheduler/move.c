/*
 * cluster:init, our part: all writes are held, every key is given away, and when the connection ends so does this process: the
 * next start reads the settings and with them which store is the truth (vikingd/cluster_init.c).
 */
#include <string.h>
#include <viking/json.h>

#include "api.h"
#include "lead.h"

#define QUEUE_MAX ((size_t)1 << 30) /* the whole is there at once */

static void mover_gone(void *arg, struct vk_req *r)
{
	(void)arg, (void)r;
	lead_give_up("the state was moved to etcd, or that was broken off");
}

static void give(
	void *arg, const struct vk_err *err, const struct vk_kv *kvs, size_t n, uint64_t rev)
{
	struct vk_req *r = arg;
	json_int_t keys = 0;
	(void)rev;
	if (err->code != 0)
		lead_give_up(err->msg);
	for (size_t i = 0; i < n; i++) {
		json_t *value = NULL;
		if (strcmp(kvs[i].key, "/leader") == 0)
			continue; /* each store has its own */
		if (vk_json_parse_max(kvs[i].value, kvs[i].len, kvs[i].len + 1, &value, NULL) != 0)
			lead_give_up("a value is no JSON");
		vk_req_line(r, json_pack("{s:s,s:o}", "key", kvs[i].key, "value", value));
		keys++;
	}
	vk_req_line(r, json_pack("{s:I}", "keys", keys));
}

/* The range comes behind every commit under way. */
void api_cluster_move(struct call *c)
{
	struct sched *s = c->s;
	struct vk_err err = {0};
	if (s->store->shared)
		vk_err_set(&err, VK_CONFLICT, "the state is in etcd already");
	else if (lead_away(s->lead) != NULL)
		vk_err_set(&err, VK_CONFLICT, "it is being moved already");
	else if (ops_running(s))
		vk_err_set(&err, VK_CONFLICT, "a deploy or another change is under way");
	if (err.code != 0) {
		call_error(c, &err);
		return;
	}
	struct vk_req *r = call_take(c);
	vk_req_stream(r, 200, NULL, QUEUE_MAX, mover_gone, s);
	lead_hold(s->lead, "the state is being moved to etcd");
	s->store->ops->range(s->store, "/", give, r);
}
