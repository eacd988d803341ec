/* The stored keys in memory: one table of kinds, each with what a put and a delete mean. */
#include "state.h"

#include <string.h>
#include <viking/mem.h>
#include <viking/str.h>

#define PARTS 4

struct kind {
	const char *name;
	size_t parts; /* after the kind */
	int (*put)(struct state *st, char **part, const json_t *value, struct vk_err *err);
	void (*del)(struct state *st, char **part);
};

/* ---- stacks ---- */

static struct stack *stack_ensure(struct state *st, const char *name)
{
	struct stack *sk = table_get(&st->stacks, name);
	if (sk != NULL)
		return sk;
	sk = vk_alloc(sizeof(*sk));
	sk->name = vk_strdup(name);
	sk->next = 1;
	table_add(&st->stacks, sk);
	return sk;
}

static void lock_free(struct lock_row *lock)
{
	if (lock != NULL)
		vk_fields_release(lock_fields, lock);
	free(lock);
}

static void stack_free(void *row)
{
	struct stack *sk = row;
	vk_fields_release(stack_fields, &sk->row);
	lock_free(sk->lock);
	table_release(&sk->nodes, node_row_free);
	table_release(&sk->config, config_row_free);
	for (size_t i = 0; i < sk->n_releases; i++)
		release_free(sk->release[i]);
	free(sk->release);
	json_decref(sk->pending);
	json_decref(sk->drain);
	json_decref(sk->intent);
	json_decref(sk->packs);
	json_decref(sk->hosts);
	json_decref(sk->canary);
	free(sk->name);
	free(sk);
}

static int put_stack(struct state *st, char **part, const json_t *value, struct vk_err *err)
{
	struct stack_row row = {0};
	int rc = model_decode(stack_fields, value, &row, err);
	if (rc != 0) {
		vk_fields_release(stack_fields, &row);
		return rc;
	}
	struct stack *sk = stack_ensure(st, part[0]);
	vk_fields_release(stack_fields, &sk->row);
	sk->row = row;
	sk->exists = true;
	if (sk->next < row.next)
		sk->next = (unsigned)row.next;
	if (sk->updated_ms < row.created_ms)
		sk->updated_ms = row.created_ms;
	return 0;
}

/* The deletes of a stack's other rows come before this one in the same transaction. */
static void del_stack(struct state *st, char **part)
{
	struct stack *sk = table_take(&st->stacks, part[0]);
	if (sk != NULL)
		stack_free(sk);
}

static int put_lock(struct state *st, char **part, const json_t *value, struct vk_err *err)
{
	struct lock_row *lock = vk_alloc(sizeof(*lock));
	int rc = model_decode(lock_fields, value, lock, err);
	if (rc != 0) {
		lock_free(lock);
		return rc;
	}
	struct stack *sk = stack_ensure(st, part[0]);
	lock_free(sk->lock);
	sk->lock = lock;
	return 0;
}

static void del_lock(struct state *st, char **part)
{
	struct stack *sk = table_get(&st->stacks, part[0]);
	if (sk != NULL) {
		lock_free(sk->lock);
		sk->lock = NULL;
	}
}

struct node_row *stack_node(struct stack *sk, const char *node)
{
	struct node_row *n = table_get(&sk->nodes, node);
	if (n == NULL) {
		n = vk_alloc(sizeof(*n));
		n->name = vk_strdup(node);
		n->scale = -1;
		table_add(&sk->nodes, n);
	}
	return n;
}

static int put_node(struct state *st, char **part, const json_t *value, struct vk_err *err)
{
	struct node_row row = {.scale = -1};
	int rc = model_decode(node_fields, value, &row, err);
	if (rc != 0)
		return rc;
	struct node_row *n = stack_node(stack_ensure(st, part[0]), part[1]);
	n->scale = row.scale;
	n->gen = row.gen;
	n->stopped = row.stopped;
	return 0;
}

static void del_node(struct state *st, char **part)
{
	struct stack *sk = table_get(&st->stacks, part[0]);
	struct node_row *n = sk != NULL ? table_get(&sk->nodes, part[1]) : NULL;
	if (n == NULL)
		return;
	n->scale = -1;
	n->gen = 0;
	n->stopped = false;
}

static int put_config(struct state *st, char **part, const json_t *value, struct vk_err *err)
{
	struct config_row *row = vk_alloc(sizeof(*row));
	row->name = vk_strdup(part[1]);
	int rc = model_decode(config_fields, value, row, err);
	if (rc != 0) {
		config_row_free(row);
		return rc;
	}
	struct stack *sk = stack_ensure(st, part[0]);
	config_row_free(table_take(&sk->config, part[1]));
	table_add(&sk->config, row);
	return 0;
}

