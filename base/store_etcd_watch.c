/*
 * Watches: one stream each, resumed from the next revision wherever it broke. etcd 3.4.23 may lose events after a
 * compaction (fixed in 3.4.31), so a stream is only a hint: now and then, and after every break, one cheap range tells
 * how many keys there are and when the last one was changed. A watch that twice in a row does not agree with that is
 * over, as if it had been compacted: the user lists again.
 */
#include <stdlib.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "store_etcd.h"

#define CHECK_MS       30000
#define CHECK_SOON_MS  2000 /* after a break, and after a check that did not agree */
#define RECONNECT_MS   100
#define RECONNECT_MOST 2000

struct watch {
	struct watch *next;
	struct vk_etcd_watches *all;
	uint64_t id, from; /* the next revision wanted; 0 = not known yet */
	char *key;
	vk_store_watch_fn *fn;
	void *arg;
	struct vk_etcd_op *stream;
	struct vk_timer *timer; /* reconnects */
	struct vk_timer *check;
	int64_t wait; /* before the next connection */
	bool dead;
	unsigned asking; /* answers that are still to come and name this watch */
	/* what the checks compare */
	bool counted;
	int64_t count;   /* keys, as the events say */
	int64_t drift;   /* of the last check; 0 = agreed */
	uint64_t behind; /* `from` at a check that saw a newer change; 0 = none */
};

struct vk_etcd_watches {
	struct vk_loop *loop;
	struct vk_etcd_http *http;
	struct vk_store *store;
	const char *prefix;
	int64_t check_ms;
	uint64_t last_id;
	struct watch *first;
	struct vk_timer *sweep;
};

static void connect_watch(void *arg);

static void bury(struct watch *w)
{
	w->dead = true;
	vk_etcd_drop(VK_TAKE(w->stream));
	vk_timer_set(w->timer, -1);
	vk_timer_set(w->check, -1);
	vk_timer_set(w->all->sweep, 0);
}

static void watch_free(struct watch *w)
{
	vk_timer_free(w->timer);
	vk_timer_free(w->check);
	free(w->key);
	free(w);
}

static void on_sweep(void *arg)
{
	struct vk_etcd_watches *all = arg;
	for (struct watch **at = &all->first; *at != NULL;) {
		struct watch *w = *at;
		if (!w->dead || w->asking > 0) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		watch_free(w);
	}
}

/* ---- events ---- */

static void tell(struct watch *w, const struct vk_event *ev, size_t n, uint64_t rev, bool compacted)
{
	vk_store_etcd_enter(w->all->store);
	w->fn(w->arg, ev, n, rev, compacted);
	vk_store_etcd_leave(w->all->store);
}

static void lose(struct watch *w)
{
	uint64_t rev = w->from;
	bury(w);
	tell(w, NULL, 0, rev, true);
}

/* The events of one revision, from *at on. */
static void hand_revision(struct watch *w, const struct vk_etcd_message *m, size_t *at)
{
	uint64_t rev = m->rows.v[*at].mod_rev;
	struct vk_event *ev = vk_calloc(m->rows.n - *at, sizeof(*ev));
	size_t n = 0;
	for (; *at < m->rows.n && m->rows.v[*at].mod_rev == rev; ++*at)
		ev[n++] = (struct vk_event){.del = m->del[*at], .kv = m->rows.v[*at]};
	if (rev >= w->from) { /* else seen before the stream was resumed */
		for (size_t i = 0; i < n; i++)
			w->count += ev[i].del ? -1 : ev[i].kv.create_rev == rev;
		w->from = rev + 1;
		tell(w, ev, n, rev, false);
	}
	free(ev);
}

static int on_line(void *arg, json_t *line, struct vk_err *err)
{
	struct watch *w = arg;
	struct vk_etcd_message m;
	int rc = vk_etcd_message_read(w->all->prefix, line, &m, err);
	if (rc != 0)
		return rc;
	w->wait = 0;
	if (m.canceled && m.compact_rev != 0)
		lose(w);
	else if (m.canceled)
		rc = vk_err_set(err, VK_UNAVAILABLE, "etcd cancelled a watch");
	for (size_t i = 0; i < m.rows.n && !w->dead;)
		hand_revision(w, &m, &i);
	vk_etcd_message_release(&m);
	return w->dead ? VK_CANCELLED : rc;
}

static void on_end(void *arg, const struct vk_err *err, const json_t *answer, unsigned sent)
{
	struct watch *w = arg;
	(void)answer, (void)sent;
	w->stream = NULL;
	if (err->code == VK_LIMIT) { /* more at once than is taken: a list comes in pages */
		lose(w);
		return;
	}
	vk_timer_set(w->timer, w->wait);
	vk_timer_set(w->check, CHECK_SOON_MS);
	w->wait = w->wait == 0 ? RECONNECT_MS : w->wait * 2;
	if (w->wait > RECONNECT_MOST)
		w->wait = RECONNECT_MOST;
}

