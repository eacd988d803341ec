#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/proc.h>
#include <viking/str.h>

#define LINE_MAX_BYTES (4u << 20) /* the done line carries the last lines of output */
#define READ_BYTES     (64u << 10)

struct runner {
	struct runner_opts o;
	struct vk_proc proc;
	struct vk_child *child;
	struct vk_io *io;
	struct vk_timer *flush, *deadline, *kill, *drain;
	struct vk_jsonl lines;
	json_t *batch;
	size_t batch_bytes;
	json_t *done;
	int status;
	bool exited, cancelled, overran, held;
};

void runner_free(struct runner *r)
{
	if (r == NULL)
		return;
	if (!r->exited) {
		vk_proc_kill(r->proc.pid, SIGKILL);
		vk_proc_wait(r->proc.pid, KILL_MS, NULL, NULL);
	}
	vk_child_free(r->child);
	vk_io_free(r->io);
	vk_timer_free(r->flush);
	vk_timer_free(r->deadline);
	vk_timer_free(r->kill);
	vk_timer_free(r->drain);
	vk_jsonl_release(&r->lines);
	vk_closep(&r->proc.out);
	json_decref(r->batch);
	json_decref(r->done);
	free(r);
}

static void flush_now(struct runner *r)
{
	if (json_array_size(r->batch) == 0)
		return;
	vk_autojson *batch = r->batch;
	r->batch = json_array();
	r->batch_bytes = 0;
	r->o.out(r->o.arg, batch);
	vk_timer_set(r->flush, BATCH_MS);
}

static void on_flush(void *arg)
{
	struct runner *r = arg;
	if (json_array_size(r->batch) > 0)
		flush_now(r);
	else
		r->batch_bytes = SIZE_MAX; /* the next line goes at once again */
}

static void add_line(struct runner *r, json_t *text)
{
	json_array_append(r->batch, text);
	size_t n = json_string_length(text) + 1;
	bool first = r->batch_bytes == SIZE_MAX;
	r->batch_bytes = first ? n : r->batch_bytes + n;
	if (first || r->batch_bytes >= BATCH_BYTES)
		flush_now(r);
}

static json_t *failure(const struct vk_err *err)
{
	return json_pack("{s:b, s:s, s:o, s:s, s:[]}", "ok", 0, "error", vk_err_name(err->code),
		"message", vk_json_safe_string(err->msg, strlen(err->msg)), "hint", err->hint,
		"tail");
}

/* The job ended without saying how. */
static json_t *died(const struct runner *r)
{
	struct vk_err err = {0};
	if (WIFSIGNALED(r->status))
		vk_err_set(&err, VK_INTERNAL, "the build process was ended by signal %d",
			WTERMSIG(r->status));
	else
		vk_err_set(&err, VK_INTERNAL,
			"the build process ended with status %d and no result",
			WEXITSTATUS(r->status));
	vk_err_hint(&err, "push again; if it happens again: sudo viking doctor");
	return failure(&err);
}

static json_t *late(const struct runner *r)
{
	struct vk_err err = {0};
	char took[24];
	vk_format_duration_ms(r->o.timeout_ms, took);
	vk_err_set(
		&err, VK_TIMEOUT, "the build took longer than %s (%s)", took, r->o.timeout_setting);
	vk_err_hint(&err, "make it faster, or raise %s in /etc/viking/viking.conf",
		r->o.timeout_setting);
	return failure(&err);
}

static void finish(struct runner *r)
{
	flush_now(r);
	vk_autojson *done = NULL;
	if (r->overran)
		done = late(r);
	else if (!r->cancelled)
		done = r->done != NULL ? json_incref(r->done) : died(r);
	r->o.ended(r->o.arg, done);
	runner_free(r);
}

static int on_line(void *arg, json_t *line, struct vk_err *err)
{
	struct runner *r = arg;
	json_t *text = json_object_get(line, "out"), *done = json_object_get(line, "done");
	json_t *state = json_object_get(line, "state");
	(void)err;
	if (json_is_string(text))
		add_line(r, text);
	if (json_is_string(state) && r->o.state != NULL) {
		flush_now(r); /* what was said before comes before */
		r->o.state(r->o.arg, state);
	}
	if (json_is_object(done) && r->done == NULL)
		r->done = json_incref(done);
	return 0;
}

