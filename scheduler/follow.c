/* Revisions seen and revisions of our own, each until the other has been matched. */
#include "follow.h"

#include <stdlib.h>
#include <string.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "lead.h"

struct revs {
	uint64_t *v;
	size_t n, cap;
};

struct follow {
	struct sched *s;
	uint64_t watch, last;  /* newest revision seen */
	struct revs own, seen; /* rising; not seen yet, not known as ours yet */
	char key[128];         /* the first of the newest in seen */
};

static void revs_add(struct revs *r, uint64_t rev)
{
	if (r->n == r->cap) {
		r->cap = r->cap > 0 ? r->cap * 2 : 8;
		r->v = vk_reallocarray(r->v, r->cap, sizeof(*r->v));
	}
	r->v[r->n++] = rev;
}

static bool revs_take(struct revs *r, uint64_t rev)
{
	for (size_t i = 0; i < r->n; i++) {
		if (r->v[i] != rev)
			continue;
		memmove(r->v + i, r->v + i + 1, (--r->n - i) * sizeof(*r->v));
		return true;
	}
	return false;
}

/* Events come in order: an own revision that was passed over had none. */
static void revs_drop_below(struct revs *r, uint64_t rev)
{
	while (r->n > 0 && r->v[0] < rev)
		revs_take(r, r->v[0]);
}

static void judge(struct follow *f)
{
	if (f->seen.n == 0 || f->s->commits > 0)
		return;
	vk_autofree char *why = vk_asprintf("%s was changed by another", f->key);
	lead_give_up(why);
}

static void on_change(void *arg, const struct vk_event *ev, size_t n, uint64_t rev, bool compacted)
{
	struct follow *f = arg;
	if (compacted)
		lead_give_up("changes of the store were missed");
	f->last = rev;
	revs_drop_below(&f->own, rev);
	if (revs_take(&f->own, rev))
		return;
	vk_str_printable(ev[0].kv.key, strlen(ev[0].kv.key), f->key, sizeof(f->key));
	(void)n;
	revs_add(&f->seen, rev);
	judge(f);
}

void follow_own(struct follow *f, uint64_t rev)
{
	if (f == NULL)
		return;
	if (!revs_take(&f->seen, rev) && rev > f->last)
		revs_add(&f->own, rev);
	judge(f);
}

struct follow *follow_new(struct sched *s, uint64_t from)
{
	if (!s->store->shared)
		return NULL;
	struct follow *f = vk_alloc(sizeof(*f));
	f->s = s;
	f->watch = s->store->ops->watch(s->store, "/", from, on_change, f);
	return f;
}

void follow_free(struct follow *f)
{
	if (f == NULL)
		return;
	free(f->own.v);
	free(f->seen.v);
	free(f);
}
