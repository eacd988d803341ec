/* Loading, importing, recovering. */
#include "load.h"

#include <string.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "assign.h"
#include "builds.h"
#include "lead.h"
#include "txn.h"

#define BACKUP_MAX     ((size_t)1 << 30)
#define LINE_MAX_BYTES ((size_t)2 << 20)

struct load {
	struct sched *s;
	load_fn *fn, *waits;
	void *arg;
	uint64_t
		epoch_floor; /* of a backup: epochs, and with them all revisions sent, never fall */
	bool imported;
	struct vk_timer *begin;
	struct vk_strv keys, values; /* of a backup */
	char *backup;                /* its path */
};

static void load_over(struct load *l, const struct vk_err *err)
{
	l->fn(l->arg, err);
}

static void load_range(struct load *l);

/* ---- import ---- */

static int import_line(void *arg, json_t *line, struct vk_err *err)
{
	struct load *l = arg;
	const char *key = vk_json_str(line, "key", NULL);
	vk_autojson *value = NULL;
	if (key == NULL) { /* the first line, with the revision then: no epoch was higher */
		uint64_t rev = (uint64_t)vk_json_int(line, "rev", 0);
		l->epoch_floor = rev > l->epoch_floor ? rev : l->epoch_floor;
		return 0;
	}
	json_t *given = json_object_get(line, "value");
	if (!json_is_object(given))
		return vk_err_set(err, VK_INVALID, "key %s has no value", key);
	if (!assign_import(l->s, key, &given))
		return 0;
	value = given;
	struct state probe;
	state_init(&probe);
	int rc = state_apply(&probe, key, value, err);
	state_release(&probe);
	if (rc != 0)
		return rc;
	vk_strv_add(&l->keys, key);
	vk_strv_take(&l->values, vk_json_text(value));
	return 0;
}

static int import_read(struct load *l, struct vk_err *err)
{
	vk_autobuf b = VK_BUF_INIT(BACKUP_MAX);
	struct vk_jsonl lines;
	int rc = vk_fs_read(l->backup, &b, err);
	if (rc != 0)
		return rc;
	vk_jsonl_init(&lines, LINE_MAX_BYTES);
	rc = vk_jsonl_feed(&lines, vk_buf_str(&b), b.len, import_line, l, err);
	if (rc == 0)
		rc = vk_jsonl_end(&lines, import_line, l, err);
	vk_jsonl_release(&lines);
	return rc == 0 ? 0 : vk_err_wrap(err, "%s", l->backup);
}

static void import_done(void *arg, const struct vk_err *err, bool committed, uint64_t rev)
{
	struct load *l = arg;
	(void)rev;
	struct vk_err lost = {0};
	if (err->code == 0 && !committed)
		vk_err_set(&lost, VK_CONFLICT, "another scheduler writes the store");
	if (err->code != 0 || !committed) {
		load_over(l, err->code != 0 ? err : &lost);
		return;
	}
	vk_autofree char *done = vk_state_path(l->s->cfg, "sched/restore.done");
	if (rename(l->backup, done) != 0)
		vk_log(VK_WARN, "restore", "rename=failed file=%s", l->backup);
	vk_log(VK_INFO, "restore", "keys=%zu", l->keys.n);
	l->imported = true;
	load_range(l);
}

/* One transaction: a restore is there as a whole or not at all. */
static void import_write(struct load *l)
{
	struct vk_op *ops = vk_calloc(l->keys.n + 1, sizeof(*ops));
	for (size_t i = 0; i < l->keys.n; i++)
		ops[i] = (struct vk_op){.key = l->keys.v[i],
			.value = l->values.v[i],
			.len = strlen(l->values.v[i])};
	const struct vk_cmp fence = lead_fence(l->s);
	l->s->store->ops->txn(l->s->store, &fence, 1, ops, l->keys.n, import_done, l);
	free(ops);
}

