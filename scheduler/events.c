/* The ring of events. */
#include "events.h"

#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#define EPOCH_SHIFT 32

struct events_follower {
	events_fn *fn;
	void *arg;
	struct events_follower *next;
};

struct events {
	json_t **ring;
	size_t keep;
	uint64_t seq;   /* of the newest */
	uint64_t first; /* of this epoch, 1 before the oldest possible */
	struct events_follower *followers;
};

struct events *events_new(uint64_t epoch, size_t keep)
{
	struct events *e = vk_alloc(sizeof(*e));
	e->ring = vk_calloc(keep, sizeof(*e->ring));
	e->keep = keep;
	e->first = e->seq = epoch << EPOCH_SHIFT;
	return e;
}

void events_free(struct events *e)
{
	if (e == NULL)
		return;
	for (size_t i = 0; i < e->keep; i++)
		json_decref(e->ring[i]);
	while (e->followers != NULL)
		events_unfollow(e, e->followers);
	free(e->ring);
	free(e);
}

static void set_text(json_t *j, const char *key, const char *text)
{
	if (text != NULL)
		json_object_set_new(j, key, vk_json_safe_string(text, __builtin_strlen(text)));
}

void events_add(struct events *e, const struct event *ev)
{
	json_t *j =
		json_pack("{s:I,s:I}", "seq", (json_int_t)++e->seq, "t", (json_int_t)vk_now_ms());
	set_text(j, "type", ev->type);
	set_text(j, "stack", ev->stack);
	set_text(j, "node", ev->node);
	set_text(j, "instance", ev->instance);
	set_text(j, "what", ev->what);
	set_text(j, "who", ev->who);
	json_t **slot = &e->ring[e->seq % e->keep];
	json_decref(*slot);
	*slot = j;
	for (struct events_follower *f = e->followers, *next; f != NULL; f = next) {
		next = f->next;
		f->fn(f->arg, j);
	}
}

void events_each(const struct events *e, uint64_t since, events_fn *fn, void *arg)
{
	uint64_t from =
		e->seq > e->keep && e->seq - e->keep > e->first ? e->seq - e->keep : e->first;
	if (since > from)
		from = since;
	for (uint64_t seq = from + 1; seq <= e->seq; seq++)
		if (e->ring[seq % e->keep] != NULL)
			fn(arg, e->ring[seq % e->keep]);
}

struct events_follower *events_follow(struct events *e, events_fn *fn, void *arg)
{
	struct events_follower *f = vk_alloc(sizeof(*f));
	*f = (struct events_follower){.fn = fn, .arg = arg, .next = e->followers};
	e->followers = f;
	return f;
}

void events_unfollow(struct events *e, struct events_follower *f)
{
	for (struct events_follower **p = &e->followers; *p != NULL; p = &(*p)->next) {
		if (*p == f) {
			*p = f->next;
			free(f);
			return;
		}
	}
}
