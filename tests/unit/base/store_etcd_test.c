/* The store in etcd, against a real one: the conformance suite in three forms, then what only this back end can meet. */
#include <criterion/criterion.h>
#include <signal.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "etcd_server.h"
#include "store_conformance.h"

static struct fixture fx;
static struct etcd_server server;
static struct chaos chaos;
static char server_dir[64];
static struct vk_store_etcd_opts opts;

static void open_etcd(struct fixture *f)
{
	struct vk_err err = {0};
	cr_assert_eq(vk_store_etcd_open(f->loop, &opts, &f->store, &err), 0, "%s", err.msg);
}

static void compact(struct fixture *f, uint64_t rev)
{
	(void)f;
	char text[24];
	snprintf(text, sizeof(text), "%llu", (unsigned long long)rev);
	etcd_server_ctl(&server, (const char *const[]){"compact", text, NULL});
}

static void start_server(size_t members, bool tls)
{
	snprintf(server_dir, sizeof(server_dir), "/tmp/viking-etcd-XXXXXX");
	cr_assert_not_null(mkdtemp(server_dir));
	etcd_server_start(&server, server_dir, members, tls);
	opts = (struct vk_store_etcd_opts){.endpoints = server.endpoints,
		.ca = server.ca,
		.cert = server.cert,
		.key = server.key,
		.prefix = "/viking",
		.client = "here",
		.timeout_ms = 60000};
	fixture_init(&fx, "/tmp", open_etcd);
	fx.compact = compact;
	fx.history = 300;
}

static void setup_plain(void)
{
	start_server(1, false);
}

static void setup_tls(void)
{
	start_server(1, true);
}

static char chaos_endpoint[64];

static void setup_chaos(void)
{
	start_server(1, false);
	fixture_close(&fx);
	chaos_start(&chaos, server.client_port[0], 42);
	snprintf(chaos_endpoint, sizeof(chaos_endpoint), "http://127.0.0.1:%d", chaos.port);
	opts.endpoints = chaos_endpoint;
	open_etcd(&fx);
}

static void setup_three(void)
{
	start_server(3, false);
}

static void teardown(void)
{
	fixture_release(&fx);
	if (chaos.pid > 0)
		chaos_stop(&chaos);
	etcd_server_stop(&server);
	vk_fs_remove_tree(server_dir, NULL);
}

TestSuite(store_etcd, .init = setup_plain, .fini = teardown, .timeout = 240);
TestSuite(store_etcd_tls, .init = setup_tls, .fini = teardown, .timeout = 240);
TestSuite(store_etcd_chaos, .init = setup_chaos, .fini = teardown, .timeout = 240);
TestSuite(store_etcd_three, .init = setup_three, .fini = teardown, .timeout = 240);
#define INSTANTIATE(name) \
	Test(store_etcd, name) \
	{ \
		conform_##name(&fx); \
	} \
	Test(store_etcd_chaos, name) \
	{ \
		conform_##name(&fx); \
	}
CONFORMANCE_CASES(INSTANTIATE)

/* ---- TLS ---- */

Test(store_etcd_tls, a_client_with_its_certificate_is_served)
{
	conform_put_get_del(&fx);
}

Test(store_etcd_tls, so_is_its_watch)
{
	conform_watch_prefix_only(&fx);
}

Test(store_etcd_tls, one_without_a_certificate_is_told_so)
{
	fixture_close(&fx);
	opts.cert = opts.key = "";
	opts.timeout_ms = 500;
	open_etcd(&fx);
	struct done d = store_put(&fx, "/a", "1");
	cr_assert(d.code == VK_UNAVAILABLE && !d.committed, "%s", d.msg);
}

Test(store_etcd_tls, a_server_of_another_authority_is_refused)
{
	fixture_close(&fx);
	opts.ca = "";
	opts.timeout_ms = 5000;
	open_etcd(&fx);
	struct done d = store_put(&fx, "/a", "1");
	cr_assert(d.code == VK_UNAVAILABLE && strstr(d.msg, "certificate") != NULL, "%s", d.msg);
}

/* ---- opening ---- */

