/* Jobs of the builder and their records. */
#include "builds.h"

#include <string.h>
#include <unistd.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "build_output.h"
#include "copies.h"
#include "feed.h"
#include "holder.h"
#include "processes.h"
#include "txn.h"

struct build {
	struct build_row row;
	json_t *job; /* as the builder sees it */
	int64_t position, started_mono;
	struct build_output *output;
	const struct build_events *ev;
	void *arg;
	struct build *next;
};

struct builds {
	struct sched *s;
	struct feed *feed,
		*idle;       /* the jobs, for the registry's host; none, for builders of others */
	struct build *first; /* oldest first */
};

static void set_text(char **slot, const char *text)
{
	free(*slot);
	*slot = vk_strdup(text);
}

static void set_state(struct build *b, const char *state)
{
	set_text(&b->row.state, state);
	if (b->ev != NULL && b->ev->state != NULL)
		b->ev->state(b->arg, b, state, b->position);
}

static struct build *first_under_way(const struct builds *t)
{
	struct build *b = t->first;
	while (b != NULL && strcmp(b->row.state, "running") != 0 &&
		strcmp(b->row.state, "pushing") != 0)
		b = b->next;
	return b;
}

static void watch_changed(void *arg)
{
	struct builds *t = arg;
	size_t live = feed_live(t->feed);
	vk_log(VK_INFO, "builder-watch", "live=%zu", live);
	/* from the first again each time: a handler may end builds */
	for (struct build *b; live == 0 && (b = first_under_way(t)) != NULL;)
		set_state(b, "lost");
	hub_touch(t->s);
}

static void builds_publish(struct builds *t)
{
	json_t *jobs = json_array();
	for (struct build *b = t->first; b != NULL; b = b->next)
		json_array_append(jobs, b->job);
	feed_set(t->feed, json_pack("{s:o}", "jobs", jobs));
}

struct builds *builds_new(struct sched *s)
{
	struct builds *t = vk_alloc(sizeof(*t));
	t->s = s;
	t->feed = feed_new(s->st.epoch, watch_changed, t);
	builds_publish(t);
	t->idle = feed_new(s->st.epoch, NULL, NULL);
	feed_set(t->idle, json_pack("{s:[]}", "jobs"));
	return t;
}

static void build_free(struct build *b)
{
	vk_fields_release(build_fields, &b->row);
	free(b->row.name);
	json_decref(b->job);
	build_output_close(b->output);
	free(b);
}

void builds_free(struct builds *t)
{
	if (t == NULL)
		return;
	while (t->first != NULL) {
		struct build *b = t->first;
		t->first = b->next;
		build_free(b);
	}
	feed_free(t->feed);
	feed_free(t->idle);
	free(t);
}

bool builds_live(const struct sched *s)
{
	return feed_live(s->builds->feed) > 0;
}

bool builds_here(const struct sched *s, const char *host)
{
	return holder_check(s, host, NULL) == 0;
}

void builds_watch(struct sched *s, const char *host, struct vk_req *r)
{
	struct feed *copies = copies_feed(s, host);
	feed_attach(builds_here(s, host) ? s->builds->feed
			: copies != NULL ? copies
					 : s->builds->idle,
		r);
}

void builds_moved(struct sched *s)
{
	feed_end(s->builds->feed);
	watch_changed(s->builds);
}

void builds_others_moved(struct sched *s)
{
	feed_end(s->builds->idle);
}

/* What is known of this boat: build key -> image, so that the builder can tell that nothing changed. */
static json_t *known_images(const struct state *st, const char *stack, const char *boat)
{
	json_t *known = json_object();
	vk_autofree char *prefix = vk_asprintf("%s/%s/", stack, boat);
	struct image_row *row;
	table_each(&st->images, i, row)
	{
		if (row->key == NULL || !vk_starts(row->name, prefix))
			continue;
		json_t *image = json_pack("{s:s,s:s,s:s,s:O*}", "ref", row->ref, "digest",
			row->digest != NULL ? row->digest : "", "image",
			row->image != NULL ? row->image : "", "expose", row->expose);
		launch_put(image, row->launch);
		json_object_set_new(known, row->key, image);
	}
	return known;
}

static json_t *or_object(const json_t *j)
{
	return j != NULL ? json_incref((json_t *)(uintptr_t)j) : json_object();
}

static const char *or_empty(const char *s)
{
	return s != NULL ? s : "";
}

