#include "diff.h"

#include <viking/mem.h>
#include <viking/str.h>

static int by_name(const void *a, const void *b)
{
	const struct diff_know *const *x = a, *const *y = b;
	return strcmp((*x)->name, (*y)->name);
}

static const struct diff_know **sorted(const struct diff_know *know, size_t n)
{
	const struct diff_know **v = vk_calloc(n + 1, sizeof(*v));
	for (size_t i = 0; i < n; i++)
		v[i] = &know[i];
	qsort(v, n, sizeof(*v), by_name);
	return v;
}

static const struct diff_know *find(const struct diff_know **v, size_t n, const char *name)
{
	struct diff_know key = {.name = name};
	const struct diff_know *k = &key;
	const struct diff_know **at = bsearch(&k, v, n, sizeof(*v), by_name);
	return at == NULL ? NULL : *at;
}

/* True when something is to be done about this container. */
static bool judge(const struct diff_have *h, const struct diff_know *k, struct diff_action *ret)
{
	*ret = (struct diff_action){.have = h, .know = k};
	if (k == NULL) {
		ret->what = DIFF_ADOPT;
		return true;
	}
	if (k->busy)
		return false;
	if (k->id == NULL) {
		ret->what = DIFF_ADOPT;
		return true;
	}
	if (!vk_streq(k->id, h->id)) {
		ret->what = DIFF_REAP;
		return true;
	}
	ret->what = DIFF_DEAD;
	return k->running && !h->running;
}

static bool listed(const struct diff_have *have, size_t n, const char *id)
{
	for (size_t i = 0; i < n; i++)
		if (vk_streq(have[i].id, id))
			return true;
	return false;
}

void diff_containers(const char *root, const struct diff_have *have, size_t n_have,
	const struct diff_know *know, size_t n_know, struct diff_action **ret, size_t *ret_n)
{
	vk_autofree const struct diff_know **names = sorted(know, n_know);
	vk_autofree bool *taken = vk_calloc(n_know + 1, sizeof(*taken));
	struct diff_action *out = vk_calloc(n_have + n_know + 1, sizeof(*out));
	size_t n = 0;
	for (size_t i = 0; i < n_have; i++) {
		const struct diff_have *h = &have[i];
		if (!vk_streq(h->root, root) || h->instance == NULL)
			continue;
		const struct diff_know *k = find(names, n_know, h->instance);
		if (!judge(h, k, &out[n]))
			continue;
		/* two containers of one instance that holds none: the first is taken, the rest go */
		if (out[n].what == DIFF_ADOPT && k != NULL) {
			if (taken[k - know])
				out[n].what = DIFF_REAP;
			taken[k - know] = true;
		}
		n++;
	}
	for (size_t i = 0; i < n_know; i++)
		if (know[i].id != NULL && !know[i].busy && !listed(have, n_have, know[i].id))
			out[n++] = (struct diff_action){.what = DIFF_LOST, .know = &know[i]};
	*ret = out;
	*ret_n = n;
}
