#include <criterion/criterion.h>
#include <string.h>
#include <viking/mem.h>

#include "registry.h"

#define HEX64 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static char server[] = "127.0.0.1:5000";
static const struct registry r = {.server = server};

static void expect_split(const char *ref, const char *repo)
{
	vk_autofree char *got_repo = NULL, *got_digest = NULL;
	bool ok = registry_split(&r, ref, &got_repo, &got_digest);
	cr_assert_eq(ok, repo != NULL, "%s", ref);
	if (repo != NULL) {
		cr_assert_str_eq(got_repo, repo);
		cr_assert_str_eq(got_digest, "sha256:" HEX64);
	}
}

Test(registry, references_by_digest)
{
	expect_split("127.0.0.1:5000/ragnar/base@sha256:" HEX64, "ragnar/base");
	expect_split("127.0.0.1:5000/ragnar/base:tag", NULL);
	expect_split("127.0.0.1:5000/@sha256:" HEX64, NULL);
	expect_split("127.0.0.1:50000/ragnar/base@sha256:" HEX64, NULL);
	expect_split("other/ragnar@sha256:" HEX64, NULL);
	expect_split("127.0.0.1:5000/ragnar/base@sha256:abc", NULL);
	expect_split("", NULL);
}

Test(registry, digests)
{
	cr_assert(registry_is_digest("sha256:" HEX64));
	cr_assert(!registry_is_digest("sha256:" HEX64 "0"));
	cr_assert(!registry_is_digest("sha512:" HEX64));
	cr_assert(!registry_is_digest(
		"sha256:00112233445566778899AABBccddeeff00112233445566778899aabbccddeeff"));
	cr_assert(!registry_is_digest(""));
}

Test(registry, names_a_registry_takes)
{
	static const char *const good[] = {
		"a", "ragnar", "my-app", "a--b", "a_b", "a__b", "a-b_c9"};
	static const char *const bad[] = {
		"", "-a", "a-", "_a", "a_", "a___b", "a-_b", "A", "a/b", "a b"};
	for (size_t i = 0; i < VK_COUNT(good); i++)
		cr_assert(registry_is_name(good[i]), "%s", good[i]);
	for (size_t i = 0; i < VK_COUNT(bad); i++)
		cr_assert(!registry_is_name(bad[i]), "%s", bad[i]);
}

Test(registry, one_that_is_away_is_named)
{
	char away[] = "127.0.0.1:1", password[] = "hush";
	struct registry gone = {.server = away, .password = password};
	struct vk_err err = {0};
	cr_assert_eq(registry_ping(&gone, &err), VK_UNAVAILABLE);
	cr_assert(strstr(err.msg, "127.0.0.1:1") != NULL, "%s", err.msg);
	cr_assert(strstr(err.hint, "viking doctor") != NULL);
	cr_assert(strstr(err.msg, "hush") == NULL);
}
