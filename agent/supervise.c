#include "supervise.h"

#include <viking/json.h>
#include <viking/str.h>

#define DEFAULT_LIMIT 5

int64_t supervise_backoff_ms(unsigned failures)
{
	if (failures == 0)
		return 0;
	return failures >= 5 ? 16000 : 1000LL << (failures - 1);
}

static unsigned limit_of(const struct supervise_rule *rule)
{
	if (rule->restart_count < 0)
		return DEFAULT_LIMIT;
	return rule->restart_count >= UINT32_MAX ? UINT32_MAX : (unsigned)rule->restart_count + 1;
}

enum supervise_next supervise_ended(struct supervise *s, const struct supervise_rule *rule,
	int code, int64_t lived_ms, bool outside, int64_t *ret_wait_ms)
{
	bool ran = code >= 0;
	s->has_exit = ran;
	s->exit_code = code;
	*ret_wait_ms = 0;
	if (rule->task || (rule->never && ran && !outside)) {
		s->done = ran;
		s->failed = !ran;
		return ran ? SUPERVISE_DONE : SUPERVISE_FAILED;
	}
	if (!outside && lived_ms < SUPERVISE_QUICK_MS)
		s->failures++;
	if (s->failures >= limit_of(rule) || (rule->restart_count == 0 && !outside)) {
		s->failed = true;
		return SUPERVISE_FAILED;
	}
	*ret_wait_ms = outside ? 0 : supervise_backoff_ms(s->failures);
	return SUPERVISE_AGAIN;
}

enum supervise_next supervise_unwell(
	struct supervise *s, const struct supervise_rule *rule, bool kill, int64_t *ret_wait_ms)
{
	s->has_exit = false;
	s->failures++;
	*ret_wait_ms = 0;
	s->failed = kill || rule->never || s->failures >= limit_of(rule);
	if (s->failed)
		return SUPERVISE_FAILED;
	*ret_wait_ms = supervise_backoff_ms(s->failures);
	return SUPERVISE_AGAIN;
}

void supervise_release(struct supervise *s)
{
	json_decref(s->tail);
	s->tail = NULL;
}

void supervise_reset(struct supervise *s, const char *hash)
{
	supervise_release(s);
	*s = (struct supervise){0};
	snprintf(s->hash, sizeof(s->hash), "%s", hash);
}

json_t *supervise_save(const struct supervise *s)
{
	json_t *j = json_pack("{s:s,s:i,s:i,s:b,s:b,s:b,s:s}", "hash", s->hash, "failures",
		(int)s->failures, "restarts", (int)s->restarts, "failed", s->failed, "done",
		s->done, "started", s->started, "reason", s->reason);
	if (s->has_exit)
		json_object_set_new(j, "exit", json_integer(s->exit_code));
	if (s->tail != NULL)
		json_object_set(j, "tail", s->tail);
	return j;
}

bool supervise_load(struct supervise *s, const json_t *record, const char *hash)
{
	supervise_reset(s, hash);
	if (!vk_streq(vk_json_str(record, "hash", NULL), hash))
		return false;
	s->failures = (unsigned)vk_json_int(record, "failures", 0);
	s->restarts = (unsigned)vk_json_int(record, "restarts", 0);
	s->failed = vk_json_bool(record, "failed", false);
	s->done = vk_json_bool(record, "done", false);
	s->started = vk_json_bool(record, "started", false);
	s->has_exit = json_is_integer(json_object_get(record, "exit"));
	s->exit_code = (int)vk_json_int(record, "exit", 0);
	snprintf(s->reason, sizeof(s->reason), "%s", vk_json_str(record, "reason", ""));
	if (json_is_array(json_object_get(record, "tail")))
		s->tail = json_incref(json_object_get(record, "tail"));
	return true;
}
