/* One order: uacme in its sandbox, its hook's questions answered, and what it got read by a check. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <viking/api.h>
#include <viking/cert.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/loop.h>
#include <viking/mem.h>
#include <viking/proc.h>
#include <viking/str.h>

#include "job.h"

#define STDERR_MAX   (64u << 10)
#define DNS_HOOK_MS  120000 /* one call; records need time to be seen */
#define CHALLENGE_MS 60000  /* until the routers answer; they have deploy.route_ack */
#define CHECK_MS     8000
#define BASE64URL    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

struct order {
	const json_t *job;
	const char *domain, *name; /* name: without "*.", as uacme names its files */
	bool dns;                  /* a wildcard: only DNS can prove it */
	int lock;
	char *conf;
	struct vk_err why; /* what our side of a challenge failed of */
};

/* One run of uacme. */
struct run {
	struct order *o;
	struct vk_loop *l;
	struct vk_proc proc;
	struct vk_io *errors, *hook;
	struct vk_buf said;
	int hook_fd, status;
	bool late;
};

static const char *setting(const struct order *o, const char *name)
{
	return vk_json_str(o->job, name, "");
}

/* ---- challenges ---- */

static int call_dns_hook(struct order *o, char *const *words, struct vk_err *err)
{
	const char *program = setting(o, "dns_hook");
	const char *const argv[] = {
		program, words[0], words[1], words[2], words[3], words[4], NULL};
	vk_autofree char *tmp = vk_asprintf("TMPDIR=%s", setting(o, "dir"));
	const char *const env[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8",
		tmp, NULL};
	struct vk_proc_opts opts = {.path = program,
		.argv = argv,
		.env = env,
		.die_with_parent = true,
		.no_new_privs = true};
	vk_autobuf out = VK_BUF_INIT(STDERR_MAX), said = VK_BUF_INIT(STDERR_MAX);
	int rc = vk_proc_run(&opts, NULL, 0, &out, &said, DNS_HOOK_MS, err);
	if (rc == 0)
		return 0;
	vk_err_wrap(err, "the DNS hook %s", program);
	return vk_err_hint(err, "sudo -u viking-certs %s %s %s %s TOKEN VALUE", program, words[0],
		words[1], words[2]);
}

static int serve_challenge(
	struct order *o, const char *token, const char *answer, struct vk_err *err)
{
	struct vk_api_opts api = {.socket = setting(o, "api"),
		.role = "certs",
		.token = "",
		.timeout_ms = CHALLENGE_MS};
	vk_autojson *body = json_pack(
		"{s:s,s:s,s:s}", "order", setting(o, "id"), "token", token, "answer", answer);
	return vk_api_call(&api, "POST", "/v1/internal/certs/challenges", body, NULL, err);
}

static bool word_ok(const char *text, const char *bytes)
{
	return text[0] != '\0' && text[strspn(text, bytes)] == '\0';
}

/* METHOD TYPE IDENT TOKEN ANSWER. What does not have its form came from the authority. */
static bool answer_hook(struct order *o, char *const *w)
{
	bool begins = strcmp(w[0], "begin") == 0;
	if (strcmp(w[2], o->name) != 0 || !word_ok(w[3], BASE64URL) ||
		!word_ok(w[4], BASE64URL "."))
		return false;
	if (!begins && !o->dns)
		return true; /* the answer goes with the order */
	if (strcmp(w[1], o->dns ? "dns-01" : "http-01") != 0)
		return false;
	struct vk_err err = {0};
	int rc = o->dns ? call_dns_hook(o, w, &err) : serve_challenge(o, w[3], w[4], &err);
	if (rc != 0 && begins)
		o->why = err;
	if (rc != 0)
		vk_log_err(VK_WARN, "challenge", &err);
	return rc == 0;
}

static bool split_words(char *text, size_t n, char *words[static HOOK_WORDS])
{
	for (size_t i = 0; i < HOOK_WORDS; i++) {
		char *end = n > 0 ? memchr(text, '\0', n) : NULL;
		if (end == NULL)
			return false;
		words[i] = text;
		n -= (size_t)(end + 1 - text);
		text = end + 1;
	}
	return n == 0;
}

