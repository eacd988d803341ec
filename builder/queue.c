#include "queue.h"

#include <stdlib.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

void queue_init(struct queue *q, unsigned parallel)
{
	*q = (struct queue){.parallel = parallel > 0 ? parallel : 1};
}

static void job_free(struct queue_job *j)
{
	vk_freep(&j->id);
	vk_freep(&j->stack);
	vk_freep(&j->boat);
	vk_freep(&j->who);
	json_decref(j->doc);
	json_decref(j->done);
	free(j);
}

void queue_release(struct queue *q)
{
	for (size_t i = 0; i < q->n; i++)
		job_free(q->jobs[i]);
	vk_freep(&q->jobs);
	q->n = 0;
}

static void remove_at(struct queue *q, size_t at)
{
	job_free(q->jobs[at]);
	for (size_t i = at; i + 1 < q->n; i++)
		q->jobs[i] = q->jobs[i + 1];
	q->n--;
}

static struct queue_job *find(const struct queue *q, const char *id)
{
	for (size_t i = 0; i < q->n; i++) {
		if (vk_streq(q->jobs[i]->id, id))
			return q->jobs[i];
	}
	return NULL;
}

static int kind_of(const json_t *doc, enum queue_kind *ret, struct vk_err *err)
{
	static const char *const names[] = {[QUEUE_IMAGE] = "image",
		[QUEUE_SITE] = "site",
		[QUEUE_GC] = "gc",
		[QUEUE_COPY] = "copy"};
	const char *kind = vk_json_str(doc, "kind", "");
	for (size_t i = 0; i < VK_COUNT(names); i++) {
		if (vk_streq(kind, names[i])) {
			*ret = (enum queue_kind)i;
			return 0;
		}
	}
	return vk_err_set(
		err, VK_INVALID, "job %s is of no known kind", vk_json_str(doc, "id", "?"));
}

static int add(struct queue *q, json_t *doc, struct vk_err *err)
{
	enum queue_kind kind;
	if (kind_of(doc, &kind, err) != 0)
		return err != NULL ? err->code : VK_INVALID;
	if (q->n == QUEUE_JOBS_MAX)
		return vk_err_set(err, VK_LIMIT, "more than %d jobs are wanted", QUEUE_JOBS_MAX);
	struct queue_job *j = vk_alloc(sizeof(*j));
	*j = (struct queue_job){
		.id = vk_strdup(vk_json_str(doc, "id", "")),
		.stack = vk_strdup(vk_json_str(doc, "stack", "")),
		.boat = vk_strdup(vk_json_str(doc, "boat", "")),
		.who = vk_strdup(vk_json_str(doc, "who", "")),
		.kind = kind,
		.doc = json_incref(doc),
		.wanted = true,
	};
	q->jobs = vk_reallocarray(q->jobs, q->n + 1, sizeof(*q->jobs));
	q->jobs[q->n++] = j;
	return 0;
}

int queue_want(struct queue *q, const json_t *jobs, struct vk_err *err)
{
	size_t i;
	json_t *doc;
	enum queue_kind kind;
	if (!json_is_array(jobs))
		return vk_err_set(err, VK_INVALID, "the list of jobs is not a list");
	json_array_foreach(jobs, i, doc)
	{
		if (vk_json_str(doc, "id", "")[0] == '\0')
			return vk_err_set(err, VK_INVALID, "job %zu has no id", i);
		int code = kind_of(doc, &kind, err);
		if (code != 0)
			return code;
	}
	for (i = 0; i < q->n; i++)
		q->jobs[i]->wanted = false;
	json_array_foreach(jobs, i, doc)
	{
		struct queue_job *j = find(q, vk_json_str(doc, "id", ""));
		int code = j == NULL ? add(q, doc, err) : 0;
		if (code != 0)
			return code;
		if (j != NULL)
			j->wanted = true;
	}
	for (i = q->n; i-- > 0;) {
		if (!q->jobs[i]->wanted && q->jobs[i]->state != QUEUE_RUNNING)
			remove_at(q, i);
	}
	return 0;
}

static unsigned running(const struct queue *q, enum queue_kind kind)
{
	unsigned n = 0;
	for (size_t i = 0; i < q->n; i++)
		n += q->jobs[i]->state == QUEUE_RUNNING && q->jobs[i]->kind == kind;
	return n;
}

