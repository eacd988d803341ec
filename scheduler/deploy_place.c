/* Where the new instances of a deploy go: all of them, before the first starts. */
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>

#include "deploy.h"
#include "dispatch.h"
#include "hosts.h"

static unsigned goal_scale(const struct deploy *d, const char *node, const json_t *entry)
{
	const json_t *told = json_object_get(d->op.overlay.scale, node);
	return told != NULL ? (unsigned)json_integer_value(told)
			    : stack_scale(deploy_stack((struct deploy *)(uintptr_t)d), node, entry);
}

/* What the release will run and does not run yet. */
static void missing(struct deploy *d, const json_t *nodes, struct inst_list *ret)
{
	struct stack *sk = deploy_stack(d);
	struct inst_list have = {0};
	const char *node;
	json_t *entry;
	stack_instances(sk, NULL, &have);
	json_object_foreach((json_t *)(uintptr_t)nodes, node, entry)
	{
		unsigned version = (unsigned)vk_json_int(entry, "version", 0);
		if (strcmp(vk_json_str(entry, "type", "app"), "app") != 0)
			continue;
		for (unsigned n = 1; n <= goal_scale(d, node, entry); n++) {
			struct inst i = {0};
			inst_set(&i, sk->name, node, version, n,
				(unsigned)vk_json_int(entry, "born", 0));
			if (inst_list_find(&have, i.name) == NULL)
				*inst_list_add(ret) = i;
		}
	}
	inst_list_release(&have);
}

/* Nodes of which only one instance can be at a time. */
static void exclusive_nodes(const json_t *nodes, struct vk_strv *ret)
{
	const char *node;
	json_t *entry;
	json_object_foreach((json_t *)(uintptr_t)nodes, node,
		entry) if (vk_json_bool(entry, "exclusive", false)) vk_strv_add(ret, node);
}

static const char *unplaced_node(const struct inst_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].host[0] == '\0')
			return l->v[i].node;
	return NULL;
}

/* Where old and new do not fit beside each other the old ones are stopped first. */
int deploy_assign(struct deploy *d, struct vk_err *err)
{
	struct stack *sk = deploy_stack(d);
	const struct release *r = d->rel != NULL ? d->rel : stack_current(sk);
	struct inst_list *l = &d->op.overlay.planned;
	vk_autostrv without = {0};
	if (r == NULL)
		return 0;
	missing(d, r->nodes, l);
	exclusive_nodes(r->nodes, &without);
	struct dispatch_ask ask = {.sk = sk, .nodes = r->nodes, .l = l, .without = &without};
	int rc = dispatch_place(d->op.s, &ask, err);
	while (rc == VK_FAILED) {
		const char *node = unplaced_node(l);
		if (vk_strv_has(&without, node))
			return rc;
		vk_strv_add(&without, node);
		vk_strv_add(&d->stop_first, node);
		rc = dispatch_place(d->op.s, &ask, err);
	}
	for (size_t i = 0; rc == 0 && i < d->stop_first.n; i++)
		op_detail(&d->op,
			"%s: no host has room for old and new beside each other; the old stop "
			"first",
			d->stop_first.v[i]);
	return rc;
}

static void elsewhere(struct deploy *d, const struct inst *to)
{
	struct inst_list *lists[] = {&d->op.overlay.planned, &d->op.overlay.fresh};
	for (size_t k = 0; k < VK_COUNT(lists); k++)
		for (size_t i = 0; i < lists[k]->n; i++) {
			struct inst *in = &lists[k]->v[i];
			if (strcmp(in->name, to->name) != 0)
				continue;
			if (k == 0)
				op_detail(&d->op, "%s.%u goes to %s: %s is lost", in->node, in->n,
					to->host, in->host);
			inst_set_host(in, to->host);
			in->told = false;
		}
}

int deploy_assign_lost(struct deploy *d, struct vk_err *err)
{
	struct stack *sk = deploy_stack(d);
	const struct release *r = d->rel != NULL ? d->rel : stack_current(sk);
	const struct inst_list *planned = &d->op.overlay.planned;
	struct inst_list l = {0};
	vk_autostrv without = {0};
	for (size_t i = 0; i < planned->n; i++)
		if (hosts_lost(d->op.s, planned->v[i].host))
			*inst_list_add(&l) = planned->v[i];
	exclusive_nodes(r != NULL ? r->nodes : NULL, &without);
	for (size_t i = 0; i < d->stop_first.n; i++)
		vk_strv_add(&without, d->stop_first.v[i]);
	struct dispatch_ask ask = {
		.sk = sk, .nodes = r != NULL ? r->nodes : NULL, .l = &l, .without = &without};
	int rc = l.n > 0 ? dispatch_place(d->op.s, &ask, err) : 0;
	for (size_t i = 0; rc == 0 && i < l.n; i++)
		elsewhere(d, &l.v[i]);
	if (rc == 0)
		rc = (int)l.n;
	inst_list_release(&l);
	return rc;
}

const char *deploy_host(const struct deploy *d, const char *node, unsigned n)
{
	const struct inst_list *l = &d->op.overlay.planned;
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].n == n && strcmp(l->v[i].node, node) == 0)
			return l->v[i].host;
	return NULL;
}
