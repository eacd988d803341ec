#include "applier.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <viking/fs.h>
#include <viking/log.h>
#include <viking/str.h>

#include "answers.h"
#include "check.h"
#include "exchange.h"
#include "plan.h"
#include "reading.h"
#include "reload.h"
#include "tell.h"

#define EXCHANGE_MS    5000
#define ROUNDS_MAX     4    /* of telling and reading before a difference is called a fault */
#define TOUCHED_MAX    64   /* more than that: all servers are read in one go */
#define AGAIN_MS       500  /* after haproxy did not answer */
#define FAULT_AGAIN_MS 5000 /* after haproxy did not take a command */

enum phase { IDLE, CHECKING, WAITING, RELOADING, READING, TELLING };
struct applier {
	struct vk_loop *l;
	struct applier_opts o;
	applier_fn *fn;
	void *arg;
	struct link *link;

	enum phase phase;
	bool up; /* haproxy is there */
	bool have_want;
	struct model want, live;
	bool live_known;
	bool in_force; /* the last run ended well, and nothing was seen to change since */
	bool changing; /* this run is one of `change` */
	struct change change;
	unsigned checked;     /* backends of the last file that haproxy -c found valid */
	pid_t worker;         /* that `live` was read from */
	pid_t expect;         /* worker that a reload brought; 0 = any */
	int64_t expect_until; /* vk_mono_ms */
	unsigned rounds, reloads;

	struct exchange *x;
	struct tell *tell;
	struct check *check;
	struct reload *reload;
	struct vk_timer *timer;
	struct vk_buf text;     /* the file while it is being checked */
	struct vk_buf fallback; /* the file before the one that is being reloaded */
	struct plan plan;
	unsigned reads;    /* READ_* still to do */
	char trouble[200]; /* the first thing haproxy said against a command of this run */
};

static void proceed(struct applier *a);
static void begin(struct applier *a);
static void next_read(struct applier *a);

static void stop_work(struct applier *a)
{
	change_release(&a->change);
	a->changing = false;
	exchange_free(VK_TAKE(a->x));
	tell_free(VK_TAKE(a->tell));
	check_free(VK_TAKE(a->check));
	reload_free(VK_TAKE(a->reload));
	vk_timer_set(a->timer, -1);
	plan_release(&a->plan);
}

static void finish(
	struct applier *a, bool equal, const struct faults *faults, const struct vk_err *err)
{
	struct faults none = {0};
	struct applier_result r = {.equal = equal, .faults = faults != NULL ? faults : &none};
	if (err != NULL)
		r.err = *err;
	stop_work(a);
	a->phase = IDLE;
	a->in_force = equal && r.faults->n == 0;
	if (!a->in_force)
		vk_timer_set(a->timer, FAULT_AGAIN_MS);
	a->fn(a->arg, &r);
}

/* haproxy did not answer: the link tells if it is gone; if it is not, the state is read anew soon.
 * */
static void stall(struct applier *a, const struct vk_err *err)
{
	vk_log(VK_WARN, "haproxy-silent", "error=\"%s\"", err->msg);
	stop_work(a);
	a->live_known = false;
	a->phase = WAITING;
	vk_timer_set(a->timer, AGAIN_MS);
}

static void on_timer(void *arg)
{
	struct applier *a = arg;
	if (a->phase == IDLE) {
		a->live_known = false;
		begin(a);
		return;
	}
	if (a->phase == WAITING || a->phase == READING)
		proceed(a);
}

static void talk(struct applier *a, const char *request, exchange_done_fn *done)
{
	struct exchange_opts o = {
		.socket = a->o.admin, .request = request, .timeout_ms = EXCHANGE_MS};
	a->x = exchange_start(a->l, &o, done, a);
}

/* reading */

static struct reading reading_of(const struct applier *a)
{
	return (struct reading){a->o.files, &a->plan, &a->change};
}

/* Without a port for HTTPS there is no list of certificates. */
static unsigned read_all(const struct applier *a)
{
	return READ_ALL | (a->o.files->settings->https_port != 0 ? READ_CERTS : 0);
}

/* Is the answer that of the worker meant? Behind a reload the old worker may still take a
 * connection: it is asked again. A worker that changed without our doing is read as a whole. */
