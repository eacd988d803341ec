/* What a build gets and what its key depends on. */
#include "export_plan.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <unistd.h>
#include <viking/json.h>

#include "repo_fixture.h"

static const char dockerfile[] = "FROM debian:12\nCOPY . /srv\n";

struct made {
	int rc;
	struct vk_err err;
	char key[65];
	char *paths, *dockerfile, *text;
	uint64_t files, bytes;
};

static struct made make(struct repo *r, git_oid root, const char *recipe, const char *refs)
{
	json_t *q = json_loads(recipe, 0, NULL), *refs_json = json_loads(refs, 0, NULL);
	cr_assert(q != NULL && refs_json != NULL, "%s %s", recipe, refs);
	struct plan_request request = {.recipe = q,
		.refs = refs_json,
		.registry = "127.0.0.1:5000",
		.limits = {.depth = 64, .files = 100, .bytes = 1000, .object = 500}};
	struct tree_store *s = repo_store(r);
	struct plan p;
	struct made m = {0};
	m.rc = plan_make(s, &root, &request, &p, &m.err);
	if (m.rc == 0) {
		vk_autobuf paths = VK_BUF_INIT(65536);
		for (size_t i = 0; i < p.n; i++)
			vk_buf_addf(&paths, "%s%s ", plan_path(&p, i),
				p.v[i].kind == TREE_DIR ? "/" : "");
		m.paths = vk_buf_take(&paths);
		memcpy(m.key, p.key, sizeof(m.key));
		m.dockerfile = vk_strdup(p.dockerfile);
		m.text = vk_strdup(vk_buf_str(&p.text));
		m.files = p.files;
		m.bytes = p.bytes;
		plan_release(&p);
	}
	tree_store_free(s);
	json_decref(q);
	json_decref(refs_json);
	return m;
}

static void made_free(struct made *m)
{
	free(m->paths);
	free(m->dockerfile);
	free(m->text);
}

/* Dockerfile, a/x, a/run, [.dockerignore] */
static git_oid project(struct repo *r, const char *x, const char *x_mode, const char *x_name,
	const char *recipe, const char *ignore)
{
	vk_autobuf a = VK_BUF_INIT(4096), t = VK_BUF_INIT(4096);
	repo_add(&a, "100755", "run", repo_blob(r, "#!/bin/sh\n"));
	repo_add(&a, x_mode, x_name, repo_blob(r, x));
	if (ignore != NULL)
		repo_add(&t, "100644", ".dockerignore", repo_blob(r, ignore));
	repo_add(&t, "100644", "Dockerfile", repo_blob(r, recipe));
	repo_add(&t, "40000", "a", repo_tree(r, &a));
	return repo_tree(r, &t);
}

#define PLAIN "{\"dockerfile\": \"Dockerfile\", \"context\": \".\", \"args\": {}, \"target\": \"\"}"

static void key_of(
	struct repo *r, git_oid root, const char *recipe, const char *refs, char key[static 65])
{
	struct made m = make(r, root, recipe, refs);
	cr_assert_eq(m.rc, 0, "%s", m.err.msg);
	memcpy(key, m.key, 65);
	made_free(&m);
}

Test(plan, key_depends_on_all_that_is_built)
{
	struct repo r = repo_new();
	char base[65], other[65];
	git_oid root = project(&r, "x", "100644", "x", dockerfile, NULL);
	key_of(&r, root, PLAIN, "{}", base);
	key_of(&r, root, PLAIN, "{}", other);
	cr_expect_str_eq(base, other, "the same is the same");
	const git_oid changed[] = {
		project(&r, "y", "100644", "x", dockerfile, NULL),
		project(&r, "x", "100755", "x", dockerfile, NULL),
		project(&r, "x", "120000", "x", dockerfile, NULL),
		project(&r, "x", "100644", "z", dockerfile, NULL),
		project(&r, "x", "100644", "x", "FROM debian:12\n", NULL),
	};
	for (size_t i = 0; i < VK_COUNT(changed); i++) {
		key_of(&r, changed[i], PLAIN, "{}", other);
		cr_expect_str_neq(base, other, "change %zu of the tree", i);
	}
	static const char *const recipes[] = {
		"{\"dockerfile\": \"Dockerfile\", \"context\": \".\", \"args\": {\"A\": \"1\"}}",
		"{\"dockerfile\": \"Dockerfile\", \"context\": \".\", \"args\": {}, \"target\": "
		"\"0\"}",
		"{\"dockerfile\": \"Dockerfile\", \"context\": \"a\", \"args\": {}}",
		"{\"inline\": \"FROM debian:11\\nCOPY . /srv\\n\", \"context\": \".\", \"args\": "
		"{}}",
	};
	for (size_t i = 0; i < VK_COUNT(recipes); i++) {
		key_of(&r, root, recipes[i], "{}", other);
		cr_expect_str_neq(base, other, "%s", recipes[i]);
	}
	repo_free(&r);
}

