#include <sys/stat.h>
#include <viking/fs.h>
#include <viking/str.h>

#include "../base/tmpdir.h"
#include "instance_fixture.h"

static struct vk_err why;

static struct desired *parse(const char *text)
{
	struct desired *d = NULL;
	vk_autojson *j = json_of(text);
	why = (struct vk_err){0};
	int r = desired_parse(j, &d, &why);
	cr_assert_eq(r < 0, d == NULL, "nothing is returned on failure");
	return d;
}

Test(desired, a_whole_document)
{
	struct desired *d = parse(
		"{\"rev\":12,\"epoch\":2,"
		"\"networks\":[{\"name\":\"viking-ragnar\",\"subnet\":\"10.210.3.0/"
		"24\",\"stack\":\"ragnar\"}],"
		"\"volumes\":[{\"name\":\"viking-ragnar-db-1\",\"stack\":\"ragnar\",\"node\":"
		"\"db\",\"path\":\"/data\"}],"
		"\"instances\":[" INSTANCE(
			",\"health\":{\"type\":\"http\",\"port\":80}") "],"
								       "\"remove\":[{\"volume\":"
								       "\"v\"},{\"network\":\"n\"}]"
								       ",\"forget_logs\":[\"old\","
								       "\"../x\",7]}");
	cr_assert_not_null(d, "%s", why.msg);
	cr_assert(d->rev == 12 && d->epoch == 2 && d->n_instances == 1 && d->n_removes == 2);
	struct desired_instance *in = desired_find(d, "ragnar-web-3-1");
	cr_assert_not_null(in);
	cr_assert_eq(in->refused.code, 0, "%s", in->refused.msg);
	cr_assert_str_eq(in->kind, "app");
	cr_assert_str_eq(in->restart, "always");
	cr_assert_str_eq(in->health.path, "/");
	cr_assert(in->health.interval_ms == 5000 && in->health.retries == 3 &&
		in->restart_count == -1);
	cr_assert_not(desired_is_task(in) || desired_wants_stop(in));
	cr_assert_null(desired_find(d, "nobody"));
	cr_assert_eq(d->forget_logs.n, 1, "only names of stacks become directories");
	desired_free(d);
}

Test(desired, a_bad_frame_is_refused_whole)
{
	static const char *const bad[] = {
		"{}",
		"[]",
		"7",
		"{\"rev\":1}",
		"{\"rev\":-1,\"instances\":[]}",
		"{\"rev\":1,\"instances\":{}}",
		"{\"rev\":1,\"instances\":[],\"instanses\":[]}",
		"{\"rev\":1,\"instances\":[7]}",
		"{\"rev\":1,\"instances\":[{}]}",
		"{\"rev\":1,\"instances\":[{\"name\":\"../x\"}]}",
		"{\"rev\":1,\"instances\":[" INSTANCE() "," INSTANCE() "]}",
		"{\"rev\":1,\"instances\":[],\"networks\":[{\"name\":\"a/"
		"b\",\"subnet\":\"\",\"stack\":\"s\"}]}",
		"{\"rev\":1,\"instances\":[],\"networks\":[{\"subnet\":\"10.0.0.0/"
		"24\",\"stack\":\"s\"}]}",
		"{\"rev\":1,\"instances\":[],\"volumes\":[{\"name\":\"/"
		"etc\",\"stack\":\"s\",\"node\":\"n\",\"path\":\"/\"}]}",
		"{\"rev\":1,\"instances\":[],\"remove\":[{}]}",
		"{\"rev\":1,\"instances\":[],\"remove\":[{\"volume\":\"a\",\"network\":\"b\"}]}",
		"{\"rev\":1,\"instances\":[],\"remove\":[{\"volume\":\"a?force=1\"}]}",
	};
	for (size_t i = 0; i < VK_COUNT(bad); i++) {
		struct desired *d = parse(bad[i]);
		cr_expect_null(d, "%s", bad[i]);
		cr_expect(why.msg[0] != '\0', "%s", bad[i]);
		desired_free(d);
	}
}