/* Two builds of one boat would race for its tag. */
static bool boat_busy(const struct queue *q, const struct queue_job *j)
{
	for (size_t i = 0; i < q->n; i++) {
		const struct queue_job *o = q->jobs[i];
		if (o->state == QUEUE_RUNNING && o->kind == QUEUE_IMAGE &&
			vk_streq(o->stack, j->stack) && vk_streq(o->boat, j->boat))
			return true;
	}
	return false;
}

static bool gc_holds(const struct queue *q)
{
	for (size_t i = 0; i < q->n; i++) {
		const struct queue_job *j = q->jobs[i];
		if (j->kind == QUEUE_GC && j->state != QUEUE_ENDED &&
			(j->state == QUEUE_RUNNING || j->overtaken >= GC_OVERTAKEN_MAX))
			return true;
	}
	return false;
}

static bool image_waits(const struct queue *q)
{
	for (size_t i = 0; i < q->n; i++) {
		if (q->jobs[i]->kind == QUEUE_IMAGE && q->jobs[i]->state == QUEUE_WAITING)
			return true;
	}
	return false;
}

static bool may_start(const struct queue *q, const struct queue_job *j)
{
	switch (j->kind) {
	case QUEUE_SITE:
		return running(q, QUEUE_SITE) < QUEUE_SITES_MAX;
	case QUEUE_COPY:
		return running(q, QUEUE_COPY) == 0;
	case QUEUE_GC:
		return running(q, QUEUE_IMAGE) == 0 && running(q, QUEUE_GC) == 0 &&
			(!image_waits(q) || j->overtaken >= GC_OVERTAKEN_MAX);
	default:
		return running(q, QUEUE_IMAGE) < q->parallel && !gc_holds(q) && !boat_busy(q, j);
	}
}

/* Builds that the one who asked for j has running: who has fewer comes first. */
static unsigned share(const struct queue *q, const struct queue_job *j)
{
	unsigned n = 0;
	for (size_t i = 0; i < q->n; i++)
		n += q->jobs[i]->state == QUEUE_RUNNING && vk_streq(q->jobs[i]->who, j->who);
	return n;
}

struct queue_job *queue_next(struct queue *q)
{
	struct queue_job *next = NULL;
	for (size_t i = 0; i < q->n; i++) {
		struct queue_job *j = q->jobs[i];
		if (j->state == QUEUE_WAITING && may_start(q, j) &&
			(next == NULL ||
				(j->kind == QUEUE_IMAGE && next->kind == QUEUE_IMAGE &&
					share(q, j) < share(q, next))))
			next = j;
	}
	return next;
}

void queue_start(struct queue *q, struct queue_job *j, void *run)
{
	j->state = QUEUE_RUNNING;
	j->run = run;
	j->reported = 0;
	for (size_t i = 0; i < q->n && j->kind == QUEUE_IMAGE; i++) {
		if (q->jobs[i]->kind == QUEUE_GC && q->jobs[i]->state == QUEUE_WAITING)
			q->jobs[i]->overtaken++;
	}
}

void queue_end(struct queue *q, struct queue_job *j, bool cancelled)
{
	j->run = NULL;
	if (j->wanted) {
		j->state = cancelled ? QUEUE_WAITING : QUEUE_ENDED;
		return;
	}
	for (size_t i = 0; i < q->n; i++) {
		if (q->jobs[i] == j) {
			remove_at(q, i);
			return;
		}
	}
}

struct queue_job *queue_unwanted(struct queue *q, size_t *at)
{
	while (*at < q->n) {
		struct queue_job *j = q->jobs[(*at)++];
		if (j->state == QUEUE_RUNNING && !j->wanted)
			return j;
	}
	return NULL;
}

/* The place of a waiting image if all who wait stay and nothing ends. */
static unsigned position_of(const struct queue *q, size_t at)
{
	unsigned position = 1, mine = share(q, q->jobs[at]);
	for (size_t i = 0; i < q->n; i++) {
		const struct queue_job *o = q->jobs[i];
		if (i == at || o->state != QUEUE_WAITING || o->kind != QUEUE_IMAGE)
			continue;
		unsigned theirs = share(q, o);
		position += theirs < mine || (theirs == mine && i < at);
	}
	return position;
}

struct queue_job *queue_moved(struct queue *q, unsigned *ret_position)
{
	for (size_t i = 0; i < q->n; i++) {
		struct queue_job *j = q->jobs[i];
		if (j->state != QUEUE_WAITING || j->kind != QUEUE_IMAGE)
			continue;
		unsigned position = position_of(q, i);
		if (j->reported != position) {
			j->reported = *ret_position = position;
			return j;
		}
	}
	return NULL;
}
