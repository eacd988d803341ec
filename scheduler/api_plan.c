/* Where instances are and could be, and moving them when hosts have become unlike. */
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "api.h"
#include "dispatch.h"
#include "hosts.h"
#include "moves.h"
#include "pick.h"

static void node_lines(struct dispatch *p, const struct stack *sk, const char *node, json_t *lines)
{
	vk_autostrv why = {0};
	dispatch_why(p, sk->name, node, &why);
	for (size_t i = 0; i < why.n; i++)
		json_array_append_new(lines, json_sprintf("%s/%s on %s", sk->name, node, why.v[i]));
}

/* In the words of `viking plan --from`: what is placed, then each host's verdict about one more of each node. */
void api_plan(struct call *c)
{
	struct vk_err err = {0};
	struct stack *sk = call_stack(c, &err);
	const struct release *r = sk != NULL ? pick_release(sk, &err) : NULL;
	struct dispatch p;
	struct inst_list l = {0};
	const char *node;
	json_t *entry;
	if (r == NULL) {
		call_error(c, &err);
		return;
	}
	json_t *placements = json_array(), *lines = json_array();
	stack_instances(sk, stack_overlay(sk), &l);
	for (size_t i = 0; i < l.n; i++)
		json_array_append_new(placements,
			json_pack("{s:s,s:i,s:s,s:s}", "node", l.v[i].node, "n", (int)l.v[i].n,
				"instance", l.v[i].name, "host",
				l.v[i].host[0] != '\0' ? l.v[i].host : c->s->cfg->host_name));
	inst_list_release(&l);
	dispatch_open(&p, c->s, NULL);
	json_object_foreach(r->nodes, node, entry) node_lines(&p, sk, node, lines);
	dispatch_close(&p);
	call_json(c, 200,
		json_pack("{s:s,s:o,s:o}", "stack", sk->name, "placements", placements, "lines",
			lines));
}

void api_rebalance(struct call *c)
{
	bool dry = vk_json_bool(c->body, "dry_run", false);
	json_t *moves = moves_rebalance(c->s, dry, c->who.name);
	call_json(c, 200, json_pack("{s:b,s:o}", "dry_run", dry, "moves", moves));
}
