/* The patterns were tried against the docker command (28, and 20.10 with BuildKit) on one
 * tree; each row says what it dropped or kept there. */
#include "dockerignore.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <viking/mem.h>
#include <viking/str.h>

static const char *const tree[] = {
	"!bang",
	"#hash",
	".env",
	".git/config",
	"README.md",
	"a/b/c/f.txt",
	"a/b/c/keep.md",
	"a/b/f.txt",
	"a/f.txt",
	"a[1].txt",
	"back\\slash",
	"docs/api.md",
	"docs/index.md",
	"foo",
	"foo.c",
	"foobar",
	"linkdir",
	"node_modules/x/i.js",
	"sp ace/s p.txt",
	"sub/README.md",
	"sub/deep/keep.txt",
	"sub/deep/other.txt",
	"sub/x.tmp",
	"x.tmp",
};

enum expect { DROPS, KEEPS, BAD };

static const struct vector {
	const char *file;
	enum expect expect;
	const char *paths; /* joined by | */
} vectors[] = {
	{"*.md", DROPS, "README.md"},
	{"**/*.md", DROPS, "README.md|a/b/c/keep.md|docs/api.md|docs/index.md|sub/README.md"},
	{"/README.md", DROPS, "README.md"},
	{"README.md/", DROPS, "README.md"},
	{"./README.md", DROPS, "README.md"},
	{"a/**", DROPS, "a/b/c/f.txt|a/b/c/keep.md|a/b/f.txt|a/f.txt"},
	{"a/*", DROPS, "a/b/c/f.txt|a/b/c/keep.md|a/b/f.txt|a/f.txt"},
	{"a", DROPS, "a/b/c/f.txt|a/b/c/keep.md|a/b/f.txt|a/f.txt"},
	{"a/", DROPS, "a/b/c/f.txt|a/b/c/keep.md|a/b/f.txt|a/f.txt"},
	{"/a/", DROPS, "a/b/c/f.txt|a/b/c/keep.md|a/b/f.txt|a/f.txt"},
	{"**", KEEPS, ""},
	{"*", KEEPS, ""},
	{"*\n!a", KEEPS, "a/b/c/f.txt|a/b/c/keep.md|a/b/f.txt|a/f.txt"},
	{"*\n!a/b", KEEPS, "a/b/c/f.txt|a/b/c/keep.md|a/b/f.txt"},
	{"*\n!a/b/c/f.txt", KEEPS, "a/b/c/f.txt"},
	{"*\n!**/f.txt", KEEPS, ""},
	{"a\n!a/b/f.txt", DROPS, "a/b/c/f.txt|a/b/c/keep.md|a/f.txt"},
	{"a\n!**/f.txt", DROPS, "a/b/c/f.txt|a/b/c/keep.md|a/b/f.txt|a/f.txt"},
	{"**\n!**/*.md", KEEPS, "README.md"},
	{"docs\n!docs/*.md\ndocs/api.md", DROPS, "docs/api.md"},
	{"!docs\ndocs", DROPS, "docs/api.md|docs/index.md"},
	{"*/x.tmp", DROPS, "sub/x.tmp"},
	{"**/x.tmp", DROPS, "sub/x.tmp|x.tmp"},
	{"*/*/keep.txt", DROPS, "sub/deep/keep.txt"},
	{"s?b", DROPS, "sub/README.md|sub/deep/keep.txt|sub/deep/other.txt|sub/x.tmp"},
	{"[ad]", DROPS, "a/b/c/f.txt|a/b/c/keep.md|a/b/f.txt|a/f.txt"},
	{"[^a]oo*", DROPS, "foo|foo.c|foobar"},
	{"[a-f]oo", DROPS, "foo"},
	{"fo[o-z]bar", DROPS, "foobar"},
	{"foo.?", DROPS, "foo.c"},
	{"foo*", DROPS, "foo|foo.c|foobar"},
	{"# comment\nfoo", DROPS, "foo"},
	{"  # notcomment\nfoo", DROPS, "foo"},
	{"#hash", DROPS, ""},
	{"\\#hash", DROPS, "#hash"},
	{"  foo  ", DROPS, "foo"},
	{"sp ace", DROPS, "sp ace/s p.txt"},
	{"sp\\ ace", DROPS, "sp ace/s p.txt"},
	{"a[1].txt", DROPS, ""},
	{"a\\[1].txt", DROPS, "a[1].txt"},
	{"!bang", DROPS, ""},
	{"\\!bang", DROPS, "!bang"},
	{"back\\slash", DROPS, ""},
	{"back\\\\slash", DROPS, "back\\slash"},
	{"Dockerfile", DROPS, ""},
	{"Dockerfile\n.dockerignore", DROPS, ""},
	{"*\n!Dockerfile", KEEPS, ""},
	{"../x.tmp", DROPS, ""},
	{"sub/../x.tmp", DROPS, "x.tmp"},
	{"linkdir", DROPS, "linkdir"},
	{"linkdir/f.txt", DROPS, ""},
	{".*", DROPS, ".env|.git/config"},
	{"**/.git", DROPS, ".git/config"},
	{"**/b/**", DROPS, "a/b/c/f.txt|a/b/c/keep.md|a/b/f.txt"},
	{"a/**/f.txt", DROPS, "a/b/c/f.txt|a/b/f.txt|a/f.txt"},
	{"a/**f.txt", DROPS, "a/b/c/f.txt|a/b/f.txt|a/f.txt"},
	{"**f.txt", DROPS, "a/b/c/f.txt|a/b/f.txt|a/f.txt"},
	{"a**", DROPS, "a/b/c/f.txt|a/b/c/keep.md|a/b/f.txt|a/f.txt|a[1].txt"},
	{"node_modules", DROPS, "node_modules/x/i.js"},
	{"**/node_modules/**", DROPS, "node_modules/x/i.js"},
	{"foo\n!foo\nfoo", DROPS, "foo"},
	{"[", BAD, NULL},
	{"a/b\\", BAD, NULL},
	{"\357\273\277README.md", DROPS, "README.md"},
	{"README.md\r\nfoo\r", DROPS, "README.md|foo"},
	{"foo/", DROPS, "foo"},
	{"{foo,foobar}", DROPS, ""},
	{"FOO", DROPS, ""},
	{"(foo)", DROPS, ""},
	{"foo$", DROPS, ""},
	{"*.tmp\n!sub/x.tmp", DROPS, "x.tmp"},
	{"sub/deep/*\n!sub/deep/keep.txt", DROPS, "sub/deep/other.txt"},
	{"sub\n!sub/deep/keep.txt", DROPS, "sub/README.md|sub/deep/other.txt|sub/x.tmp"},
	{"**/deep\n!**/keep.txt", DROPS, "sub/deep/keep.txt|sub/deep/other.txt"},
};