static void del_config(struct state *st, char **part)
{
	struct stack *sk = table_get(&st->stacks, part[0]);
	if (sk != NULL)
		config_row_free(table_take(&sk->config, part[1]));
}

/* ---- releases ---- */

static void release_note_versions(struct stack *sk, const struct release *r)
{
	const char *node;
	json_t *entry;
	json_object_foreach(r->nodes, node, entry)
	{
		unsigned v = (unsigned)vk_json_int(entry, "version", 0);
		struct node_row *n = stack_node(sk, node);
		if (n->top < v)
			n->top = v;
	}
}

static int part_number(const char *text, unsigned *ret, struct vk_err *err)
{
	uint64_t n;
	if (vk_parse_u64(text, 1, 1u << 30, &n) != 0)
		return vk_err_set(err, VK_INVALID, "%s is no release number", text);
	*ret = (unsigned)n;
	return 0;
}

static int put_release(struct state *st, char **part, const json_t *value, struct vk_err *err)
{
	unsigned n;
	int rc = part_number(part[1], &n, err);
	if (rc != 0)
		return rc;
	struct release *r = vk_alloc(sizeof(*r));
	r->n = n;
	rc = model_decode(release_fields, value, r, err);
	if (rc != 0) {
		release_free(r);
		return rc;
	}
	struct stack *sk = stack_ensure(st, part[0]);
	release_note_versions(sk, r);
	stack_put_release(sk, r);
	if (sk->next <= n)
		sk->next = n + 1;
	if (sk->updated_ms < r->when_ms)
		sk->updated_ms = r->when_ms;
	return 0;
}

static void del_release(struct state *st, char **part)
{
	struct stack *sk = table_get(&st->stacks, part[0]);
	unsigned n;
	if (sk != NULL && part_number(part[1], &n, NULL) == 0)
		stack_drop_release(sk, n);
}

static int put_current(struct state *st, char **part, const json_t *value, struct vk_err *err)
{
	(void)err;
	struct stack *sk = stack_ensure(st, part[0]);
	struct release *old = stack_current(sk);
	sk->current = (unsigned)vk_json_int(value, "n", 0);
	if (old != NULL &&
		old->n != sk->current) { /* definitions hold secrets: only the serving ones stay */
		json_decref(old->defs);
		old->defs = NULL;
	}
	return 0;
}

static void del_current(struct state *st, char **part)
{
	struct stack *sk = table_get(&st->stacks, part[0]);
	if (sk != NULL)
		sk->current = 0;
}

/* ---- small objects kept as they are ---- */

static void slot_set(json_t **slot, const json_t *value)
{
	json_decref(*slot);
	*slot = value != NULL ? json_incref((json_t *)(uintptr_t)value) : NULL;
}

#define SLOT_KIND(name) \
	static int put_##name( \
		struct state *st, char **part, const json_t *value, struct vk_err *err) \
	{ \
		(void)err; \
		slot_set(&stack_ensure(st, part[0])->name, value); \
		return 0; \
	} \
	static void del_##name(struct state *st, char **part) \
	{ \
		struct stack *sk = table_get(&st->stacks, part[0]); \
		if (sk != NULL) \
			slot_set(&sk->name, NULL); \
	}
SLOT_KIND(pending)
SLOT_KIND(intent)
SLOT_KIND(packs)
SLOT_KIND(canary)

static int put_drain(struct state *st, char **part, const json_t *value, struct vk_err *err)
{
	(void)err;
	struct stack *sk = stack_ensure(st, part[0]);
	slot_set(&sk->drain, value);
	sk->drain_ending = false;
	return 0;
}

static void del_drain(struct state *st, char **part)
{
	struct stack *sk = table_get(&st->stacks, part[0]);
	if (sk == NULL)
		return;
	slot_set(&sk->drain, NULL);
	sk->drain_ending = false;
}

/* ---- rows of one table each ---- */

