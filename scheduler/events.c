/* The ring of events. */
#include "events.h"

#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#define EPOCH_SHIFT 32

struct events_follower {
	events_fn *fn;
	void *arg;
	struct events_follower *next;
};

/* An event at rest: most hours hold thousands of them and nobody asks, so it is its texts and nothing else. */
struct record {
	int64_t t_ms;
	uint8_t set; /* a bit for each of event_keys that is there */
	char text[]; /* those, in that order, each with its NUL */
};

static const char *const event_keys[] = {"type", "stack", "node", "instance", "what", "who"};

#define N_KEYS (sizeof(event_keys) / sizeof(event_keys[0]))

struct events {
	struct record **ring;
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
		free(e->ring[i]);
	while (e->followers != NULL)
		events_unfollow(e, e->followers);
	free(e->ring);
	free(e);
}

static struct record *record_new(const struct event *ev)
{
	const char *text[N_KEYS] = {ev->type, ev->stack, ev->node, ev->instance, ev->what, ev->who};
	size_t len[N_KEYS], sum = 0;
	for (size_t i = 0; i < N_KEYS; i++)
		sum += len[i] = text[i] != NULL ? strlen(text[i]) + 1 : 0;
	struct record *r = vk_alloc(sizeof(*r) + sum);
	r->t_ms = vk_now_ms();
	char *at = r->text;
	for (size_t i = 0; i < N_KEYS; at += len[i++]) {
		if (text[i] == NULL)
			continue;
		memcpy(at, text[i], len[i]);
		r->set |= (uint8_t)(1U << i);
	}
	return r;
}

static json_t *record_json(const struct record *r, uint64_t seq)
{
	json_t *j = json_pack("{s:I,s:I}", "seq", (json_int_t)seq, "t", (json_int_t)r->t_ms);
	const char *at = r->text;
	for (size_t i = 0; i < N_KEYS; i++) {
		if ((r->set & 1U << i) == 0)
			continue;
		size_t len = strlen(at);
		json_object_set_new(j, event_keys[i], vk_json_safe_string(at, len));
		at += len + 1;
	}
	return j;
}

void events_add(struct events *e, const struct event *ev)
{
	struct record **slot = &e->ring[++e->seq % e->keep];
	free(*slot);
	*slot = record_new(ev);
	if (e->followers == NULL)
		return;
	vk_autojson *j = record_json(*slot, e->seq);
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
	for (uint64_t seq = from + 1; seq <= e->seq; seq++) {
		if (e->ring[seq % e->keep] == NULL)
			continue;
		vk_autojson *j = record_json(e->ring[seq % e->keep], seq);
		fn(arg, j);
	}
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
