#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/mem.h>

#include "gc.h"

#define REPOS "docker/registry/v2/repositories"
#define KEPT  "127.0.0.1:5000/s/web@sha256:aaaa"

static char tree[64];

static void put(const char *path)
{
	vk_autofree char *full = vk_asprintf("%s/%s", tree, path);
	vk_autofree char *dir = vk_strndup(full, (size_t)(strrchr(full, '/') - full));
	cr_assert_eq(vk_fs_mkdir_p(dir, 0755, NULL), 0);
	cr_assert_eq(vk_fs_write_atomic(full, "x", 1, 0644, NULL), 0);
}

static void setup(void)
{
	snprintf(tree, sizeof(tree), "/tmp/gc-XXXXXX");
	cr_assert_not_null(mkdtemp(tree));
}

static void teardown(void)
{
	vk_fs_remove_tree(tree, NULL);
}

TestSuite(gc, .init = setup, .fini = teardown);

Test(gc, manifests_are_read_from_the_storage_even_untagged)
{
	vk_autostrv refs = {0};
	put(REPOS "/s/web/_manifests/revisions/sha256/aaaa/link");
	put(REPOS "/s/web/_manifests/revisions/sha256/bbbb/link");
	put(REPOS "/s/web/_manifests/tags/1/current/link");
	put(REPOS "/s/_x/_manifests/revisions/sha256/cccc/link");
	put(REPOS "/other/db/_manifests/revisions/sha256/dddd/other"); /* deleted: no link left */
	put(REPOS "/other/db/_manifests/revisions/sha256/eeee/link");
	cr_assert_eq(gc_manifests(tree, "127.0.0.1:5000", &refs, NULL), 0);
	vk_strv_sort(&refs);
	cr_assert_eq(refs.n, 3);
	cr_assert_str_eq(refs.v[0], "127.0.0.1:5000/other/db@sha256:eeee");
	cr_assert_str_eq(refs.v[1], KEPT);
	cr_assert_str_eq(refs.v[2], "127.0.0.1:5000/s/web@sha256:bbbb");
}

Test(gc, an_empty_registry_has_none)
{
	vk_autostrv refs = {0};
	cr_assert_eq(gc_manifests(tree, "x", &refs, NULL), 0);
	cr_assert_eq(refs.n, 0);
	cr_assert_eq(gc_empty_repositories(tree, NULL), 0);
}

Test(gc, repositories_without_manifests_go)
{
	vk_autofree char *gone = vk_asprintf("%s/" REPOS "/s/old", tree),
			 *stays = vk_asprintf("%s/" REPOS "/s/web", tree);
	put(REPOS "/s/web/_manifests/revisions/sha256/aaaa/link");
	put(REPOS "/s/old/_manifests/revisions/sha256/bbbb/empty");
	put(REPOS "/s/old/_layers/sha256/cccc/link");
	cr_assert_eq(gc_empty_repositories(tree, NULL), 0);
	cr_assert(vk_fs_exists(stays));
	cr_assert(!vk_fs_exists(gone));
}

static json_t *image(const char *id, const char *digest)
{
	return json_pack("{s:s, s:[s], s:[s]}", "Id", id, "RepoTags", "127.0.0.1:5000/s/web:1",
		"RepoDigests", digest);
}

Test(gc, an_image_goes_only_when_nothing_names_or_runs_it)
{
	vk_autojson *keep = json_pack("[s]", KEPT);
	vk_autojson *containers =
		json_pack("[{s:s}, {s:s}]", "ImageID", "sha256:1", "ImageID", "sha256:2");
	vk_autojson *kept = image("sha256:9", KEPT),
		    *running = image("sha256:2", "127.0.0.1:5000/s/web@sha256:ffff");
	vk_autojson *unused = image("sha256:3", "127.0.0.1:5000/s/web@sha256:ffff");
	vk_autojson *elsewhere =
		image("sha256:4", "127.0.0.1:5000/t/web@sha256:aaaa"); /* same digest, other boat */
	vk_autojson *bare =
		json_pack("{s:s, s:n, s:n}", "Id", "sha256:5", "RepoTags", "RepoDigests");
	vk_autostrv used = {0};
	gc_used_images(containers, &used);
	cr_assert(!gc_image_unused(kept, keep, &used));
	cr_assert(!gc_image_unused(running, keep, &used));
	cr_assert(gc_image_unused(unused, keep, &used));
	cr_assert(gc_image_unused(elsewhere, keep, &used));
	cr_assert(gc_image_unused(bare, keep, &used));
}