Test(plan, key_depends_on_images_of_boats)
{
	struct repo r = repo_new();
	char one[65], two[65];
	git_oid root = project(&r, "x", "100644", "x", "FROM viking:s/b\n", NULL);
	key_of(&r, root, PLAIN, "{\"s/b\": \"R/s/b@sha256:1\"}", one);
	key_of(&r, root, PLAIN, "{\"s/b\": \"R/s/b@sha256:2\"}", two);
	cr_expect_str_neq(one, two);
	struct made m = make(&r, root, PLAIN, "{}");
	cr_expect_eq(m.rc, VK_NOTFOUND);
	repo_free(&r);
}

/* Neither a commit's message nor a file that is left out makes a new build. */
Test(plan, key_does_not_depend_on_what_is_left_out)
{
	struct repo r = repo_new();
	char one[65], two[65], three[65];
	git_oid a = project(&r, "x", "100644", "x", dockerfile, "a/x\n");
	git_oid b = project(&r, "changed", "100644", "x", dockerfile, "a/x\n");
	key_of(&r, a, PLAIN, "{}", one);
	key_of(&r, b, PLAIN, "{}", two);
	cr_expect_str_eq(one, two);
	key_of(&r, project(&r, "x", "100644", "x", dockerfile, "a/run\n"), PLAIN, "{}", three);
	cr_expect_str_neq(one, three);
	repo_free(&r);
}

Test(plan, own_dockerfile_is_used_where_it_is)
{
	struct repo r = repo_new();
	struct made m = make(&r, project(&r, "x", "100644", "x", dockerfile, NULL), PLAIN, "{}");
	cr_assert_eq(m.rc, 0, "%s", m.err.msg);
	cr_expect_str_eq(m.dockerfile, "Dockerfile");
	cr_expect_str_eq(m.paths, "Dockerfile a/ a/run a/x ");
	cr_expect_eq(m.files, 3);
	made_free(&m);
	repo_free(&r);
}

static void expect_injected(struct repo *r, git_oid root, const char *recipe, const char *refs,
	const char *paths, const char *text)
{
	struct made m = make(r, root, recipe, refs);
	cr_assert_eq(m.rc, 0, "%s", m.err.msg);
	cr_expect(strncmp(m.dockerfile, ".viking.Dockerfile-", 19) == 0, "%s", m.dockerfile);
	cr_expect_str_eq(m.paths, paths);
	cr_expect_str_eq(m.text, text);
	made_free(&m);
}

Test(plan, another_dockerfile_gets_a_name_of_its_own)
{
	struct repo r = repo_new();
	git_oid plain = project(&r, "x", "100644", "x", dockerfile, NULL);
	expect_injected(&r, plain, "{\"inline\": \"FROM a:1\\n\", \"context\": \".\"}", "{}",
		"Dockerfile a/ a/run a/x ", "FROM a:1\n");
	expect_injected(&r, plain, "{\"dockerfile\": \"Dockerfile\", \"context\": \"a\"}", "{}",
		"run x ", dockerfile);
	expect_injected(&r, project(&r, "x", "100644", "x", dockerfile, "*\n!a/x\n"), PLAIN, "{}",
		"a/ a/x ", dockerfile);
	expect_injected(&r, project(&r, "x", "100644", "x", "FROM viking:s/b\n", NULL), PLAIN,
		"{\"s/b\": \"R@sha256:1\"}", "Dockerfile a/ a/run a/x ", "FROM R@sha256:1\n");
	repo_free(&r);
}

