/* What packs leave and what it means; templates of own packs; builder images of Cloud Native Buildpacks. */
#include <criterion/criterion.h>
#include <string.h>
#include <viking/json.h>
#include <viking/str.h>

#include "cnb.h"
#include "pack_result.h"
#include "pack_template.h"
#include "site.h"

static void expect_explained(const char *failed, const char *at, int status, const char *message)
{
	struct pack_result r = {0};
	struct limits l = {.memory = 1 << 20};
	struct buildlog log;
	struct vk_err err = {.code = VK_TIMEOUT, .msg = "too long"};
	buildlog_init(&log, NULL, NULL);
	struct limit_signs signs = {.exit_code = status, .message = "", .log = &log};
	snprintf(r.failed, sizeof(r.failed), "%s", failed);
	snprintf(r.at, sizeof(r.at), "%s", at);
	cr_expect_neq(pack_result_explain(&r, status, &l, &signs, &err), 0);
	cr_expect_str_eq(err.msg, message);
	buildlog_release(&log);
}

Test(pack_result, names_the_pack_and_its_status)
{
	expect_explained("ruby compile 3", "", 23,
		"build failed: buildpack ruby: bin/compile ended with status 3");
	expect_explained("x detect 9", "", 22,
		"build failed: buildpack x does not take this application: bin/detect ended with "
		"status 9");
	expect_explained("- detect 1", "", 20, "build failed: no buildpack takes this application");
	expect_explained("", "slow compile", -1, "buildpack slow was at its compile: too long");
	expect_explained("", "", 1, "build failed: the build ended with status 1");
}

Test(pack_result, defaults_are_quoted)
{
	vk_autojson *vars = json_pack("{s:s}", "A", "it's $(id)");
	vk_autobuf out = VK_BUF_INIT(1000);
	pack_result_vars(vars, &out);
	cr_expect(strstr(vk_buf_str(&out), "[ -n \"${A-}\" ] || A='it'") != NULL, "%s",
		vk_buf_str(&out));
}

static int read_one(void *arg, const char *path, struct vk_buf *out, struct vk_err *err)
{
	if (strcmp(path, "package.json") != 0)
		return vk_err_set(err, VK_NOTFOUND, "no %s", path);
	return vk_buf_adds(out, arg);
}

static bool no_dir(void *arg, const char *path)
{
	(void)arg, (void)path;
	return false;
}

Test(pack_template, keeps_the_lines_that_hold)
{
	char package[] = "{\"scripts\": {\"build\": \"x\"}}";
	struct manifest_files files = {package, read_one, no_dir};
	static const char text[] = "a\n%if package.json json:scripts.build !yarn.lock\nb\n%if "
				   "json:scripts.none\nc\n%else\nd\n%end\n%else\ne\n%end\nf\n";
	vk_autobuf out = VK_BUF_INIT(1000);
	struct vk_err err = {0};
	cr_assert_eq(pack_template_expand(text, strlen(text), &files, ".", &out, &err), 0, "%s",
		err.msg);
	cr_expect_str_eq(vk_buf_str(&out), "a\nb\nd\nf\n");
	static const char either[] =
		"%if yarn.lock|json:scripts=x json:scripts.build|package.json\na\n%end\n"
		"%if json:scripts=y|json:none=x\nb\n%end\n%if !json:scripts=y|yarn.lock\nc\n%end\n";
	vk_buf_clear(&out);
	cr_assert_eq(pack_template_expand(either, strlen(either), &files, ".", &out, &err), 0, "%s",
		err.msg);
	cr_expect_str_eq(vk_buf_str(&out), "a\nc\n");
	static const char *const bad[] = {"%end\n", "%if x\n", "%what\n"};
	for (size_t i = 0; i < VK_COUNT(bad); i++)
		cr_expect_eq(pack_template_expand(bad[i], strlen(bad[i]), &files, ".", &out, &err),
			VK_INTERNAL);
}

Test(cnb, takes_the_highest_api_both_know)
{
	vk_autojson *image = json_loads(
		"{\"Config\": {\"Env\": [\"CNB_USER_ID=1001\", \"CNB_GROUP_ID=1000\"], \"Labels\": "
		"{\"io.buildpacks.builder.metadata\": "
		"\"{\\\"images\\\":[{\\\"image\\\":\\\"run:1\\\"}],\\\"lifecycle\\\":{\\\"apis\\\":"
		"{\\\"platform\\\":{\\\"supported\\\":[\\\"0.7\\\",\\\"0.13\\\",\\\"0.15\\\",\\\"0."
		"9\\\"]}}}}\"}}}",
		0, NULL);
	struct cnb_builder b;
	struct vk_err err = {0};
	cr_assert_eq(cnb_builder_read(image, &b, &err), 0, "%s", err.msg);
	cr_expect_str_eq(b.api, "0.13");
	cr_expect_str_eq(b.run_image, "run:1");
	cr_expect(b.uid == 1001 && b.gid == 1000);
	cnb_explain(51, &err);
	cr_expect_str_eq(err.msg, "build failed: a buildpack failed (lifecycle status 51)");
}

Test(site, lines_without_values_of_secrets_in_errors)
{
	vk_autobuf out = VK_BUF_INIT(1000);
	struct vk_err err = {0};
	static const char good[] = "# c\n\nHTTP_PROXY=http://p:3128\r\nA=\n",
			  bad[] = "A=1\nsecret words\n";
	cr_expect_eq(site_env(good, strlen(good), &out, &err), 0);
	cr_expect_str_eq(vk_buf_str(&out), "HTTP_PROXY=http://p:3128\nA=\n");
	cr_expect_eq(site_env(bad, strlen(bad), &out, &err), VK_INVALID);
	cr_expect_str_eq(err.msg, "line 2: not of the form NAME=VALUE");
}
