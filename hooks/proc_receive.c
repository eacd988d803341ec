#include "proc_receive.h"

#include <errno.h>
#include <signal.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/repo.h>
#include <viking/str.h>

#include "report.h"

#define STREAM_SILENCE_MS 60000 /* the server sends a keep-alive every 5 s */
#define GIT_MS            60000
#define ANSWER_MAX        (1u << 20)

extern char **environ;

struct outcome {
	const struct hook *h;
	const struct ref_update *r;
	bool ended, ok;
	struct vk_err err; /* when not ok */
};

/* In the repository, with the environment that receive-pack gave us. */
static struct vk_proc_opts git_opts(const struct hook *h, const char *const *argv)
{
	return (struct vk_proc_opts){.path = h->config->git_path,
		.argv = argv,
		.env = (const char *const *)environ,
		.cwd = "."};
}

static int run_git(const struct hook *h, const char *const *argv)
{
	const struct vk_proc_opts o = git_opts(h, argv);
	return vk_proc_run(&o, NULL, 0, NULL, NULL, GIT_MS, NULL);
}

/* A repository's HEAD names the first deploy branch from birth; once another is deployed first, clones
 * should get that one. */
static void adopt_head(const struct hook *h, const struct ref_update *r)
{
	const char *const verify[] = {"git", "rev-parse", "--verify", "--quiet", "HEAD", NULL};
	const char *const adopt[] = {"git", "symbolic-ref", "HEAD", r->ref, NULL};
	if (ref_is_zero(r->old) && run_git(h, verify) != 0)
		(void)run_git(h, adopt); /* cosmetic: a clone says so if it fails */
}

static void tell_moved(struct hook *h, const struct ref_update *r)
{
	vk_autojson *body =
		json_pack("{s:s, s:s, s:s}", "stack", h->stack, "ref", r->ref, "new", r->new);
	struct vk_err err = {0};
	h->api.timeout_ms = 0;
	if (vk_api_call(&h->api, "POST", "/v1/internal/git/moved", body, NULL, &err) != 0)
		report_problem(
			"the deploy stands, but viking did not hear that the branch moved", NULL);
}

/* Past the commit point: from here on the branch moves, whatever the client does. */
static int move_ref(struct hook *h, const struct ref_update *r, struct vk_err *err)
{
	const struct vk_proc_opts git = git_opts(h, NULL);
	sigset_t stop, before;
	sigemptyset(&stop);
	sigaddset(&stop, SIGHUP);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGPIPE);
	sigprocmask(SIG_BLOCK, &stop, &before);
	int rc = vk_repo_move_ref(&git, r->ref, r->old, r->new, err);
	if (rc == 0)
		adopt_head(h, r);
	if (rc == 0 && !h->config->bench_skip_release)
		tell_moved(h, r);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return rc;
}

static int on_end(struct outcome *o, const json_t *end)
{
	o->ended = true;
	o->ok = vk_json_bool(end, "ok", false);
	if (o->ok)
		return 0;
	int code = vk_err_from_name(vk_json_str(end, "error", "INTERNAL"));
	vk_err_set(&o->err, code, "%s", vk_json_str(end, "message", "the deploy failed"));
	if (vk_json_str(end, "hint", NULL) != NULL)
		vk_err_hint(&o->err, "%s", vk_json_str(end, "hint", ""));
	return 0;
}

/* This push waited for others: what they moved must be part of it, or its release would be of a lost branch. */
static int on_turn(const struct outcome *o, const json_t *turn, struct vk_err *err)
{
	const struct vk_proc_opts git = git_opts(o->h, NULL);
	return vk_repo_may_move(
		&git, o->r->ref, vk_json_str(turn, "coming", NULL), o->r->old, o->r->new, err);
}

static int on_line(void *arg, json_t *line, struct vk_err *err)
{
	const json_t *turn = json_object_get(line, "turn");
	if (json_is_object(turn))
		return on_turn(arg, turn, err);
	const json_t *out = json_object_get(line, "out"), *end = json_object_get(line, "end");
	if (json_is_string(out))
		report_line(json_string_value(out), json_string_length(out));
	return json_is_object(end) ? on_end(arg, end) : 0;
}

/* Blocks until the release is decided. Our end by a signal closes the connection, which cancels. */
static int release(struct hook *h, const struct ref_update *r, const struct push_options *options,
	struct vk_err *err)
{
	vk_autojson *body = hook_push_body(r, push_options_json(options));
	vk_autofree char *path = hook_stack_path(h, "push");
	struct outcome o = {.h = h, .r = r};
	h->api.timeout_ms = STREAM_SILENCE_MS;
	int rc = vk_api_stream(&h->api, "POST", path, body, on_line, &o, err);
	if (o.ended && o.ok)
		return 0;
	if (o.ended) {
		*err = o.err;
		return o.err.code;
	}
	if (rc == 0)
		rc = vk_err_set(err, VK_UNAVAILABLE, "viking stopped in the middle of the deploy");
	return rc;
}

static int deploy(struct hook *h, const struct ref_update *r, const struct push_options *options,
	struct vk_err *err)
{
	int rc = h->config->bench_skip_release ? 0 : release(h, r, options, err);
	if (rc != 0) {
		report_err(err);
		return rc;
	}
	rc = move_ref(h, r, err);
	if (rc != 0)
		report_err(err);
	return rc;
}

static void answer(struct hook *h, const struct proc_request *q, size_t i, struct vk_buf *out)
{
	const struct ref_update *r = &q->updates.v[i];
	const struct ref_verdict *v = &q->updates.verdicts[i];
	struct vk_err err = {0};
	if (v->kind == REF_REFUSED) {
		proc_answer_ng(out, r->ref, v->reason);
	} else if (v->kind == REF_TAG) {
		pktline_addf(out, "ok %s", r->ref);
		pktline_addf(out, "option fall-through");
	} else if (deploy(h, r, &q->options, &err) == 0) {
		pktline_addf(out, "ok %s", r->ref);
	} else {
		proc_answer_ng(out, r->ref, err.msg);
	}
}

static int read_request(struct proc_request *q, int in, int out, struct vk_err *err)
{
	char chunk[16384];
	while (q->phase != PROC_READY) {
		vk_autobuf reply = VK_BUF_INIT(4096);
		ssize_t n = read(in, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return vk_err_errno(err, errno, "reading from git");
		if (n == 0)
			return vk_err_set(err, VK_CANCELLED, "git went away");
		int rc = proc_request_feed(q, chunk, (size_t)n, &reply, err);
		if (rc == 0 && reply.len > 0)
			rc = vk_write_all(out, reply.data, reply.len, err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

int proc_receive_run(struct hook *h, int in, int out)
{
	struct proc_request q;
	struct vk_err err = {0};
	vk_autobuf reply = VK_BUF_INIT(ANSWER_MAX);
	char preferred[REF_NAME_MAX + 1];
	proc_request_init(&q);
	int rc = read_request(&q, in, out, &err);
	if (rc == 0) {
		hook_preferred_branch(h, preferred);
		refs_judge(&q.updates, h->config->deploy_branches, preferred);
		for (size_t i = 0; i < q.updates.n; i++)
			answer(h, &q, i, &reply);
		pktline_flush(&reply);
		rc = vk_write_all(out, reply.data, reply.len, &err);
	}
	if (rc != 0)
		report_err(&err);
	proc_request_release(&q);
	return rc != 0;
}