static json_t *build_job(struct sched *s, const char *id, const struct build_spec *spec)
{
	const struct stack *sk = state_stack(&s->st, or_empty(spec->stack));
	bool image = strcmp(spec->kind, "image") == 0;
	json_t *job = json_pack(
		"{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:o,s:o,s:s,s:b,s:s%,s:o,s:o,s:I,s:s}", "id", id,
		"kind", spec->kind, "stack", or_empty(spec->stack), "stack_id",
		or_empty(sk != NULL ? sk->row.id : NULL), "boat", or_empty(spec->boat), "node",
		or_empty(spec->node), "commit", or_empty(spec->commit), "recipe",
		or_object(spec->recipe), "refs", or_object(spec->refs), "document_root",
		or_empty(spec->document_root), "no_cache", spec->no_cache, "tag",
		or_empty(spec->commit), strnlen(or_empty(spec->commit), 12), "known",
		image && !spec->no_cache ? known_images(&s->st, spec->stack, spec->boat)
					 : json_object(),
		"keep",
		spec->keep != NULL ? json_incref((json_t *)(uintptr_t)spec->keep) : json_array(),
		"budget", (json_int_t)spec->budget, "who", or_empty(spec->who));
	if (spec->env != NULL)
		json_object_set(job, "env", (json_t *)(uintptr_t)spec->env);
	if (spec->cache != NULL)
		json_object_set_new(job, "cache", json_string(spec->cache));
	if (image)
		json_object_set_new(job, "source_version", json_string(or_empty(spec->commit)));
	return job;
}

static void build_save(struct sched *s, const struct build *b)
{
	if (b->row.stack[0] == '\0')
		return; /* a collection leaves no record */
	struct txn *t = txn_new(s);
	txn_put_row(t, build_fields, &b->row, "/build/%s", b->row.name);
	txn_commit(t, NULL, NULL);
}

struct build *builds_start(
	struct sched *s, const struct build_spec *spec, const struct build_events *ev, void *arg)
{
	struct build *b = vk_alloc(sizeof(*b));
	b->row = (struct build_row){
		.name = vk_asprintf("b%llu", (unsigned long long)++s->st.build_top),
		.stack = vk_strdup(or_empty(spec->stack)),
		.boat = vk_strdup(spec->boat),
		.node = vk_strdup(spec->node),
		.commit = vk_strdup(spec->commit),
		.who = vk_strdup(spec->who),
		.led = vk_strdup(s->cfg->host_name),
		.state = vk_strdup("queued"),
		.started_ms = vk_now_ms(),
	};
	b->started_mono = vk_mono_ms();
	b->job = build_job(s, b->row.name, spec);
	b->output = build_output_open(s, b->row.name);
	b->ev = ev;
	b->arg = arg;
	struct build **p = &s->builds->first;
	while (*p != NULL)
		p = &(*p)->next;
	*p = b;
	build_save(s, b);
	builds_publish(s->builds);
	return b;
}

struct build *builds_find(struct sched *s, const char *id)
{
	for (struct build *b = s->builds->first; b != NULL; b = b->next)
		if (strcmp(b->row.name, id) == 0)
			return b;
	return NULL;
}

const struct build_row *build_row(const struct build *b)
{
	return &b->row;
}

bool builds_collecting(const struct sched *s)
{
	for (const struct build *b = s->builds->first; b != NULL; b = b->next)
		if (b->row.stack[0] == '\0')
			return true;
	return false;
}

/* Records beyond BUILDS_KEPT of the stack go, oldest first, with their output. */
static void prune(struct sched *s, const char *stack, struct txn *t)
{
	size_t n = 0;
	struct build_row *row, *oldest = NULL;
	table_each(&s->st.builds, i, row)
	{
		if (strcmp(row->stack, stack) != 0)
			continue;
		n++;
		if (oldest == NULL || row->started_ms < oldest->started_ms)
			oldest = row;
	}
	if (n <= BUILDS_KEPT || oldest == NULL || builds_find(s, oldest->name) != NULL)
		return;
	build_output_remove(s, oldest->name);
	txn_del(t, "/build/%s", oldest->name);
}

/* Off the list, record written; b stays with the caller. */
static void build_close(struct sched *s, struct build *b, const char *state, const char *cause)
{
	for (struct build **p = &s->builds->first; *p != NULL; p = &(*p)->next) {
		if (*p == b) {
			*p = b->next;
			break;
		}
	}
	set_text(&b->row.state, state);
	set_text(&b->row.cause, cause);
	b->row.ms = vk_mono_ms() - b->started_mono;
	if (b->row.stack[0] != '\0') {
		struct txn *t = txn_new(s);
		txn_put_row(t, build_fields, &b->row, "/build/%s", b->row.name);
		prune(s, b->row.stack, t);
		txn_commit(t, NULL, NULL);
	}
	build_output_end(b->output, state, cause);
	events_add(s->events,
		&(struct event){.type = "build",
			.stack = b->row.stack,
			.node = b->row.node,
			.what = state,
			.who = b->row.who});
	builds_publish(s->builds);
}

void builds_cancel(struct sched *s, struct build *b, const char *why)
{
	build_close(s, b, "cancelled", why);
	build_free(b);
}

