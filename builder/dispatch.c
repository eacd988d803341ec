#include "dispatch.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "queue.h"
#include "runner.h"

#define FILES_MAX 1024
#define LOOK_MS   (60 * 60 * 1000) /* from one look at the stack image to the next */
#define AGAIN_MS  (60 * 1000)      /* when it did not go well, or the registry was busy */
#define BEHIND    64 /* reports not yet taken by the scheduler, above which jobs are not read */

struct dispatch {
	struct vk_loop *loop;
	struct runner *chore; /* one of chores that runs now */
	size_t next;          /* which that is, or the next one, at look */
	struct vk_timer *look;
	struct vk_signal *hangup;
	bool asked; /* for a look, while one is under way */
	bool swept; /* once, or tried: a build that starts anew must not meet its old container at the cache */
	json_t *facts; /* of the stack image, as the scheduler is to know them; NULL: not looked yet */
	const struct vk_config *config;
	struct queue queue;
	struct vk_api_queue *reports;
	struct vk_api_watch *watch;
	char *job_path;
	struct vk_strv argv, env; /* of the jobs */
	bool behind;
};

/* One running job; the argument of its runner's callbacks. */
struct run {
	struct dispatch *d;
	struct queue_job *job;
	struct runner *runner;
};

static void pump(struct dispatch *d);

static void hold_all(struct dispatch *d, bool hold)
{
	d->behind = hold;
	for (size_t i = 0; i < d->queue.n; i++) {
		struct run *run = d->queue.jobs[i]->run;
		if (run != NULL)
			runner_hold(run->runner, hold);
	}
}

static void on_reported(void *arg, const struct vk_err *err, const json_t *answer)
{
	struct dispatch *d = arg;
	(void)answer;
	if (err->code != 0 &&
		err->code != VK_NOTFOUND) /* not found: nobody wants the job any more */
		vk_log_err(VK_WARN, "report-refused", err);
	if (d->behind && vk_api_queue_len(d->reports) < BEHIND / 2)
		hold_all(d, false);
}

static void report(struct dispatch *d, const struct queue_job *j, json_t *body)
{
	vk_autofree char *path = vk_asprintf("/v1/internal/builder/jobs/%s", j->id);
	vk_api_queue_add(d->reports, "POST", path, body, on_reported, d);
	json_decref(body);
	if (!d->behind && vk_api_queue_len(d->reports) > BEHIND)
		hold_all(d, true);
}

static void on_out(void *arg, json_t *lines)
{
	struct run *run = arg;
	report(run->d, run->job, json_pack("{s:O}", "out", lines));
}

static void on_state(void *arg, json_t *name)
{
	struct run *run = arg;
	report(run->d, run->job, json_pack("{s:O}", "state", name));
}

static void tell_facts(struct dispatch *d)
{
	vk_api_queue_add(
		d->reports, "POST", "/v1/internal/builder/facts", d->facts, on_reported, d);
}

/* What a look or a build by a pack found out about the stack image. */
static void learn(struct dispatch *d, const json_t *done)
{
	json_t *image = json_object_get(done, "stack_image");
	json_t *version = json_object_get(done, "stack_version");
	if (image == NULL || (version == NULL && !json_is_null(image)) ||
		json_equal(image, json_object_get(d->facts, "stack_image")))
		return;
	json_decref(d->facts);
	d->facts = json_pack("{s:O, s:O*}", "stack_image", image, "stack_version", version);
	tell_facts(d);
}

static void on_ended(void *arg, json_t *done)
{
	struct run *run = arg;
	struct dispatch *d = run->d;
	struct queue_job *j = run->job;
	const char *how = done == NULL            ? "cancelled"
		: vk_json_bool(done, "ok", false) ? "done"
						  : "failed";
	vk_log(VK_INFO, "job-ended", "id=%s how=%s", j->id, how);
	if (done != NULL) {
		learn(d, done);
		j->done = json_incref(done);
		report(d, j, json_pack("{s:O}", "done", done));
	}
	queue_end(&d->queue, j, done == NULL);
	free(run);
	pump(d);
}

