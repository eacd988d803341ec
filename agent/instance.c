#include "instance.h"

#include <viking/json.h>
#include <viking/log.h>
#include <viking/str.h>

#include "ifaddr.h"
#include "images.h"
#include "logring.h"
#include "net.h"
#include "status.h"

static void on_timer(void *arg)
{
	struct inst *i = arg;
	if (i->phase == PHASE_WAIT)
		inst_phase(i, PHASE_NONE);
	inst_step(i);
}

struct inst *inst_new(struct agent *a, const char *name, const char *stack, const char *node)
{
	struct inst *i = vk_alloc(sizeof(*i));
	i->a = a;
	i->name = vk_strdup(name);
	i->stack = vk_strdup(stack != NULL ? stack : "");
	i->node = vk_strdup(node != NULL ? node : "");
	i->stop_ms = 10000;
	i->timer = vk_timer_new(a->loop, on_timer, i);
	i->touched = a->listing;
	i->next = a->insts;
	a->insts = i;
	return i;
}

static void unlink_inst(struct inst *i)
{
	for (struct inst **at = &i->a->insts; *at != NULL; at = &(*at)->next)
		if (*at == i) {
			*at = i->next;
			return;
		}
}

void inst_free(struct inst *i)
{
	unlink_inst(i);
	inst_down(i);
	inst_give_slot(i);
	if (i->op != NULL)
		vk_engine_op_cancel(i->op);
	if (i->pull != NULL)
		images_cancel(i->pull);
	logfollow_free(i->follow);
	vk_timer_free(i->timer);
	json_decref(i->published);
	json_decref(i->resolver);
	json_decref(i->reached);
	supervise_release(&i->sup);
	free(i->name);
	free(i->stack);
	free(i->node);
	free(i);
}

struct inst *inst_find(struct agent *a, const char *name)
{
	for (struct inst *i = a->insts; i != NULL; i = i->next)
		if (vk_streq(i->name, name))
			return i;
	return NULL;
}

struct inst *inst_by_container(struct agent *a, const char *id)
{
	for (struct inst *i = a->insts; i != NULL; i = i->next)
		if (i->id[0] != '\0' && vk_streq(i->id, id))
			return i;
	return NULL;
}

bool inst_away(const struct vk_err *err)
{
	return err->code == VK_UNAVAILABLE || err->code == VK_TIMEOUT;
}

void inst_phase(struct inst *i, enum phase p)
{
	i->phase = p;
	i->touched = i->a->listing;
	status_changed(i->a->status, i->name);
}

void inst_reason(struct inst *i, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	vk_str_shorten(text, sizeof(i->reason) - 1);
	vk_str_printable(text, strlen(text), i->reason, sizeof(i->reason));
	status_changed(i->a->status, i->name);
}

void inst_retry(struct inst *i, int64_t ms)
{
	inst_phase(i, PHASE_WAIT);
	vk_timer_set(i->timer, ms);
}

void inst_save(struct inst *i, bool now)
{
	agent_count(i->a, i->name, supervise_save(&i->sup), now);
}

bool inst_busy(const struct inst *i, uint64_t listing)
{
	if (i->op != NULL || i->touched >= listing)
		return true;
	return i->phase != PHASE_NONE && i->phase != PHASE_WAIT && i->phase != PHASE_UP;
}

void inst_want(struct inst *i, struct desired_instance *want)
{
	i->want = want;
	if (want == NULL)
		return;
	free(i->stack);
	free(i->node);
	i->stack = vk_strdup(want->stack);
	i->node = vk_strdup(want->node);
	if (i->sup.hash[0] == '\0')
		supervise_load(&i->sup, agent_counted(i->a, i->name), want->hash);
	if (!vk_streq(i->sup.hash, want->hash)) {
		supervise_reset(&i->sup, want->hash);
		i->reason[0] = '\0';
		if (i->phase == PHASE_WAIT && i->id[0] == '\0')
			inst_phase(i,
				PHASE_NONE); /* a new definition does not wait for the old one's back-off */
	}
	status_changed(i->a->status, i->name);
}

static bool wanted(const struct inst *i)
{
	return i->want != NULL && !desired_wants_stop(i->want);
}

/* The container it holds is the one that is wanted. */
static bool fits(const struct inst *i)
{
	return wanted(i) && i->want->refused.code == 0 && vk_streq(i->hash, i->want->hash);
}