static bool right_worker(struct applier *a, pid_t pid)
{
	if (a->expect != 0 && pid != a->expect && vk_mono_ms() < a->expect_until) {
		vk_timer_set(a->timer, 10);
		return false;
	}
	a->expect = 0;
	if (a->live_known && pid != a->worker) {
		a->live_known = a->changing = false;
		a->reads = read_all(a);
		if (a->link != NULL)
			link_restart(a->link);
	}
	a->worker = pid;
	return true;
}

static void on_read(void *arg, const struct vk_err *err, const char *text)
{
	struct applier *a = arg;
	unsigned what = reading_next(a->reads);
	struct reading in = reading_of(a);
	a->x = NULL;
	if (err->code != 0) {
		stall(a, err);
		return;
	}
	bool known = a->live_known;
	if ((what & READ_PID) && !right_worker(a, answer_pid(text)))
		return;
	if (known && !a->live_known) /* another worker: of what was asked only its pid counts */
		what = READ_PID;
	reading_take(&in, what, text, &a->live);
	a->reads &= ~what;
	if (a->reads != 0) {
		next_read(a);
		return;
	}
	a->live_known = true;
	plan_release(&a->plan);
	proceed(a);
}

static void next_read(struct applier *a)
{
	a->phase = READING;
	struct reading in = reading_of(a);
	vk_autofree char *command = reading_command(&in, reading_next(a->reads));
	talk(a, command, on_read);
}

static void choose_reads(struct applier *a)
{
	a->reads = READ_PID;
	if (a->plan.n_touched > TOUCHED_MAX)
		a->reads |= READ_SERVERS;
	else if (a->plan.n_touched > 0)
		a->reads |= READ_TOUCHED;
	if (a->changing)
		a->reads |= READ_KEYS;
	a->reads |= a->plan.maps * READ_MAP;
	if (a->plan.certs)
		a->reads |= READ_CERTS;
}

static void read_back(struct applier *a)
{
	choose_reads(a);
	next_read(a);
}

/* telling */

static void on_told(void *arg, const struct vk_err *err, const char *trouble)
{
	struct applier *a = arg;
	a->tell = NULL;
	if (err->code != 0) {
		stall(a, err);
		return;
	}
	if (a->trouble[0] == '\0')
		snprintf(a->trouble, sizeof(a->trouble), "%s", trouble);
	read_back(a);
}

/* A change is nearly always one line of commands: it goes in one exchange with what reads it back. Whatever haproxy says
 * against it, the reading shows. */
static bool tell_and_read(struct applier *a)
{
	const struct step *s = a->plan.steps;
	if (!a->changing || a->plan.n != 1 || s->kind != STEP_LINE)
		return false;
	choose_reads(a);
	struct reading in = reading_of(a);
	vk_autofree char *read = reading_command(&in, reading_next(a->reads));
	vk_autofree char *request = vk_asprintf("%.*s;%s", (int)strlen(s->line) - 1, s->line, read);
	if (strlen(request) > PLAN_LINE_MAX)
		return false;
	a->phase = READING;
	talk(a, request, on_read);
	return true;
}

static void tell(struct applier *a)
{
	if (tell_and_read(a))
		return;
	struct tell_opts o = {
		.admin = a->o.admin, .files = a->o.files, .plan = &a->plan, .want = &a->want};
	a->phase = TELLING;
	a->tell = tell_start(a->l, &o, on_told, a);
}

/* faults */

struct blame {
	const struct applier *a;
	struct faults *faults;
};

static void blame_backend(void *arg, unsigned backend)
{
	struct blame *b = arg;
	const struct model *want = &b->a->want;
	const char *label =
		backend >= 1 && backend <= want->n ? want->backends[backend - 1].label : NULL;
	vk_autofree char *stack =
		label != NULL ? vk_strndup(label, strcspn(label, "/")) : vk_strdup("");
	vk_autofree char *why = vk_asprintf("haproxy did not take it: %s",
		b->a->trouble[0] != '\0' ? b->a->trouble : "its state stays another one");
	faults_add(b->faults, stack, why);
}