static bool import_wanted(struct load *l)
{
	if (l->imported || !vk_fs_exists(l->backup))
		return false;
	if (l->s->st.stacks.n == 0)
		return true;
	vk_log(VK_WARN, "restore", "ignored=\"the store has stacks already\" file=%s", l->backup);
	return false;
}

/* ---- loading ---- */

static int load_key(struct load *l, const struct vk_kv *kv, struct vk_err *err)
{
	vk_autojson *value = NULL;
	int rc = vk_json_parse_max(kv->value, kv->len, kv->len + 1, &value, err);
	if (rc != 0)
		return vk_err_wrap(err, "key %s", kv->key);
	return state_apply(&l->s->st, kv->key, value, err);
}

static void load_got(
	void *arg, const struct vk_err *err, const struct vk_kv *kvs, size_t n, uint64_t rev)
{
	struct load *l = arg;
	struct vk_err bad = *err;
	int rc = err->code;
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = load_key(l, &kvs[i], &bad);
	if (rc != 0) {
		load_over(l, &bad);
		return;
	}
	if (import_wanted(l)) {
		import_write(l);
		return;
	}
	l->s->loaded_rev = rev;
	vk_log(VK_INFO, "loaded", "keys=%zu rev=%llu stacks=%zu", n, (unsigned long long)rev,
		l->s->st.stacks.n);
	load_over(l, NULL);
}

static void load_range(struct load *l)
{
	state_release(&l->s->st);
	state_init(&l->s->st);
	l->s->store->ops->range(l->s->store, "/", load_got, l);
}

static void load_led(void *arg, const struct vk_err *err)
{
	struct load *l = arg;
	if (err != NULL)
		load_over(l, err);
	else
		load_range(l);
}

static void load_waits(void *arg, const struct vk_err *err)
{
	struct load *l = arg;
	l->waits(l->arg, err);
}

/* The backup is read first: its epochs count for ours. */
static void load_begin(void *arg)
{
	struct load *l = arg;
	struct vk_err err = {0};
	if (vk_fs_exists(l->backup) && import_read(l, &err) != 0)
		load_over(l, &err);
	else
		l->s->lead = lead_start(l->s, l->epoch_floor, load_led, load_waits, l);
}

struct load *load_start(struct sched *s, load_fn *fn, load_fn *waits, void *arg)
{
	struct load *l = vk_alloc(sizeof(*l));
	l->s = s;
	l->fn = fn;
	l->waits = waits;
	l->arg = arg;
	l->backup = vk_state_path(s->cfg, "sched/restore.jsonl");
	l->begin = vk_timer_new(s->loop, load_begin, l);
	vk_timer_set(l->begin, 0);
	return l;
}

void load_free(struct load *l)
{
	if (l == NULL)
		return;
	vk_strv_release(&l->keys);
	vk_strv_release(&l->values);
	vk_timer_free(l->begin);
	free(l->backup);
	free(l);
}

/* ---- recovering ---- */

static size_t recover_stack(struct txn *t, const struct stack *sk)
{
	size_t n = 0;
	for (size_t i = 0; i < sk->n_releases; i++) {
		if (strcmp(sk->release[i]->outcome, "deploying") != 0)
			continue;
		struct release over = *sk->release[i];
		over.outcome = (char *)(uintptr_t) "cancelled";
		over.cause = (char *)(uintptr_t) "the scheduler was restarted";
		txn_put_row(t, release_fields, &over, "/release/%s/%u", sk->name, over.n);
		n++;
	}
	if (sk->intent != NULL) {
		txn_del(t, "/intent/%s", sk->name);
		n++;
	}
	return n;
}

void load_recover(struct sched *s)
{
	struct txn *t = txn_new(s);
	size_t n = 0;
	struct stack *sk;
	table_each(&s->st.stacks, i, sk) n += recover_stack(t, sk);
	if (n > 0)
		txn_commit(t, NULL, NULL);
	else
		txn_free(t);
	assign_recover(s);
	builds_recover(s);
}
