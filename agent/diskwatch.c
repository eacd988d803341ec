#include "diskwatch.h"

#include <viking/json.h>
#include <viking/log.h>
#include <viking/str.h>

#include "instance.h"

#define WALK_MS 60000  /* for one answer: a million files are walked in less */
#define REST_MS 300000 /* the longest rest */

struct diskwatch {
	struct agent *a;
	struct vk_timer *timer;
	struct vk_engine_op *op;
	char id[65]; /* the container asked about */
	int64_t asked_ms;
	unsigned round;
};

static void on_size(void *arg, const struct vk_err *err, json_t *answer)
{
	struct diskwatch *w = arg;
	struct inst *i = inst_by_container(w->a, w->id);
	int64_t rest = (vk_mono_ms() - w->asked_ms) * DISKWATCH_REST;
	w->op = NULL;
	vk_timer_set(w->timer, rest < REST_MS ? rest : REST_MS);
	if (err->code != 0 && err->code != VK_NOTFOUND)
		vk_log(VK_WARN, "disk-unknown", "container=%.12s why=\"%s\"", w->id, err->msg);
	if (err->code != 0 || i == NULL || i->phase != PHASE_UP || i->want == NULL)
		return;
	uint64_t used = (uint64_t)vk_json_int(answer, "SizeRw", 0);
	if (i->want->disk > 0 && used > i->want->disk)
		inst_over_disk(i, used);
}

static struct inst *next_of_round(struct diskwatch *w)
{
	for (struct inst *i = w->a->insts; i != NULL; i = i->next)
		if (i->phase == PHASE_UP && i->want != NULL && i->want->disk > 0 &&
			i->disk_round != w->round)
			return i;
	return NULL;
}

static void on_timer(void *arg)
{
	struct diskwatch *w = arg;
	struct inst *i = next_of_round(w);
	if (i == NULL) {
		w->round++;
		vk_timer_set(w->timer, w->a->config->disk_check_ms);
		return;
	}
	i->disk_round = w->round;
	snprintf(w->id, sizeof(w->id), "%s", i->id);
	w->asked_ms = vk_mono_ms();
	vk_autofree char *path = vk_asprintf("/containers/%s/json?size=1", w->id);
	w->op = vk_engine_call_async(w->a->engine, "GET", path, NULL, WALK_MS, on_size, w);
}

struct diskwatch *diskwatch_new(struct agent *a)
{
	struct diskwatch *w = vk_alloc(sizeof(*w));
	w->a = a;
	w->round = 1; /* instances begin at 0 */
	w->timer = vk_timer_new(a->loop, on_timer, w);
	vk_timer_set(w->timer, a->config->disk_check_ms);
	return w;
}

void diskwatch_free(struct diskwatch *w)
{
	if (w == NULL)
		return;
	if (w->op != NULL)
		vk_engine_op_cancel(w->op);
	vk_timer_free(w->timer);
	free(w);
}