Test(store_etcd, endpoints_are_checked)
{
	static const char *const bad[] = {"", "127.0.0.1:2379", "http://", "http://a,", "ftp://a",
		"http://a/v3", "http://u:p@a"};
	struct vk_store *s = NULL;
	struct vk_err err = {0};
	for (size_t i = 0; i < VK_COUNT(bad); i++) {
		opts.endpoints = bad[i];
		cr_assert_eq(
			vk_store_etcd_open(fx.loop, &opts, &s, &err), VK_INVALID, "%s", bad[i]);
		cr_assert_neq(*err.hint, '\0');
	}
}

/* ---- keys of others ---- */

Test(store_etcd, what_is_not_below_the_prefix_is_not_seen)
{
	struct watched w = {0};
	fx.store->ops->watch(fx.store, "", 0, watched_fn, &w);
	store_put(&fx, "/a", "1");
	etcd_server_ctl(&server, (const char *const[]){"put", "/vikin", "x", NULL});
	etcd_server_ctl(&server, (const char *const[]){"put", "/viking2/a", "x", NULL});
	etcd_server_ctl(&server, (const char *const[]){"put", "/viking/b", "theirs", NULL});
	wait_text(&fx, &w, "+/a=1@1 | +/b=theirs@4 | ");
	cr_assert_str_eq(store_range(&fx, "").keys, "/a /b");
}

Test(store_etcd, without_a_prefix_the_keys_are_etcds)
{
	fixture_close(&fx);
	opts.prefix = "";
	open_etcd(&fx);
	store_put(&fx, "/a", "1");
	etcd_server_ctl(&server, (const char *const[]){"put", "/proc/x", "job", NULL});
	cr_assert_str_eq(store_range(&fx, "").keys, "/a /proc/x");
}

/* ---- many and large ---- */

Test(store_etcd, a_long_range_comes_in_pages)
{
	const size_t n = 1300; /* over two pages */
	struct vk_op op[100];
	char key[100][24];
	for (size_t i = 0; i < n; i++) {
		struct vk_op *at = &op[i % 100];
		snprintf(key[i % 100], sizeof(key[0]), "/many/%05zu", i);
		*at = (struct vk_op){.key = key[i % 100], .value = "x", .len = 1};
		if (i % 100 == 99)
			cr_assert(store_txn(&fx, NULL, 0, op, 100).committed);
	}
	struct got g = store_range(&fx, "/many/");
	cr_assert(g.code == 0 && g.n == n && g.rev == n / 100);
	const struct vk_op all = {.key = "/many/", .del = true, .prefix = true};
	cr_assert(store_txn(&fx, NULL, 0, &all, 1).committed);
	cr_assert_eq(store_range(&fx, "/many/").n, 0);
}

Test(store_etcd, etcds_bounds_are_told_with_what_to_do)
{
	vk_autofree char *large = vk_alloc(3u << 20);
	const struct vk_op op = {.key = "/large", .value = large, .len = 3u << 20};
	struct done d = store_txn(&fx, NULL, 0, &op, 1);
	cr_assert(d.code == VK_LIMIT && strstr(d.msg, "larger than") != NULL, "%s", d.msg);
	struct vk_op many[130];
	char key[130][16];
	for (size_t i = 0; i < 130; i++) {
		snprintf(key[i], sizeof(key[0]), "/%zu", i);
		many[i] = (struct vk_op){.key = key[i], .value = "", .len = 0};
	}
	cr_assert_eq(store_txn(&fx, NULL, 0, many, 130).code, VK_LIMIT);
}

/* ---- outcomes ---- */