#define TABLE_KIND(kind, table, free_row) \
	static int put_##kind( \
		struct state *st, char **part, const json_t *value, struct vk_err *err) \
	{ \
		struct kind##_row *row = vk_alloc(sizeof(*row)); \
		row->name = vk_strdup(part[0]); \
		int rc = model_decode(kind##_fields, value, row, err); \
		if (rc != 0) { \
			free_row(row); \
			return rc; \
		} \
		free_row(table_take(&st->table, part[0])); \
		table_add(&st->table, row); \
		return 0; \
	} \
	static void del_##kind(struct state *st, char **part) \
	{ \
		free_row(table_take(&st->table, part[0])); \
	}
TABLE_KIND(key, keys, key_row_free)
TABLE_KIND(domain, domains, domain_row_free)
TABLE_KIND(build, builds, build_row_free)
TABLE_KIND(volume, volumes, volume_row_free)
TABLE_KIND(image, images, image_row_free)
TABLE_KIND(cert, certs, cert_row_free)
TABLE_KIND(acme, acme, acme_row_free)
TABLE_KIND(account, accounts, account_row_free)
TABLE_KIND(traffic, traffic, traffic_row_free)
TABLE_KIND(host, hosts, host_row_free)
TABLE_KIND(invite, invites, invite_row_free)
TABLE_KIND(assign, assigns, assign_row_free)

static int put_owned_domain(struct state *st, char **part, const json_t *value, struct vk_err *err)
{
	owned_drop(&st->owned, table_get(&st->domains, part[0]));
	int rc = put_domain(st, part, value, err);
	const struct domain_row *row = table_get(&st->domains, part[0]);
	if (row != NULL)
		owned_add(&st->owned, row);
	return rc;
}

static void del_owned_domain(struct state *st, char **part)
{
	owned_drop(&st->owned, table_get(&st->domains, part[0]));
	del_domain(st, part);
}

static int put_numbered_build(
	struct state *st, char **part, const json_t *value, struct vk_err *err)
{
	uint64_t n;
	if (part[0][0] == 'b' && vk_parse_u64(part[0] + 1, 0, UINT64_MAX / 2, &n) == 0 &&
		n > st->build_top)
		st->build_top = n;
	return put_build(st, part, value, err);
}

/* What a row no longer says is forgotten unless another row, written before or after, says otherwise. */
static void assign_forget(struct state *st, const struct assign_row *row)
{
	const char *stack;
	json_t *list, *name;
	size_t i;
	json_object_foreach(row != NULL ? row->stacks : NULL, stack, list)
	{
		struct stack *sk = table_get(&st->stacks, stack);
		json_array_foreach(sk != NULL ? list : NULL, i, name)
		{
			const char *text = json_string_value(name);
			const char *host = text != NULL ? stack_host(sk, text) : NULL;
			if (host != NULL && strcmp(host, row->name) == 0)
				json_object_del(sk->hosts, text);
		}
	}
}

static void assign_learn(struct state *st, const struct assign_row *row)
{
	const char *stack;
	json_t *list, *name;
	size_t i;
	json_object_foreach(row->stacks, stack, list)
	{
		struct stack *sk = stack_ensure(st, stack);
		if (sk->hosts == NULL)
			sk->hosts = json_object();
		json_array_foreach(list, i, name) if (json_is_string(name)) json_object_set_new(
			sk->hosts, json_string_value(name), json_string(row->name));
	}
}

static int put_assignment(struct state *st, char **part, const json_t *value, struct vk_err *err)
{
	assign_forget(st, table_get(&st->assigns, part[0]));
	int rc = put_assign(st, part, value, err);
	if (rc == 0)
		assign_learn(st, table_get(&st->assigns, part[0]));
	return rc;
}

static void del_assignment(struct state *st, char **part)
{
	assign_forget(st, table_get(&st->assigns, part[0]));
	del_assign(st, part);
}

static void gone_free(void *row)
{
	struct gone_row *gone = row;
	if (gone == NULL)
		return;
	free(gone->name);
	free(gone->to);
	free(gone);
}

static int put_gone(struct state *st, char **part, const json_t *value, struct vk_err *err)
{
	(void)err;
	gone_free(table_take(&st->gone, part[0]));
	struct gone_row *row = vk_alloc(sizeof(*row));
	row->name = vk_strdup(part[0]);
	row->to = vk_strdup(vk_json_str(value, "to", NULL));
	table_add(&st->gone, row);
	return 0;
}

static void del_gone(struct state *st, char **part)
{
	gone_free(table_take(&st->gone, part[0]));
}

/* lead.h has these; the epoch is in every document. */
static int put_leader(struct state *st, char **part, const json_t *value, struct vk_err *err)
{
	(void)st, (void)part, (void)value, (void)err;
	return 0;
}

static int put_epoch(struct state *st, char **part, const json_t *value, struct vk_err *err)
{
	(void)part, (void)err;
	st->epoch = (uint64_t)vk_json_int(value, "epoch", 0);
	return 0;
}

static void del_leader(struct state *st, char **part)
{
	(void)st, (void)part;
}

/* The last part takes the rest of the key, slashes included. */
static const struct kind kinds[] = {
	{"leader", 0, put_leader, del_leader},
	{"epoch", 0, put_epoch, del_leader},
	{"key", 1, put_key, del_key},
	{"stack", 1, put_stack, del_stack},
	{"lock", 1, put_lock, del_lock},
	{"node", 2, put_node, del_node},
	{"packs", 1, put_packs, del_packs},
	{"config", 2, put_config, del_config},
	{"domain", 1, put_owned_domain, del_owned_domain},
	{"release", 2, put_release, del_release},
	{"current", 1, put_current, del_current},
	{"canary", 1, put_canary, del_canary},
	{"pending", 1, put_pending, del_pending},
	{"drain", 1, put_drain, del_drain},
	{"intent", 1, put_intent, del_intent},
	{"build", 1, put_numbered_build, del_build},
	{"images", 1, put_image, del_image},
	{"volume", 1, put_volume, del_volume},
	{"cert", 1, put_cert, del_cert},
	{"acme", 1, put_acme, del_acme},
	{"account", 1, put_account, del_account},
	{"traffic", 1, put_traffic, del_traffic},
	{"host", 1, put_host, del_host},
	{"invite", 1, put_invite, del_invite},
	{"assign", 1, put_assignment, del_assignment},
	{"gone", 1, put_gone, del_gone},
};

static const struct kind *kind_of(const char *name)
{
	for (size_t i = 0; i < VK_COUNT(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	return NULL;
}

static bool changes_names(const char *kind)
{
	static const char *const those[] = {"stack", "domain", "cert", "traffic"};
	for (size_t i = 0; i < VK_COUNT(those); i++)
		if (strcmp(those[i], kind) == 0)
			return true;
	return false;
}

/* Cuts text in place at slashes into n parts; false when there are fewer. */
static bool split_parts(char *text, size_t n, char **part)
{
	for (size_t i = 0; i < n; i++) {
		part[i] = text;
		if (i + 1 == n)
			break;
		text = strchr(text, '/');
		if (text == NULL)
			return false;
		*text++ = '\0';
	}
	return n == 0 || part[n - 1][0] != '\0';
}

int state_apply(struct state *st, const char *key, const json_t *value, struct vk_err *err)
{
	if (key[0] != '/')
		return vk_err_set(err, VK_INVALID, "key %s does not begin with /", key);
	vk_autofree char *copy = vk_strdup(key + 1);
	char *rest = strchrnul(copy, '/');
	if (*rest != '\0')
		*rest++ = '\0';
	const struct kind *k = kind_of(copy);
	if (k == NULL)
		return vk_err_set(err, VK_INVALID, "key %s is of no known kind", key);
	char *part[PARTS] = {0};
	if (!split_parts(rest, k->parts, part))
		return vk_err_set(err, VK_INVALID, "key %s is cut short", key);
	st->names += changes_names(k->name);
	if (value == NULL) {
		k->del(st, part);
		return 0;
	}
	int rc = k->put(st, part, value, err);
	if (rc != 0)
		vk_err_wrap(err, "key %s", key);
	return rc;
}

void state_init(struct state *st)
{
	*st = (struct state){0};
}

void state_release(struct state *st)
{
	table_release(&st->stacks, stack_free);
	table_release(&st->keys, key_row_free);
	table_release(&st->owned, owned_free);
	table_release(&st->domains, domain_row_free);
	table_release(&st->builds, build_row_free);
	table_release(&st->images, image_row_free);
	table_release(&st->volumes, volume_row_free);
	table_release(&st->certs, cert_row_free);
	table_release(&st->acme, acme_row_free);
	table_release(&st->accounts, account_row_free);
	table_release(&st->traffic, traffic_row_free);
	table_release(&st->gone, gone_free);
	table_release(&st->hosts, host_row_free);
	table_release(&st->invites, invite_row_free);
	table_release(&st->assigns, assign_row_free);
}

/* ---- reads ---- */

struct stack *state_stack(const struct state *st, const char *name)
{
	struct stack *sk = name != NULL ? table_get(&st->stacks, name) : NULL;
	return sk != NULL && sk->exists ? sk : NULL;
}

unsigned stack_scale(const struct stack *sk, const char *node, const json_t *entry)
{
	const struct node_row *n = table_get(&sk->nodes, node);
	if (n != NULL && n->scale >= 0)
		return (unsigned)n->scale;
	return (unsigned)vk_json_int(entry, "scale", 1);
}

const char *stack_host(const struct stack *sk, const char *instance)
{
	return json_string_value(json_object_get(sk->hosts, instance));
}
