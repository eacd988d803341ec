#include "status.h"

#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>

#include "agent.h"
#include "instance.h"

struct status {
	struct agent *a;
	struct vk_api_queue *queue;
	struct vk_timer *soon;
	json_t *dirty; /* name -> true */
	json_t *gone;  /* name -> true */
	json_t *sent;  /* name -> last report */
	json_t *facts; /* to be sent, or NULL */
	bool under_way, full, held, facts_under_way;
};

static void flush(void *arg);

struct status *status_new(struct agent *a, struct vk_api_queue *q)
{
	struct status *s = vk_alloc(sizeof(*s));
	s->a = a;
	s->queue = q;
	s->dirty = json_object();
	s->gone = json_object();
	s->sent = json_object();
	s->held = true;
	s->soon = vk_timer_new(a->loop, flush, s);
	return s;
}

void status_free(struct status *s)
{
	if (s == NULL)
		return;
	vk_timer_free(s->soon);
	json_decref(s->dirty);
	json_decref(s->gone);
	json_decref(s->sent);
	json_decref(s->facts);
	free(s);
}

static void on_answer(void *arg, const struct vk_err *err, const json_t *answer)
{
	struct status *s = arg;
	(void)answer;
	if (err->code != 0)
		vk_log_err(VK_WARN, "report-refused", err);
	s->under_way = false;
	vk_timer_set(s->soon, 0);
}

static void add_changed(struct status *s, struct inst *i, json_t *list)
{
	json_t *report = inst_report(i);
	if (!s->full && json_equal(report, json_object_get(s->sent, i->name))) {
		json_decref(report);
		return;
	}
	json_object_set(s->sent, i->name, report);
	json_array_append_new(list, report);
}

static void add_gone(struct status *s, json_t *list)
{
	const char *name;
	json_t *v;
	json_object_foreach(s->gone, name, v)
	{
		if (inst_find(s->a, name) != NULL)
			continue; /* back again */
		json_array_append_new(list, json_pack("{s:s,s:s}", "name", name, "state", "gone"));
		json_object_del(s->sent, name);
	}
}

static json_t *collect(struct status *s)
{
	json_t *list = json_array();
	for (struct inst *i = s->a->insts; i != NULL; i = i->next)
		if (s->full || json_object_get(s->dirty, i->name) != NULL)
			add_changed(s, i, list);
	if (!s->full)
		add_gone(s, list);
	json_object_clear(s->dirty);
	json_object_clear(s->gone);
	return list;
}

static void on_facts_answer(void *arg, const struct vk_err *err, const json_t *answer)
{
	struct status *s = arg;
	(void)answer;
	if (err->code != 0)
		vk_log_err(VK_WARN, "facts-refused", err);
	s->facts_under_way = false;
	vk_timer_set(s->soon, 0);
}

static void send_facts(struct status *s)
{
	vk_autojson *facts = VK_TAKE(s->facts);
	s->facts_under_way = true;
	vk_api_queue_add(s->queue, "POST", "/v1/internal/agent/host", facts, on_facts_answer, s);
}

static void flush(void *arg)
{
	struct status *s = arg;
	if (s->facts != NULL && !s->facts_under_way)
		send_facts(s);
	if (s->held || s->under_way)
		return;
	bool full = s->full;
	vk_autojson *list = collect(s);
	s->full = false;
	if (!full && json_array_size(list) == 0)
		return;
	uint64_t rev = s->a->desired != NULL ? s->a->desired->rev : 0;
	vk_autojson *body = json_pack("{s:s,s:I,s:O,s:b}", "host", s->a->config->host_name, "rev",
		(json_int_t)rev, "instances", list, "full", full);
	s->under_way = true;
	vk_api_queue_add(s->queue, "POST", "/v1/internal/agent/status", body, on_answer, s);
}

void status_changed(struct status *s, const char *instance)
{
	json_object_set_new(s->dirty, instance, json_true());
	vk_timer_set(s->soon, 0);
}

void status_gone(struct status *s, const char *instance)
{
	json_object_set_new(s->gone, instance, json_true());
	vk_timer_set(s->soon, 0);
}

void status_full(struct status *s)
{
	s->full = true;
	vk_timer_set(s->soon, 0);
}

void status_release(struct status *s)
{
	s->held = false;
	vk_timer_set(s->soon, 0);
}

void status_host(struct status *s, json_t *facts)
{
	json_decref(s->facts);
	s->facts = facts;
	vk_timer_set(s->soon, 0);
}
