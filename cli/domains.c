/* domains:add, list, remove */
#include <viking/id.h>
#include <viking/json.h>

#include "groups.h"
#include "output.h"

static int domains_list(struct call *c, struct vk_err *err)
{
	const char *s;
	vk_autojson *answer = NULL;
	int r = stack_word(c, 0, &s, err);
	if (r == 0)
		r = api_get(c, &answer, err, "/v1/stacks/%s/domains", s);
	if (r < 0)
		return r;
	if (c->json)
		return print_json(answer);
	struct table t;
	table_init(&t, "DOMAIN|NODE|FROM");
	size_t i;
	json_t *d;
	json_array_foreach(json_object_get(answer, "domains"), i, d)
	{
		table_add(&t, vk_json_str(d, "domain", NULL));
		table_add(&t, vk_json_str(d, "node", NULL));
		table_add(&t, vk_json_str(d, "from", NULL));
	}
	table_print(&t, stdout);
	return 0;
}

static int domains_add(struct call *c, struct vk_err *err)
{
	const char *s;
	char domain[VK_DOMAIN_MAX + 1];
	int r = stack_word(c, 0, &s, err);
	if (r == 0)
		r = vk_domain(c->words.v[1], true, domain, err);
	if (r < 0)
		return r;
	vk_autojson *body = json_pack("{s:s}", "domain", domain);
	const char *node = call_value(c, "--node");
	if (node != NULL)
		json_object_set_new(body, "node", vk_json_safe_string(node, strlen(node)));
	r = api_send(c, "POST", body, NULL, err, "/v1/stacks/%s/domains", s);
	if (r == 0)
		printf("%s now leads to %s\n", domain, s);
	return r;
}

static int domains_remove(struct call *c, struct vk_err *err)
{
	const char *s;
	char domain[VK_DOMAIN_MAX + 1];
	int r = stack_word(c, 0, &s, err);
	if (r == 0)
		r = vk_domain(c->words.v[1], true, domain, err);
	if (r < 0)
		return r;
	vk_autofree char *escaped = url_escape(domain);
	r = api_send(c, "DELETE", NULL, NULL, err, "/v1/stacks/%s/domains/%s", s, escaped);
	if (r == 0)
		printf("%s removed from %s\n", domain, s);
	return r;
}

static const struct option add_options[] = {
	{"--node", NULL, "NODE", "where it leads; default: the stack's web node"},
	{0},
};

const struct command domains_commands[] = {
	{"domains:list", "STACK", 1, 1, 0, true, domains_list, NULL, "domains of a stack"},
	{"domains:add", "STACK DOMAIN [--node NODE]", 2, 2, 0, false, domains_add, add_options,
		"lead a domain (or *.suffix) to a stack"},
	{"domains:remove", "STACK DOMAIN", 2, 2, 0, false, domains_remove, NULL,
		"take a domain away"},
	{0},
};
