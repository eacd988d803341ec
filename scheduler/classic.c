#include "classic.h"

#include <stdlib.h>
#include <string.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "jobs.h"
#include "view.h"

#define PASS_MS  500
#define AGAIN_MS 5000
#define AWAY_MS \
	300000 /* the longest wait when etcd refuses, as where our certificate has no right on the keys */
#define LEASE_MS 60000
#define BATCH    100 /* keys in a transaction; etcd's own limit is 128 */
#define JOBS_MAX 10000

struct classic {
	struct sched *s;
	struct vk_store *store; /* the whole key space of etcd */
	struct jobs *jobs;
	char *root, *fence; /* before the classic keys; the key /leader, with its prefix */
	uint64_t lease, watch, own_rev;
	json_t *have,
		*want; /* {key: text}, without root: what was written, what is to be; want NULL: not made */
	json_t *failed; /* {"STACK/NODE/TAG": {"rev", "why", "back": text or absent}}: jobs to be moved */
	json_t *batch;               /* keys of the transaction under way */
	bool busy, stopped;          /* one call at a time */
	int64_t view_at, jobs_at;    /* when the view is made anew, and /proc read; 0 = no need */
	int64_t viewed_ms;           /* when it was made last */
	int64_t wait_ms, wait_until; /* after a failure */
	struct vk_timer *pass, *keep;
};

static void step(struct classic *c);

