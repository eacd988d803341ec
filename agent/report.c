/* What the scheduler is told of an instance (STATUS in docs/protocol.md section 6). */
#include <viking/json.h>
#include <viking/str.h>

#include "instance.h"
#include "spec.h"

static const char *ended_state(const struct inst *i)
{
	if (i->sup.failed)
		return "failed";
	if (i->sup.done)
		return "exited";
	return i->phase == PHASE_WAIT || i->backoff_ms > 0 ? "backoff" : "starting";
}

static const char *up_state(const struct inst *i)
{
	if (i->health == HEALTH_OK)
		return "healthy";
	return i->health == HEALTH_BAD || i->timed_out ? "unhealthy" : "running";
}

const char *inst_state(const struct inst *i)
{
	if (i->want == NULL || desired_wants_stop(i->want))
		return i->id[0] != '\0' ? "stopping" : "gone";
	switch (i->phase) {
	case PHASE_PULL:
		return "pulling";
	case PHASE_UP:
		return up_state(i);
	case PHASE_DEATH: /* what it died of is not known yet */
		return "running";
	case PHASE_STOP:
		return "stopping";
	case PHASE_NONE:
	case PHASE_WAIT:
	case PHASE_DRAIN:
	case PHASE_REMOVE:
		if (i->id[0] != '\0' && !vk_streq(i->hash, i->want->hash))
			return "stopping";
		return ended_state(i);
	default:
		return "starting";
	}
}

static const char *reason_of(const struct inst *i)
{
	if (i->reason[0] != '\0')
		return i->reason;
	return i->sup.failed || i->sup.done ? i->sup.reason : "";
}

json_t *inst_report(const struct inst *i)
{
	const char *state = inst_state(i);
	/* the last words stay with an instance that is being tried again: who gives up on it shows them */
	bool well = vk_streq(state, "healthy");
	/* nobody has a use for one that has not started: no report of its own */
	bool made = i->phase != PHASE_CREATE && i->phase != PHASE_START;
	json_t *j = json_pack("{s:s,s:s,s:I,s:s,s:s,s:I,s:i,s:b,s:s}", "name", i->name, "state",
		state, "gen", (json_int_t)(i->want != NULL ? i->want->gen : 0), "container",
		made ? i->id : "", "ip", i->phase == PHASE_UP ? i->ip : "", "started_ms",
		(json_int_t)(i->phase == PHASE_UP ? i->started_ms : 0), "restarts",
		(int)i->sup.restarts, "oom", i->oom, "probe",
		i->phase == PHASE_UP ? i->probe_text : "");
	json_object_set_new(j, "old_resolver",
		json_boolean(i->phase == PHASE_UP && i->want != NULL &&
			!spec_same_resolver(i->resolver, i->want)));
	const char *reason = reason_of(i);
	json_object_set_new(j, "reason", vk_json_safe_string(reason, strlen(reason)));
	json_object_set_new(j, "exit",
		i->sup.has_exit && i->sup.exit_code >= 0 ? json_integer(i->sup.exit_code)
							 : json_null());
	json_object_set_new(j, "published",
		i->published != NULL && i->phase == PHASE_UP ? json_deep_copy(i->published)
							     : json_object());
	if (i->phase == PHASE_UP && i->reached != NULL)
		json_object_set(j, "reach", i->reached);
	json_object_set_new(j, "tail",
		!well && i->sup.tail != NULL ? json_deep_copy(i->sup.tail) : json_array());
	return j;
}
