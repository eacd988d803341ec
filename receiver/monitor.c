#include "monitor.h"

#include <signal.h>
#include <viking/log.h>
#include <viking/str.h>

#include "far.h"

void monitor_tell(struct monitor *m, const struct message *msg)
{
	struct vk_err err = {0};
	if (message_send(m->session, msg, &err) != 0 && !m->ending)
		monitor_end(m);
}

void monitor_settle(struct monitor *m)
{
	if (m->ending && jobs_none(m))
		vk_loop_stop(m->loop, 0);
}

void monitor_end(struct monitor *m)
{
	m->ending = true;
	vk_io_set(m->session_io, 0);
	for (unsigned i = 0; i < CHANNELS_MAX; i++)
		if (m->jobs[i].used)
			job_end(&m->jobs[i]);
	monitor_settle(m);
}

char *monitor_greeting(const struct monitor *m)
{
	const char *role = keyhold_role(m->key);
	return vk_asprintf("Hello %s, you are known here by the key %s (%s).\n"
			   "viking takes commands, not a shell. Try:\n"
			   "  ssh ... stacks              what runs here\n"
			   "  ssh ... logs STACK -f       its output\n"
			   "  ssh ... help                all commands\n"
			   "  git push ssh://viking@HOST:%llu/STACK %s\n",
		keyhold_name(m->key), keyhold_fingerprint(m->key), role,
		(unsigned long long)m->config->ssh_port, "main");
}

/* ---- what the session asks ---- */

static void on_run(struct monitor *m, const struct message *q)
{
	job_start(m, q);
}

static void on_resize(struct monitor *m, const struct message *q)
{
	job_resize(&m->jobs[q->channel], q->num[0], q->num[1]);
}

static void on_signal(struct monitor *m, const struct message *q)
{
	job_signal(&m->jobs[q->channel], q->str[0]);
}

static void on_progress(struct monitor *m, const struct message *q)
{
	job_progress(&m->jobs[q->channel], q->num[0]);
}

static void on_close(struct monitor *m, const struct message *q)
{
	if (m->jobs[q->channel].used)
		job_end(&m->jobs[q->channel]);
}

typedef void request_fn(struct monitor *m, const struct message *q);
static request_fn *const requests[MESSAGE_KINDS] = {
	[MESSAGE_KEY_QUERY] = monitor_on_query,
	[MESSAGE_KEY_LOGIN] = monitor_on_login,
	[MESSAGE_RUN] = on_run,
	[MESSAGE_RESIZE] = on_resize,
	[MESSAGE_SIGNAL] = on_signal,
	[MESSAGE_PROGRESS] = on_progress,
	[MESSAGE_CLOSE] = on_close,
};

/* Log-in comes once and before everything else; who breaks this order is no session of ours. */
static int serve_request(struct monitor *m, struct vk_err *err)
{
	struct message q;
	int rc = message_recv(m->session, FROM_SESSION, &q, err);
	if (rc != 0)
		return rc;
	bool logged_in = m->key != NULL;
	if (message_needs_login(q.kind) == logged_in)
		requests[q.kind](m, &q);
	else
		rc = vk_err_set(err, VK_INVALID, "a request of kind %d out of order", (int)q.kind);
	message_release(&q);
	return rc;
}

static void on_session(void *arg, int fd, int what)
{
	(void)fd, (void)what;
	struct monitor *m = arg;
	struct vk_err err = {0};
	int rc = serve_request(m, &err);
	if (rc == 0)
		return;
	if (rc != VK_UNAVAILABLE) /* its end is no news */
		vk_log_err(VK_WARN, "session", &err);
	if (!m->ending)
		monitor_end(m);
}

static void on_term(void *arg, int signo)
{
	(void)signo;
	struct monitor *m = arg;
	if (!m->ending)
		monitor_end(m);
}

int monitor_run(const struct monitor_opts *o, struct vk_err *err)
{
	struct monitor m = {.config = o->config,
		.config_file = o->config_file,
		.addr = o->addr,
		.session = o->session,
		.listener = o->listener};
	for (unsigned i = 0; i < CHANNELS_MAX; i++)
		m.jobs[i] = (struct job){
			.m = &m, .channel = i, .terminal = -1, .stage = -1, .repo = {.lock = -1}};
	int rc = vk_loop_new(&m.loop, err);
	if (rc != 0)
		return rc;
	if (o->far >= 0 && (rc = far_new(m.loop, o->far, &m.far, &m.session, &m.key, err)) != 0) {
		vk_loop_free(m.loop);
		return rc;
	}
	m.api = vk_run_path(o->config, "api.sock");
	m.session_io = vk_io_new(m.loop, m.session, VK_READ, on_session, &m);
	m.term = vk_signal_new(m.loop, SIGTERM, on_term, &m);
	vk_loop_run(m.loop);
	far_free(m.far);
	keyhold_free(m.key);
	vk_io_free(m.session_io);
	vk_signal_free(m.term);
	vk_loop_free(m.loop);
	free(m.api);
	return 0;
}