/* The answer is lost, the transaction was committed: the copy sent again finds that out. */
Test(store_etcd_chaos, a_lost_answer_is_no_second_transaction)
{
	for (int i = 1; i <= 10; i++) {
		chaos.orders->swallow = 1;
		struct done d = store_put(&fx, "/a", "x");
		cr_assert(d.code == 0 && d.committed && d.rev == (uint64_t)i, "%s", d.msg);
		chaos.orders->swallow = 1;
		const struct vk_cmp c = {"/a", VK_CMP_MOD_REV, (uint64_t)i + 5};
		d = store_txn(&fx, &c, 1, &(struct vk_op){.key = "/b", .value = "", .len = 0}, 1);
		cr_assert(d.code == 0 && !d.committed, "%s", d.msg);
	}
	chaos.orders->swallow = 1;
	cr_assert(store_del(&fx, "/a").rev == 11);
	chaos.orders->swallow = 1;
	cr_assert(store_del(&fx, "/a").rev == 11, "nothing was there to delete");
}

Test(store_etcd_chaos, leases_bear_lost_answers)
{
	uint64_t lease;
	chaos.orders->swallow = 1;
	cr_assert_eq(store_grant(&fx, 60000, &lease), 0);
	chaos.orders->swallow = 1;
	cr_assert_eq(store_keep(&fx, lease), 0);
	chaos.orders->swallow = 1;
	cr_assert_eq(store_revoke(&fx, lease), 0);
	cr_assert_eq(store_keep(&fx, lease), VK_NOTFOUND);
}

static void reopen_with_timeout(int64_t ms)
{
	fixture_close(&fx);
	opts.timeout_ms = ms;
	open_etcd(&fx);
}

/* No answer until the deadline, but committed: the next change is refused, the one behind it is not. */
Test(store_etcd_chaos, an_unknown_outcome_is_found_out_by_the_next_change)
{
	reopen_with_timeout(700);
	store_put(&fx, "/a", "0");
	chaos.orders->swallow = 1000;
	struct done d = store_put(&fx, "/a", "lost");
	cr_assert(d.code == VK_UNAVAILABLE && !d.committed);
	chaos.orders->swallow = 0;
	cr_assert_str_eq(store_get(&fx, "/a").value, "lost");
	d = store_put(&fx, "/a", "next");
	cr_assert(d.code == 0 && !d.committed,
		"the writer must learn that what it believes is not so");
	d = store_put(&fx, "/a", "after");
	cr_assert(d.code == 0 && d.committed, "%s", d.msg);
}

/* etcd stands still with the transaction in its hands, and goes on after the deadline. */
Test(store_etcd, a_late_transaction_passes_once_or_never)
{
	reopen_with_timeout(700);
	store_put(&fx, "/a", "0");
	etcd_server_signal(&server, 0, SIGSTOP);
	cr_assert_eq(store_put(&fx, "/a", "late").code, VK_UNAVAILABLE);
	etcd_server_signal(&server, 0, SIGCONT);
	reopen_with_timeout(60000);
	struct done d = store_put(&fx, "/b", "next");
	cr_assert(d.code == 0 && d.committed, "%s", d.msg);
	struct got a = store_get(&fx, "/a");
	bool late = strcmp(a.value, "late") == 0;
	cr_assert_eq(a.mod_rev, late ? 2 : 1);
	cr_assert_eq(d.rev, late ? 3 : 2);
	cr_assert(store_put(&fx, "/b", "more").committed);
	cr_assert_str_eq(store_get(&fx, "/a").value, late ? "late" : "0");
}

/* ---- members that go ---- */

Test(store_etcd, killed_and_started_again)
{
	struct watched w = {0};
	fx.store->ops->watch(fx.store, "", 0, watched_fn, &w);
	store_put(&fx, "/a", "1");
	for (int i = 0; i < 3; i++) {
		struct waiting put = {0};
		etcd_server_kill(&server, 0);
		const struct vk_op op = {.key = "/a", .value = "2", .len = 1};
		fx.store->ops->txn(fx.store, NULL, 0, &op, 1, txn_fn, &put);
		fixture_settle(&fx);
		etcd_server_restart(&server, 0);
		wait_until(&fx, &put.done);
		cr_assert(put.txn.committed, "%s", put.txn.msg);
	}
	wait_text(&fx, &w, "+/a=1@1 | +/a=2@2 | +/a=2@3 | +/a=2@4 | ");
}

