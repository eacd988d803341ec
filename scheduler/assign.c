/* The rows of what is placed where. */
#include "assign.h"

#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

/* {host: [names]} */
static json_t *by_host(const struct sched *s, const struct inst_list *l)
{
	json_t *hosts = json_object();
	for (size_t i = 0; l != NULL && i < l->n; i++) {
		const char *host = l->v[i].host[0] != '\0' ? l->v[i].host : s->cfg->host_name;
		json_t *list = json_object_get(hosts, host);
		if (list == NULL)
			json_object_set_new(hosts, host, list = json_array());
		if (!l->v[i].task)
			json_array_append_new(list, json_string(l->v[i].name));
	}
	return hosts;
}

/* As it will stand when all that is under way is written. New reference. */
static json_t *row_stacks(const struct txn *t, const struct sched *s, const char *host)
{
	vk_autofree char *key = vk_asprintf("/assign/%s", host);
	const json_t *row;
	if (txn_latest(t, key, &row))
		return row != NULL ? json_copy(json_object_get(row, "stacks")) : json_object();
	const struct assign_row *stored = table_get(&s->st.assigns, host);
	return stored != NULL ? json_copy(stored->stacks) : json_object();
}

static void put_host(
	struct txn *t, struct sched *s, const char *host, const char *stack, json_t *names)
{
	json_t *stacks = row_stacks(t, s, host);
	vk_autojson *old = json_incref(json_object_get(stacks, stack));
	bool none = json_array_size(names) == 0;
	if (none)
		json_object_del(stacks, stack);
	else
		json_object_set(stacks, stack, names);
	if (none ? old == NULL : json_equal(old, names)) {
		json_decref(stacks);
		return;
	}
	txn_put(t, json_pack("{s:i,s:o}", "v", MODEL_VERSION, "stacks", stacks), "/assign/%s",
		host);
}

void assign_put(struct txn *t, struct sched *s, const char *stack, const struct inst_list *l)
{
	vk_autojson *hosts = by_host(s, l);
	const struct assign_row *row;
	const char *host;
	json_t *names;
	table_each(&s->st.assigns, i, row) if (json_object_get(hosts, row->name) == NULL)
		put_host(t, s, row->name, stack, NULL);
	json_object_foreach(hosts, host, names) put_host(t, s, host, stack, names);
}

/* ---- at the start ---- */

static void put_now(struct sched *s, struct txn *t, json_t *value, const char *key)
{
	state_apply(&s->st, key, value, NULL);
	if (value != NULL)
		txn_put(t, value, "%s", key);
	else
		txn_del(t, "%s", key);
}

/* The only host there is goes by another name than ours: this machine was renamed. */
static size_t recover_name(struct sched *s, struct txn *t)
{
	const struct host_row *row = s->st.hosts.n == 1 ? s->st.hosts.row[0] : NULL;
	if (row == NULL || strcmp(row->name, s->cfg->host_name) == 0)
		return 0;
	vk_autofree char *old = vk_strdup(row->name);
	static const char *const keys[] = {"host", "assign"};
	for (size_t i = 0; i < VK_COUNT(keys); i++) {
		vk_autofree char *from = vk_asprintf("/%s/%s", keys[i], old);
		vk_autofree char *to = vk_asprintf("/%s/%s", keys[i], s->cfg->host_name);
		const struct assign_row *placed = table_get(&s->st.assigns, old);
		if (i == 0)
			put_now(s, t, model_encode(host_fields, row), to);
		else if (placed != NULL)
			put_now(s, t, model_encode(assign_fields, placed), to);
		put_now(s, t, NULL, from);
	}
	const struct volume_row *v;
	table_each(&s->st.volumes, i, v)
	{
		struct volume_row now = *v;
		vk_autofree char *key = vk_asprintf("/volume/%s", v->name);
		now.host = s->cfg->host_name;
		if (vk_streq(v->host, old))
			put_now(s, t, model_encode(volume_fields, &now), key);
	}
	return 1;
}

static size_t recover_unplaced(struct sched *s, struct txn *t, const struct stack *sk)
{
	struct inst_list l = {0};
	size_t n = 0;
	stack_instances(sk, NULL, &l);
	for (size_t i = 0; i < l.n; i++)
		n += l.v[i].host[0] == '\0';
	if (n > 0)
		assign_put(t, s, sk->name, &l);
	inst_list_release(&l);
	return n;
}

void assign_recover(struct sched *s)
{
	struct txn *t = txn_new(s);
	size_t n = recover_name(s, t);
	struct stack *sk;
	table_each(&s->st.stacks, i, sk) n += sk->exists ? recover_unplaced(s, t, sk) : 0;
	if (n > 0)
		txn_commit(t, NULL, NULL);
	else
		txn_free(t);
}

/* ---- a backup ---- */

bool assign_import(const struct sched *s, const char *key, json_t **value)
{
	if (model_of_leader(key) || vk_starts(key, "/host/") || vk_starts(key, "/assign/"))
		return false;
	if (vk_starts(key, "/volume/")) {
		json_t *here = json_copy(*value);
		json_object_set_new(here, "host", json_string(s->cfg->host_name));
		*value = here;
	} else {
		json_incref(*value);
	}
	return true;
}