/* A walk as the reader of trees does it: a dropped directory is gone into only if asked for. */
static bool walk_drops(const struct dockerignore *d, const char *path)
{
	for (const char *p = strchr(path, '/'); p != NULL; p = strchr(p + 1, '/')) {
		vk_autofree char *dir = vk_strndup(path, (size_t)(p - path));
		if (dockerignore_drops(d, dir) && !dockerignore_enters(d, dir))
			return true;
	}
	return dockerignore_drops(d, path);
}

static void check_vector(const struct vector *v)
{
	struct vk_err err = {0};
	struct dockerignore *d = NULL;
	int rc = dockerignore_parse(v->file, strlen(v->file), ".dockerignore", &d, &err);
	if (v->expect == BAD) {
		cr_expect_eq(rc, VK_INVALID, "%s", v->file);
		cr_expect(strstr(err.msg, ".dockerignore:1: syntax error in pattern") != NULL, "%s",
			err.msg);
		return;
	}
	cr_assert_eq(rc, 0, "%s: %s", v->file, err.msg);
	vk_autobuf got = VK_BUF_INIT(4096);
	for (size_t i = 0; i < VK_COUNT(tree); i++)
		if (walk_drops(d, tree[i]) == (v->expect == DROPS))
			vk_buf_addf(&got, "%s%s", got.len > 0 ? "|" : "", tree[i]);
	cr_expect_str_eq(vk_buf_str(&got), v->paths, "pattern %s", v->file);
	dockerignore_free(d);
}

