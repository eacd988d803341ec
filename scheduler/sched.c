/* Opening, serving, ending. */
#include "sched.h"

#include <signal.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/id.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/ready.h>
#include <viking/sandbox.h>
#include <viking/str.h>

#include "acme.h"
#include "api.h"
#include "authority.h"
#include "builds.h"
#include "certs.h"
#include "certwork.h"
#include "classic.h"
#include "copies.h"
#include "doctor.h"
#include "drain.h"
#include "feed.h"
#include "follow.h"
#include "hosts.h"
#include "lead.h"
#include "load.h"
#include "members.h"
#include "metrics.h"
#include "moves.h"
#include "netfeed.h"
#include "receipts.h"
#include "reserve.h"
#include "router.h"
#include "sessions.h"
#include "standby.h"

#define EVENTS_KEPT 1024
#define BODY_MAX    ((size_t)2 << 20) /* a push document and what is around it */
#define BACKLOG     256
#define FILES_MAX   4096
#define SETTLE_MS   5000 /* for commits under way at the end */

struct program {
	struct sched s;
	struct load *load;
	struct authority *authority;
	struct members *members;
	struct standby *standby; /* NULL: no other leads, as far as we know */
	bool serving, ending;    /* not serving: the API says why */
	struct vk_err waiting;   /* for the store, or for another leader to go */
	int lock, ready;
	struct vk_signal *term, *intr;
	struct vk_err fail;
};

/* ---- opening ---- */

static int make_dirs(const struct vk_config *cfg, struct vk_err *err)
{
	vk_autofree char *builds = vk_state_path(cfg, "sched/builds");
	int rc = vk_fs_mkdir_p(builds, 0700, err);
	return rc == 0 ? vk_fs_mkdir_p(cfg->run_dir, 0755, err) : rc;
}

static int open_store(struct sched *s, sched_open_fn *shared, struct vk_err *err)
{
	vk_autofree char *db = vk_state_path(s->cfg, "sched/viking.db");
	if (vk_streq(s->cfg->store, "sqlite"))
		return vk_store_sqlite_open(s->loop, db, &s->store, err);
	if (shared == NULL)
		return vk_err_set(err, VK_INTERNAL, "store: %s needs viking-scheduler-%s",
			s->cfg->store, s->cfg->store);
	int rc = shared(s, err);
	return rc == 0 ? 0 : vk_err_wrap(err, "store: %s", s->cfg->store);
}

/* Made once; a leader knows itself by it after a restart. */
static int read_installation(struct sched *s, struct vk_err *err)
{
	vk_autofree char *path = vk_state_path(s->cfg, "sched/id");
	vk_autobuf text = VK_BUF_INIT(sizeof(s->installation) - 1);
	if (vk_fs_exists(path)) {
		int rc = vk_fs_read(path, &text, err);
		snprintf(s->installation, sizeof(s->installation), "%s", vk_buf_str(&text));
		return rc;
	}
	vk_random_hex(16, s->installation);
	return vk_fs_write_atomic(path, s->installation, strlen(s->installation), 0600, err);
}

static int open_files(struct program *p, sched_open_fn *shared, struct vk_err *err)
{
	const struct vk_config *cfg = p->s.cfg;
	vk_autofree char *lock = vk_state_path(cfg, "sched/lock"),
			 *key = vk_state_path(cfg, "sched/secret.key");
	vk_autofree char *audit = vk_state_path(cfg, "sched/audit.jsonl");
	int rc = make_dirs(cfg, err);
	if (rc == 0)
		rc = vk_fs_lock(lock, &p->lock, err);
	if (rc == 0)
		rc = vk_secret_key_load(key, true, &p->s.secret, err);
	if (rc == 0)
		rc = audit_open(audit, cfg->audit_size_max, cfg->audit_keep, &p->s.audit, err);
	if (rc == 0)
		rc = subnet_range_parse(cfg->network_range, &p->s.range, err);
	if (rc == 0)
		rc = read_installation(&p->s, err);
	return rc == 0 ? open_store(&p->s, shared, err) : rc;
}