static void refuse(struct dispatch *d, struct queue_job *j, const struct vk_err *err)
{
	vk_log_err(VK_ERROR, "job-not-started", err);
	j->done = json_pack("{s:b, s:s, s:s, s:s}", "ok", 0, "error", vk_err_name(err->code),
		"message", err->msg, "hint", err->hint);
	report(d, j, json_pack("{s:O}", "done", j->done));
	queue_end(&d->queue, j, false);
}

static void start(struct dispatch *d, struct queue_job *j)
{
	struct vk_err err = {0};
	struct run *run = vk_alloc(sizeof(*run));
	*run = (struct run){.d = d, .job = j};
	struct runner_opts o = {
		.loop = d->loop,
		.path = d->job_path,
		.argv = (const char *const *)d->argv.v,
		.env = (const char *const *)d->env.v,
		.timeout_ms = (int64_t)d->config->build_timeout_ms,
		.timeout_setting = "builds.timeout",
		.out = on_out,
		.state = on_state,
		.ended = on_ended,
		.arg = run,
	};
	queue_start(&d->queue, j, NULL);
	if (runner_start(&o, j->doc, &run->runner, &err) != 0) {
		free(run);
		refuse(d, j, &err);
		return;
	}
	j->run = run;
	runner_hold(run->runner, d->behind);
	vk_log(VK_INFO, "job-started", "id=%s kind=%s stack=%s boat=%s", j->id,
		vk_json_str(j->doc, "kind", ""), j->stack, j->boat);
	report(d, j, json_pack("{s:s}", "state", "running"));
}

static void pump(struct dispatch *d)
{
	struct queue_job *j;
	unsigned position;
	while (d->swept && (j = queue_next(&d->queue)) != NULL)
		start(d, j);
	while ((j = queue_moved(&d->queue, &position)) != NULL)
		report(d, j, json_pack("{s:s, s:i}", "state", "queued", "position", (int)position));
}

static void on_wanted(void *arg, json_t *line)
{
	struct dispatch *d = arg;
	struct vk_err err = {0};
	struct queue_job *j;
	size_t at = 0;
	if (queue_want(&d->queue, json_object_get(line, "jobs"), &err) != 0)
		vk_log_err(VK_ERROR, "wanted-list", &err);
	while ((j = queue_unwanted(&d->queue, &at)) != NULL) {
		struct run *run = j->run;
		runner_cancel(run->runner);
	}
	pump(d);
}

/* A scheduler that came back may not have kept what it was told. */
static void tell_again(struct dispatch *d)
{
	for (size_t i = 0; i < d->queue.n; i++) {
		struct queue_job *j = d->queue.jobs[i];
		j->reported = 0;
		if (j->state == QUEUE_ENDED)
			report(d, j, json_pack("{s:O}", "done", j->done));
		else if (j->state == QUEUE_RUNNING)
			report(d, j, json_pack("{s:s}", "state", "running"));
	}
}

static void on_connection(void *arg, bool connected, const struct vk_err *err)
{
	struct dispatch *d = arg;
	if (!connected) {
		vk_log_err(VK_WARN, "scheduler-away", err);
		return;
	}
	vk_log(VK_INFO, "watching", "jobs=%zu", d->queue.n);
	if (d->facts != NULL)
		tell_facts(d);
	tell_again(d);
}

/* Settings reach the job as they reached us; what is meant for this process alone does not. */
static void job_environment(struct vk_strv *env)
{
	vk_strv_add(env, "PATH=/usr/sbin:/usr/bin:/sbin:/bin");
	vk_strv_add(env, "LANG=C.UTF-8");
	for (char **e = environ; *e != NULL; e++) {
		if (vk_starts(*e, "VIKING_READY_FD=") || vk_starts(*e, "VIKING_TOKEN="))
			continue;
		if (vk_starts(*e, "VIKING_") || vk_starts(*e, "ASAN_OPTIONS=") ||
			vk_starts(*e, "LOG_LEVEL="))
			vk_strv_add(env, *e);
	}
}

/* -- chores: jobs of our own, one at a time, beside the queue ----------------------------------- */

/* What an earlier builder's jobs have left goes, once; then the stack image is looked at, and stored. */
static const char *const chores[] = {"sweep", "stack", "store"};

