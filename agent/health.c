/* A running container: its probe, its log follower, the time-outs of health. */
#include <viking/log.h>
#include <viking/str.h>

#include "instance.h"
#include "listening.h"
#include "logring.h"
#include "status.h"

/* A probe of a port failed: which ports take connections instead? */
static void say_unwell(struct inst *i, const char *what)
{
	bool port = i->want != NULL && i->want->health.port != 0;
	vk_autofree char *ports = port ? listening_ports(i->pid) : NULL;
	inst_reason(i, "%s: %s%s%s", what, i->probe_text, ports != NULL ? "; it listens on " : "",
		ports != NULL ? ports : "");
}

/* Who gives up on it is told with its last words: unhealthy is said when they are there. */
static void on_words(void *arg, json_t *lines)
{
	struct inst *i = arg;
	i->tail = NULL;
	json_decref(i->sup.tail);
	i->sup.tail = lines;
	i->timed_out = i->health == HEALTH_UNKNOWN;
	status_changed(i->a->status, i->name);
}

static void read_words(struct inst *i)
{
	tail_cancel(i->tail);
	i->tail = tail_read(i->a->loop, i->a->engine, i->id, on_words, i);
}

/* It runs and shall not go on so: stopped, and started anew if its restart policy says so. */
static void end_running(struct inst *i, bool kill, const char *what, const char *why)
{
	const struct supervise_rule rule = inst_rule(i);
	int64_t wait;
	enum supervise_next next = supervise_unwell(&i->sup, &rule, kill, &wait);
	inst_reason(i, "%s, %s%s", what,
		next == SUPERVISE_AGAIN ? "started anew" : "stopped for good", why);
	snprintf(i->sup.reason, sizeof(i->sup.reason), "%s", i->reason);
	vk_log(VK_WARN, "ended-running", "instance=%s why=\"%s\" failures=%u", i->name, i->reason,
		i->sup.failures);
	inst_save(i, next == SUPERVISE_FAILED);
	i->backoff_ms = wait;
	inst_group_falls(i, next);
	inst_stop(i);
}

/* What is unhealthy is not always left to run. */
static void act_on(struct inst *i)
{
	const char *what = i->want != NULL ? i->want->health.on_unhealthy : NULL;
	if (what == NULL || i->op != NULL)
		return;
	vk_autofree char *why = vk_asprintf(": %s", i->probe_text);
	end_running(i, vk_streq(what, "kill"), "unhealthy", why);
}

void inst_over_disk(struct inst *i, uint64_t used)
{
	char limit[24], now[24];
	if (i->op != NULL) /* the next round finds it again */
		return;
	vk_format_size(i->want->disk, limit);
	vk_format_size(used, now);
	vk_autofree char *what = vk_asprintf("over its disk of %s (%s written)", limit, now);
	end_running(i, false, what, "");
}

static void on_heal(void *arg)
{
	struct inst *i = arg;
	if (i->health == HEALTH_OK) { /* a minute of health: the slate is wiped */
		if (i->sup.failures > 0) {
			i->sup.failures = 0;
			inst_save(i, false);
		}
		return;
	}
	if (i->health == HEALTH_UNKNOWN) {
		say_unwell(i, "not healthy in time");
		read_words(i);
		if (i->sup.restarts > 0) /* the first start is the deploy's affair */
			act_on(i);
	}
}

static void became(struct inst *i, enum health h)
{
	i->health = h;
	if (h == HEALTH_OK) {
		i->timed_out = false;
		i->reason[0] = '\0';
		vk_timer_set(i->heal, SUPERVISE_HEALED_MS);
	} else {
		say_unwell(i, "unhealthy");
		read_words(i);
	}
	vk_log(h == HEALTH_OK ? VK_INFO : VK_WARN, h == HEALTH_OK ? "healthy" : "unhealthy",
		"instance=%s after_ms=%lld probe=\"%s\"", i->name,
		(long long)(vk_now_ms() - i->started_ms), i->probe_text);
	status_changed(i->a->status, i->name);
	agent_settle(i->a);
	if (h == HEALTH_BAD)
		act_on(i);
}

static void on_probe(void *arg, enum health h, const char *text)
{
	struct inst *i = arg;
	bool told = vk_streq(i->probe_text, text);
	snprintf(i->probe_text, sizeof(i->probe_text), "%s", text);
	if (h != i->health)
		became(i, h);
	else if (!told)
		status_changed(i->a->status, i->name);
}

static void start_probe(struct inst *i)
{
	struct probe_target t = {
		.loop = i->a->loop,
		.engine = i->a->engine,
		.engine_socket = i->a->config->engine_socket,
		.container = i->id,
		.ip = i->ip,
		.age_ms = vk_now_ms() - i->started_ms,
	};
	probe_free(i->probe);
	i->probe = probe_new(&t, &i->want->health, i->health, on_probe, i);
}

/* Nobody asks a task for its health: it runs until it ends. */
static void watch_health(struct inst *i)
{
	if (i->want == NULL || desired_is_task(i->want))
		return;
	uint64_t limit = i->want->health_timeout_ms;
	if (limit == 0)
		limit = i->a->config->health_timeout_ms;
	if (i->heal == NULL)
		i->heal = vk_timer_new(i->a->loop, on_heal, i);
	vk_timer_set(i->heal, (int64_t)limit);
	start_probe(i);
}

void inst_follow(struct inst *i)
{
	if (i->follow == NULL)
		i->follow = logfollow_new(
			i->a->loop, i->a->engine, i->a->logs, i->stack, i->node, i->name, i->id);
}

void inst_up(struct inst *i)
{
	inst_phase(i, PHASE_UP);
	i->sup.started = true;
	i->health = HEALTH_UNKNOWN;
	i->timed_out = false;
	i->probe_text[0] = '\0';
	i->reason[0] = '\0';
	inst_follow(i);
	watch_health(i);
	vk_log(VK_INFO, "running", "instance=%s container=%.12s ip=%s", i->name, i->id, i->ip);
}

void inst_down(struct inst *i)
{
	probe_free(i->probe);
	i->probe = NULL;
	tail_cancel(VK_TAKE(i->tail));
	vk_timer_free(i->heal);
	i->heal = NULL;
	i->health = HEALTH_UNKNOWN;
}

void inst_reprobe(struct inst *i)
{
	if (i->phase == PHASE_UP && i->probe != NULL && i->want != NULL &&
		!probe_same(i->probe, &i->want->health))
		start_probe(i);
}
