/* Jobs of seed 000's /proc: what is read, and the one line each mistake is told in. */
#include <criterion/criterion.h>
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "classic.h"
#include "job.h"

static char *words(const char *text)
{
	vk_autofree char *copy = vk_strdup(text);
	for (char *p = copy; *p != '\0'; p++)
		*p = *p == '\'' ? '"' : *p;
	return VK_TAKE(copy);
}

static json_t *parsed(const char *text, struct vk_err *err)
{
	vk_autofree char *job = words(text);
	json_t *node = NULL;
	*err = (struct vk_err){0};
	int rc = job_parse(job, strlen(job), &node, err);
	cr_assert_eq(rc == 0, node != NULL);
	cr_assert_eq(rc, err->code);
	return node;
}

Test(job, a_key_is_stack_node_tag)
{
	static const struct {
		const char *text;
		bool ok;
	} cases[] = {
		{"ragnar/web/1-1", true},
		{"ragnar/web/V1.2_x", true},
		{"ragnar/web", false},
		{"ragnar/web/", false},
		{"ragnar//1-1", false},
		{"/web/1-1", false},
		{"ragnar/web/1-1/x", false},
		{"Ragnar/web/1-1", false},
		{"ragnar/We b/1-1", false},
		{"ragnar/web/1 1", false},
		{"", false},
	};
	for (size_t i = 0; i < VK_COUNT(cases); i++) {
		struct job_key k;
		struct vk_err err = {0};
		int rc = job_key_parse(cases[i].text, &k, &err);
		cr_expect_eq(rc == 0, cases[i].ok, "%s", cases[i].text);
		cr_expect(rc == 0 || err.msg[0] != '\0', "%s", cases[i].text);
	}
}

Test(job, becomes_a_node_of_a_push)
{
	struct vk_err err;
	vk_autojson *node =
		parsed("{'image':'redis:7','command':'redis-server --port 1\\\\ 2',"
		       "'env':{'A':'x','N':5},'expose':[80,'53/udp'],'cpus':0.5,'memory':'64M',"
		       "'disk':'1G','hosts':['one@uno','dos'],'roles':['db'],'restart':'never',"
		       "'domains':['a.com'],'network_mode':'bridge'}",
			&err);
	cr_assert_not_null(node, "%s", err.msg);
	vk_autofree char *is = vk_json_text(node);
	vk_autofree char *want = words(
		"{'boat':'','cpus_milli':500,'cwd':'','dns_update_policy':'append','document_root':"
		"'',"
		"'domains':['a.com'],'env':{'A':'x','N':'5'},'expose':[{'name':'','port':80,'proto'"
		":"
		"'tcp'},{'name':'','port':53,'proto':'udp'}],'from':'','health':{'cmd':[],"
		"'interval_ms':5000,'path':'/','port':0,'retries':3,'start_ms':0,'timeout_ms':2000,"
		"'type':'auto'},'image':'redis:7','links':[],'memory':67108864,'network_mode':"
		"'default','pid_mode':'','place':{'disk':1073741824,'hosts':['uno','dos'],'roles':"
		"['db']},'privileged':false,'publish':[],'release':null,'require':[],'restart':'"
		"never',"
		"'restart_count':-1,'run':['redis-server','--port','1 "
		"2'],'scale':1,'service':false,"
		"'shared':[],'stop_ms':10000,'type':'app','volumes':[]}");
	cr_expect_str_eq(is, want);
}

Test(job, equal_jobs_are_an_equal_commit)
{
	struct vk_err err;
	vk_autojson *a = json_object(), *b = json_object();
	json_object_set_new(a, "web", parsed("{'image':'x','memory':'8M','run':'a b'}", &err));
	json_object_set_new(
		b, "web", parsed("{'run':['a','b'],'memory':8388608,'image':'x'}", &err));
	vk_autojson *one = job_doc("s", a), *two = job_doc("s", b);
	cr_expect(json_equal(one, two));
	cr_expect_eq(strlen(vk_json_str(one, "commit", "")), 40);
}

Test(job, each_mistake_has_its_line)
{
	static const struct {
		const char *job, *says;
	} cases[] = {
		{"[1]", "a job is an object, {\"image\": ...}"},
		{"{}", "image is missing"},
		{"{'image':''}", "image is missing"},
		{"{'image':'x','run':'a','cmd':['b']}",
			"run, command and cmd are one key: give one"},
		{"{'image':'x','run':''}", "run: is empty"},
		{"{'image':'x','run':[]}", "run: needs a text or a list of texts"},
		{"{'image':'x','run':[1]}", "run: needs texts of at most 65536 bytes"},
		{"{'image':'x','env':{'1A':'x'}}", "env: \"1A\" is no variable's name"},
		{"{'image':'x','env':{'A':[]}}", "env: A needs a text or a number"},
		{"{'image':'x','expose':[0]}", "expose: needs ports like 80 or \"53/udp\""},
		{"{'image':'x','expose':['80/sctp']}", "expose: needs ports like 80 or \"53/udp\""},
		{"{'image':'x','memory':'1M'}", "memory: is at least 4M"},
		{"{'image':'x','memory':'much'}", "memory: bytes, or with a unit like 512M or 2G"},
		{"{'image':'x','cpus':-1}", "cpus: cores, 0 to 1000000, like 2 or 0.5"},
		{"{'image':'x','restart':'maybe'}", "restart: is always, restart or never"},
		{"{'image':'x','restart_count':-7}", "restart_count: is 0 to 1000"},
		{"{'image':'x','roles':[1]}", "roles: needs texts of at most 63 bytes"},
	};
	for (size_t i = 0; i < VK_COUNT(cases); i++) {
		struct vk_err err;
		vk_autojson *node = parsed(cases[i].job, &err);
		cr_expect_null(node, "%s", cases[i].job);
		cr_expect_str_eq(err.msg, cases[i].says, "%s: %s", cases[i].job, err.msg);
	}
}

Test(job, unknown_keys_come_with_a_suggestion)
{
	struct vk_err err;
	vk_autojson *node = parsed("{'image':'x','imgae':'y'}", &err);
	cr_expect_null(node);
	cr_expect_not_null(strstr(err.msg, "imgae"), "%s", err.msg);
	cr_expect_not_null(strstr(err.msg, "image"), "%s", err.msg);
}

Test(classic, the_mirror_never_lies_in_the_state)
{
	cr_expect(classic_apart("/", "/viking"));
	cr_expect(classic_apart("/shop", "/viking"));
	cr_expect(classic_apart("/viking2", "/viking"));
	cr_expect_not(classic_apart("/", ""));
	cr_expect_not(classic_apart("/viking", "/viking"));
	cr_expect_not(classic_apart("/viking/seen", "/viking"));
	cr_expect_not(classic_apart("/", "/run"));
	cr_expect_not(classic_apart("/", "/run/viking"));
}