static void give_up(struct applier *a)
{
	struct faults faults = {0};
	struct blame b = {a, &faults};
	plan_differences(&a->want, &a->live, blame_backend, &b);
	finish(a, true, &faults, NULL);
	faults_release(&faults);
}

/* reloading */

static void on_reloaded(void *arg, const struct vk_err *err, pid_t worker)
{
	struct applier *a = arg;
	struct vk_err why = *err;
	a->reload = NULL;
	a->live_known = false;
	if (why.code == 0) {
		a->reloads++;
		a->expect = worker;
		a->expect_until = vk_mono_ms() + EXCHANGE_MS;
		a->o.assign->reload = false;
		files_put_assign(a->o.files, a->o.assign, &why);
		vk_log(VK_INFO, "haproxy-reloaded", "worker=%d", (int)worker);
		if (a->link != NULL)
			link_restart(a->link);
		a->phase = WAITING;
		proceed(a);
		return;
	}
	if (a->fallback.len > 0)
		files_put(a->o.files->cfg, &a->fallback, NULL, NULL);
	a->checked = 0;
	vk_err_wrap(&why, "reload of haproxy");
	finish(a, false, NULL, &why);
}

static void begin_reload(struct applier *a)
{
	struct vk_err err = {0};
	if (a->rounds++ >= ROUNDS_MAX) {
		vk_err_set(&err, VK_FAILED,
			"haproxy has not the backends of %s, reloaded as it was", a->o.files->cfg);
		finish(a, false, NULL, &err);
		return;
	}
	a->phase = RELOADING;
	a->reload = reload_start(a->l, a->o.master, on_reloaded, a);
}

static void make_plan(struct applier *a)
{
	struct plan_paths paths;
	for (enum map_id i = 0; i < MAPS; i++)
		paths.maps[i] = a->o.files->maps[i];
	paths.certs = a->o.files->certs;
	paths.cert_dir = a->o.files->cert_dir;
	plan_release(&a->plan);
	if (a->changing)
		plan_change(&a->want, &a->live, &a->change, &paths, &a->plan);
	else
		plan_make(&a->want, &a->live, &paths, &a->plan);
}

static void proceed(struct applier *a)
{
	vk_timer_set(a->timer, -1);
	if (!a->up) {
		a->phase = WAITING;
		return;
	}
	if (!a->live_known) {
		a->changing = false;
		a->reads = read_all(a);
		next_read(a);
		return;
	}
	make_plan(a);
	if (a->plan.reload || a->o.assign->reload) {
		begin_reload(a);
	} else if (plan_empty(&a->plan)) {
		finish(a, true, NULL, NULL);
	} else if (a->rounds++ >= ROUNDS_MAX) {
		give_up(a);
	} else if (a->changing && a->rounds > 1) { /* not as it was known to be */
		a->live_known = false;
		proceed(a);
	} else {
		tell(a);
	}
}

/* files */

static void store_files(struct applier *a)
{
	struct vk_err err = {0};
	int rc = files_put_assign(a->o.files, a->o.assign, &err);
	if (rc == 0)
		rc = files_put(a->o.files->cfg, &a->text, NULL, &err);
	if (rc == 0)
		rc = files_put_maps(a->o.files, &a->want, &err);
	vk_buf_release(&a->text);
	if (rc != 0) {
		finish(a, false, NULL, &err);
		return;
	}
	a->phase = WAITING;
	proceed(a);
}

static void refuse(struct applier *a, const struct vk_err *err, const char *messages)
{
	struct faults faults = {0};
	struct vk_err why = *err;
	unsigned line = render_fault_line(messages, a->o.files->candidate);
	const char *label = line > 0 ? render_owner(&a->want, vk_buf_str(&a->text), line) : NULL;
	vk_log(VK_ERROR, "haproxy-refuses", "line=%u owner=\"%s\"", line,
		label != NULL ? label : "");
	if (label != NULL) {
		vk_autofree char *stack = vk_strndup(label, strcspn(label, "/"));
		faults_add(&faults, stack, "haproxy refuses its part of the configuration");
	}
	vk_buf_release(&a->text);
	finish(a, false, &faults, &why);
	faults_release(&faults);
}