/* Own files, the sockets' directory, what looking up a user's name reads, and the limits that doctor shows. */
static int confine(const struct vk_config *cfg, struct vk_sandbox_report *ret, struct vk_err *err)
{
	vk_autofree char *state = vk_state_path(cfg, "sched"), *tls = vk_state_path(cfg, "tls");
	const char *const reads[] = {"/etc", "/usr/share/zoneinfo", "/proc/self", "/sys/fs/cgroup",
		cfg->etc_dir, cfg->state_dir, NULL};
	const char *const writes[] = {state, tls, cfg->run_dir, "/dev/null", NULL};
	const char *const execs[] = {
		"/usr/lib", "/lib", "/lib64", NULL}; /* modules of the name service */
	struct vk_sandbox box = {.read_paths = reads,
		.write_paths = writes,
		.exec_paths = execs,
		.use_landlock = true,
		.seccomp = VK_SECCOMP_DAEMON,
		.limit_nofile = FILES_MAX,
		.mode = cfg->sandbox};
	return vk_sandbox_enter(&box, ret, err);
}

static void on_request(void *arg, struct vk_req *r)
{
	struct program *p = arg;
	if (p->serving)
		api_request(&p->s, r);
	else if (p->standby != NULL)
		standby_request(p->standby, r, &p->waiting);
	else
		vk_req_error(r, &p->waiting);
}

static int listen_api(struct program *p, struct vk_err *err)
{
	struct sched *s = &p->s;
	vk_autofree char *path = vk_run_path(s->cfg, "api.sock");
	int fd;
	int rc = vk_listen_unix(path, 0666, NULL, BACKLOG, &fd, err);
	struct vk_httpd_opts o = {.body_max = BODY_MAX};
	return rc == 0 ? vk_httpd_new(s->loop, fd, &o, on_request, p, &s->httpd, err) : rc;
}

/* Confined, listening, and told to vikingd; once. */
static int stand_up(struct program *p, struct vk_err *err)
{
	struct sched *s = &p->s;
	struct vk_sandbox_report report = {0};
	char text[320];
	if (s->httpd != NULL)
		return 0;
	doctor_prepare(s);
	int rc = confine(s->cfg, &report, err);
	if (rc == 0)
		rc = listen_api(p, err);
	if (rc != 0)
		return rc;
	vk_sandbox_describe(&report, text);
	vk_log(VK_INFO, "listening", "sandbox=\"%s\"", text);
	vk_ready(p->ready, &report);
	return 0;
}

/* After cluster:init or join, once the shared store has answered. Never opened again: it would bring back an old state. The
 * log first, which may hold all of its rows: SQLite looks for it under the name of the file. */
static void put_old_store_aside(const struct sched *s)
{
	vk_autofree char *db = vk_state_path(s->cfg, "sched/viking.db"),
			 *log = vk_state_path(s->cfg, "sched/viking.db-wal"),
			 *aside = vk_state_path(s->cfg, "sched/viking.db.moved"),
			 *log_aside = vk_state_path(s->cfg, "sched/viking.db.moved-wal");
	if (!s->store->shared || !vk_fs_exists(db))
		return;
	(void)rename(log, log_aside);
	if (rename(db, aside) == 0)
		vk_log(VK_INFO, "old-store", "aside=%s", aside);
}

static int go(struct program *p, struct vk_err *err)
{
	struct sched *s = &p->s;
	standby_end(p->standby);
	s->events = events_new(s->st.epoch, EVENTS_KEPT);
	s->sessions = sessions_new(s);
	s->builds = builds_new(s);
	s->hosts = hosts_new(s);
	s->front = feed_new(s->st.epoch, NULL, NULL);
	s->router = router_new(s);
	s->netfeed = netfeed_new(s);
	s->drains = drains_new(s);
	s->receipts = receipts_new(s);
	s->moves = moves_new(s);
	s->copies = copies_new(s);
	s->certs = certs_new(s);
	s->acme = acme_new(s);
	s->certwork = certwork_new(s);
	certwork_refresh(s);
	s->follow = follow_new(s, s->loaded_rev + 1);
	s->classic = classic_new(s);
	load_recover(s);
	hub_touch(s);
	put_old_store_aside(s);
	p->serving = true;
	int rc = stand_up(p, err);
	if (rc != 0)
		return rc;
	vk_log(VK_INFO, "serving", "epoch=%llu", (unsigned long long)s->st.epoch);
	reserve_keep(s);
	return 0;
}