Test(dockerignore, vectors)
{
	cr_assert_eq(VK_COUNT(vectors), 74);
	for (size_t i = 0; i < VK_COUNT(vectors); i++)
		check_vector(&vectors[i]);
}

static struct dockerignore *parse(const char *text)
{
	struct vk_err err = {0};
	struct dockerignore *d = NULL;
	cr_assert_eq(dockerignore_parse(text, strlen(text), "f", &d, &err), 0, "%s", err.msg);
	return d;
}

Test(dockerignore, no_file_keeps_all)
{
	cr_expect_not(dockerignore_drops(NULL, "a"));
	cr_expect_not(dockerignore_enters(NULL, "a"));
	struct dockerignore *d = parse("\n\n# only a comment\n");
	cr_expect_not(dockerignore_drops(d, "a"));
	dockerignore_free(d);
}

Test(dockerignore, code_points_are_one_character)
{
	struct dockerignore *d = parse("caf?\n[\303\244-\303\266]x\n");
	cr_expect(dockerignore_drops(d, "caf\303\251"));
	cr_expect_not(dockerignore_drops(d, "caf\303\251e"));
	cr_expect(dockerignore_drops(d, "\303\244x"));
	cr_expect_not(dockerignore_drops(d, "zx"));
	cr_expect(dockerignore_drops(d, "caf\377"), "a byte that is no UTF-8 counts as one");
	dockerignore_free(d);
}

Test(dockerignore, hostile_pattern_is_linear)
{
	vk_autobuf text = VK_BUF_INIT(65536);
	for (int i = 0; i < 2000; i++)
		vk_buf_adds(&text, "*a**/");
	vk_autobuf path = VK_BUF_INIT(65536);
	for (int i = 0; i < 1000; i++)
		vk_buf_addc(&path, 'a');
	struct dockerignore *d = parse(vk_buf_str(&text));
	int64_t start = vk_mono_ms();
	cr_expect_not(dockerignore_drops(d, vk_buf_str(&path)));
	cr_expect_lt(vk_mono_ms() - start, 5000);
	dockerignore_free(d);
}

static void expect_bad(const char *text, size_t n, int code, const char *word)
{
	struct vk_err err = {0};
	struct dockerignore *d = NULL;
	cr_expect_eq(dockerignore_parse(text, n, "f", &d, &err), code);
	cr_expect(strstr(err.msg, word) != NULL, "%s", err.msg);
	cr_expect_null(d);
}

Test(dockerignore, refusals)
{
	expect_bad("a\n!\n", 4, VK_INVALID, "f:2: a lone !");
	expect_bad("a\0b", 3, VK_INVALID, "f:1: a NUL byte");
	expect_bad("ok\n[a-]\n", 8, VK_INVALID, "f:2: syntax error");
	expect_bad("[]a]", 4, VK_INVALID, "syntax error");
	expect_bad("[z", 2, VK_INVALID, "syntax error");
	vk_autobuf big = VK_BUF_INIT(1 << 20);
	while (big.len <= DOCKERIGNORE_MAX)
		vk_buf_adds(&big, "aaaaaaaaaaaaaaaa\n");
	expect_bad(vk_buf_str(&big), big.len, VK_LIMIT, "larger than 64 KiB");
	vk_buf_clear(&big);
	while (big.len <= DOCKERIGNORE_LINES * 2)
		vk_buf_adds(&big, "a\n");
	expect_bad(vk_buf_str(&big), big.len, VK_LIMIT, "more than 4096 lines");
}
