/* A scheduler that waits: the hosts' rows as others write them, and requests while nobody can be asked. */
#include "standby.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/str.h>

#include "dial.h"
#include "feed.h"
#include "lead.h"
#include "scene.h"

#define PATIENCE 20000

static char host_name[] = "h1", store_name[] = "etcd", endpoints[] = "http://a:1";
static char dir[] = "/tmp/viking-standby-XXXXXX", path[96];
static struct vk_config config = {.host_name = host_name,
	.store = store_name,
	.etcd_endpoints = endpoints,
	.etcd_lease_ms = 2000,
	.run_dir = dir};
static struct vk_loop *loop;
static struct sched sched;
static struct standby *standby;

static void on_txn(void *arg, const struct vk_err *err, bool committed, uint64_t rev)
{
	(void)arg, (void)rev;
	cr_assert(err->code == 0 && committed);
}

/* As the leader writes. text NULL deletes. */
static void put(const char *key, const char *text)
{
	const struct vk_op op = {.key = key,
		.value = text,
		.len = text != NULL ? strlen(text) : 0,
		.del = text == NULL};
	sched.store->ops->txn(sched.store, NULL, 0, &op, 1, on_txn, NULL);
}

static void told(const char *want)
{
	int64_t until = vk_mono_ms() + PATIENCE;
	vk_autojson *doc = NULL;
	do {
		vk_loop_once(loop, 20);
		json_decref(doc);
		doc = json_deep_copy(feed_doc(sched.front));
		json_object_del(doc, "rev");
	} while (!scene_equal(doc, want) && vk_mono_ms() < until);
	cr_assert(scene_equal(doc, want));
}

static void on_request(void *arg, struct vk_req *r)
{
	struct vk_err why = {0};
	(void)arg;
	vk_err_set(&why, VK_UNAVAILABLE, "nobody leads");
	standby_request(standby, r, &why);
}

static void nothing(void *arg, const struct vk_err *err)
{
	(void)arg, (void)err;
}

static void setup(void)
{
	int fd = -1;
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/api.sock", dir);
	cr_assert_eq(vk_loop_new(&loop, NULL), 0);
	sched = (struct sched){.cfg = &config, .loop = loop};
	cr_assert_eq(vk_store_memory_open(loop, NULL, &sched.store, NULL), 0);
	sched.store->shared = true;
	put("/host/h1", "{\"v\":1,\"addr\":\"10.0.0.1\",\"port\":8792}");
	put("/leader", "{\"v\":1,\"epoch\":1,\"host\":\"h2\",\"id\":\"other\"}");
	sched.lead = lead_start(&sched, 0, nothing, nothing, NULL);
	standby = standby_new(&sched);
	cr_assert_eq(vk_listen_unix(path, 0600, NULL, 8, &fd, NULL), 0);
	cr_assert_eq(vk_httpd_new(loop, fd, NULL, on_request, NULL, &sched.httpd, NULL), 0);
	told("{'hosts':{}}");
}

static void teardown(void)
{
	vk_httpd_free(sched.httpd);
	standby_end(standby);
	cr_assert_null(sched.front);
	sched.store->ops->close(sched.store);
	standby_free(standby);
	lead_free(sched.lead);
	vk_loop_free(loop);
	vk_fs_remove_tree(dir, NULL);
}

TestSuite(standby, .init = setup, .fini = teardown, .timeout = 60);

Test(standby, hosts_are_followed)
{
	put("/host/h2", "{\"v\":1,\"addr\":\"10.0.0.2\",\"port\":8792}");
	told("{'hosts':{'h2':{'addr':'10.0.0.2','port':8792}}}");
	put("/host/h3", "no JSON");
	put("/host/h2", "{\"v\":1,\"addr\":\"10.0.0.9\",\"port\":8792}");
	told("{'hosts':{'h2':{'addr':'10.0.0.9','port':8792}}}");
	put("/host/h1", NULL);
	told("{'hosts':null}");
}

static struct {
	int status;
	bool ended;
	struct vk_buf body;
} answer;

static void on_head(void *arg, int status, const char *type)
{
	(void)arg, (void)type;
	answer.status = status;
}

static void on_body(void *arg, const void *p, size_t n)
{
	(void)arg;
	vk_buf_add(&answer.body, p, n);
}

static void on_end(void *arg, const struct vk_err *err)
{
	(void)arg, (void)err;
	answer.ended = true;
}

static int ask(const char *target)
{
	static const struct dial_events events = {.head = on_head, .body = on_body, .end = on_end};
	int64_t until = vk_mono_ms() + PATIENCE;
	answer.ended = false;
	vk_buf_init(&answer.body, 65536);
	struct dial *d = dial_new(loop, path, "GET", target, NULL, PATIENCE, &events, NULL);
	while (!answer.ended && vk_mono_ms() < until)
		vk_loop_once(loop, 20);
	dial_free(d);
	cr_assert(answer.ended);
	return answer.status;
}

Test(standby, a_leader_nobody_knows_the_way_to_is_not_asked)
{
	cr_assert_eq(ask("/v1/stacks"), 503);
	cr_assert_not_null(strstr(vk_buf_str(&answer.body), "nobody leads"));
	vk_buf_release(&answer.body);
	cr_assert_eq(ask("/v1/ping"), 200);
	vk_buf_release(&answer.body);
}

Test(standby, a_leader_that_is_away_is_named)
{
	put("/host/h2", "{\"v\":1,\"addr\":\"10.0.0.2\",\"port\":8792}");
	told("{'hosts':{'h2':{'addr':'10.0.0.2','port':8792}}}");
	config.single_uid = true;
	cr_assert_eq(ask("/v1/stacks"), 503);
	cr_assert_not_null(strstr(vk_buf_str(&answer.body), "host h2 does not answer"));
	vk_buf_release(&answer.body);
}

Test(standby, a_host_that_was_removed_is_told_so)
{
	put("/host/h2", "{\"v\":1,\"addr\":\"10.0.0.2\",\"port\":8792}");
	put("/host/h1", NULL);
	told("{'hosts':null}");
	cr_assert_eq(ask("/v1/stacks"), 403);
	cr_assert_not_null(strstr(vk_buf_str(&answer.body), "h1 is not a host of this cluster"));
	vk_buf_release(&answer.body);
}
