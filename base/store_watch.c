#include "store_watch.h"

#include <stdlib.h>
#include <viking/mem.h>
#include <viking/str.h>

#define EVENTS_MAX 256
#define BYTES_MAX  (32u << 10)

struct record {
	struct record *next;
	bool del;
	size_t bytes;
	struct vk_kv kv; /* kv.mod_rev is the transaction's revision */
};

struct list {
	struct record *first, **tail;
};

struct watcher {
	struct watcher *next;
	uint64_t id, from; /* next revision wanted */
	char *prefix;
	vk_store_watch_fn *fn;
	void *arg;
	bool dead;
};

struct vk_history {
	struct list done, open; /* committed, and of the running transaction */
	size_t n, bytes;        /* of done */
	uint64_t from;          /* every event of this revision and later is in done */
	uint64_t rev;           /* newest committed revision with events */
	struct watcher *watchers;
	uint64_t last_id;
	bool pumping;
};

struct vk_history *vk_history_new(uint64_t rev)
{
	struct vk_history *h = vk_alloc(sizeof(*h));
	h->done.tail = &h->done.first;
	h->open.tail = &h->open.first;
	h->from = rev + 1;
	h->rev = rev;
	return h;
}

static void record_free(struct record *r)
{
	free((char *)(uintptr_t)r->kv.key);
	free((char *)(uintptr_t)r->kv.value);
	free(r);
}

static void list_clear(struct list *l)
{
	while (l->first != NULL) {
		struct record *r = l->first;
		l->first = r->next;
		record_free(r);
	}
	l->tail = &l->first;
}

static void watcher_free(struct watcher *w)
{
	free(w->prefix);
	free(w);
}

void vk_history_free(struct vk_history *h)
{
	if (h == NULL)
		return;
	list_clear(&h->done);
	list_clear(&h->open);
	while (h->watchers != NULL) {
		struct watcher *w = h->watchers;
		h->watchers = w->next;
		watcher_free(w);
	}
	free(h);
}

void vk_history_add(struct vk_history *h, bool del, const struct vk_kv *kv)
{
	struct record *r = vk_alloc(sizeof(*r));
	char *value = vk_alloc(kv->len + 1);
	if (kv->len > 0)
		memcpy(value, kv->value, kv->len);
	r->del = del;
	r->kv = *kv;
	r->kv.key = vk_strdup(kv->key);
	r->kv.value = value;
	r->bytes = sizeof(*r) + strlen(kv->key) + kv->len;
	*h->open.tail = r;
	h->open.tail = &r->next;
}

void vk_history_commit(struct vk_history *h)
{
	if (h->open.first == NULL)
		return;
	for (struct record *r = h->open.first; r != NULL; r = r->next) {
		h->n++;
		h->bytes += r->bytes;
		h->rev = r->kv.mod_rev;
	}
	*h->done.tail = h->open.first;
	h->done.tail = h->open.tail;
	h->open.first = NULL;
	h->open.tail = &h->open.first;
}

void vk_history_rollback(struct vk_history *h)
{
	list_clear(&h->open);
}

uint64_t vk_history_watch(struct vk_history *h, const char *prefix, uint64_t from_rev,
	vk_store_watch_fn *fn, void *arg)
{
	struct watcher *w = vk_alloc(sizeof(*w));
	w->id = ++h->last_id;
	w->from = from_rev != 0 ? from_rev : h->rev + 1;
	w->prefix = vk_strdup(prefix);
	w->fn = fn;
	w->arg = arg;
	struct watcher **at = &h->watchers;
	while (*at != NULL)
		at = &(*at)->next;
	*at = w;
	return w->id;
}

static void sweep(struct vk_history *h)
{
	for (struct watcher **at = &h->watchers; *at != NULL;) {
		struct watcher *w = *at;
		if (!w->dead) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		watcher_free(w);
	}
}

void vk_history_unwatch(struct vk_history *h, uint64_t id)
{
	for (struct watcher *w = h->watchers; w != NULL; w = w->next)
		if (w->id == id)
			w->dead = true;
	if (!h->pumping)
		sweep(h);
}

bool vk_history_pending(const struct vk_history *h)
{
	for (const struct watcher *w = h->watchers; w != NULL; w = w->next)
		if (!w->dead && w->from <= h->rev)
			return true;
	return false;
}

/* Hands on the matching events of the transaction that begins at *at; moves *at behind it. */
static void hand_transaction(struct watcher *w, struct record **at)
{
	uint64_t rev = (*at)->kv.mod_rev;
	struct vk_event *events = NULL;
	size_t n = 0;
	for (; *at != NULL && (*at)->kv.mod_rev == rev; *at = (*at)->next) {
		if (!vk_starts((*at)->kv.key, w->prefix))
			continue;
		events = vk_reallocarray(events, n + 1, sizeof(*events));
		events[n++] = (struct vk_event){.del = (*at)->del, .kv = (*at)->kv};
	}
	w->from = rev + 1;
	if (n > 0)
		w->fn(w->arg, events, n, rev, false);
	free(events);
}

static void pump_one(struct vk_history *h, struct watcher *w)
{
	if (w->from < h->from) {
		w->dead =
			true; /* as in etcd: the watch is over, the caller lists and watches again */
		w->fn(w->arg, NULL, 0, h->rev, true);
		return;
	}
	if (w->from > h->rev)
		return;
	struct record *r = h->done.first;
	while (r != NULL && r->kv.mod_rev < w->from)
		r = r->next;
	while (r != NULL && !w->dead)
		hand_transaction(w, &r);
}

static void forget_oldest(struct vk_history *h)
{
	while (h->n > EVENTS_MAX || h->bytes > BYTES_MAX) {
		struct record *r = h->done.first;
		h->from = r->kv.mod_rev + 1;
		h->done.first = r->next;
		if (h->done.first == NULL)
			h->done.tail = &h->done.first;
		h->n--;
		h->bytes -= r->bytes;
		record_free(r);
	}
	/* the rest of a transaction of which a part is gone is of no use */
	while (h->done.first != NULL && h->done.first->kv.mod_rev < h->from) {
		struct record *r = h->done.first;
		h->done.first = r->next;
		h->n--;
		h->bytes -= r->bytes;
		record_free(r);
	}
	if (h->done.first == NULL)
		h->done.tail = &h->done.first;
}

void vk_history_pump(struct vk_history *h)
{
	h->pumping = true;
	for (struct watcher *w = h->watchers; w != NULL; w = w->next)
		if (!w->dead)
			pump_one(h, w);
	h->pumping = false;
	sweep(h);
	if (!vk_history_pending(h))
		forget_oldest(h);
}