/* No container and none to come: settles in a final state, or is freed. */
static void rest(struct inst *i)
{
	struct agent *a = i->a;
	vk_timer_set(i->timer, -1);
	if (i->phase != PHASE_NONE)
		inst_phase(i, PHASE_NONE);
	agent_count(a, i->name, NULL, false);
	if (i->want != NULL) { /* stopped by order: the next start begins with a clean slate */
		supervise_reset(&i->sup, i->want->hash);
		i->reason[0] = '\0';
		return;
	}
	status_gone(a->status, i->name);
	inst_free(i);
	vk_mem_trim(); /* a deploy is over */
}

static void refuse(struct inst *i, const char *why)
{
	if (!vk_streq(i->reason, why))
		inst_reason(i, "%s", why);
	i->sup.failed = true;
}

static bool may_create(struct inst *i)
{
	struct vk_err why = {0};
	if (i->want->refused.code != 0) {
		refuse(i, i->want->refused.msg);
		return false;
	}
	if (i->sup.failed || i->sup.done || !i->a->listed)
		return false;
	if (desired_is_task(i->want) && i->sup.started) {
		refuse(i, "its container was removed before it ended");
		return false;
	}
	if (ifaddr_check(i->want->env, &why) != 0) {
		refuse(i, why.msg);
		return false;
	}
	if (nets_ready(i->a->nets, i->want, &why))
		return true;
	if (why.code != 0)
		inst_reason(i, "%s", why.msg);
	return false;
}

static void step_without_container(struct inst *i)
{
	if (!wanted(i)) {
		rest(i);
		return;
	}
	if (i->phase == PHASE_WAIT || !may_create(i))
		return;
	inst_phase(i, PHASE_QUEUE);
	agent_slots(i->a);
}

static void step_with_container(struct inst *i)
{
	if (!fits(i) || i->falls) {
		inst_stop(i);
		return;
	}
	if (i->dead)
		inst_death(i);
	else if (i->phase == PHASE_NONE)
		inst_verify(i);
}

void inst_step(struct inst *i)
{
	if (i->op != NULL)
		return; /* its end steps again */
	switch (i->phase) {
	case PHASE_PULL:
	case PHASE_QUEUE:
		if (wanted(i))
			return;
		if (i->pull != NULL)
			images_cancel(i->pull);
		i->pull = NULL;
		inst_give_slot(i);
		rest(i);
		return;
	case PHASE_DRAIN:
		inst_remove(i);
		return;
	case PHASE_NONE:
	case PHASE_WAIT:
	case PHASE_UP:
		if (i->id[0] == '\0')
			step_without_container(i);
		else
			step_with_container(i);
		return;
	default:
		return;
	}
}

void inst_adopt(struct inst *i, const char *id, const char *hash, bool running)
{
	snprintf(i->id, sizeof(i->id), "%s", id);
	snprintf(i->hash, sizeof(i->hash), "%s", hash != NULL ? hash : "");
	i->dead = !running;
	i->outside = false;
	if (i->want != NULL)
		i->stop_ms = i->want->stop_ms;
	vk_timer_set(i->timer, -1);
	inst_phase(i, PHASE_NONE);
	i->found_dead = !running;
	vk_log(VK_INFO, "adopted", "instance=%s container=%.12s running=%d", i->name, id, running);
}

void inst_died(struct inst *i, bool outside)
{
	i->outside = i->outside || outside;
	i->dead = true;
	if (i->phase == PHASE_UP)
		inst_step(i);
}

void inst_lost(struct inst *i)
{
	if (i->phase == PHASE_STOP || i->phase == PHASE_REMOVE || i->phase == PHASE_DEATH ||
		i->op != NULL)
		return; /* our own doing, or the end of the call will find it */
	vk_log(VK_WARN, "container-lost", "instance=%s container=%.12s", i->name, i->id);
	inst_down(i);
	logfollow_free(i->follow);
	i->follow = NULL;
	logset_drop_cursor(i->a->logs, i->stack, i->id);
	i->id[0] = '\0';
	inst_reason(i, "its container was removed from outside");
	inst_phase(i, PHASE_NONE);
	inst_step(i);
}

void inst_moved(struct inst *i, const char *ip)
{
	if (i->phase != PHASE_UP || i->op != NULL || vk_streq(i->ip, ip) || i->want == NULL ||
		vk_streq(i->want->network_mode, "host"))
		return;
	inst_down(i);
	inst_phase(i, PHASE_NONE); /* verified anew */
	inst_step(i);
}
