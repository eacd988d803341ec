/*
 * Groups: what the death of one instance means for the others. The members of a unit are the instances of one stack,
 * group and number; the policy is that of the one that died:
 *
 *	one_for_one       nothing (also when none is given)
 *	one_kills_all     the others go with it
 *	master_kills_all  they do when it is the master
 *
 * Going with it: they start anew if it does and they may, else they are stopped for good.
 */
#include <viking/log.h>
#include <viking/str.h>

#include "instance.h"

static bool takes_all(const struct desired_instance *d)
{
	if (vk_streq(d->group_policy, "one_kills_all"))
		return true;
	return vk_streq(d->group_policy, "master_kills_all") && vk_streq(d->group_role, "master");
}

static bool same_unit(const struct desired_instance *a, const struct desired_instance *b)
{
	return b != NULL && b != a && b->group != NULL && vk_streq(a->group, b->group) &&
		vk_streq(a->stack, b->stack) && a->n == b->n && !desired_is_task(b);
}

static void fall(struct inst *j, const struct inst *with, enum supervise_next next)
{
	bool again = next == SUPERVISE_AGAIN && !vk_streq(j->want->restart, "never");
	vk_log(VK_WARN, "group-falls", "instance=%s with=%s next=%s", j->name, with->name,
		again ? "restart" : "stop");
	j->falls = true;
	j->sup.done = !again && next != SUPERVISE_FAILED;
	j->sup.failed = !again && next == SUPERVISE_FAILED;
	inst_reason(j, "%s with %s (group %s)", again ? "started anew" : "stopped", with->name,
		j->want->group);
	snprintf(j->sup.reason, sizeof(j->sup.reason), "%s", j->reason);
	inst_save(j, !again);
	inst_step(j);
}

void inst_group_falls(struct inst *i, enum supervise_next next)
{
	if (i->want == NULL || i->want->group == NULL || !takes_all(i->want))
		return;
	for (struct inst *j = i->a->insts; j != NULL; j = j->next)
		if (same_unit(i->want, j->want) && j->id[0] != '\0' && !j->dead && !j->falls)
			fall(j, i, next);
}
