/* Stacks and instances as people see them. */
#include "summary.h"

#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>

#include "domains.h"
#include "hosts.h"
#include "moves.h"
#include "op.h"
#include "stackpacks.h"

static const char *shown_state(const struct inst *i, const struct inst_status *st)
{
	bool nothing = st == NULL || st->state == INST_GONE;
	if (i->stop)
		return nothing ? "stopped" : "stopping";
	if (i->drain)
		return "draining";
	if (nothing)
		return "starting";
	return st->state == INST_HEALTHY || st->state == INST_UNHEALTHY
		? "running"
		: inst_state_name(st->state);
}

static const char *shown_health(const struct inst_status *st)
{
	if (st == NULL)
		return "unknown";
	return st->state == INST_HEALTHY                                  ? "healthy"
		: st->state == INST_UNHEALTHY                             ? "unhealthy"
		: st->state == INST_STARTING || st->state == INST_RUNNING ? "starting"
									  : "none";
}

json_t *summary_instance(struct sched *s, const struct stack *sk, const struct inst *i)
{
	const struct inst_status *st = hosts_find(s, i->name);
	vk_autofree char *delayed = moves_delayed(s, sk, i);
	const char *reason = delayed != NULL ? delayed
		: st == NULL                 ? NULL
		: st->reason != NULL         ? st->reason
		: st->state != INST_HEALTHY  ? st->probe
					     : NULL;
	json_t *shown = json_pack("{s:s,s:s,s:i,s:i,s:i,s:s,s:s,s:s,s:I,s:I,s:s?,s:s?}", "name",
		i->name, "node", i->node, "n", (int)i->n, "version", (int)i->version, "release",
		(int)i->born, "host", i->host[0] != '\0' ? i->host : s->cfg->host_name, "state",
		delayed != NULL ? "delayed" : shown_state(i, st), "health", shown_health(st),
		"started_ms", (json_int_t)(st != NULL ? st->started_ms : 0), "restarts",
		(json_int_t)(st != NULL ? st->restarts : 0), "ip", st != NULL ? st->ip : NULL,
		"reason", reason);
	if (i->canary)
		json_object_set_new(shown, "canary", json_integer(i->canary));
	return shown;
}

json_t *summary_instances(struct sched *s, const struct stack *sk, bool draining)
{
	json_t *list = json_array();
	struct inst_list l = {0};
	stack_instances(sk, stack_overlay(sk), &l);
	for (size_t i = 0; i < l.n; i++)
		if (draining || !l.v[i].drain)
			json_array_append_new(list, summary_instance(s, sk, &l.v[i]));
	inst_list_release(&l);
	return list;
}

struct count {
	size_t wanted, healthy, known;
};

/* An instance that has done its work (restart: never) is as good as a healthy one. */
static struct count count_instances(struct sched *s, const struct stack *sk)
{
	struct count n = {0};
	struct inst_list l = {0};
	stack_instances(sk, NULL, &l);
	for (size_t i = 0; i < l.n; i++) {
		const struct inst_status *st = hosts_find(s, l.v[i].name);
		if (l.v[i].drain)
			continue;
		n.known++;
		if (l.v[i].stop)
			continue;
		n.wanted++;
		n.healthy += st != NULL &&
			(st->state == INST_HEALTHY ||
				(st->state == INST_EXITED && st->exited && st->exit == 0));
	}
	inst_list_release(&l);
	return n;
}

static const char *stack_state(const struct stack *sk, const struct count *n)
{
	if (sk->busy != NULL)
		return strcmp(sk->busy->type->kind, "push") == 0 ? "deploying"
								 : sk->busy->type->kind;
	if (stack_current(sk) == NULL)
		return "empty";
	if (n->wanted == 0 && n->known > 0)
		return "stopped";
	return n->healthy < n->wanted ? "degraded" : "running";
}

json_t *summary_stack(struct sched *s, const struct stack *sk)
{
	struct count n = count_instances(s, sk);
	json_t *names = json_array(), *value;
	vk_autojson *domains = stack_current(sk) != NULL
		? domains_of(&s->st, sk, NULL, s->cfg->base_domain)
		: NULL;
	const char *name;
	json_object_foreach(domains, name, value) json_array_append_new(names, json_string(name));
	return json_pack("{s:s,s:s,s:i,s:o,s:i,s:i,s:b,s:b,s:I}", "name", sk->name, "state",
		stack_state(sk, &n), "release", (int)sk->current, "domains", names, "instances",
		(int)n.wanted, "healthy", (int)n.healthy, "locked", sk->lock != NULL,
		"rebuild_offered", stackpacks_outdated(s, sk) > 0, "updated_ms",
		(json_int_t)sk->updated_ms);
}