static int64_t sooner(int64_t a, int64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

/* Of these two only the time is kept: a step does what is due. */
static void arm(struct classic *c)
{
	int64_t now = vk_mono_ms(), at = sooner(c->view_at, c->jobs_at);
	if (json_object_size(c->failed) > 0 || c->lease == 0)
		at = now;
	if (c->busy || c->stopped || at == 0)
		return;
	at = at < c->wait_until ? c->wait_until : at;
	vk_timer_set(c->pass, at > now ? at - now : 0);
}

static void want_view(struct classic *c)
{
	int64_t now = vk_mono_ms(), next = c->viewed_ms + PASS_MS;
	if (c->view_at == 0)
		c->view_at = next > now ? next : now + PASS_MS / 10;
	arm(c);
}

static void want_jobs(struct classic *c, int64_t ms)
{
	c->jobs_at = sooner(c->jobs_at, vk_mono_ms() + ms);
	arm(c);
}

/* The end of a call: false when it failed, and the next one is put off. */
static bool done(struct classic *c, const char *what, const struct vk_err *err)
{
	c->busy = false;
	if (c->stopped)
		return false;
	if (err->code == 0) {
		c->wait_ms = c->wait_until = 0;
		return true;
	}
	if (c->wait_ms == 0)
		vk_log(VK_WARN, "classic-keys", "what=%s why=\"%s\"", what, err->msg);
	c->wait_ms = c->wait_ms == 0       ? AGAIN_MS
		: c->wait_ms * 2 < AWAY_MS ? c->wait_ms * 2
					   : AWAY_MS;
	c->wait_until = vk_mono_ms() + c->wait_ms;
	return false;
}

static struct vk_cmp fence(const struct classic *c)
{
	return (struct vk_cmp){.key = c->fence, .target = VK_CMP_CREATE_REV, .rev = c->s->lead_rev};
}

/* ---- the lease ---- */

static void granted(void *arg, const struct vk_err *err, uint64_t lease)
{
	struct classic *c = arg;
	if (done(c, "lease", err)) {
		c->lease = lease;
		json_object_clear(c->have);
		c->view_at = vk_mono_ms();
		vk_timer_set(c->keep, LEASE_MS / 3);
	}
	step(c);
}

static void kept(void *arg, const struct vk_err *err, uint64_t lease)
{
	struct classic *c = arg;
	(void)lease;
	if (c->stopped)
		return;
	if (err->code == VK_NOTFOUND) { /* all keys are gone with it */
		c->lease = 0;
		arm(c);
		return;
	}
	vk_timer_set(c->keep, LEASE_MS / 3);
}

static void on_keep(void *arg)
{
	struct classic *c = arg;
	c->store->ops->lease_keep(c->store, c->lease, kept, c);
}

/* ---- the mirror ---- */

/* Adds what differs to ops; keys and texts are borrowed from have and want. */
static size_t differences(struct classic *c, struct vk_op ops[static BATCH], json_t *batch)
{
	size_t n = 0;
	const char *key;
	json_t *text;
	json_object_foreach(c->have, key, text)
	{
		if (n == BATCH || json_object_get(c->want, key) != NULL)
			continue;
		ops[n++] = (struct vk_op){.key = key, .del = true};
		json_object_set_new(batch, key, json_null());
	}
	json_object_foreach(c->want, key, text)
	{
		if (n == BATCH || json_equal(json_object_get(c->have, key), text))
			continue;
		ops[n++] = (struct vk_op){.key = key,
			.value = json_string_value(text),
			.len = json_string_length(text),
			.lease = c->lease};
		json_object_set(batch, key, text);
	}
	return n;
}

static void written(void *arg, const struct vk_err *err, bool committed, uint64_t rev)
{
	struct classic *c = arg;
	vk_autojson *batch = VK_TAKE(c->batch);
	const char *key;
	json_t *text;
	json_object_foreach(batch, key, text)
	{
		if (err->code != 0) /* not known: written again, or deleted again */
			json_object_set_new(c->have, key, json_null());
		else if (json_is_null(text))
			json_object_del(c->have, key);
		else
			json_object_set(c->have, key, text);
	}
	c->own_rev = rev;
	if (done(c, "write", err) && !committed)
		c->stopped = true; /* another leads: our first write to the state ends us */
	step(c);
}

static bool write_batch(struct classic *c)
{
	struct vk_op ops[BATCH];
	struct vk_strv keys = {0};
	c->batch = json_object();
	size_t n = differences(c, ops, c->batch);
	if (n == 0) {
		json_decref(VK_TAKE(c->batch));
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		vk_strv_take(&keys, vk_asprintf("%s%s", c->root, ops[i].key));
		ops[i].key = keys.v[i];
	}
	const struct vk_cmp cmp = fence(c);
	c->busy = true;
	c->store->ops->txn(c->store, &cmp, 1, ops, n, written, c);
	vk_strv_release(&keys);
	return true;
}

/* ---- jobs to /failed ---- */

static void moved(void *arg, const struct vk_err *err, bool committed, uint64_t rev)
{
	struct classic *c = arg;
	(void)committed; /* if not, it was changed meanwhile and is read again */
	c->own_rev = rev;
	(void)done(c, "failed", err);
	want_jobs(c, 0);
	step(c);
}

static void move_one(struct classic *c)
{
	const char *name = json_object_iter_key(json_object_iter(c->failed));
	vk_autojson *row = json_incref(json_object_get(c->failed, name));
	vk_autofree char *from = vk_asprintf("%s/proc/%s", c->root, name),
			 *to = vk_asprintf("%s/failed/%s", c->root, name);
	vk_autojson *value = json_pack("{s:O}", "reason", json_object_get(row, "why"));
	vk_autofree char *text = vk_json_text(value);
	json_object_del(c->failed, name);
	const struct vk_cmp cmps[] = {fence(c),
		{.key = from,
			.target = VK_CMP_MOD_REV,
			.rev = (uint64_t)vk_json_int(row, "rev", 0)}};
	const char *back = vk_json_str(row, "back", NULL);
	const struct vk_op ops[] = {{.key = from,
					    .del = back == NULL,
					    .value = back,
					    .len = back != NULL ? strlen(back) : 0},
		{.key = to, .value = text, .len = strlen(text)}};
	c->busy = true;
	c->store->ops->txn(c->store, cmps, 2, ops, 2, moved, c);
}

static void fail_job(void *arg, const char *key, uint64_t rev, const char *why, const char *back)
{
	struct classic *c = arg;
	vk_autofree char *path = vk_asprintf("/proc/%s", key);
	json_object_del(
		c->have, path); /* where it stands in place of one of ours, that is written anew */
	json_object_set_new(c->failed, key,
		json_pack("{s:I,s:s,s:s*}", "rev", (json_int_t)rev, "why", why, "back", back));
	want_view(c);
}

/* ---- jobs ---- */

/* What we wrote, or a leader before us, whose lease has not ended yet. */
static bool is_view(const struct classic *c, const char *path, const struct vk_kv *kv)
{
	const char *ours = json_string_value(json_object_get(c->have, path));
	vk_autojson *value = NULL;
	if (ours != NULL)
		return strlen(ours) == kv->len && memcmp(ours, kv->value, kv->len) == 0;
	return vk_json_parse(kv->value, kv->len, &value, NULL) == 0 &&
		json_object_get(value, "kind") != NULL && json_object_get(value, "version") != NULL;
}

/* Keys of the mirror that are not there any more are written anew. */
static void forget_lost(struct classic *c, const json_t *there)
{
	const char *path;
	json_t *text;
	void *tmp;
	json_object_foreach_safe(c->have, tmp, path, text)
	{
		if (!vk_starts(path, "/proc/") || json_object_get(there, path) != NULL)
			continue;
		json_object_del(c->have, path);
		want_view(c);
	}
}

static void read_jobs(
	void *arg, const struct vk_err *err, const struct vk_kv *kvs, size_t n, uint64_t rev)
{
	struct classic *c = arg;
	(void)rev;
	if (!done(c, "read", err)) {
		want_jobs(c, 0);
		return;
	}
	vk_autojson *there = json_object();
	struct job_row *rows = vk_calloc(n + 1, sizeof(*rows));
	size_t jobs = 0, skip = strlen(c->root);
	for (size_t i = 0; i < n; i++) {
		const char *path = kvs[i].key + skip;
		if (json_object_set_new(there, path, json_true()) != 0)
			continue; /* no text: it can be nobody's, here and in /failed */
		if (!is_view(c, path, &kvs[i]) && jobs++ < JOBS_MAX)
			rows[jobs - 1] = (struct job_row){.key = path + strlen("/proc/"),
				.text = kvs[i].value,
				.len = kvs[i].len,
				.rev = kvs[i].mod_rev};
	}
	forget_lost(c, there);
	jobs_look(c->jobs, rows, jobs < JOBS_MAX ? jobs : JOBS_MAX, jobs <= JOBS_MAX);
	free(rows);
	step(c);
}

static void again(void *arg, bool soon)
{
	struct classic *c = arg;
	want_jobs(c, soon ? 0 : AGAIN_MS);
}

static void watch(struct classic *c);

static void on_change(void *arg, const struct vk_event *ev, size_t n, uint64_t rev, bool compacted)
{
	struct classic *c = arg;
	(void)ev;
	(void)n;
	if (c->stopped || (!compacted && rev == c->own_rev))
		return;
	if (compacted)
		watch(c);
	want_jobs(c, 0);
}

static void watch(struct classic *c)
{
	vk_autofree char *prefix = vk_asprintf("%s/proc/", c->root);
	c->watch = c->store->ops->watch(c->store, prefix, 0, on_change, c);
}

/* ---- all of it ---- */

static void take_lease(struct classic *c)
{
	c->busy = true;
	c->store->ops->lease_grant(c->store, LEASE_MS, granted, c);
}

static void start_read(struct classic *c)
{
	vk_autofree char *prefix = vk_asprintf("%s/proc/", c->root);
	c->jobs_at = 0;
	c->busy = true;
	c->store->ops->range(c->store, prefix, read_jobs, c);
}

/* The next thing that is due. Jobs to /failed come before the view, which would write over them. */
static void step(struct classic *c)
{
	int64_t now = vk_mono_ms();
	if (c->busy || c->stopped)
		return;
	if (now < c->wait_until) {
		arm(c);
		return;
	}
	if (c->view_at != 0 && c->view_at <= now && c->lease != 0) {
		c->view_at = 0;
		c->viewed_ms = now;
		json_decref(c->want);
		c->want = view_mirror(c->s, CLASSIC_STACK_MAX);
	}
	if (c->lease == 0)
		take_lease(c);
	else if (json_object_size(c->failed) > 0)
		move_one(c);
	else if (!write_batch(c) && c->jobs_at != 0 && c->jobs_at <= now)
		start_read(c);
	else
		arm(c);
}

static void on_pass(void *arg)
{
	step(arg);
}

void classic_touch(struct classic *c)
{
	if (c != NULL)
		want_view(c);
}

bool classic_apart(const char *root, const char *prefix)
{
	static const char *const tables[] = {"/proc/", "/run/", "/deploy/", "/fixed/", "/counter/",
		"/ports/", "/failed/", "/host/"};
	vk_autofree char *own = vk_asprintf("%s/", prefix);
	for (size_t i = 0; i < VK_COUNT(tables); i++) {
		vk_autofree char *table =
			vk_asprintf("%s%s", vk_streq(root, "/") ? "" : root, tables[i]);
		if (vk_starts(table, own) || vk_starts(own, table))
			return false;
	}
	return true;
}

struct classic *classic_new(struct sched *s)
{
	if (s->classic_store == NULL)
		return NULL;
	struct classic *c = vk_alloc(sizeof(*c));
	const struct jobs_ops ops = {.fail = fail_job, .again = again, .arg = c};
	*c = (struct classic){.s = s,
		.store = s->classic_store,
		.root = vk_strdup(vk_streq(s->cfg->etcd_classic, "/") ? "" : s->cfg->etcd_classic),
		.fence = vk_asprintf("%s/leader", s->cfg->etcd_prefix),
		.have = json_object(),
		.failed = json_object(),
		.want = json_object()};
	c->jobs = jobs_new(s, &ops);
	c->pass = vk_timer_new(s->loop, on_pass, c);
	c->keep = vk_timer_new(s->loop, on_keep, c);
	watch(c);
	want_view(c);
	want_jobs(c, 0);
	return c;
}

void classic_close(struct sched *s)
{
	struct classic *c = s->classic;
	if (c != NULL)
		c->stopped = true;
	if (s->classic_store != NULL)
		s->classic_store->ops->close(s->classic_store);
	if (c == NULL)
		return;
	jobs_free(c->jobs);
	vk_timer_free(c->pass);
	vk_timer_free(c->keep);
	json_decref(c->have);
	json_decref(c->want);
	json_decref(c->failed);
	json_decref(c->batch);
	free(c->root);
	free(c->fence);
	free(c);
}
