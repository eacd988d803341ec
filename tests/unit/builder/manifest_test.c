/* Rules of the manifest that golden files do not show: limits, files that fail, what parses to
 * the same. */
#include "manifest.h"

#include <criterion/criterion.h>
#include <string.h>
#include <viking/json.h>
#include <viking/str.h>

static const struct manifest_opts opts = {
	.file = "vikingfile", .stack = "ragnar", .registry = "127.0.0.1:5000"};

static int parse(const char *text, struct manifest **ret, struct vk_err *err)
{
	return manifest_parse(text, strlen(text), &opts, ret, err);
}

static void expect_refused(const char *text, int code, const char *word)
{
	struct manifest *m = NULL;
	struct vk_err err = {0};
	int rc = parse(text, &m, &err);
	if (rc == 0)
		rc = manifest_resolve(m, NULL, &err);
	cr_expect_eq(rc, code, "%.200s: %s", text, err.msg);
	cr_expect(strstr(err.msg, word) != NULL, "%.200s: %s", text, err.msg);
	manifest_free(m);
}

/* Files as a table of path and text; a text of NULL is a directory. */
static const char *const (*table)[2];

static int read_table(void *arg, const char *path, struct vk_buf *out, struct vk_err *err)
{
	(void)arg;
	for (size_t i = 0; table[i][0] != NULL; i++)
		if (table[i][1] != NULL && strcmp(table[i][0], path) == 0)
			return vk_buf_adds(out, table[i][1]);
	return vk_err_set(err, VK_NOTFOUND, "no %s", path);
}

static bool dir_in_table(void *arg, const char *path)
{
	(void)arg;
	for (size_t i = 0; table[i][0] != NULL; i++)
		if (table[i][1] == NULL && strcmp(table[i][0], path) == 0)
			return true;
	return false;
}

static const struct manifest_files files = {NULL, read_table, dir_in_table};

Test(manifest, limits)
{
	vk_autobuf b = VK_BUF_INIT(1 << 20);
	vk_buf_adds(&b, "deploy:\n");
	for (int i = 0; i < MANIFEST_NODES + 1; i++)
		vk_buf_addf(&b, "  n%d: {image: \"a:1\"}\n", i);
	expect_refused(vk_buf_str(&b), VK_INVALID, "more than 256 nodes");
	vk_buf_clear(&b);
	vk_buf_adds(&b, "build:\n");
	for (int i = 0; i < MANIFEST_BOATS + 1; i++)
		vk_buf_addf(&b, "  n%d: \"FROM a:1\\n\"\n", i);
	expect_refused(vk_buf_str(&b), VK_INVALID, "more than 64 boats");
	vk_buf_clear(&b);
	vk_buf_adds(&b, "env:\n");
	for (int i = 0; i < MANIFEST_ENV_NAMES + 1; i++)
		vk_buf_addf(&b, "  N%d: x\n", i);
	expect_refused(vk_buf_str(&b), VK_INVALID, "more than 256 variables");
	vk_buf_clear(&b);
	while (b.len <= MANIFEST_MAX)
		vk_buf_adds(&b, "# a comment that fills the file\n");
	expect_refused(vk_buf_str(&b), VK_LIMIT, "larger than 64 KiB");
}

/* 64 KiB of brackets takes libyaml's loader seconds. */
Test(manifest, bombs_end_in_time)
{
	vk_autobuf b = VK_BUF_INIT(1 << 20);
	vk_buf_adds(&b, "x-a: ");
	while (b.len < MANIFEST_MAX - 10)
		vk_buf_addc(&b, '[');
	int64_t start = vk_mono_ms();
	expect_refused(vk_buf_str(&b), VK_INVALID, "nested too deeply");
	cr_expect_lt(vk_mono_ms() - start, 1000);
	vk_buf_clear(&b);
	vk_buf_adds(&b, "deploy: {web: {image: a:1}}\nx-many: {");
	for (int i = 0; b.len < MANIFEST_MAX - 100; i++)
		vk_buf_addf(&b, "k%d: 1, ", i);
	vk_buf_adds(&b, "}\n");
	struct manifest *m = NULL;
	start = vk_mono_ms();
	cr_expect_eq(parse(vk_buf_str(&b), &m, NULL), 0);
	cr_expect_lt(vk_mono_ms() - start, 1000);
	manifest_free(m);
}

Test(manifest, boats_in_files)
{
	static const char *const own[][2] = {
		{"Dockerfile", "FROM viking:ragnar/base\nCOPY --from=viking:other/x / /\n"},
		{"web", NULL}, {"web/Dockerfile", "FROM a:1 AS One\n"}, {NULL, NULL}};
	table = own;
	struct manifest *m = NULL;
	struct vk_err err = {0};
	const char *text =
		"build:\n  app: {dockerfile: Dockerfile}\n  base: {context: web, target: one}\n";
	cr_assert_eq(parse(text, &m, &err), 0, "%s", err.msg);
	cr_assert_eq(manifest_resolve(m, &files, &err), 0, "%s", err.msg);
	json_t *app = json_object_get(json_object_get(manifest_doc(m), "boats"), "app");
	vk_autofree char *needs = vk_json_text(json_object_get(app, "needs"));
	vk_autofree char *refs = vk_json_text(json_object_get(app, "refs"));
	cr_expect_str_eq(needs, "[\"base\"]");
	cr_expect_str_eq(refs, "[\"ragnar/base\",\"other/x\"]");
	manifest_free(m);
}

