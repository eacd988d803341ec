/*
 * When a dead instance is started again. Pure rules and the counters that survive a restart of the agent
 * (STATE/agent/counters.json). A failure is a start that did not work or an exit within 10 s of
 * the start; 60 s of health wipe the slate; at the limit (5, or restart_count + 1) the instance is
 * `failed` until its definition or generation changes.
 */
#ifndef AGENT_SUPERVISE_H
#define AGENT_SUPERVISE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <viking/err.h>

#define SUPERVISE_QUICK_MS  10000 /* an exit sooner than this is a failure */
#define SUPERVISE_HEALED_MS 60000 /* healthy for so long: failures are forgotten */

struct supervise {
	unsigned failures; /* consecutive */
	unsigned restarts; /* starts after the first */
	bool failed;
	bool done;    /* a task, or restart never: ran to its end */
	bool started; /* a container has been started once */
	bool has_exit;
	int exit_code;
	char hash[65]; /* of the definition these counts belong to */
	char reason[256];
	json_t *tail; /* array of the last lines, or NULL; owned */
};

enum supervise_next { SUPERVISE_AGAIN, SUPERVISE_FAILED, SUPERVISE_DONE };
struct supervise_rule {
	bool task;
	bool never;            /* restart: never */
	int64_t restart_count; /* -1 = default */
};
/* 0, 1, 2, 4, 8, 16 s: the wait before the start that follows `failures` failures in a row. */
int64_t supervise_backoff_ms(unsigned failures);
/* The container ended (or never started, code -1) after lived_ms. outside: somebody else stopped it or the
 * engine was restarted: no failure of the application. Updates the counts, *ret_wait_ms for AGAIN. */
enum supervise_next supervise_ended(struct supervise *s, const struct supervise_rule *rule,
	int code, int64_t lived_ms, bool outside, int64_t *ret_wait_ms);
/* It runs and is unhealthy, and is not to be left so. With kill, and where nothing is restarted, it has failed; else
 * it counts as a failure however long it lived. */
enum supervise_next supervise_unwell(
	struct supervise *s, const struct supervise_rule *rule, bool kill, int64_t *ret_wait_ms);
void supervise_reset(struct supervise *s, const char *hash);
void supervise_release(struct supervise *s);

/* Text forms. load leaves *s reset when the record is of another definition. */
json_t *supervise_save(const struct supervise *s);
bool supervise_load(struct supervise *s, const json_t *record, const char *hash);

#endif