Test(plan, own_dockerignore_comes_first)
{
	struct repo r = repo_new();
	vk_autobuf t = VK_BUF_INIT(4096);
	repo_add(&t, "100644", ".dockerignore", repo_blob(&r, "one\n"));
	repo_add(&t, "100644", "Dockerfile", repo_blob(&r, dockerfile));
	repo_add(&t, "100644", "Dockerfile.dockerignore", repo_blob(&r, "two\n"));
	repo_add(&t, "100644", "one", repo_blob(&r, "1"));
	repo_add(&t, "100644", "two", repo_blob(&r, "2"));
	git_oid root = repo_tree(&r, &t);
	struct made m = make(&r, root, PLAIN, "{}");
	cr_expect_str_eq(m.paths, ".dockerignore Dockerfile Dockerfile.dockerignore one ");
	made_free(&m);
	m = make(&r, root, "{\"inline\": \"FROM a:1\\n\", \"context\": \".\"}", "{}");
	cr_expect_str_eq(m.paths, ".dockerignore Dockerfile Dockerfile.dockerignore two ");
	made_free(&m);
	repo_free(&r);
}

static void expect_refused(
	struct repo *r, git_oid root, const char *recipe, int code, const char *word)
{
	struct made m = make(r, root, recipe, "{}");
	cr_expect_eq(m.rc, code, "%s: %s", word, m.err.msg);
	cr_expect(strstr(m.err.msg, word) != NULL, "%s: %s", word, m.err.msg);
	made_free(&m);
}

Test(plan, refusals)
{
	struct repo r = repo_new();
	git_oid root = project(&r, "x", "100644", "x", dockerfile, NULL);
	expect_refused(
		&r, root, "{\"dockerfile\": \"no\", \"context\": \".\"}", VK_NOTFOUND, "no \"no\"");
	expect_refused(&r, root, "{\"dockerfile\": \"Dockerfile\", \"context\": \"b\"}",
		VK_NOTFOUND, "no \"b\"");
	expect_refused(&r, root, "{\"dockerfile\": \"a\", \"context\": \".\"}", VK_INVALID,
		"no regular file");
	expect_refused(&r, root, "{\"dockerfile\": \"Dockerfile\", \"context\": \"a/x\"}",
		VK_INVALID, "no directory");
	expect_refused(&r, project(&r, "x", "160000", "x", dockerfile, NULL), PLAIN, VK_INVALID,
		"submodule");
	expect_refused(&r, project(&r, "x", "100644", "x", dockerfile, "[\n"), PLAIN, VK_INVALID,
		".dockerignore:1");
	expect_refused(&r, project(&r, "x", "100644", "x", "FROM 127.0.0.1:5000/o/a\n", NULL),
		PLAIN, VK_DENIED, "Dockerfile:1");
	vk_autobuf big = VK_BUF_INIT(4096);
	while (big.len < 501)
		vk_buf_addc(&big, 'b');
	expect_refused(&r, project(&r, vk_buf_str(&big), "100644", "x", dockerfile, NULL), PLAIN,
		VK_LIMIT, "a/x");
	repo_free(&r);
}

Test(plan, tar_holds_what_was_planned)
{
	struct repo r = repo_new();
	git_oid root = project(&r, "x", "120000", "x", dockerfile, NULL);
	json_t *q = json_loads("{\"inline\": \"FROM a:1\\n\", \"context\": \".\"}", 0, NULL);
	struct plan_request request = {
		.recipe = q, .limits = {.depth = 64, .files = 100, .bytes = 1000, .object = 500}};
	struct tree_store *s = repo_store(&r);
	struct plan p;
	struct vk_err err = {0};
	cr_assert_eq(plan_make(s, &root, &request, &p, &err), 0, "%s", err.msg);
	vk_autofree char *file = vk_asprintf("%s/out.tar", r.dir);
	int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_expect_eq(plan_write(s, &p, 500, fd, &err), 0, "%s", err.msg);
	/* names at the places where ustar has them */
	char block[512];
	cr_assert_eq(pread(fd, block, sizeof(block), 0), 512);
	cr_expect_str_eq(block, p.dockerfile);
	cr_assert_eq(pread(fd, block, sizeof(block), 1024), 512);
	cr_expect_str_eq(block, "Dockerfile");
	cr_assert_eq(pread(fd, block, sizeof(block), 2048), 512);
	cr_expect_str_eq(block, "a/");
	close(fd);
	plan_release(&p);
	tree_store_free(s);
	json_decref(q);
	repo_free(&r);
}
