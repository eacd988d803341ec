/* Who has a domain that two stacks claim. */
#include <stdlib.h>
#include <string.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "table.h"

struct claim {
	const char *key, *path;
	size_t stack, domain; /* indexes */
};

static int by_domain(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;
	int c = strcmp(x->key, y->key);
	if (c == 0)
		c = x->stack < y->stack ? -1 : x->stack > y->stack;
	return c != 0 ? c : strcmp(x->path, y->path);
}

static struct claim *claims_of(const struct table *t, size_t *ret_n)
{
	size_t n = 0;
	for (size_t i = 0; i < t->n; i++)
		n += t->stacks[i].n_domains;
	struct claim *c = vk_calloc(n + 1, sizeof(*c));
	*ret_n = 0;
	for (size_t i = 0; i < t->n; i++)
		for (size_t d = 0; d < t->stacks[i].n_domains; d++)
			c[(*ret_n)++] = (struct claim){
				t->stacks[i].domains[d].key, t->stacks[i].domains[d].path, i, d};
	if (n > 1)
		qsort(c, n, sizeof(*c), by_domain);
	return c;
}

static bool owned_before(const struct table *old, const char *stack, const char *key)
{
	const struct table_stack *s = table_find(old, stack);
	for (size_t i = 0; s != NULL && i < s->n_domains; i++)
		if (strcmp(s->domains[i].key, key) == 0)
			return true;
	return false;
}

/* The one of two claimants that gives way: an entry of an earlier table, then who did not have it.
 * */
static const struct claim *loser(const struct table *t, const struct table *old,
	const struct claim *a, const struct claim *b)
{
	const struct table_stack *x = &t->stacks[a->stack], *y = &t->stacks[b->stack];
	if (x->kept != y->kept)
		return x->kept ? a : b;
	if (owned_before(old, y->name, b->key) && !owned_before(old, x->name, a->key))
		return a;
	return b;
}

static void drop_lost(struct table_stack *s)
{
	size_t n = 0;
	for (size_t i = 0; i < s->n_domains; i++) {
		if (s->domains[i].lost)
			table_domain_release(&s->domains[i]);
		else
			s->domains[n++] = s->domains[i];
	}
	s->n_domains = n;
}

static void lose(
	struct table *t, const struct claim *lost, const struct claim *won, struct faults *faults)
{
	struct table_stack *s = &t->stacks[lost->stack];
	const char *star = lost->key[0] == '.' ? "*" : "";
	vk_autofree char *why = lost->stack == won->stack
		? vk_asprintf("domain %s%s is listed twice", star, lost->key)
		: vk_asprintf("domain %s%s belongs to stack %s", star, lost->key,
			  t->stacks[won->stack].name);
	faults_add(faults, s->name, why);
	s->domains[lost->domain].lost = true;
}

/* Settles the claims of one host, c[0] .. c[n - 1]: it belongs to one stack, and each path in it once.
 * True if one gave way. */
static bool settle_domain(struct table *t, const struct table *old, const struct claim *c, size_t n,
	struct faults *faults)
{
	const struct claim *won = c;
	bool any = false;
	for (size_t i = 1; i < n; i++)
		if (c[i].stack != won->stack && loser(t, old, won, &c[i]) == won)
			won = &c[i];
	for (size_t i = 0; i < n; i++) {
		bool again = i > 0 && c[i].stack == c[i - 1].stack &&
			strcmp(c[i].path, c[i - 1].path) == 0;
		if (c[i].stack == won->stack && !again)
			continue;
		lose(t, &c[i], won, faults);
		any = true;
	}
	return any;
}

/* Marks who gives way in every clash; true if there was one. */
static bool mark_lost(struct table *t, const struct table *old, struct faults *faults)
{
	size_t n;
	bool any = false;
	vk_autofree struct claim *c = claims_of(t, &n);
	for (size_t i = 0, k; i < n; i = k) {
		for (k = i + 1; k < n && strcmp(c[i].key, c[k].key) == 0; k++)
			;
		if (k > i + 1 && settle_domain(t, old, &c[i], k - i, faults))
			any = true;
	}
	return any;
}

/* An earlier entry loses only its domain; a new one is replaced by its earlier one as a whole. */
static void give_way(struct table *t, struct table *old)
{
	vk_autostrv names = {0};
	for (size_t i = 0; i < t->n; i++) {
		struct table_stack *s = &t->stacks[i];
		bool lost = false;
		for (size_t d = 0; d < s->n_domains; d++)
			lost = lost || s->domains[d].lost;
		if (lost && s->kept)
			drop_lost(s);
		else if (lost)
			vk_strv_add(&names, s->name);
	}
	for (size_t i = 0; i < names.n; i++)
		table_revert(t, old, names.v[i]);
}

void table_settle(struct table *t, struct table *old, struct faults *faults)
{
	for (size_t i = 0; i < faults->n; i++)
		if (table_find(t, faults->v[i].stack) == NULL)
			table_revert(t, old, faults->v[i].stack);
	while (mark_lost(t, old, faults))
		give_way(t, old);
}