Test(gc, whose_an_image_is)
{
	vk_autojson *named = image("sha256:9", "127.0.0.1:5000/t/x@sha256:aaaa");
	vk_autojson *near = json_pack("{s:s, s:[s], s:n, s:n}", "Id", "sha256:5", "RepoTags",
		"127.0.0.1:50001/s/web:1", "RepoDigests", "Labels");
	vk_autojson *labelled = json_pack("{s:s, s:n, s:n, s:{s:s}}", "Id", "sha256:6", "RepoTags",
		"RepoDigests", "Labels", "viking.root", "r1");
	cr_assert(gc_image_ours(named, "127.0.0.1:5000", "r1"));
	cr_assert(!gc_image_ours(near, "127.0.0.1:5000", "r1"));
	cr_assert(gc_image_ours(labelled, "127.0.0.1:5000", "r1"));
	cr_assert(!gc_image_ours(labelled, "127.0.0.1:5000", "r2"));
}

Test(gc, the_stack_image_goes_when_it_has_no_tag_left)
{
	static const struct {
		const char *tag;
		bool ours;
	} rows[] = {
		{"127.0.0.1:5000/viking-stack:run", false}, {"viking-stack:run-1", false},
		{"<none>:<none>", true},
		{"127.0.0.1:5000/viking-stack/web:1", true}, /* of a stack with that name */
	};
	for (size_t i = 0; i < VK_COUNT(rows); i++) {
		vk_autojson *j = json_pack("{s:s, s:[s], s:[s], s:n}", "Id", "sha256:5", "RepoTags",
			rows[i].tag, "RepoDigests", "127.0.0.1:5000/viking-stack@sha256:aaaa",
			"Labels");
		cr_expect_eq(
			gc_image_ours(j, "127.0.0.1:5000", "r1"), rows[i].ours, "%s", rows[i].tag);
	}
}

Test(gc, names_of_an_image)
{
	vk_autojson *named = image("sha256:9", KEPT);
	vk_autojson *dangling = json_pack("{s:s, s:[s], s:[s]}", "Id", "sha256:5", "RepoTags",
		"<none>:<none>", "RepoDigests", "<none>@<none>");
	vk_autostrv names = {0}, none = {0};
	gc_image_names(named, &names);
	cr_assert_eq(names.n, 2);
	cr_assert_str_eq(names.v[0], "127.0.0.1:5000/s/web:1");
	cr_assert_str_eq(names.v[1], KEPT);
	gc_image_names(dangling, &none);
	cr_assert_eq(none.n, 0);
}

Test(gc, disk_usage_counts_blocks)
{
	uint64_t before = gc_disk_usage(tree);
	vk_autofree char *file = vk_asprintf("%s/big", tree);
	vk_autofree char *data = vk_alloc(1 << 20);
	memset(data, 'x', 1 << 20);
	cr_assert_eq(vk_fs_write_atomic(file, data, 1 << 20, 0644, NULL), 0);
	cr_assert(gc_disk_usage(tree) - before >= 1 << 20);
	cr_assert_eq(gc_disk_usage("/nonexistent/x"), 0);
}

Test(gc, the_cache_gets_what_images_leave)
{
	cr_assert_eq(gc_cache_budget(100, 30), 70);
	cr_assert_eq(gc_cache_budget(100, 130), 0);
}