Test(store_etcd, compaction_while_a_watch_is_away)
{
	struct watched w = {0};
	fx.store->ops->watch(fx.store, "", 0, watched_fn, &w);
	store_put(&fx, "/a", "1");
	wait_text(&fx, &w, "+/a=1@1 | ");
	fixture_close(&fx);
	open_etcd(&fx);
	for (int i = 0; i < 5; i++)
		store_put(&fx, "/a", "2");
	compact(&fx, store_rev(5));
	struct watched again = {0};
	fx.store->ops->watch(fx.store, "", store_rev(2), watched_fn, &again);
	wait_text(&fx, &again, "| ");
	cr_assert(again.compacted);
}

Test(store_etcd_three, one_of_three_may_go)
{
	struct watched w = {0};
	fx.store->ops->watch(fx.store, "", 0, watched_fn, &w);
	cr_assert(store_put(&fx, "/a", "0").committed);
	for (size_t i = 0; i < 3; i++) {
		etcd_server_kill(&server, i);
		struct done d = store_put(&fx, "/a", "x");
		cr_assert(d.code == 0 && d.committed, "%s", d.msg);
		etcd_server_restart(&server, i);
		cr_assert(store_put(&fx, "/a", "y").committed);
		struct got g = store_get(&fx, "/a");
		cr_assert(g.code == 0 && strcmp(g.value, "y") == 0);
	}
	wait_text(
		&fx, &w, "+/a=0@1 | +/a=x@2 | +/a=y@3 | +/a=x@4 | +/a=y@5 | +/a=x@6 | +/a=y@7 | ");
}

Test(store_etcd_three, a_lost_majority_is_one_clear_line)
{
	reopen_with_timeout(3000);
	cr_assert(store_put(&fx, "/a", "0").committed);
	etcd_server_kill(&server, 0);
	etcd_server_kill(&server, 1);
	struct done d = store_put(&fx, "/a", "x");
	cr_assert(d.code == VK_UNAVAILABLE && strstr(d.msg, "none of 3 endpoints") != NULL, "%s",
		d.msg);
	cr_assert_eq(store_get(&fx, "/a").code, VK_UNAVAILABLE);
	etcd_server_restart(&server, 0);
	reopen_with_timeout(60000);
	cr_assert_eq(store_get(&fx, "/a").code, 0);
}

/* ---- lost events ---- */

static void watch_with_checks(struct watched *w)
{
	fixture_close(&fx);
	opts.check_ms = 200;
	open_etcd(&fx);
	fx.store->ops->watch(fx.store, "", 0, watched_fn, w);
	store_put(&fx, "/a", "1");
	wait_text(&fx, w, "+/a=1@1 | ");
}

static void some_checks(void)
{
	for (int i = 0; i < 5; i++) {
		struct waiting pause = {0};
		uint64_t lease;
		store_grant(&fx, 60000, &lease);
		fx.store->ops->lease_keep(fx.store, lease, lease_fn, &pause);
		wait_until(&fx, &pause.done);
		vk_loop_once(fx.loop, 500);
	}
}

Test(store_etcd, a_watch_that_agrees_with_the_keys_goes_on)
{
	struct watched w = {0};
	watch_with_checks(&w);
	some_checks();
	store_put(&fx, "/b", "2");
	store_del(&fx, "/a");
	some_checks();
	wait_text(&fx, &w, "+/a=1@1 | +/b=2@2 | -/a@3 | ");
	cr_assert(!w.compacted);
}

/* A stream that is open and silent, as that of a paused or partitioned member: the check finds out. */
Test(store_etcd_chaos, a_watch_that_lost_a_put_is_over)
{
	struct watched w = {0};
	watch_with_checks(&w);
	chaos.orders->mute = 1;
	store_put(&fx, "/a", "2");
	wait_text(&fx, &w, "+/a=1@1 | | ");
	cr_assert(w.compacted);
}

Test(store_etcd_chaos, a_watch_that_lost_a_delete_is_over)
{
	struct watched w = {0};
	watch_with_checks(&w);
	some_checks(); /* the keys have been counted */
	chaos.orders->mute = 1;
	store_del(&fx, "/a");
	wait_text(&fx, &w, "+/a=1@1 | | ");
	cr_assert(w.compacted);
}