Test(desired, a_bad_instance_is_kept_with_its_reason)
{
	static const char *const bad[][2] = {
		{",\"kind\":\"cron\"", "kind"},
		{",\"restart\":\"sometimes\"", "restart"},
		{",\"want\":\"maybe\"", "want"},
		{",\"cmd\":[1]", "cmd[0]"},
		{",\"env\":{\"A B\":\"x\"}", "A B"},
		{",\"env\":{\"A\":1}", "env A"},
		{",\"expose\":[{\"port\":0}]", "expose[0]"},
		{",\"expose\":[{\"port\":65536}]", "expose[0]"},
		{",\"expose\":[{\"port\":1,\"proto\":\"sctp\"}]", "expose[0]"},
		{",\"publish\":[{\"port\":1,\"host\":65536}]", "publish[0]"},
		{",\"publish\":[7]", "publish[0]"},
		{",\"mounts\":[{\"path\":\"/x\"}]", "mounts[0]"},
		{",\"mounts\":[{\"path\":\"x\",\"volume\":\"v\"}]", "mounts[0]"},
		{",\"mounts\":[{\"path\":\"/x\",\"volume\":\"../v\"}]", "volume"},
		{",\"mounts\":[{\"path\":\"/x\",\"volume\":\"v\",\"host\":\"/\"}]", "mounts[0]"},
		{",\"network\":\"a/b\"", "network"},
		{",\"health\":{\"type\":\"icmp\"}", "icmp"},
		{",\"health\":{\"type\":\"http\"}", "port"},
		{",\"health\":{\"type\":\"cmd\"}", "cmd"},
		{",\"health\":{\"type\":\"http\",\"port\":80,\"path\":\"/ HTTP/1.1\\r\\nX: y\"}",
			"path"},
		{",\"pids\":5000000", "pids"},
		{",\"cpus_milli\":9223372036854775807", "cpus_milli"},
		{",\"imagee\":\"x\"", "imagee"},
	};
	for (size_t i = 0; i < VK_COUNT(bad); i++) {
		vk_autofree char *text =
			vk_asprintf("{\"rev\":1,\"instances\":[" INSTANCE(
					    "%s") ",{\"name\":\"good\",\"stack\":\"s\",\"node\":"
						  "\"n\",\"image\":\"x\"}]}",
				bad[i][0]);
		struct desired *d = parse(text);
		cr_assert_not_null(d, "%s: %s", bad[i][0], why.msg);
		cr_expect_lt(d->instances[0].refused.code, 0, "%s", bad[i][0]);
		cr_expect_not_null(strstr(d->instances[0].refused.msg, bad[i][1]), "%s: %s",
			bad[i][0], d->instances[0].refused.msg);
		cr_expect_eq(d->instances[1].refused.code, 0, "the other one goes on");
		desired_free(d);
	}
}

static void hash_of(const char *text, char out[static 65])
{
	struct desired_instance in = instance_of(text);
	memcpy(out, in.hash, 65);
	desired_instance_release(&in);
}

Test(desired, only_what_a_container_is_made_of_restarts_it)
{
	char base[65], other[65];
	hash_of(INSTANCE(",\"gen\":1"), base);
	static const char *const same[] = {
		INSTANCE(",\"gen\":1,\"health\":{\"type\":\"tcp\",\"port\":80}"),
		INSTANCE(",\"gen\":1,\"stop_ms\":1"), INSTANCE(",\"gen\":1,\"want\":\"stop\""),
		INSTANCE(",\"gen\":1,\"restart_count\":2"),
		INSTANCE(",\"gen\":1,\"reach\":\"10.0.0.1\""), INSTANCE(",\"gen\":1,\"cmd\":null")};
	for (size_t i = 0; i < VK_COUNT(same); i++) {
		hash_of(same[i], other);
		cr_expect_str_eq(base, other, "%s", same[i]);
	}
	static const char *const changed[] = {INSTANCE(",\"gen\":2"),
		INSTANCE(",\"gen\":1,\"env\":{\"A\":\"1\"}"), INSTANCE(",\"gen\":1,\"memory\":1"),
		INSTANCE(",\"gen\":1,\"cmd\":[\"x\"]"), INSTANCE(",\"gen\":1,\"aliases\":[\"x\"]")};
	for (size_t i = 0; i < VK_COUNT(changed); i++) {
		hash_of(changed[i], other);
		cr_expect_str_neq(base, other, "%s", changed[i]);
	}
}

Test(desired, the_copy_on_disk_is_private_and_the_same)
{
	autotmp dir = tmpdir_new();
	vk_autofree char *path = vk_asprintf("%s/desired.json", dir);
	vk_autojson *doc =
		json_of("{\"rev\":1,\"instances\":[" INSTANCE(",\"env\":{\"A\":\"s3cr3t\"}") "]}");
	vk_autojson *back = NULL;
	struct stat st;
	const struct vk_secret_key key = {{1, 2, 3}}, other = {{3, 2, 1}};
	cr_assert_eq(desired_load(path, &key, &back, NULL), VK_NOTFOUND);
	cr_assert_eq(desired_save(path, &key, doc, NULL), 0);
	cr_assert_neq(desired_load(path, &other, &back, NULL), 0);
	cr_assert_eq(desired_load(path, &key, &back, NULL), 0);
	cr_assert(json_equal(doc, back));
	vk_autobuf raw = VK_BUF_INIT(65536);
	cr_assert_eq(vk_fs_read(path, &raw, NULL), 0);
	cr_assert_null(strstr(vk_buf_str(&raw), "s3cr3t"));
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0600);
}
