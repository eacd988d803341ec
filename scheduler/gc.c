/* References from kept releases; everything else may go. */
#include "gc.h"

#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>

static void keep_add(json_t *kept, unsigned n)
{
	char text[16];
	snprintf(text, sizeof(text), "%u", n);
	json_object_set_new(kept, text, json_true());
}

static bool keep_has(const json_t *kept, unsigned n)
{
	char text[16];
	snprintf(text, sizeof(text), "%u", n);
	return json_object_get(kept, text) != NULL;
}

static void keep_born(json_t *kept, const struct release *r)
{
	const char *node;
	json_t *entry;
	json_object_foreach(r->nodes, node, entry)
		keep_add(kept, (unsigned)vk_json_int(entry, "born", 0));
}

json_t *gc_kept(const struct stack *sk, size_t keep)
{
	json_t *kept = json_object();
	size_t good = 0;
	for (size_t i = sk->n_releases; i-- > 0;) {
		const struct release *r = sk->release[i];
		bool ok = strcmp(r->outcome, "ok") == 0;
		if (r->n != sk->current && r != stack_canary(sk) &&
			strcmp(r->outcome, "deploying") != 0 && (!ok || good >= keep))
			continue;
		good += ok;
		keep_add(kept, r->n);
		keep_born(kept, r);
	}
	size_t at;
	json_t *j;
	json_array_foreach(json_object_get(sk->drain, "instances"), at, j)
		keep_add(kept, (unsigned)vk_json_int(j, "born", 0));
	return kept;
}

json_t *gc_commits(const struct stack *sk, size_t keep)
{
	vk_autojson *kept = gc_kept(sk, keep);
	json_t *commits = json_array();
	for (size_t i = 0; i < sk->n_releases; i++)
		if (keep_has(kept, sk->release[i]->n) && sk->release[i]->commit != NULL)
			json_array_append_new(commits, json_string(sk->release[i]->commit));
	return commits;
}

static void refs_of(const struct release *r, json_t *refs)
{
	const char *boat;
	json_t *value;
	json_object_foreach(r->boats, boat, value)
	{
		const char *ref = vk_json_str(value, "ref", NULL);
		if (ref != NULL)
			json_object_set_new(refs, ref, json_true());
	}
}

static json_t *refs_all(const struct state *st, size_t keep)
{
	json_t *refs = json_object();
	struct stack *sk;
	table_each(&st->stacks, i, sk)
	{
		vk_autojson *kept = gc_kept(sk, keep);
		for (size_t k = 0; k < sk->n_releases; k++)
			if (keep_has(kept, sk->release[k]->n))
				refs_of(sk->release[k], refs);
	}
	return refs;
}

json_t *gc_refs(const struct state *st, size_t keep)
{
	vk_autojson *refs = refs_all(st, keep);
	json_t *list = json_array();
	const char *ref;
	json_t *value;
	json_object_foreach(refs, ref, value) json_array_append_new(list, json_string(ref));
	return list;
}

/* The newest image of each boat stays even without a release: the next push may find it unchanged. */
static bool image_newest(const struct state *st, const struct image_row *row)
{
	size_t prefix = (size_t)(strrchr(row->name, '/') - row->name) + 1;
	struct image_row *other;
	table_each(&st->images, i, other) if (strncmp(other->name, row->name, prefix) == 0 &&
		strchr(other->name + prefix, '/') == NULL &&
		other->time_ms > row->time_ms) return false;
	return true;
}

static size_t collect_images(struct sched *s, struct txn *t, json_t *refs)
{
	size_t dropped = 0;
	struct image_row *row;
	table_each(&s->st.images, i, row)
	{
		if (json_object_get(refs, row->ref) != NULL)
			continue;
		if (strrchr(row->name, '/') != NULL && image_newest(&s->st, row))
			continue;
		txn_del(t, "/images/%s", row->name);
		dropped++;
	}
	return dropped;
}

/* {"web": {"version"}} of a release's entries. */
static json_t *only_versions(json_t *nodes)
{
	json_t *slim = json_object(), *entry;
	const char *node;
	json_object_foreach(nodes, node, entry) json_object_set_new(
		slim, node, json_pack("{s:O}", "version", json_object_get(entry, "version")));
	return slim;
}

/* A release beyond keeping stays as a line of the history: who, when, why, and the versions it ran. */
static size_t collect_releases(struct sched *s, struct txn *t, const struct stack *sk)
{
	vk_autojson *kept = gc_kept(sk, s->cfg->releases_keep);
	size_t changed = 0, history = s->cfg->releases_keep * 10;
	for (size_t i = 0; i < sk->n_releases; i++) {
		const struct release *r = sk->release[i];
		if (keep_has(kept, r->n))
			continue;
		bool old = sk->n_releases - i > history;
		if (!old && r->doc == NULL)
			continue;
		struct release slim = *r;
		slim.doc = NULL;
		slim.boats = slim.config = NULL;
		vk_autojson *versions = only_versions(r->nodes);
		slim.nodes = versions;
		if (old)
			txn_del(t, "/release/%s/%u", sk->name, r->n);
		else
			txn_put_row(t, release_fields, &slim, "/release/%s/%u", sk->name, r->n);
		changed++;
	}
	return changed;
}

static size_t collect_rows(struct sched *s)
{
	struct txn *t = txn_new(s);
	vk_autojson *refs = refs_all(&s->st, s->cfg->releases_keep);
	size_t images = collect_images(s, t, refs), releases = 0;
	struct stack *sk;
	table_each(&s->st.stacks, i, sk) if (sk->exists) releases += collect_releases(s, t, sk);
	if (images + releases > 0)
		txn_commit(t, NULL, NULL);
	else
		txn_free(t);
	return images;
}

struct build *gc_start(struct sched *s, const char *who, const struct build_events *ev, void *arg)
{
	collect_rows(s);
	vk_autojson *keep = gc_refs(&s->st, s->cfg->releases_keep);
	struct image_row *row;
	table_each(&s->st.images, i, row) if (image_newest(&s->st, row))
		json_array_append_new(keep, json_string(row->ref));
	struct build_spec spec = {.kind = "gc",
		.stack = "",
		.who = who,
		.keep = keep,
		.budget = s->cfg->images_budget};
	return builds_start(s, &spec, ev, arg);
}

void gc_after_deploy(struct sched *s)
{
	hub_event(s, "stage", NULL, "s13", NULL);
	if (!builds_collecting(s) && collect_rows(s) > 0)
		gc_start(s, "viking", NULL, NULL);
	vk_mem_trim();
}
