#include "sites.h"

#include <stdlib.h>
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

static void site_release(struct site *s)
{
	free(s->key);
	free(s->stack);
	free(s->node);
	free(s->commit);
	*s = (struct site){0};
}

void sites_free(struct sites *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->n; i++)
		site_release(&s->v[i]);
	free(s->v);
	free(s);
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct site *)a)->key, ((const struct site *)b)->key);
}

static const struct site *find_key(const struct sites *s, const char *key)
{
	struct site want = {.key = (char *)(uintptr_t)key};
	if (s == NULL || s->n == 0)
		return NULL;
	return bsearch(&want, s->v, s->n, sizeof(*s->v), by_key);
}

static int parse_site(const char *host, const json_t *j, struct site *s, struct vk_err *err)
{
	char domain[VK_DOMAIN_MAX + 1];
	const char *stack = vk_json_str(j, "stack", NULL), *node = vk_json_str(j, "node", NULL);
	const char *commit = vk_json_str(j, "commit", NULL);
	int rc = vk_domain(host, true, domain, err);
	if (rc == 0)
		rc = vk_stack_name(stack, err);
	if (rc == 0)
		rc = vk_node_name(node, err);
	if (rc != 0)
		return rc;
	if (commit == NULL || !vk_is_commit(commit))
		return vk_err_set(err, VK_INVALID, "the commit of %s is none", domain);
	s->key = vk_strdup(domain[0] == '*' ? domain + 1 : domain);
	s->stack = vk_strdup(stack);
	s->node = vk_strdup(node);
	s->commit = vk_strdup(commit);
	return 0;
}

static bool keep_old(const struct sites *old, const char *host, struct site *s)
{
	const struct site *was = find_key(old, host[0] == '*' ? host + 1 : host);
	if (was == NULL)
		return false;
	s->key = vk_strdup(was->key);
	s->stack = vk_strdup(was->stack);
	s->node = vk_strdup(was->node);
	s->commit = vk_strdup(was->commit);
	return true;
}

int sites_parse(const json_t *doc, const struct sites *old, sites_bad_fn *bad, void *arg,
	struct sites **ret, struct vk_err *err)
{
	const char *host;
	json_t *j, *all = json_object_get(doc, "sites");
	if (!json_is_integer(json_object_get(doc, "rev")) || !json_is_object(all))
		return vk_err_set(err, VK_INVALID, "the table of sites has no rev or no sites");
	struct sites *s = vk_alloc(sizeof(*s));
	s->rev = vk_json_int(doc, "rev", 0);
	s->v = vk_calloc(json_object_size(all) + 1, sizeof(*s->v));
	json_object_foreach(all, host, j)
	{
		struct vk_err why = {0};
		if (parse_site(host, j, &s->v[s->n], &why) == 0) {
			s->n++;
			continue;
		}
		if (bad != NULL)
			bad(arg, host, &why);
		if (keep_old(old, host, &s->v[s->n]))
			s->n++;
	}
	if (s->n > 1)
		qsort(s->v, s->n, sizeof(*s->v), by_key);
	*ret = s;
	return 0;
}

/* The name alone, lower case; false if it is none. */
static bool host_name(const char *host, char out[static VK_DOMAIN_MAX + 1])
{
	size_t n = strcspn(host, ":");
	char name[VK_DOMAIN_MAX + 2];
	if (n == 0 || n >= sizeof(name) || host[n + strcspn(host + n, "/@")] != '\0')
		return false;
	memcpy(name, host, n);
	name[n] = '\0';
	return vk_domain(name, false, out, NULL) == 0;
}

const struct site *sites_find(const struct sites *s, const char *host)
{
	char name[VK_DOMAIN_MAX + 1];
	if (s == NULL || host == NULL || !host_name(host, name))
		return NULL;
	const struct site *hit = find_key(s, name);
	for (const char *at = strchr(name, '.'); hit == NULL && at != NULL;
		at = strchr(at + 1, '.'))
		hit = find_key(s, at);
	return hit;
}