static void on_hook(void *arg, int fd, int what)
{
	struct run *r = arg;
	char text[HOOK_MAX], *words[HOOK_WORDS];
	(void)what;
	ssize_t n = recv(fd, text, sizeof(text), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		vk_io_set(r->hook, 0);
		return;
	}
	bool ok = split_words(text, (size_t)n, words) && answer_hook(r->o, words);
	(void)send(fd, ok ? "0" : "1", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* ---- uacme ---- */

/* The first STDERR_MAX bytes are kept, the rest is read and dropped. */
static void on_errors(void *arg, int fd, int what)
{
	struct run *r = arg;
	char chunk[4096];
	ssize_t n;
	(void)what;
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		(void)vk_buf_add(&r->said, chunk, (size_t)n);
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		vk_io_set(r->errors, 0);
}

static void on_exit_of(void *arg, pid_t pid, int status)
{
	struct run *r = arg;
	(void)pid;
	r->status = status;
	vk_loop_stop(r->l, 0);
}

static void on_deadline(void *arg)
{
	struct run *r = arg;
	r->late = true;
	vk_proc_kill(r->proc.pid, SIGKILL);
}

static int start_uacme(struct run *r, const char *const *args, struct vk_err *err)
{
	const struct order *o = r->o;
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return vk_err_errno(err, errno, "socketpair");
	vk_autoclose int theirs = pair[1];
	r->hook_fd = pair[0];
	vk_autofree char *fd = vk_asprintf(HOOK_FD "=%d", theirs);
	vk_autofree char *own = vk_asprintf(HOOK_FD "_PROGRAM=%s", setting(o, "program"));
	vk_autofree char *home = vk_asprintf("HOME=%s", setting(o, "dir"));
	const char *const env[] = {"PATH=/usr/bin:/bin", "LANG=C.UTF-8", fd, own, home, NULL};
	const int keep[] = {theirs, o->lock, -1};
	vk_autostrv argv = {0};
	const char *const first[] = {setting(o, "program"), "run", setting(o, "sandbox"),
		setting(o, "dir"), setting(o, "uacme"), "-a", setting(o, "directory"), "-c",
		o->conf};
	for (size_t i = 0; i < VK_COUNT(first); i++)
		vk_strv_add(&argv, first[i]);
	for (; *args != NULL; args++)
		vk_strv_add(&argv, *args);
	struct vk_proc_opts opts = {.path = setting(o, "program"),
		.argv = (const char *const *)argv.v,
		.env = env,
		.cwd = setting(o, "dir"),
		.in = VK_FD_NULL,
		.out = VK_FD_NULL,
		.err = VK_FD_PIPE,
		.keep = keep,
		.die_with_parent = true,
		.no_new_privs = true};
	return vk_proc_start(&opts, &r->proc, err);
}

static int follow(struct run *r, int64_t ms, struct vk_err *err)
{
	int rc = vk_loop_new(&r->l, err);
	if (rc != 0)
		return rc;
	fcntl(r->proc.err, F_SETFL, O_NONBLOCK);
	r->errors = vk_io_new(r->l, r->proc.err, VK_READ, on_errors, r);
	r->hook = vk_io_new(r->l, r->hook_fd, VK_READ, on_hook, r);
	struct vk_child *child = vk_child_new(r->l, r->proc.pid, on_exit_of, r);
	struct vk_timer *deadline = vk_timer_new(r->l, on_deadline, r);
	vk_timer_set(deadline, ms);
	vk_loop_run(r->l);
	vk_timer_free(deadline);
	vk_child_free(child);
	vk_io_free(r->hook);
	on_errors(r, r->proc.err, VK_READ); /* what came with the end */
	vk_io_free(r->errors);
	vk_loop_free(r->l);
	return 0;
}

/* *ret: its exit status. */
static int run_uacme(struct order *o, const char *const *args, int64_t end, struct vk_buf *said,
	int *ret, struct vk_err *err)
{
	struct run r = {.o = o, .hook_fd = -1, .proc = {.in = -1, .out = -1, .err = -1}};
	int64_t left = end - vk_mono_ms();
	char took[24];
	vk_buf_init(&r.said, STDERR_MAX);
	int rc = start_uacme(&r, args, err);
	if (rc == 0)
		rc = follow(&r, left > 0 ? left : 0, err);
	vk_closep(&r.hook_fd);
	vk_closep(&r.proc.err);
	vk_format_duration_ms(vk_json_int(o->job, "timeout_ms", 0), took);
	if (rc == 0 && r.late) {
		vk_err_set(err, VK_TIMEOUT, "the authority did not come to an end within %s", took);
		rc = vk_err_hint(err, "acme.timeout in /etc/viking/viking.conf");
	}
	*ret = WIFEXITED(r.status) ? WEXITSTATUS(r.status) : 128;
	vk_buf_clear(said);
	vk_buf_add(said, r.said.data, r.said.len);
	vk_buf_release(&r.said);
	return rc;
}

static int failed(const struct order *o, const struct vk_buf *said, struct vk_err *err)
{
	if (o->why.code != 0) {
		*err = o->why;
		return err->code;
	}
	return problem_read(vk_buf_str(said), said->len, o->domain, err);
}

static bool says(const struct vk_buf *said, const char *words)
{
	return memmem(vk_buf_str(said), said->len, words, strlen(words)) != NULL;
}

static int register_account(struct order *o, int64_t end, struct vk_buf *said, struct vk_err *err)
{
	const char *email = setting(o, "email");
	const char *const args[] = {"-y", "new", email[0] != '\0' ? email : NULL, NULL};
	int status, rc = run_uacme(o, args, end, said, &status, err);
	if (rc != 0 || status == 0 || says(said, "already exists"))
		return rc;
	return failed(o, said, err);
}

/* 1 is uacme's word for: there is one already, of an earlier try. */
static int issue(struct order *o, int64_t end, struct vk_err *err)
{
	const char *const args[] = {
		"-h", setting(o, "program"), "-t", "EC", "-o", "issue", o->domain, NULL};
	vk_autobuf said = VK_BUF_INIT(STDERR_MAX);
	int status, rc = run_uacme(o, args, end, &said, &status, err);
	if (rc == 0 && status != 0 && status != 1 && says(&said, "no account associated")) {
		rc = register_account(o, end, &said, err);
		if (rc == 0)
			rc = run_uacme(o, args, end, &said, &status, err);
	}
	if (rc == 0 && status != 0 && status != 1)
		rc = failed(o, &said, err);
	return rc;
}

/* ---- before and after ---- */

static int prepare(struct order *o, struct vk_err *err)
{
	vk_autofree char *private = vk_asprintf("%s/private", o->conf);
	vk_autofree char *key = vk_asprintf("%s/key.pem", private);
	const char *pem = setting(o, "account_key");
	o->lock = open(setting(o, "lock"), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	/* whoever still works on an order of this name was killed with its parent: it is soon gone */
	if (o->lock < 0 || flock(o->lock, LOCK_EX) != 0)
		return vk_err_errno(err, errno, "%s", setting(o, "lock"));
	int rc = vk_fs_mkdir_p(private, 0700, err);
	return rc == 0 ? vk_fs_write_atomic(key, pem, strlen(pem), 0600, err) : rc;
}

static int read_files(const struct order *o, struct vk_buf *pem, struct vk_err *err)
{
	vk_autofree char *cert = vk_asprintf("%s/%s/cert.pem", o->conf, o->name);
	vk_autofree char *key = vk_asprintf("%s/private/%s/key.pem", o->conf, o->name);
	vk_autobuf key_text = VK_BUF_INIT(VK_CERT_INPUT_MAX);
	int rc = vk_fs_read(cert, pem, err);
	if (rc == 0)
		rc = vk_fs_read(key, &key_text, err);
	if (rc == 0)
		rc = vk_buf_addf(pem, "\n%s", vk_buf_str(&key_text));
	explicit_bzero(key_text.data, key_text.len);
	return rc < 0 ? vk_err_set(err, VK_LIMIT,
				"the authority's certificate is too large, or not there")
		      : 0;
}

/* By a child of our own: the bytes are the authority's. */
static int check(const struct order *o, const struct vk_buf *pem, json_t **ret, struct vk_err *err)
{
	const char *const argv[] = {setting(o, "program"), "check", NULL};
	vk_autojson *job = json_pack("{s:o,s:s}", "pem",
		vk_json_safe_string(vk_buf_str(pem), pem->len), "sandbox", setting(o, "sandbox"));
	vk_autofree char *text = vk_json_text(job);
	vk_autobuf out = VK_BUF_INIT(JOB_INPUT_MAX);
	struct vk_proc_opts opts = {
		.path = argv[0], .argv = argv, .die_with_parent = true, .no_new_privs = true};
	int rc = vk_proc_run(&opts, text, strlen(text), &out, NULL, CHECK_MS, err);
	if (rc == 0)
		rc = vk_json_parse(vk_buf_str(&out), out.len, ret, err);
	explicit_bzero(text, strlen(text));
	if (rc != 0 || vk_json_bool(*ret, "ok", false))
		return rc;
	vk_err_set(err, VK_INVALID, "what the authority sent is not taken: %s",
		vk_json_str(*ret, "message", ""));
	return vk_err_hint(err, "acme.directory in /etc/viking/viking.conf: is it the right one?");
}

int job_order(const json_t *job, json_t **ret, struct vk_err *err)
{
	struct order o = {.job = job, .domain = vk_json_str(job, "domain", ""), .lock = -1};
	int64_t end = vk_mono_ms() + vk_json_int(job, "timeout_ms", 0);
	vk_autobuf pem = VK_BUF_INIT(VK_CERT_INPUT_MAX);
	vk_autojson *answer = NULL;
	o.dns = vk_starts(o.domain, "*.");
	o.name = o.domain + (o.dns ? 2 : 0);
	o.conf = vk_asprintf("%s/conf", setting(&o, "dir"));
	int rc = prepare(&o, err);
	if (rc == 0)
		rc = issue(&o, end, err);
	if (rc == 0)
		rc = read_files(&o, &pem, err);
	if (rc == 0)
		rc = check(&o, &pem, &answer, err);
	if (rc == 0)
		*ret = VK_TAKE(answer);
	if (pem.data != NULL)
		explicit_bzero(pem.data, pem.cap);
	vk_closep(&o.lock);
	free(o.conf);
	return rc;
}
