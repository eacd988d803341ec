/* Choosing a node and an instance. */
#include "pick.h"

#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "hosts.h"
#include "resolve.h"

/* As `viking help` ends. */
#define PUSH_IT "git push ssh://viking@HOST:2222/%s master"

static bool has_containers(const json_t *entry)
{
	return strcmp(vk_json_str(entry, "type", "app"), "app") == 0;
}

/* "db, web" */
static void node_names(const json_t *nodes, struct vk_buf *b)
{
	const char *name;
	json_t *entry;
	json_object_foreach((json_t *)(uintptr_t)nodes, name, entry) if (has_containers(entry))(
		void) vk_buf_addf(b, "%s%s", b->len > 0 ? ", " : "", name);
}

/* The key as the entries own it. */
static const char *own_key(json_t *nodes, const char *name)
{
	return name != NULL ? json_object_iter_key(json_object_iter_at(nodes, name)) : NULL;
}

static const char *default_node(const struct release *r)
{
	vk_autojson *doc = release_doc(r);
	const char *web = own_key(r->nodes, doc != NULL ? resolve_web_node(doc) : NULL);
	if (web != NULL && has_containers(json_object_get(r->nodes, web)))
		return web;
	const char *found = NULL, *name;
	json_t *entry;
	json_object_foreach(r->nodes, name, entry)
	{
		if (!has_containers(entry))
			continue;
		if (found != NULL)
			return NULL;
		found = name;
	}
	return found;
}

int pick_known(const struct stack *sk, const char *node, struct vk_err *err)
{
	vk_autobuf text = VK_BUF_INIT(400);
	vk_autostrv names = {0};
	struct node_row *row;
	if (table_get(&sk->nodes, node) != NULL)
		return 0;
	table_each(&sk->nodes, i, row)
	{
		vk_strv_add(&names, row->name);
		(void)vk_buf_addf(&text, "%s%s", i > 0 ? ", " : "", row->name);
	}
	const char *near = names.n > 0 ? vk_suggest(node, (const char *const *)names.v) : NULL;
	vk_err_set(err, VK_NOTFOUND, "%s has no node %.64s%s%s%s", sk->name, node,
		near != NULL ? " (did you mean " : "", near != NULL ? near : "",
		near != NULL ? "?)" : "");
	if (names.n == 0)
		return vk_err_hint(err, PUSH_IT, sk->name);
	return vk_err_hint(err, "-p NODE, one of: %s", vk_buf_str(&text));
}

struct release *pick_release(const struct stack *sk, struct vk_err *err)
{
	struct release *r = stack_current(sk);
	if (r == NULL) {
		vk_err_set(err, VK_NOTFOUND, "%s has no release yet", sk->name);
		vk_err_hint(err, PUSH_IT, sk->name);
	}
	return r;
}

int pick_node(const struct stack *sk, const char *node, const char **ret_node,
	const json_t **ret_entry, struct vk_err *err)
{
	const struct release *r = pick_release(sk, err);
	vk_autobuf names = VK_BUF_INIT(400);
	if (r == NULL)
		return VK_NOTFOUND;
	node_names(r->nodes, &names);
	bool named = node != NULL && node[0] != '\0';
	const char *found = named ? own_key(r->nodes, node) : default_node(r);
	if (found == NULL && named)
		vk_err_set(err, VK_NOTFOUND, "%s has no node %.64s", sk->name, node);
	else if (found == NULL)
		vk_err_set(err, VK_INVALID, "%s has no node web: say which one", sk->name);
	else if (!has_containers(json_object_get(r->nodes, found)))
		return vk_err_set(err, VK_INVALID, "%s of %s is a website: it has no container",
			found, sk->name);
	if (found == NULL)
		return vk_err_hint(err, "-p NODE, one of: %s", vk_buf_str(&names));
	*ret_node = found;
	*ret_entry = json_object_get(r->nodes, found);
	return 0;
}

/* 0 = cannot be entered. */
static int rank(enum inst_state st)
{
	switch (st) {
	case INST_HEALTHY:
		return 3;
	case INST_RUNNING:
	case INST_UNHEALTHY:
		return 2;
	case INST_STARTING:
		return 1;
	default:
		return 0;
	}
}

int pick_instance(struct sched *s, const struct stack *sk, const char *node, uint64_t n,
	struct inst *ret, struct vk_err *err)
{
	struct inst_list list = {0};
	int best = 0;
	bool any = false;
	stack_instances(sk, stack_overlay(sk), &list);
	for (size_t i = 0; i < list.n; i++) {
		const struct inst *at = &list.v[i];
		if (strcmp(at->node, node) != 0 || at->task || at->drain || (n > 0 && at->n != n))
			continue;
		any = true;
		const struct inst_status *st = hosts_find(s, at->name);
		int r = at->stop || st == NULL ? 0 : rank(st->state);
		if (r <= best)
			continue;
		best = r;
		*ret = *at;
	}
	inst_list_release(&list);
	if (best > 0)
		return 0;
	if (n > 0 && !any)
		vk_err_set(err, VK_NOTFOUND, "there is no %s.%llu in %s", node,
			(unsigned long long)n, sk->name);
	else
		vk_err_set(err, VK_CONFLICT, "no instance of %s in %s is running", node, sk->name);
	return vk_err_hint(err, "viking ps %s", sk->name);
}