static void end_output(struct runner *r)
{
	vk_io_free(r->io);
	r->io = NULL;
	vk_closep(&r->proc.out);
	r->proc.out = -1;
	if (r->exited)
		finish(r);
}

static void on_readable(void *arg, int fd, int what)
{
	struct runner *r = arg;
	vk_autofree char *chunk = vk_alloc(READ_BYTES);
	(void)what;
	ssize_t n = read(fd, chunk, READ_BYTES);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0 || vk_jsonl_feed(&r->lines, chunk, (size_t)n, on_line, r, NULL) != 0)
		end_output(
			r); /* a job that talks nonsense gets no further hearing: it has no result */
}

static void on_drained(void *arg)
{
	struct runner *r = arg;
	end_output(r);
}

static void on_exit_of(void *arg, pid_t pid, int status)
{
	struct runner *r = arg;
	(void)pid;
	r->exited = true;
	r->status = status;
	vk_timer_set(r->deadline, -1);
	vk_timer_set(r->kill, -1);
	vk_proc_kill(r->proc.pid, SIGKILL); /* what it may have left in its group */
	if (r->io == NULL) {
		finish(r);
		return;
	}
	runner_hold(r, false);
	vk_timer_set(r->drain, DRAIN_MS);
}

static void stop(struct runner *r)
{
	if (r->exited)
		return;
	vk_proc_kill(r->proc.pid, SIGTERM);
	vk_timer_set(r->kill, KILL_MS);
}

static void on_kill(void *arg)
{
	struct runner *r = arg;
	vk_proc_kill(r->proc.pid, SIGKILL);
}

static void on_deadline(void *arg)
{
	struct runner *r = arg;
	if (r->cancelled || r->done != NULL)
		return;
	r->overran = true;
	stop(r);
}

void runner_cancel(struct runner *r)
{
	if (r->cancelled)
		return;
	r->cancelled = true;
	stop(r);
}

void runner_hold(struct runner *r, bool hold)
{
	hold = hold && !r->exited; /* what a dead child has left is read to the end */
	if (r->io != NULL && r->held != hold)
		vk_io_set(r->io, hold ? 0 : VK_READ);
	r->held = hold;
}

/* The job's JSON as a descriptor: no pipe to fill while the child is slow to start. */
static int job_fd(const json_t *job, int *ret, struct vk_err *err)
{
	vk_autofree char *text = vk_json_text(job);
	vk_autoclose int fd = memfd_create("job", MFD_CLOEXEC);
	if (fd < 0)
		return vk_err_errno(err, errno, "memfd_create");
	int code = vk_write_all(fd, text, strlen(text), err);
	if (code != 0)
		return code;
	if (lseek(fd, 0, SEEK_SET) != 0)
		return vk_err_errno(err, errno, "lseek");
	*ret = VK_TAKE_FD(fd);
	return 0;
}

int runner_start(
	const struct runner_opts *o, const json_t *job, struct runner **ret, struct vk_err *err)
{
	vk_autoclose int in = -1;
	struct vk_proc proc;
	int code = job_fd(job, &in, err);
	if (code == 0)
		code = vk_proc_start(&(struct vk_proc_opts){.path = o->path,
					     .argv = o->argv,
					     .env = o->env,
					     .in = in,
					     .out = VK_FD_PIPE,
					     .err = VK_FD_INHERIT,
					     .die_with_parent = true},
			&proc, err);
	if (code != 0)
		return code;
	struct runner *r = vk_alloc(sizeof(*r));
	*r = (struct runner){.o = *o, .proc = proc, .batch = json_array(), .batch_bytes = SIZE_MAX};
	vk_jsonl_init(&r->lines, LINE_MAX_BYTES);
	fcntl(proc.out, F_SETFL, O_NONBLOCK);
	r->io = vk_io_new(o->loop, proc.out, VK_READ, on_readable, r);
	r->child = vk_child_new(o->loop, proc.pid, on_exit_of, r);
	r->flush = vk_timer_new(o->loop, on_flush, r);
	r->deadline = vk_timer_new(o->loop, on_deadline, r);
	r->kill = vk_timer_new(o->loop, on_kill, r);
	r->drain = vk_timer_new(o->loop, on_drained, r);
	vk_timer_set(r->deadline, o->timeout_ms);
	*ret = r;
	return 0;
}
