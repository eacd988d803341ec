#include "lead.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "follow.h"
#include "txn.h"

#define DEADLINE_MS 20000

static char host_name[] = "one", store_name[] = "etcd", endpoints[] = "http://a:1";
static struct vk_config cfg = {.host_name = host_name,
	.store = store_name,
	.etcd_endpoints = endpoints,
	.etcd_lease_ms = 2000};

struct world {
	struct sched s;
	bool led, waits, late;
	struct vk_err err;
};

static void world_open(struct world *w, struct vk_loop *l, struct vk_store *store, const char *id)
{
	*w = (struct world){.s.cfg = &cfg, .s.loop = l, .s.store = store};
	snprintf(w->s.installation, sizeof(w->s.installation), "%s", id);
	state_init(&w->s.st);
}

static void on_led(void *arg, const struct vk_err *err)
{
	struct world *w = arg;
	w->led = true;
	w->err = err != NULL ? *err : (struct vk_err){0};
}

static void on_waits(void *arg, const struct vk_err *err)
{
	struct world *w = arg;
	w->waits = true;
	w->err = *err;
}

static void set_flag(void *arg)
{
	*(bool *)arg = true;
}

static void until(struct vk_loop *l, const bool *flag)
{
	bool late = false;
	struct vk_timer *t = vk_timer_new(l, set_flag, &late);
	vk_timer_set(t, DEADLINE_MS);
	while (!*flag && !late)
		vk_loop_once(l, -1);
	vk_timer_free(t);
	cr_assert(*flag);
}

static void lead_now(struct world *w, uint64_t floor)
{
	w->s.lead = lead_start(&w->s, floor, on_led, on_waits, w);
	until(w->s.loop, &w->led);
	cr_assert_eq(w->err.code, 0, "%s", w->err.msg);
}

struct answer {
	bool done;
	uint64_t create_rev, mod_rev;
	int64_t epoch;
	struct vk_err err;
};

static void on_got(
	void *arg, const struct vk_err *err, const struct vk_kv *kvs, size_t n, uint64_t rev)
{
	struct answer *a = arg;
	(void)err, (void)rev;
	vk_autojson *row = NULL;
	a->done = true;
	if (n == 0)
		return;
	a->create_rev = kvs[0].create_rev;
	a->mod_rev = kvs[0].mod_rev;
	cr_assert_eq(vk_json_parse(kvs[0].value, kvs[0].len, &row, NULL), 0);
	a->epoch = vk_json_int(row, "epoch", 0);
}

static struct answer get(struct world *w, const char *key)
{
	struct answer a = {0};
	w->s.store->ops->get(w->s.store, key, on_got, &a);
	until(w->s.loop, &a.done);
	return a;
}

static void on_txn(void *arg, const struct vk_err *err, bool committed, uint64_t rev)
{
	(void)err, (void)rev;
	cr_assert(committed);
	*(bool *)arg = true;
}

/* As somebody else. text NULL deletes. */
static void set(struct world *w, const char *key, const char *text)
{
	bool done = false;
	const struct vk_op op = {.key = key,
		.value = text,
		.len = text != NULL ? strlen(text) : 0,
		.del = text == NULL};
	w->s.store->ops->txn(w->s.store, NULL, 0, &op, 1, on_txn, &done);
	until(w->s.loop, &done);
}

static struct world w;

static void setup(void)
{
	struct vk_loop *l;
	struct vk_store *store;
	cr_assert_eq(vk_loop_new(&l, NULL), 0);
	cr_assert_eq(vk_store_memory_open(l, NULL, &store, NULL), 0);
	world_open(&w, l, store, "me");
}

static void teardown(void)
{
	w.s.store->ops->close(w.s.store);
	lead_free(w.s.lead);
	state_release(&w.s.st);
	vk_loop_free(w.s.loop);
}

TestSuite(lead, .init = setup, .fini = teardown, .timeout = 60);

Test(lead, each_lead_has_a_higher_epoch_and_a_new_create_revision)
{
	uint64_t last = 0;
	for (int64_t n = 1; n <= 3; n++) {
		w.led = false;
		lead_now(&w, 0);
		struct answer leader = get(&w, "/leader");
		cr_assert_eq(leader.epoch, n);
		cr_assert_eq(get(&w, "/epoch").epoch, n);
		cr_assert(leader.create_rev == w.s.lead_rev && w.s.lead_rev > last);
		last = w.s.lead_rev;
		lead_free(VK_TAKE(w.s.lead));
	}
}

Test(lead, epochs_go_on_from_what_an_older_version_or_a_backup_had)
{
	set(&w, "/leader", "{\"v\":1,\"epoch\":7,\"host\":\"one\"}");
	lead_now(&w, 0);
	cr_assert_eq(get(&w, "/epoch").epoch, 8);
	lead_free(VK_TAKE(w.s.lead));
	w.led = false;
	lead_now(&w, 40);
	cr_assert_eq(get(&w, "/epoch").epoch, 41);
}

Test(lead, another_host_is_waited_for)
{
	w.s.store->shared = true;
	set(&w, "/leader", "{\"v\":1,\"epoch\":3,\"host\":\"two\",\"id\":\"other\"}");
	w.s.lead = lead_start(&w.s, 0, on_led, on_waits, &w);
	until(w.s.loop, &w.waits);
	cr_assert(!w.led && strstr(w.err.msg, "two leads") != NULL, "%s", w.err.msg);
	set(&w, "/leader", NULL);
	until(w.s.loop, &w.led);
	cr_assert_eq(get(&w, "/leader").epoch, 4);
}

