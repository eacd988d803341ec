/* The end of a container: why (exit status, out of memory, start error), the last lines, what next. */
#include <viking/json.h>
#include <viking/log.h>
#include <viking/str.h>

#include "instance.h"
#include "status.h"

struct supervise_rule inst_rule(const struct inst *i)
{
	return (struct supervise_rule){
		.task = desired_is_task(i->want),
		.never = vk_streq(i->want->restart, "never"),
		.restart_count = i->want->restart_count,
	};
}

static void judge(struct inst *i, int code, int64_t lived_ms)
{
	int64_t wait = 0;
	if (i->want == NULL) {
		inst_remove(i);
		return;
	}
	const struct supervise_rule rule = inst_rule(i);
	enum supervise_next next =
		supervise_ended(&i->sup, &rule, code, lived_ms, i->outside, &wait);
	snprintf(i->sup.reason, sizeof(i->sup.reason), "%s", i->reason);
	vk_log(next == SUPERVISE_FAILED ? VK_ERROR : VK_WARN, "container-ended",
		"instance=%s code=%d lived_ms=%lld failures=%u next=%s reason=\"%s\"", i->name,
		code, (long long)lived_ms, i->sup.failures,
		next == SUPERVISE_AGAIN            ? "restart"
			: next == SUPERVISE_FAILED ? "failed"
						   : "done",
		i->reason);
	inst_save(i, next == SUPERVISE_DONE);
	inst_group_falls(i, next);
	/* the wait counts from the death; removal takes some of it */
	i->backoff_ms = wait;
	if (i->id[0] != '\0') {
		inst_remove(i);
		return;
	}
	i->backoff_ms = 0;
	if (wait > 0)
		inst_retry(i, wait);
	else
		inst_phase(i, PHASE_NONE);
	inst_step(i);
}

/* ---- the last lines ---- */

static void on_tail(void *arg, json_t *lines)
{
	struct inst *i = arg;
	i->tail = NULL;
	/* A task has one life: if an agent that was killed had begun to remove its container, the lines are gone and known. */
	if (json_array_size(lines) > 0 || i->sup.tail == NULL || i->want == NULL ||
		!desired_is_task(i->want)) {
		json_decref(i->sup.tail);
		i->sup.tail = lines;
	} else {
		json_decref(lines);
	}
	judge(i, i->end_code, i->end_lived_ms);
}

/* ---- the exit ---- */

static void explain(struct inst *i, const json_t *state, int code)
{
	const char *why = vk_json_str(state, "Error", "");
	bool oom = i->oom || vk_json_bool(state, "OOMKilled", false);
	i->oom = oom;
	if (oom) {
		char limit[24];
		uint64_t memory = i->want != NULL && i->want->memory ? i->want->memory
								     : i->a->config->default_memory;
		vk_format_size(memory, limit);
		inst_reason(i, "out of memory (limit %s)", limit);
	} else if (i->outside) {
		inst_reason(i, "stopped from outside (status %d)", code);
	} else if (why[0] != '\0') {
		inst_reason(i, "%s", why);
	} else if (code > 128 && code < 160) {
		inst_reason(i, "ended by signal %d (%s)", code - 128, strsignal(code - 128));
	} else {
		inst_reason(i, "exited with status %d", code);
	}
}

static int64_t time_ms(const json_t *state, const char *key)
{
	const char *text = vk_json_str(state, key, "");
	return agent_time_ns(text, strlen(text), NULL) / 1000000;
}

static void on_state(void *arg, const struct vk_err *err, json_t *answer)
{
	struct inst *i = arg;
	const json_t *state = json_object_get(answer, "State");
	i->op = NULL;
	if (err->code == VK_NOTFOUND) {
		inst_phase(i, PHASE_UP);
		inst_lost(i);
		return;
	}
	if (err->code != 0) {
		agent_engine_failed(i->a, err);
		inst_retry(i, AGENT_RETRY_MS); /* dead and fitting: comes back here */
		return;
	}
	if (vk_json_bool(state, "Running", false)) { /* restarted from outside meanwhile */
		i->dead = false;
		inst_verify(i);
		return;
	}
	int64_t lived = time_ms(state, "FinishedAt") - time_ms(state, "StartedAt");
	i->end_code = (int)vk_json_int(state, "ExitCode", 0);
	i->end_lived_ms = lived < 0 ? 0 : lived;
	/* the engine's word for what ended with its host: no failure, however short it lived */
	if (i->found_dead && i->end_code == 255 && i->end_lived_ms < SUPERVISE_QUICK_MS)
		i->end_lived_ms = SUPERVISE_QUICK_MS;
	i->found_dead = false;
	inst_follow(i); /* what ended before it was ever seen to run has said something too */
	explain(i, state, i->end_code);
	i->tail = tail_read(i->a->loop, i->a->engine, i->id, on_tail, i);
}

void inst_death(struct inst *i)
{
	vk_autofree char *path = vk_asprintf("/containers/%s/json", i->id);
	inst_down(i);
	vk_timer_set(i->timer, -1);
	inst_phase(i, PHASE_DEATH);
	i->op = vk_engine_call_async(i->a->engine, "GET", path, NULL, AGENT_CALL_MS, on_state, i);
}

void inst_start_failed(struct inst *i, const char *why)
{
	i->dead = true;
	json_decref(VK_TAKE(i->sup.tail)); /* another life's last words */
	inst_reason(i, "cannot start: %s", why);
	judge(i, -1, 0);
}