static void on_checked(void *arg, const struct vk_err *err, const char *messages)
{
	struct applier *a = arg;
	a->check = NULL;
	if (err->code != 0) {
		refuse(a, err, messages);
		return;
	}
	a->checked = a->want.n;
	vk_buf_release(&a->fallback);
	vk_fs_read(a->o.files->cfg, &a->fallback, NULL);
	store_files(a);
}

/* Only another number of backends, or another head, can make a file that was valid invalid. */
static void begin(struct applier *a)
{
	struct vk_err err = {0};
	a->have_want = true;
	a->rounds = 0;
	a->trouble[0] = '\0';
	vk_buf_clear(&a->text);
	files_render(a->o.files, &a->want, &a->text);
	if (a->checked == a->want.n && !a->o.assign->reload) {
		store_files(a);
		return;
	}
	a->phase = CHECKING;
	int rc = files_put(a->o.files->candidate, &a->text, NULL, &err);
	if (rc == 0)
		rc = check_start(
			a->l, a->o.haproxy, a->o.files->candidate, on_checked, a, &a->check, &err);
	if (rc != 0)
		finish(a, false, NULL, &err);
}

bool applier_busy(const struct applier *a)
{
	return a->phase != IDLE && a->phase != WAITING;
}

void applier_set(struct applier *a, struct model *want)
{
	stop_work(a);
	model_release(&a->want);
	a->want = *want;
	*want = (struct model){0};
	a->in_force = false;
	begin(a);
}

struct model *applier_settled(struct applier *a)
{
	bool settled = a->phase == IDLE && a->in_force && a->up && a->live_known &&
		a->checked == a->want.n && !a->o.assign->reload;
	return settled ? &a->want : NULL;
}

static int change_files(struct applier *a, struct vk_err *err)
{
	int rc = files_change_maps(a->o.files, &a->want, &a->change, err);
	if (rc != 0 || a->change.n_backends == 0)
		return rc;
	vk_buf_clear(&a->text);
	files_render(a->o.files, &a->want, &a->text);
	rc = files_put_assign(a->o.files, a->o.assign, err);
	if (rc == 0)
		rc = files_put(a->o.files->cfg, &a->text, NULL, err);
	vk_buf_release(&a->text);
	return rc;
}

void applier_change(struct applier *a, struct change *change)
{
	struct vk_err err = {0};
	a->change = *change;
	*change = (struct change){0};
	a->changing = true;
	a->rounds = 0;
	a->trouble[0] = '\0';
	if (change_files(a, &err) != 0)
		finish(a, false, NULL, &err);
	else
		proceed(a);
}

void applier_link(struct applier *a, bool up)
{
	a->up = up;
	a->live_known = a->in_force = false;
	a->expect = 0;
	if (a->phase == RELOADING || a->phase == CHECKING)
		return; /* these do not need the runtime socket, and end in a read of all */
	if (!up) {
		bool working = a->phase != IDLE || a->have_want;
		stop_work(a);
		a->phase = working ? WAITING : IDLE;
		return;
	}
	if (a->have_want) {
		stop_work(a);
		a->rounds = 0;
		a->phase = WAITING;
		proceed(a);
	}
}

void applier_use_link(struct applier *a, struct link *k)
{
	a->link = k;
}

unsigned applier_reloads(const struct applier *a)
{
	return a->reloads;
}

struct applier *applier_new(
	struct vk_loop *l, const struct applier_opts *o, applier_fn *fn, void *arg)
{
	struct applier *a = vk_alloc(sizeof(*a));
	a->l = l;
	a->o = *o;
	a->fn = fn;
	a->arg = arg;
	a->checked = o->checked;
	a->timer = vk_timer_new(l, on_timer, a);
	vk_buf_init(&a->text, FILES_MAX);
	vk_buf_init(&a->fallback, FILES_MAX);
	return a;
}

void applier_free(struct applier *a)
{
	if (a == NULL)
		return;
	stop_work(a);
	vk_timer_free(a->timer);
	model_release(&a->want);
	model_release(&a->live);
	vk_buf_release(&a->text);
	vk_buf_release(&a->fallback);
	free(a);
}