static void on_chore_ended(void *arg, json_t *done)
{
	struct dispatch *d = arg;
	bool ok = vk_json_bool(done, "ok", false), last = d->next + 1 == VK_COUNT(chores);
	d->chore = NULL;
	if (!ok)
		vk_log(VK_WARN, "chore", "kind=%s why=\"%s\"", chores[d->next],
			vk_json_str(done, "message", ""));
	learn(d, done);
	if (d->asked || (ok && last))
		d->next = 1;
	else if (ok)
		d->next++;
	vk_timer_set(d->look, !ok ? AGAIN_MS : last && !d->asked ? LOOK_MS : 0);
	d->asked = false;
	d->swept = true;
	pump(d);
}

static void on_chore_line(void *arg, json_t *lines)
{
	(void)arg;
	for (size_t i = 0; i < json_array_size(lines); i++)
		vk_log(VK_INFO, "chore", "out=\"%s\"", json_string_value(json_array_get(lines, i)));
}

static void on_look(void *arg)
{
	struct dispatch *d = arg;
	const char *kind = chores[d->next];
	struct vk_err err = {0};
	vk_autojson *job = json_pack("{s:s, s:s}", "id", kind, "kind", kind);
	struct runner_opts o = {
		.loop = d->loop,
		.path = d->job_path,
		.argv = (const char *const *)d->argv.v,
		.env = (const char *const *)d->env.v,
		.timeout_ms = (int64_t)d->config->build_timeout_ms,
		.timeout_setting = "builds.timeout",
		.out = on_chore_line,
		.ended = on_chore_ended,
		.arg = d,
	};
	if (d->chore == NULL && runner_start(&o, job, &d->chore, &err) != 0) {
		vk_log_err(VK_WARN, "chore", &err);
		vk_timer_set(d->look, AGAIN_MS);
	}
}

/* Whoever made another stack image says so. */
static void on_hangup(void *arg, int signo)
{
	struct dispatch *d = arg;
	(void)signo;
	d->asked = d->chore != NULL;
	if (!d->asked)
		vk_timer_set(d->look, 0);
}

static int serve(struct vk_role *role, struct vk_err *err)
{
	struct dispatch *d = role->self = vk_alloc(sizeof(*d));
	(void)err;
	d->loop = role->l;
	d->config = role->c;
	d->reports = role->queue;
	queue_init(&d->queue, (unsigned)d->config->builds_parallel);
	d->job_path = vk_libexec_path(d->config, "viking-job");
	vk_strv_add(&d->argv, "viking-job");
	for (size_t i = 1; role->argv[0] != NULL && role->argv[i] != NULL; i++)
		vk_strv_add(&d->argv, role->argv[i]);
	job_environment(&d->env);
	d->look = vk_timer_new(d->loop, on_look, d);
	d->hangup = vk_signal_new(d->loop, SIGHUP, on_hangup, d);
	on_look(d);
	d->watch = vk_api_watch_new(
		d->loop, &role->api, "/v1/internal/builder/watch", on_wanted, on_connection, d);
	return 0;
}

/* Ends all running jobs. */
static void dispatch_free(void *self)
{
	struct dispatch *d = self;
	if (d == NULL)
		return;
	vk_api_watch_free(d->watch);
	runner_free(d->chore);
	vk_timer_free(d->look);
	vk_signal_free(d->hangup);
	json_decref(d->facts);
	for (size_t i = 0; i < d->queue.n; i++) {
		struct run *run = d->queue.jobs[i]->run;
		if (run != NULL)
			runner_free(run->runner);
		free(run);
	}
	queue_release(&d->queue);
	vk_strv_release(&d->argv);
	vk_strv_release(&d->env);
	vk_freep(&d->job_path);
	free(d);
}

/* It holds the engine's socket and starts jobs. */
static void rights(const struct vk_config *c, struct vk_role_rights *ret)
{
	(void)c;
	ret->any_file = true;
	ret->seccomp = VK_SECCOMP_SPAWN;
	ret->limit_nofile = FILES_MAX;
}

const struct vk_role_ops builder_role = {"builder", rights, NULL, serve, dispatch_free};
