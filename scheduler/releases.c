/* The releases of a stack, in memory. */
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "state.h"

/* Where the release n is, or would be: they are in the order of their numbers. */
static size_t release_place(const struct stack *sk, unsigned n)
{
	size_t i = sk->n_releases;
	while (i > 0 && sk->release[i - 1]->n >= n)
		i--;
	return i;
}

void stack_put_release(struct stack *sk, struct release *r)
{
	size_t i = release_place(sk, r->n);
	if (i < sk->n_releases && sk->release[i]->n == r->n) {
		r->defs =
			VK_TAKE(sk->release[i]->defs); /* the document of a release never changes */
		release_free(sk->release[i]);
		sk->release[i] = r;
		return;
	}
	if (sk->n_releases == sk->cap_releases) {
		sk->cap_releases = sk->cap_releases > 0 ? sk->cap_releases * 2 : 8;
		sk->release =
			vk_reallocarray(sk->release, sk->cap_releases, sizeof(struct release *));
	}
	memmove(sk->release + i + 1, sk->release + i,
		(sk->n_releases - i) * sizeof(struct release *));
	sk->release[i] = r;
	sk->n_releases++;
}

void stack_drop_release(struct stack *sk, unsigned n)
{
	size_t i = release_place(sk, n);
	if (i == sk->n_releases || sk->release[i]->n != n)
		return;
	release_free(sk->release[i]);
	memmove(sk->release + i, sk->release + i + 1,
		(sk->n_releases - i - 1) * sizeof(struct release *));
	sk->n_releases--;
}

struct release *stack_release(const struct stack *sk, unsigned n)
{
	size_t i = release_place(sk, n);
	return i < sk->n_releases && sk->release[i]->n == n ? sk->release[i] : NULL;
}

struct release *stack_current(const struct stack *sk)
{
	return sk->current > 0 ? stack_release(sk, sk->current) : NULL;
}

struct release *stack_canary(const struct stack *sk)
{
	return sk->canary != NULL ? stack_release(sk, (unsigned)vk_json_int(sk->canary, "n", 0))
				  : NULL;
}

json_t *release_doc(const struct release *r)
{
	json_t *doc = NULL;
	if (r->doc != NULL)
		(void)vk_json_parse(r->doc, strlen(r->doc), &doc, NULL);
	return doc;
}

const char *release_outcome(const struct stack *sk, const struct release *r)
{
	if (strcmp(r->outcome, "ok") != 0)
		return r->outcome;
	return r->n == sk->current ? "current" : "superseded";
}
