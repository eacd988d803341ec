/* Out of the way: SIGTERM, the grace time, SIGKILL (all by the engine), the last log lines, removal. */
#include <viking/log.h>

#include "instance.h"
#include "logring.h"
#include "status.h"

#define DRAIN_MS        1000
#define REMOVE_AGAIN_MS 500

static void on_stopped(void *arg, const struct vk_err *err, json_t *answer)
{
	struct inst *i = arg;
	(void)answer;
	i->op = NULL;
	if (inst_away(err))
		agent_engine_failed(i->a, err);
	i->dead = true; /* if it is not, removal kills it */
	inst_remove(i);
}

void inst_stop(struct inst *i)
{
	inst_down(i);
	i->falls = false;
	if (i->dead) {
		inst_remove(i);
		return;
	}
	uint64_t seconds = (i->stop_ms + 999) / 1000;
	vk_autofree char *path =
		vk_asprintf("/containers/%s/stop?t=%llu", i->id, (unsigned long long)seconds);
	inst_phase(i, PHASE_STOP);
	i->op = vk_engine_call_async(i->a->engine, "POST", path, NULL,
		(int64_t)seconds * 1000 + AGENT_CALL_MS, on_stopped, i);
}

static void on_removed(void *arg, const struct vk_err *err, json_t *answer)
{
	struct inst *i = arg;
	(void)answer;
	i->op = NULL;
	if (err->code != 0 && err->code != VK_NOTFOUND) {
		if (inst_away(err))
			agent_engine_failed(i->a, err);
		inst_phase(i, PHASE_DRAIN); /* removal in progress, or the engine is away: again */
		vk_timer_set(i->timer, inst_away(err) ? AGENT_RETRY_MS : REMOVE_AGAIN_MS);
		return;
	}
	logset_drop_cursor(i->a->logs, i->stack, i->id);
	i->id[0] = '\0';
	i->hash[0] = '\0';
	i->ip[0] = '\0';
	i->dead = false;
	int64_t wait = i->backoff_ms;
	i->backoff_ms = 0;
	if (wait > 0)
		inst_retry(i, wait);
	else
		inst_phase(i, PHASE_NONE);
	inst_step(i);
}

static void on_log_end(void *arg)
{
	struct inst *i = arg;
	if (i->phase == PHASE_DRAIN && i->op == NULL)
		inst_remove(i);
}

void inst_remove(struct inst *i)
{
	if (i->follow != NULL && i->phase != PHASE_DRAIN && !logfollow_ended(i->follow)) {
		inst_phase(i, PHASE_DRAIN);
		logfollow_on_end(i->follow, on_log_end, i);
		vk_timer_set(i->timer, DRAIN_MS);
		return;
	}
	logfollow_free(i->follow);
	i->follow = NULL;
	vk_timer_set(i->timer, -1);
	inst_phase(i, PHASE_REMOVE);
	vk_autofree char *path = vk_asprintf("/containers/%s?force=1&v=1", i->id);
	i->op = vk_engine_call_async(
		i->a->engine, "DELETE", path, NULL, AGENT_CALL_MS, on_removed, i);
}
