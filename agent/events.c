#include "events.h"

#include <viking/json.h>
#include <viking/log.h>
#include <viking/str.h>

#include "instance.h"

#define AGAIN_MIN_MS   100
#define AGAIN_MAX_MS   2000
#define LINE_MAX_BYTES (256u << 10)

struct events {
	struct agent *a;
	struct vk_engine_op *op;
	struct vk_timer *again;
	struct vk_jsonl lines;
	int64_t last_ns; /* 0 = none seen */
	int64_t wait_ms;
};

bool event_read(const json_t *line, struct event *ret)
{
	const json_t *actor = json_object_get(line, "Actor");
	const json_t *attrs = json_object_get(actor, "Attributes");
	uint64_t code;
	if (!vk_streq(vk_json_str(line, "Type", ""), "container"))
		return false;
	ret->id = vk_json_str(actor, "ID", NULL);
	ret->action = vk_json_str(line, "Action", "");
	ret->instance = vk_json_str(attrs, "viking.instance", NULL);
	ret->time_ns = vk_json_int(line, "timeNano", 0);
	ret->exit_code = -1;
	if (vk_parse_u64(vk_json_str(attrs, "exitCode", ""), 0, 255, &code) == 0)
		ret->exit_code = (int)code;
	return ret->id != NULL;
}

static void act(struct agent *a, const struct event *ev)
{
	struct inst *i = inst_by_container(a, ev->id);
	if (i == NULL)
		return;
	if (vk_streq(ev->action, "kill") && i->phase == PHASE_UP)
		i->outside = true; /* not by us: then the phase would be another */
	else if (vk_streq(ev->action, "oom"))
		i->oom = true;
	else if (vk_streq(ev->action, "die"))
		inst_died(i, false);
	else if (vk_streq(ev->action, "destroy"))
		inst_lost(i);
}

static int on_line(void *arg, json_t *line, struct vk_err *err)
{
	struct events *e = arg;
	struct event ev;
	(void)err;
	if (!event_read(line, &ev))
		return 0;
	if (ev.time_ns > e->last_ns)
		e->last_ns = ev.time_ns;
	act(e->a, &ev);
	return 0;
}

static void on_bytes(void *arg, const void *p, size_t n)
{
	struct events *e = arg;
	struct vk_err err = {0};
	e->wait_ms = AGAIN_MIN_MS;
	if (vk_jsonl_feed(&e->lines, p, n, on_line, e, &err) < 0)
		vk_log_err(VK_WARN, "engine-event", &err);
}

static void on_done(void *arg, const struct vk_err *err, json_t *answer)
{
	struct events *e = arg;
	(void)answer;
	e->op = NULL;
	agent_engine_failed(e->a, err);
	vk_timer_set(e->again, e->wait_ms);
	e->wait_ms = e->wait_ms * 2 > AGAIN_MAX_MS ? AGAIN_MAX_MS : e->wait_ms * 2;
}

static void connect_events(void *arg)
{
	struct events *e = arg;
	vk_autofree char *text = vk_asprintf(
		"{\"type\":[\"container\"],\"label\":[\"viking.root=%s\"]}", e->a->root);
	vk_autofree char *filters = vk_engine_escape(text);
	vk_autofree char *path = NULL;
	if (e->last_ns > 0)
		path = vk_asprintf("/events?filters=%s&since=%lld.%09lld", filters,
			(long long)((e->last_ns + 1) / 1000000000),
			(long long)((e->last_ns + 1) % 1000000000));
	else
		path = vk_asprintf("/events?filters=%s", filters);
	vk_jsonl_release(&e->lines);
	vk_jsonl_init(&e->lines, LINE_MAX_BYTES);
	e->op = vk_engine_stream_async(e->a->engine, "GET", path, NULL, on_bytes, on_done, e);
	agent_resync(e->a);
}

struct events *events_new(struct agent *a)
{
	struct events *e = vk_alloc(sizeof(*e));
	e->a = a;
	e->wait_ms = AGAIN_MIN_MS;
	e->again = vk_timer_new(a->loop, connect_events, e);
	vk_jsonl_init(&e->lines, LINE_MAX_BYTES);
	vk_timer_set(e->again, 0);
	return e;
}

void events_free(struct events *e)
{
	if (e == NULL)
		return;
	if (e->op != NULL)
		vk_engine_op_cancel(e->op);
	vk_timer_free(e->again);
	vk_jsonl_release(&e->lines);
	free(e);
}