Test(lead, a_host_that_was_removed_does_not_lead)
{
	w.s.store->shared = true;
	set(&w, "/host/one", "{\"v\":1}");
	set(&w, "/host/two", "{\"v\":1,\"addr\":\"10.0.0.2\",\"port\":8792}");
	w.s.lead = lead_start(&w.s, 0, on_led, on_waits, &w);
	until(w.s.loop, &w.waits);
	cr_assert(!w.led && w.err.code == VK_DENIED, "%s", w.err.msg);
	set(&w, "/host/one", "{\"v\":1,\"addr\":\"10.0.0.1\",\"port\":8792}");
	until(w.s.loop, &w.led);
	cr_assert_eq(w.err.code, 0, "%s", w.err.msg);
}

Test(lead, our_own_of_before_is_not_waited_for)
{
	w.s.store->shared = true;
	set(&w, "/leader", "{\"v\":1,\"epoch\":3,\"host\":\"one\",\"id\":\"me\"}");
	lead_now(&w, 0);
	cr_assert(!w.waits);
	cr_assert_eq(get(&w, "/leader").epoch, 4);
}

static void on_commit(void *arg, const struct vk_err *err)
{
	struct answer *a = arg;
	a->done = true;
	a->err = err != NULL ? *err : (struct vk_err){0};
}

Test(lead, a_store_that_is_away_refuses_writes_and_is_waited_for)
{
	w.s.store->shared = true;
	lead_now(&w, 0);
	struct vk_err err = {.code = VK_UNAVAILABLE, .msg = "gone"};
	lead_lost_store(w.s.lead, &err);
	struct answer a = {0};
	struct txn *t = txn_new(&w.s);
	txn_put(t, json_object(), "/lock/a");
	txn_commit(t, on_commit, &a);
	cr_assert(!a.done);
	until(w.s.loop, &a.done);
	cr_assert_eq(a.err.code, VK_UNAVAILABLE);
	cr_assert_str_eq(a.err.msg, "gone");
	cr_assert_eq(get(&w, "/lock/a").create_rev, 0);
}

/* ---- processes that end themselves ---- */

static int status_of(void (*fn)(const char *path), const char *path)
{
	pid_t pid = fork();
	if (pid == 0) {
		alarm(DEADLINE_MS / 1000);
		fn(path);
		_exit(0);
	}
	int status;
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void follower(struct world *x)
{
	struct vk_loop *l;
	struct vk_store *store;
	const struct vk_store_faults late = {.seed = 3, .delay_passes_max = 4, .reorder = true};
	if (vk_loop_new(&l, NULL) != 0 || vk_store_memory_open(l, &late, &store, NULL) != 0)
		_exit(9);
	store->shared = true;
	world_open(x, l, store, "me");
	x->s.follow = follow_new(&x->s, 1);
}

static void turn(struct vk_loop *l)
{
	for (int i = 0; i < 50; i++)
		vk_loop_once(l, 0);
}

/* As txn does. The event may come before the answer, or behind it. */
static void own_change(struct world *x, const char *key)
{
	x->s.commits++;
	set(x, key, "{}");
	uint64_t rev = get(x, key).mod_rev;
	x->s.commits--;
	follow_own(x->s.follow, rev);
}

static void changes_its_own(const char *path)
{
	struct world x;
	(void)path;
	follower(&x);
	for (int i = 0; i < 20; i++)
		own_change(&x, "/lock/a");
	follow_own(x.s.follow, 20); /* one without effect has the revision of the last */
	turn(x.s.loop);
}

static void sees_another(const char *path)
{
	struct world x;
	(void)path;
	follower(&x);
	own_change(&x, "/lock/a");
	set(&x, "/lock/b", "{}");
	turn(x.s.loop);
}

Test(lead, what_another_changed_ends_it)
{
	cr_assert_eq(status_of(changes_its_own, NULL), 0);
	cr_assert_eq(status_of(sees_another, NULL), 1);
}

static struct vk_store *open_file(struct vk_loop *l, const char *path)
{
	struct vk_store *store;
	struct vk_err err = {0};
	cr_assert_eq(vk_store_sqlite_open(l, path, &store, &err), 0, "%s", err.msg);
	return store;
}

/* The leader sleeps, another takes over, the leader wakes and writes. */
static void sleeper(const char *path)
{
	struct vk_loop *l;
	struct world old, new;
	if (vk_loop_new(&l, NULL) != 0)
		_exit(9);
	struct vk_store *store = open_file(l, path);
	world_open(&old, l, store, "old");
	world_open(&new, l, store, "new");
	lead_now(&old, 0);
	lead_now(&new, 0);
	struct txn *t = txn_new(&old.s);
	txn_put(t, json_object(), "/lock/a");
	txn_commit(t, NULL, NULL);
	for (;;)
		vk_loop_once(l, -1);
}

Test(lead, the_first_write_of_one_that_was_replaced_is_refused_and_ends_it)
{
	char dir[] = "/tmp/viking-lead-XXXXXX";
	cr_assert_not_null(mkdtemp(dir));
	vk_autofree char *path = vk_asprintf("%s/db", dir);
	cr_assert_eq(status_of(sleeper, path), 1);
	struct vk_store *memory = w.s.store;
	w.s.store = open_file(w.s.loop, path);
	cr_assert_eq(get(&w, "/lock/a").create_rev, 0);
	cr_assert_eq(get(&w, "/leader").epoch, 2);
	w.s.store->ops->close(w.s.store);
	w.s.store = memory;
	vk_fs_remove_tree(dir, NULL);
}
