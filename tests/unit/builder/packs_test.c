/* The small files of buildpacks: Procfile, release YAML, .buildpacks, .slugignore. */
#include <criterion/criterion.h>
#include <string.h>
#include <viking/json.h>
#include <viking/pack_name.h>
#include <viking/str.h>

#include "buildpacks_file.h"
#include "dockerignore.h"
#include "procfile.h"
#include "release_yaml.h"

/* -- Procfile -------------------------------------------------------------------------------- */

static void expect_processes(const char *text, const char *json)
{
	vk_autojson *got = NULL;
	struct vk_err err = {0};
	cr_assert_eq(procfile_parse(text, strlen(text), &got, &err), 0, "%s: %s", text, err.msg);
	vk_autofree char *said = vk_json_text(got);
	cr_expect_str_eq(said, json);
}

static void expect_bad_procfile(const char *text, size_t n, int code, const char *word)
{
	json_t *got = NULL;
	struct vk_err err = {0};
	cr_expect_eq(procfile_parse(text, n, &got, &err), code, "%s", text);
	cr_expect(strstr(err.msg, word) != NULL, "%s: %s", text, err.msg);
	cr_expect_null(got);
}

Test(procfile, takes_what_the_field_writes)
{
	expect_processes("", "{}");
	expect_processes("web: npm start", "{\"web\":\"npm start\"}");
	expect_processes("web: a: b\r\nworker_2:x\r\n", "{\"web\":\"a: b\",\"worker_2\":\"x\"}");
	expect_processes(
		"\xef\xbb\xbf# c\n\n  Web :  sh -c \"x\"  \n", "{\"Web\":\"sh -c \\\"x\\\"\"}");
}

Test(procfile, refuses_with_the_line)
{
	static const char nul[] = "web: a\0b";
	expect_bad_procfile("web: x\nweb: y", 13, VK_INVALID,
		"Procfile:2: the process type web is there twice");
	expect_bad_procfile(
		"web:\n", 5, VK_INVALID, "Procfile:1: the process type web has no command");
	expect_bad_procfile("a b: x", 6, VK_INVALID, "\"a b\" is no name");
	expect_bad_procfile("-x: y", 5, VK_INVALID, "is no name");
	expect_bad_procfile("../x: y", 7, VK_INVALID, "is no name");
	expect_bad_procfile(": y", 3, VK_INVALID, "is no name");
	expect_bad_procfile("just words", 10, VK_INVALID, "NAME: COMMAND");
	expect_bad_procfile(nul, sizeof(nul) - 1, VK_INVALID, "Procfile:1: a NUL byte");
	expect_bad_procfile("web: \x1b[1m", 9, VK_INVALID, "control character");
	expect_bad_procfile("web: \xff\xfe", 7, VK_INVALID, "no UTF-8");
}

Test(procfile, has_limits)
{
	vk_autobuf many = VK_BUF_INIT(1 << 20);
	for (int i = 0; i <= PROCESSES_MAX; i++)
		vk_buf_addf(&many, "p%d: x\n", i);
	expect_bad_procfile(vk_buf_str(&many), many.len, VK_LIMIT, "more than 64");
	vk_buf_clear(&many);
	vk_buf_adds(&many, "web: ");
	for (int i = 0; i <= PROCESS_CMD_MAX; i++)
		vk_buf_addc(&many, 'x');
	expect_bad_procfile(vk_buf_str(&many), many.len, VK_LIMIT, "longer than");
	while (many.len <= PROCFILE_MAX)
		vk_buf_adds(&many, "# filler\n");
	expect_bad_procfile(vk_buf_str(&many), many.len, VK_LIMIT, "larger than 64 KiB");
}

/* -- bin/release ----------------------------------------------------------------------------- */

static void expect_release(const char *text, const char *processes, const char *vars)
{
	struct release_yaml r;
	struct vk_err err = {0};
	cr_assert_eq(release_yaml_parse(text, strlen(text), &r, &err), 0, "%s: %s", text, err.msg);
	vk_autofree char *p = vk_json_text(r.processes), *v = vk_json_text(r.config_vars);
	cr_expect_str_eq(p, processes, "%s", text);
	cr_expect_str_eq(v, vars, "%s", text);
	release_yaml_release(&r);
}

