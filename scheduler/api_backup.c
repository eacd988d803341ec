/* All keys out, and into a state without stacks. Sealed values stay sealed: the secret key is not among them. */
#include <string.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "api.h"
#include "assign.h"

#define QUEUE_MAX    ((size_t)1 << 30) /* the whole is there at once: a snapshot of one revision */
#define RESTORE_KEYS ((size_t)20000)

/* ---- out ---- */

static void stream_gone(void *arg, struct vk_req *r)
{
	(void)arg;
	(void)r;
}

static bool send_key(struct vk_req *r, const struct vk_kv *kv)
{
	json_t *value = NULL;
	if (model_of_leader(kv->key))
		return false; /* of this process, not of the state */
	if (vk_json_parse_max(kv->value, kv->len, kv->len + 1, &value, NULL) != 0) {
		vk_log(VK_ERROR, "backup", "unreadable=%s", kv->key);
		return false;
	}
	vk_req_line(r, json_pack("{s:s,s:o}", "key", kv->key, "value", value));
	return true;
}

static void backup_read(
	void *arg, const struct vk_err *err, const struct vk_kv *kvs, size_t n, uint64_t rev)
{
	struct call *c = arg;
	struct vk_err gone = {0};
	if (c->r == NULL)
		vk_err_set(&gone, VK_CANCELLED, "the client went away");
	if (err->code != 0 || c->r == NULL) {
		call_error(c, err->code != 0 ? err : &gone);
		return;
	}
	size_t keys = 0;
	if (rev < c->s->st.epoch) /* counted from an earlier store */
		rev = c->s->st.epoch;
	struct vk_req *r = call_take(c);
	vk_req_stream(r, 200, NULL, QUEUE_MAX, stream_gone, NULL);
	vk_req_line(r, json_pack("{s:i,s:I}", "viking", 1, "rev", (json_int_t)rev));
	for (size_t i = 0; i < n; i++)
		keys += send_key(r, &kvs[i]);
	vk_req_line(r, json_pack("{s:{s:b,s:I}}", "end", "ok", 1, "keys", (json_int_t)keys));
	vk_req_end(r);
}

void api_backup(struct call *c)
{
	call_outlive(c);
	c->s->store->ops->range(c->s->store, "/", backup_read, c);
}

/* ---- in ---- */

/* Batches are gathered and written as one transaction with the last, so that a restore is there as a whole or not
 * at all. */
static int gather(struct sched *s, const json_t *keys, struct vk_err *err)
{
	size_t i;
	json_t *item;
	if (!json_is_array(keys))
		return vk_err_set(err, VK_INVALID, "keys must be a list of {\"key\", \"value\"}");
	json_array_foreach(keys, i, item)
	{
		const char *key = vk_json_str(item, "key", NULL);
		json_t *value = json_object_get(item, "value");
		if (key == NULL || !json_is_object(value))
			return vk_err_set(err, VK_INVALID, "keys[%zu] has no key or no value", i);
		if (!assign_import(s, key, &value))
			continue;
		vk_autojson *here = value;
		struct state probe;
		state_init(&probe);
		int rc = state_apply(&probe, key, here, err);
		state_release(&probe);
		if (rc != 0)
			return rc;
		if (json_object_size(s->restoring) >= RESTORE_KEYS)
			return vk_err_set(
				err, VK_LIMIT, "a restore has at most %zu keys", RESTORE_KEYS);
		json_object_set(s->restoring, key, here);
	}
	return 0;
}

static void drop(struct sched *s)
{
	json_decref(s->restoring);
	s->restoring = NULL;
}

static void write_all(struct call *c)
{
	struct sched *s = c->s;
	struct txn *t = txn_new(s);
	size_t n = json_object_size(s->restoring);
	const char *key;
	json_t *value;
	json_object_foreach(s->restoring, key, value) txn_put(t, json_incref(value), "%s", key);
	drop(s);
	hub_event(s, "restore", NULL, "restored", c->who.name);
	call_commit(c, t, json_pack("{s:I}", "keys", (json_int_t)n));
}

void api_restore(struct call *c)
{
	struct sched *s = c->s;
	struct vk_err err = {0};
	int rc = 0;
	if (s->st.stacks.n > 0)
		rc = vk_err_set(
			&err, VK_CONFLICT, "there are stacks already: a restore never overwrites");
	if (s->restoring == NULL)
		s->restoring = json_object();
	if (rc == 0)
		rc = gather(s, json_object_get(c->body, "keys"), &err);
	if (rc != 0) {
		drop(s);
		call_error(c, &err);
	} else if (vk_json_bool(c->body, "more", false)) {
		call_json(c, 200,
			json_pack("{s:I}", "keys", (json_int_t)json_object_size(s->restoring)));
	} else {
		write_all(c);
	}
}
