/* New stacks. */
#include "stacks.h"

#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "hosts.h"

#define ID_BYTES 8

static bool has_subnet(void *arg, const char *key, const json_t *value)
{
	(void)key;
	return vk_json_int(value, "subnet", -1) == (int64_t) * (uint64_t *)arg;
}

static bool subnet_used(void *arg, uint64_t index)
{
	const struct sched *s = arg;
	struct stack *sk;
	table_each(&s->st.stacks, i, sk) if (sk->exists && sk->row.subnet == index) return true;
	return txn_pending(s, "/stack/", has_subnet, &index);
}

/* Routes of the host that are not our own networks: those would hide every subnet already in use. */
static json_t *foreign_routes(const struct sched *s)
{
	json_t *list = json_array();
	size_t i;
	json_t *route;
	json_array_foreach(json_object_get(hosts_facts(s, NULL), "routes"), i, route)
	{
		const char *text = json_string_value(route);
		bool ours = false;
		struct stack *sk;
		table_each(&s->st.stacks, k, sk)
		{
			char subnet[32];
			subnet_text(&s->range, sk->row.subnet, subnet);
			ours = ours || (sk->exists && vk_streq(subnet, text));
		}
		if (!ours)
			json_array_append(list, route);
	}
	return list;
}

int stacks_subnet(struct sched *s, uint64_t *ret, struct vk_err *err)
{
	vk_autojson *routes = foreign_routes(s);
	return subnet_pick(&s->range, subnet_used, s, routes, ret, err);
}

static bool has_name(void *arg, const char *key, const json_t *value)
{
	(void)value;
	return strcmp(key, arg) == 0;
}

bool stacks_coming(const struct sched *s, const char *name)
{
	vk_autofree char *key = vk_asprintf("/stack/%s", name);
	return txn_pending(s, key, has_name, key);
}

int stacks_create(
	struct sched *s, struct txn *t, const char *name, const char *who, struct vk_err *err)
{
	int rc = vk_stack_name_new(name, err);
	if (rc != 0)
		return rc;
	if (state_stack(&s->st, name) != NULL || stacks_coming(s, name))
		return vk_err_set(err, VK_EXISTS, "there is a stack %s already", name);
	uint64_t subnet;
	rc = stacks_subnet(s, &subnet, err);
	if (rc != 0)
		return rc;
	char id[ID_BYTES * 2 + 1];
	vk_random_hex(ID_BYTES, id);
	txn_put(t,
		json_pack("{s:i,s:s,s:s,s:I,s:I}", "v", MODEL_VERSION, "id", id, "who", who,
			"subnet", (json_int_t)subnet, "created_ms", (json_int_t)vk_now_ms()),
		"/stack/%s", name);
	txn_del(t, "/gone/network/viking-%s", name);
	txn_del(t, "/gone/logs/%s", name);
	return 0;
}
