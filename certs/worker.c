#include "worker.h"

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
#include <viking/proc.h>
#include <viking/str.h>

#define REAP_MS 2000

struct worker {
	struct vk_proc proc;
	struct vk_child *child;
	struct vk_io *io;
	struct vk_timer *deadline;
	struct vk_buf answer;
	int64_t timeout_ms;
	int status;
	bool exited, late, too_much;
	worker_fn *fn;
	void *arg;
};

json_t *worker_failure(const struct vk_err *err)
{
	return json_pack("{s:b,s:s,s:o,s:o}", "ok", 0, "error", vk_err_name(err->code), "message",
		vk_json_safe_string(err->msg, strlen(err->msg)), "hint",
		vk_json_safe_string(err->hint, strlen(err->hint)));
}

void worker_free(struct worker *w)
{
	if (w == NULL)
		return;
	if (!w->exited) {
		vk_proc_kill(w->proc.pid, SIGKILL);
		vk_proc_wait(w->proc.pid, REAP_MS, NULL, NULL);
	}
	vk_child_free(w->child);
	vk_io_free(w->io);
	vk_timer_free(w->deadline);
	vk_closep(&w->proc.out);
	if (w->answer.data != NULL) /* it may hold a key */
		explicit_bzero(w->answer.data, w->answer.cap);
	vk_buf_release(&w->answer);
	free(w);
}

static json_t *result(const struct worker *w)
{
	struct vk_err err = {0};
	json_t *answer = NULL;
	char took[24];
	vk_format_duration_ms(w->timeout_ms, took);
	if (w->late)
		vk_err_set(&err, VK_TIMEOUT, "it took longer than %s", took);
	else if (w->too_much)
		vk_err_set(&err, VK_LIMIT, "the answer is longer than %u bytes", WORKER_ANSWER_MAX);
	else if (WIFSIGNALED(w->status))
		vk_err_set(&err, VK_INTERNAL, "its process was ended by signal %d",
			WTERMSIG(w->status));
	else if (vk_json_parse(vk_buf_str(&w->answer), w->answer.len, &answer, &err) == 0)
		return answer;
	return worker_failure(&err);
}

static void finish(struct worker *w)
{
	vk_autojson *answer = result(w);
	worker_fn *fn = w->fn;
	void *arg = w->arg;
	worker_free(w);
	fn(arg, answer);
}

static void end_output(struct worker *w)
{
	vk_io_free(w->io);
	w->io = NULL;
	vk_closep(&w->proc.out);
	w->proc.out = -1;
	if (w->exited)
		finish(w);
}

static void on_output(void *arg, int fd, int what)
{
	struct worker *w = arg;
	char chunk[8192];
	(void)what;
	ssize_t n = read(fd, chunk, sizeof(chunk));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n > 0 && vk_buf_add(&w->answer, chunk, (size_t)n) == 0) {
		explicit_bzero(chunk, (size_t)n);
		return;
	}
	w->too_much = n > 0;
	if (w->too_much)
		vk_proc_kill(w->proc.pid, SIGKILL);
	end_output(w);
}

static void on_exit_of(void *arg, pid_t pid, int status)
{
	struct worker *w = arg;
	w->exited = true;
	w->status = status;
	vk_proc_kill(pid, SIGKILL); /* what it may have left in its group, and in our pipe */
	if (w->io == NULL)
		finish(w);
}

static void on_deadline(void *arg)
{
	struct worker *w = arg;
	w->late = true;
	vk_proc_kill(w->proc.pid, SIGKILL);
}

/* The job as a descriptor: no pipe to fill while the child is slow to start. */
static int job_fd(const json_t *job, int *ret, struct vk_err *err)
{
	vk_autofree char *text = vk_json_text(job);
	vk_autoclose int fd = memfd_create("job", MFD_CLOEXEC);
	int rc = fd < 0 ? vk_err_errno(err, errno, "memfd_create")
			: vk_write_all(fd, text, strlen(text), err);
	explicit_bzero(text, strlen(text));
	if (rc == 0 && lseek(fd, 0, SEEK_SET) != 0)
		rc = vk_err_errno(err, errno, "lseek");
	if (rc == 0)
		*ret = VK_TAKE_FD(fd);
	return rc;
}

int worker_start(struct vk_loop *l, const char *path, const char *mode, const json_t *job,
	int64_t timeout_ms, worker_fn *fn, void *arg, struct worker **ret, struct vk_err *err)
{
	vk_autoclose int in = -1;
	const char *const argv[] = {path, mode, NULL};
	int rc = job_fd(job, &in, err);
	struct worker *w = vk_alloc(sizeof(*w));
	*w = (struct worker){.fn = fn, .arg = arg, .timeout_ms = timeout_ms, .exited = true};
	struct vk_proc_opts o = {.path = path,
		.argv = argv,
		.in = in,
		.out = VK_FD_PIPE,
		.err = VK_FD_INHERIT,
		.die_with_parent = true,
		.no_new_privs = true};
	vk_buf_init(&w->answer, WORKER_ANSWER_MAX);
	w->proc.out = -1;
	if (rc == 0)
		rc = vk_proc_start(&o, &w->proc, err);
	if (rc != 0) {
		worker_free(w);
		return rc;
	}
	w->exited = false;
	fcntl(w->proc.out, F_SETFL, O_NONBLOCK);
	w->io = vk_io_new(l, w->proc.out, VK_READ, on_output, w);
	w->child = vk_child_new(l, w->proc.pid, on_exit_of, w);
	w->deadline = vk_timer_new(l, on_deadline, w);
	vk_timer_set(w->deadline, timeout_ms);
	*ret = w;
	return 0;
}