Test(release_yaml, takes_the_forms_packs_print)
{
	expect_release("", "{}", "{}");
	expect_release("--- {}\n", "{}", "{}");
	expect_release("---\n", "{}", "{}");
	expect_release("---\naddons: []\ndefault_process_types: {}\n", "{}", "{}");
	expect_release("addons:\n- heroku-postgresql:mini\nconfig_vars:\n  A: '1'\n", "{}",
		"{\"A\":\"1\"}");
	expect_release("---\nconfig_vars:\n  PATH: /app/bin:$PATH\n  EMPTY:\n"
		       "default_process_types:\n  web: node server.js -p $PORT --x=a:b\n"
		       "  rake: \"bundle exec 'rake'\"\n",
		"{\"rake\":\"bundle exec 'rake'\",\"web\":\"node server.js -p $PORT --x=a:b\"}",
		"{\"EMPTY\":\"\",\"PATH\":\"/app/bin:$PATH\"}");
}

static void expect_bad_release(const char *text, const char *word)
{
	struct release_yaml r = {0};
	struct vk_err err = {0};
	cr_expect_neq(release_yaml_parse(text, strlen(text), &r, &err), 0, "%s", text);
	cr_expect(strstr(err.msg, word) != NULL, "%s: %s", text, err.msg);
}

Test(release_yaml, refuses_the_rest_with_its_place)
{
	expect_bad_release("- web\n", "release:1:1: bin/release has to print a map");
	expect_bad_release("hello", "has to print a map");
	expect_bad_release("default_process_types: [web]\n", "release:1:24");
	expect_bad_release("default_process_types:\n  web: {a: b}\n", "release:2:8");
	expect_bad_release("default_process_types:\n  web:\n", "has no command");
	expect_bad_release("default_process_types:\n  'a b': x\n", "is no name");
	expect_bad_release("config_vars:\n  A-B: x\n", "release:2");
	expect_bad_release("a: &x 1\nb: *x\n", "anchors");
	expect_bad_release("a: [", "release");
}

/* -- .buildpacks ----------------------------------------------------------------------------- */

Test(buildpacks_file, one_a_line)
{
	static const char text[] = "# first\r\nhttps://h.example/x\r\n\r\n  node  \n";
	vk_autojson *list = NULL;
	struct vk_err err = {0};
	cr_assert_eq(buildpacks_parse(text, strlen(text), &list, &err), 0, "%s", err.msg);
	vk_autofree char *said = vk_json_text(list);
	cr_expect_str_eq(said, "[\"https://h.example/x\",\"own:node\"]");
	cr_expect_eq(buildpacks_parse("\nx\0y", 4, &list, &err), VK_INVALID);
	cr_expect_str_eq(err.msg, ".buildpacks:2: a NUL byte");
	vk_autobuf many = VK_BUF_INIT(1 << 20);
	for (int i = 0; i <= VK_PACKS_MAX; i++)
		vk_buf_adds(&many, "node\n");
	cr_expect_eq(buildpacks_parse(vk_buf_str(&many), many.len, &list, &err), VK_LIMIT);
}

/* -- .slugignore: each row was tried with bash's rm -rf in one tree ------------------------------ */

Test(slugignore, as_a_shell_names_files)
{
	static const struct {
		const char *pattern, *path;
		bool drops;
	} rows[] = {
		{"*.md", "README.md", true},
		{"*.md", "docs/a.md", false},
		{"/doc", "doc/a/b", true},
		{"doc/", "doc/a", true},
		{"*", "a", true},
		{"*", ".env", false},
		{"*/*.log", "x/a.log", true},
		{"*/*.log", "x/.log", false},
		{".*", ".env", true},
		{"?env", ".env", false},
		{"[.]env", ".env", false},
		{"[!a]x", "bx", true},
		{"[!a]x", "ax", false},
		{"**/x", "a/x", true},
		{"**/x", "a/b/x", false},
		{"!keep", "keep", false},
		{"!keep", "!keep", true},
		{"# x", "# x", false},
		{"a b", "a b", true},
		{"*\n!a", "a", true},
		{"a/*", "a/.b", false},
		{"a/.b", "a/.b", true},
	};
	for (size_t i = 0; i < VK_COUNT(rows); i++) {
		struct dockerignore *d = NULL;
		cr_assert_eq(
			slugignore_parse(rows[i].pattern, strlen(rows[i].pattern), &d, NULL), 0);
		cr_expect_eq(dockerignore_drops(d, rows[i].path), rows[i].drops, "%s on %s",
			rows[i].pattern, rows[i].path);
		cr_expect_not(dockerignore_enters(d, rows[i].path));
		dockerignore_free(d);
	}
}