Test(manifest, errors_in_files_name_file_and_line)
{
	static const char *const bad[][2] = {{"web", NULL},
		{"web/Dockerfile", "FROM a:1\nCOPY --from=localhost/x / /\n"}, {NULL, NULL}};
	table = bad;
	struct manifest *m = NULL;
	struct vk_err err = {0};
	cr_assert_eq(parse("build: {web: {context: ./web/}}\n", &m, &err), 0, "%s", err.msg);
	cr_expect_eq(manifest_resolve(m, &files, &err), VK_DENIED);
	cr_expect(strncmp(err.msg, "web/Dockerfile:2: ", 18) == 0, "%s", err.msg);
	manifest_free(m);
	m = NULL;
	cr_assert_eq(parse("build:\n  x: {dockerfile: no}\n", &m, &err), 0, "%s", err.msg);
	cr_expect_eq(manifest_resolve(m, &files, &err), VK_INVALID);
	cr_expect_str_eq(
		err.msg, "vikingfile:2:3: build.x: there is no file \"no\" in the repository");
	manifest_free(m);
}

Test(manifest, long_cycles_are_named)
{
	vk_autobuf b = VK_BUF_INIT(1 << 16);
	vk_buf_adds(&b, "build:\n");
	for (int i = 0; i < 40; i++)
		vk_buf_addf(&b, "  b%d: \"FROM viking:ragnar/b%d\\n\"\n", i, i < 39 ? i + 1 : 30);
	expect_refused(vk_buf_str(&b), VK_INVALID, "b30 -> b31 -> b32");
	vk_buf_clear(&b);
	vk_buf_adds(&b, "build:\n");
	for (int i = 0; i < 40; i++)
		vk_buf_addf(&b, "  b%d: \"FROM viking:ragnar/b%d\\n\"\n", i, i + 1);
	vk_buf_adds(&b, "  b40: \"FROM debian:12\\n\"\n");
	struct manifest *m = NULL;
	cr_assert_eq(parse(vk_buf_str(&b), &m, NULL), 0);
	cr_expect_eq(manifest_resolve(m, NULL, NULL), 0, "a long chain is no cycle");
	manifest_free(m);
}

Test(manifest, paths)
{
	static const struct {
		const char *in, *out;
	} good[] = {{"a", "a"}, {"./a//b/", "a/b"}, {".", "."}, {"./", "."}, {"a/.b", "a/.b"},
		{"...", "..."}};
	for (size_t i = 0; i < VK_COUNT(good); i++) {
		vk_autofree char *out = NULL;
		cr_assert_eq(manifest_path(good[i].in, &out, NULL), 0, "%s", good[i].in);
		cr_expect_str_eq(out, good[i].out);
	}
	static const char *const bad[] = {
		"", "/a", "..", "a/../b", "a/..", ".git/x", "a/.GIT", "a\nb"};
	for (size_t i = 0; i < VK_COUNT(bad); i++) {
		char *out = NULL;
		cr_expect_neq(manifest_path(bad[i], &out, NULL), 0, "%s", bad[i]);
	}
}

Test(manifest, numbers)
{
	static const struct {
		const char *cpus;
		int milli;
	} good[] = {{"1", 1000}, {"0.5", 500}, {"0.001", 1}, {"12.34", 12340}, {"\"2\"", 2000},
		{"1024", 1024000}};
	for (size_t i = 0; i < VK_COUNT(good); i++) {
		vk_autofree char *text =
			vk_asprintf("deploy: {web: {image: \"a:1\", cpus: %s}}\n", good[i].cpus);
		struct manifest *m = NULL;
		struct vk_err err = {0};
		cr_assert_eq(parse(text, &m, &err), 0, "%s", err.msg);
		json_t *web = json_object_get(json_object_get(manifest_doc(m), "nodes"), "web");
		cr_expect_eq(vk_json_int(web, "cpus_milli", 0), good[i].milli, "%s", good[i].cpus);
		manifest_free(m);
	}
	static const char *const bad[] = {
		"-1", "0.0", "1.", ".", "1.2345", "1e3", "1025", "0x1", "\" 1\""};
	for (size_t i = 0; i < VK_COUNT(bad); i++) {
		vk_autofree char *text =
			vk_asprintf("deploy: {web: {image: \"a:1\", cpus: %s}}\n", bad[i]);
		expect_refused(text, VK_INVALID, "deploy.web.cpus");
	}
}

/* Long keys, strange text and empty things come back from print as they went in. */
Test(manifest, printed_form_is_the_same)
{
	vk_autobuf b = VK_BUF_INIT(1 << 16);
	vk_buf_adds(&b, "deploy: {web: {image: \"a:1\"}}\nx-deep: {? \"");
	for (int i = 0; i < 2000; i++)
		vk_buf_addc(&b, 'k');
	vk_buf_adds(&b,
		"\" : {\"\": [], ? \"-\" : {}, \"<<\": \"\\u2029\\ufffe\", \"=\": \"~\", \"y\": "
		"\"0x1\"}}\n"
		"x-text: |+\n  two\n\n  lines\n\n\n");
	struct manifest *m = NULL, *again = NULL;
	struct vk_err err = {0};
	vk_autobuf out = VK_BUF_INIT(1 << 20);
	cr_assert_eq(parse(vk_buf_str(&b), &m, &err), 0, "%s", err.msg);
	cr_assert_eq(manifest_print(manifest_doc(m), &out, &err), 0);
	cr_assert_eq(parse(vk_buf_str(&out), &again, &err), 0, "%s\n%s", err.msg, vk_buf_str(&out));
	cr_expect(json_equal(manifest_doc(m), manifest_doc(again)), "%s", vk_buf_str(&out));
	manifest_free(m);
	manifest_free(again);
}