static void connect_watch(void *arg)
{
	struct watch *w = arg;
	w->stream = vk_etcd_stream(w->all->http, "/v3/watch",
		vk_etcd_watch_body(w->all->prefix, w->key, w->from), on_line, on_end, w);
}

/* ---- checks ---- */

/* True when the watch has lost events. A watch that is ahead of the answer is not judged. */
static bool disagrees(struct watch *w, const struct vk_etcd_page *page, uint64_t newest)
{
	int64_t count = (int64_t)page->count;
	uint64_t behind = newest >= w->from ? w->from : 0;
	bool lost = behind != 0 && behind == w->behind;
	w->behind = behind;
	if (behind != 0 || w->from > page->rev + 1)
		return lost;
	if (!w->counted) {
		w->counted = true;
		w->count = count;
	}
	int64_t drift = count - w->count;
	lost = drift != 0 && drift == w->drift;
	w->drift = drift;
	return lost;
}

static void checked(void *arg, const struct vk_err *err, const json_t *answer, unsigned sent)
{
	struct watch *w = arg;
	struct vk_err bad = *err;
	struct vk_rows rows = {0};
	struct vk_etcd_page page = {0};
	(void)sent;
	w->asking--;
	if (w->dead) {
		vk_timer_set(w->all->sweep, 0);
		return;
	}
	if (bad.code == 0)
		vk_etcd_range_read(w->all->prefix, answer, &rows, &page, &bad);
	bool lost = bad.code == 0 && disagrees(w, &page, rows.n > 0 ? rows.v[0].mod_rev : 0);
	vk_rows_release(&rows);
	bool doubt = bad.code != 0 || w->behind != 0 || w->drift != 0;
	if (lost)
		lose(w);
	else
		vk_timer_set(w->check, doubt ? CHECK_SOON_MS : w->all->check_ms);
}

static void on_check(void *arg)
{
	struct watch *w = arg;
	const struct vk_etcd_range q = {
		.prefix = w->all->prefix, .key = w->key, .below = true, .limit = 1, .newest = true};
	w->asking++;
	vk_etcd_call(w->all->http, "/v3/kv/range", vk_etcd_range_body(&q), checked, w);
}

/* ---- the interface ---- */

static void start(struct watch *w)
{
	connect_watch(w);
	vk_timer_set(w->check, w->all->check_ms);
}

/* "From now on" begins behind what was submitted before and in front of what comes later. */
static void got_now(
	void *arg, const struct vk_err *err, const struct vk_kv *kvs, size_t n, uint64_t rev)
{
	struct watch *w = arg;
	(void)kvs, (void)n;
	w->asking--;
	if (w->dead) {
		vk_timer_set(w->all->sweep, 0);
		return;
	}
	if (err->code != 0) {
		lose(w);
		return;
	}
	w->from = rev + 1;
	start(w);
}

uint64_t vk_etcd_watches_add(struct vk_etcd_watches *all, const char *key, uint64_t from_rev,
	vk_store_watch_fn *fn, void *arg)
{
	struct watch *w = vk_alloc(sizeof(*w));
	*w = (struct watch){
		.all = all, .id = ++all->last_id, .from = from_rev, .fn = fn, .arg = arg};
	w->key = vk_strdup(key);
	w->timer = vk_timer_new(all->loop, connect_watch, w);
	w->check = vk_timer_new(all->loop, on_check, w);
	w->next = all->first;
	all->first = w;
	if (from_rev != 0) {
		start(w);
		return w->id;
	}
	w->asking++;
	all->store->ops->get(all->store, "/", got_now, w);
	return w->id;
}

void vk_etcd_watches_remove(struct vk_etcd_watches *all, uint64_t id)
{
	for (struct watch *w = all->first; w != NULL; w = w->next)
		if (w->id == id)
			bury(w);
}

struct vk_etcd_watches *vk_etcd_watches_new(struct vk_loop *l, struct vk_etcd_http *h,
	struct vk_store *s, const char *prefix, int64_t check_ms)
{
	struct vk_etcd_watches *all = vk_alloc(sizeof(*all));
	*all = (struct vk_etcd_watches){.loop = l, .http = h, .store = s, .prefix = prefix};
	all->check_ms = check_ms > 0 ? check_ms : CHECK_MS;
	all->sweep = vk_timer_new(l, on_sweep, all);
	return all;
}

void vk_etcd_watches_end(struct vk_etcd_watches *all)
{
	for (struct watch *w = all->first; w != NULL; w = w->next)
		bury(w);
}

void vk_etcd_watches_free(struct vk_etcd_watches *all)
{
	while (all->first != NULL) {
		struct watch *w = all->first;
		all->first = w->next;
		watch_free(w);
	}
	vk_timer_free(all->sweep);
	free(all);
}