static void loaded(void *arg, const struct vk_err *err)
{
	struct program *p = arg;
	if (p->ending)
		return;
	if (err != NULL)
		p->fail = *err;
	else
		(void)go(p, &p->fail);
	if (p->fail.code != 0)
		vk_loop_stop(p->s.loop, p->fail.code);
}

/* Applications run on from what their agents know; the other processes may start and find out themselves. */
static void waits(void *arg, const struct vk_err *err)
{
	struct program *p = arg;
	if (p->ending)
		return;
	if (!vk_streq(p->waiting.msg, err->msg))
		vk_log_err(VK_WARN, "waiting", err);
	p->waiting = *err;
	if (lead_other(p->s.lead) != NULL)
		put_old_store_aside(&p->s);
	if (p->standby == NULL)
		p->standby = standby_new(&p->s);
	standby_turn(p->standby, err);
	if (stand_up(p, &p->fail) != 0)
		vk_loop_stop(p->s.loop, p->fail.code);
}

/* ---- ending ---- */

static void on_signal(void *arg, int signo)
{
	struct program *p = arg;
	vk_log(VK_INFO, "ending", "signal=%d", signo);
	vk_loop_stop(p->s.loop, 0);
}

/* What was promised is written first; then streams end while all they speak of is still there. */
static void program_close(struct program *p)
{
	struct sched *s = &p->s;
	int64_t end = vk_mono_ms() + SETTLE_MS;
	while (s->commits > 0 && vk_mono_ms() < end)
		vk_loop_once(s->loop, (int)(end - vk_mono_ms()));
	if (s->events != NULL)
		ops_free_all(s);
	if (s->httpd != NULL)
		vk_httpd_free(s->httpd);
	p->ending = true;
	lead_resign(s->lead);
	classic_close(s);
	if (s->store != NULL)
		s->store->ops->close(s->store);
	sessions_free(s->sessions);
	builds_free(s->builds);
	hosts_free(s->hosts);
	router_free(s->router);
	feed_free(s->front);
	netfeed_free(s->netfeed);
	drains_free(s->drains);
	receipts_free(s->receipts);
	moves_free(s->moves);
	copies_free(s->copies);
	certs_free(s->certs);
	certwork_free(s->certwork);
	acme_free(s->acme);
	metrics_free(s->metrics);
	events_free(s->events);
	audit_close(s->audit);
	standby_free(p->standby);
	load_free(p->load);
	authority_free(p->authority);
	members_free(p->members);
	json_decref(s->etcd_members);
	lead_free(s->lead);
	follow_free(s->follow);
	vk_timer_free(s->refresh);
	vk_signal_free(p->term);
	vk_signal_free(p->intr);
	json_decref(s->restoring);
	state_release(&s->st);
	explicit_bzero(&s->secret, sizeof(s->secret));
	vk_loop_free(s->loop);
	vk_closep(&p->lock);
}

int sched_serve(const struct vk_config *cfg, sched_open_fn *shared, struct vk_err *err)
{
	struct program p = {
		.s.cfg = cfg, .s.started_ms = vk_now_ms(), .lock = -1, .ready = vk_ready_fd()};
	int rc = vk_loop_new(&p.s.loop, err);
	if (rc != 0)
		return rc;
	rc = open_files(&p, shared, err);
	if (rc == 0) {
		p.term = vk_signal_new(p.s.loop, SIGTERM, on_signal, &p);
		p.intr = vk_signal_new(p.s.loop, SIGINT, on_signal, &p);
		p.authority = authority_new(p.s.loop, cfg);
		p.members = members_new(&p.s);
		p.load = load_start(&p.s, loaded, waits, &p);
		rc = vk_loop_run(p.s.loop);
		if (p.fail.code != 0)
			*err = p.fail;
	}
	if (rc == VK_LIMIT)
		(void)reserve_give(&p.s); /* vikingd starts us again */
	program_close(&p);
	return rc;
}