static void build_finish(struct sched *s, struct build *b, const json_t *done)
{
	bool ok = vk_json_bool(done, "ok", false);
	b->row.cached = vk_json_bool(done, "cached", false);
	b->row.bytes = (uint64_t)vk_json_int(done, "bytes", 0);
	build_close(
		s, b, ok ? "done" : "failed", ok ? NULL : vk_json_str(done, "message", "failed"));
	if (b->ev != NULL && b->ev->done != NULL)
		b->ev->done(b->arg, b, done);
	build_free(b);
}

void builds_fail(struct sched *s, struct build *b, const char *error, const char *message)
{
	vk_autojson *done = json_pack("{s:b,s:s,s:s}", "ok", 0, "error", error, "message", message);
	build_finish(s, b, done);
}

static void report_state(struct build *b, const json_t *body)
{
	b->position = vk_json_int(body, "position", 0);
	set_state(b, vk_json_str(body, "state", "running"));
}

static void report_out(struct build *b, const json_t *lines)
{
	size_t i;
	json_t *line;
	json_array_foreach(lines, i, line)
	{
		if (!json_is_string(line))
			continue;
		build_output_line(b->output, json_string_value(line));
		if (b->ev != NULL && b->ev->out != NULL)
			b->ev->out(b->arg, b, json_string_value(line));
	}
}

int builds_report(struct sched *s, const char *id, const json_t *body, struct vk_err *err)
{
	struct build *b = builds_find(s, id);
	if (b == NULL)
		return vk_err_set(err, VK_NOTFOUND, "there is no build %s under way", id);
	const json_t *done = json_object_get(body, "done");
	report_out(b, json_object_get(body, "out"));
	if (json_object_get(body, "state") != NULL)
		report_state(b, body);
	/* the handlers may have cancelled it */
	if (done != NULL && builds_find(s, id) == b)
		build_finish(s, b, done);
	return 0;
}

static json_t *row_json(const struct build_row *row, int64_t position)
{
	return json_pack("{s:s,s:s,s:s?,s:s?,s:s?,s:s,s:I,s:s?,s:I,s:I,s:b,s:s?,s:I}", "id",
		row->name, "stack", row->stack, "boat", row->boat, "node", row->node, "commit",
		row->commit, "state", row->state, "position", (json_int_t)position, "who", row->who,
		"started_ms", (json_int_t)row->started_ms, "ms", (json_int_t)row->ms, "cached",
		row->cached, "cause", row->cause, "bytes", (json_int_t)row->bytes);
}

/* "b10" after "b9": by number, newest first. */
static int newest_first(const void *a, const void *b)
{
	const struct build_row *x = *(const struct build_row *const *)a,
			       *y = *(const struct build_row *const *)b;
	size_t n = strlen(x->name), m = strlen(y->name);
	return n != m ? (n < m) - (n > m) : strcmp(y->name, x->name);
}

json_t *builds_list(struct sched *s, bool (*sees)(void *arg, const char *stack), void *arg)
{
	json_t *list = json_array();
	const struct table *t = &s->st.builds;
	size_t n = 0;
	for (const struct build *b = s->builds->first; b != NULL; b = b->next)
		n++;
	vk_autofree const struct build_row **rows =
		vk_reallocarray(NULL, n + t->n + 1, sizeof(*rows));
	n = 0;
	for (const struct build *b = s->builds->first; b != NULL; b = b->next)
		rows[n++] = &b->row;
	for (size_t i = 0; i < t->n; i++) {
		const struct build_row *row = t->row[i];
		if (builds_find(s, row->name) == NULL)
			rows[n++] = row;
	}
	qsort(rows, n, sizeof(*rows), newest_first);
	for (size_t i = 0; i < n; i++) {
		const struct build *b = builds_find(s, rows[i]->name);
		if (rows[i]->stack[0] != '\0' && sees(arg, rows[i]->stack))
			json_array_append_new(list, row_json(rows[i], b != NULL ? b->position : 0));
	}
	return json_pack("{s:o}", "builds", list);
}

int builds_output(
	struct sched *s, const char *id, bool follow, struct vk_req *r, struct vk_err *err)
{
	struct build *b = builds_find(s, id);
	if (b == NULL && table_get(&s->st.builds, id) == NULL)
		return vk_err_set(err, VK_NOTFOUND, "there is no build %s", id);
	build_output_send(s, id, b != NULL && follow ? b->output : NULL, r);
	return 0;
}

void builds_recover(struct sched *s)
{
	struct txn *t = txn_new(s);
	size_t n = 0;
	struct build_row *row;
	table_each(&s->st.builds, i, row)
	{
		if (strcmp(row->state, "done") == 0 || strcmp(row->state, "failed") == 0 ||
			strcmp(row->state, "cancelled") == 0)
			continue;
		struct build_row over = *row;
		over.state = (char *)(uintptr_t) "cancelled";
		over.cause = (char *)(uintptr_t) "the scheduler was restarted";
		txn_put_row(t, build_fields, &over, "/build/%s", row->name);
		n++;
	}
	if (n > 0)
		txn_commit(t, NULL, NULL);
	else
		txn_free(t);
}
