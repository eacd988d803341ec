#include <criterion/criterion.h>
#include <viking/str.h>

#include "refs.h"

#define ZERO "0000000000000000000000000000000000000000"
#define ONE  "1111111111111111111111111111111111111111"
#define TWO  "2222222222222222222222222222222222222222"

static struct ref_updates judged(const char *const *lines)
{
	struct ref_updates u = {0};
	for (; *lines != NULL; lines++)
		cr_assert_eq(refs_add(&u, *lines, strlen(*lines), NULL), 0, "%s", *lines);
	refs_judge(&u, "main, master", "master");
	return u;
}

Test(refs, deploy_branches_tags_and_the_rest)
{
	static const struct {
		const char *line;
		enum ref_kind kind;
		const char *hint;
	} rows[] = {
		{ZERO " " ONE " refs/heads/main", REF_DEPLOY, ""},
		{ONE " " TWO " refs/heads/master", REF_DEPLOY, ""},
		{ZERO " " ONE " refs/heads/feature/x", REF_REFUSED,
			"git push <remote> feature/x:master"},
		{ZERO " " ONE " refs/heads/mai", REF_REFUSED, "git push <remote> mai:master"},
		{ONE " " ZERO " refs/heads/main", REF_REFUSED, "viking stacks:destroy STACK"},
		{ONE " " ZERO " refs/heads/other", REF_REFUSED, ""},
		{ZERO " " ONE " refs/tags/v1", REF_TAG, ""},
		{ONE " " ZERO " refs/tags/v1", REF_TAG, ""},
		{ZERO " " ONE " refs/heads/--upload-pack=x", REF_REFUSED, ""},
		{ZERO " " ONE " refs/tags/-x", REF_REFUSED, ""},
		{ZERO " " ONE " refs/notes/commits", REF_REFUSED, ""},
		{ZERO " " ONE " refs/viking/x", REF_REFUSED, ""},
		{ZERO " " ONE " HEAD", REF_REFUSED, ""},
	};
	for (size_t i = 0; i < VK_COUNT(rows); i++) {
		struct ref_updates u = judged((const char *const[]){rows[i].line, NULL});
		cr_expect_eq(u.verdicts[0].kind, rows[i].kind, "%s", rows[i].line);
		cr_expect_str_eq(u.verdicts[0].hint, rows[i].hint);
		cr_expect_eq(refs_all_refused(&u), rows[i].kind == REF_REFUSED);
		cr_expect_eq(refs_deploying(&u) != NULL, rows[i].kind == REF_DEPLOY);
		refs_release(&u);
	}
}

Test(refs, two_deploy_branches_are_both_refused_and_a_tag_is_not)
{
	struct ref_updates u = judged((const char *const[]){ZERO " " ONE " refs/heads/main",
		ZERO " " ONE " refs/tags/v1", ZERO " " ONE " refs/heads/master", NULL});
	cr_expect_eq(u.verdicts[0].kind, REF_REFUSED);
	cr_expect_eq(u.verdicts[1].kind, REF_TAG);
	cr_expect_eq(u.verdicts[2].kind, REF_REFUSED);
	cr_expect_null(refs_deploying(&u));
	cr_expect_not(refs_all_refused(&u));
	refs_release(&u);
}

Test(refs, a_reason_is_short_and_printable)
{
	char line[600];
	int n = snprintf(line, sizeof(line), ZERO " " ONE " refs/heads/");
	memset(line + n, 'x', 230);
	line[n + 100] = '\x1b';
	line[n + 230] = '\0';
	struct ref_updates u = judged((const char *const[]){line, NULL});
	cr_expect_eq(u.verdicts[0].kind, REF_REFUSED);
	cr_expect_leq(strlen(u.verdicts[0].reason), REASON_MAX);
	cr_expect_null(strchr(u.verdicts[0].reason, '\x1b'));
	refs_release(&u);
}

Test(refs, lines_that_cannot_be_read)
{
	static const char *const bad[] = {"", " ", ONE, ONE " " TWO, ONE " " TWO " ",
		"x " ONE " refs/heads/a", ONE "  refs/heads/a", ONE "1 " TWO "2 refs/heads/a",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA " TWO " refs/heads/a"};
	struct ref_updates u = {0};
	for (size_t i = 0; i < VK_COUNT(bad); i++)
		cr_expect_eq(refs_add(&u, bad[i], strlen(bad[i]), NULL), VK_INVALID, "%s", bad[i]);
	struct vk_err err = {0};
	const char *sha256 =
		ZERO "000000000000000000000000 " ONE "111111111111111111111111 refs/heads/a";
	cr_expect_eq(refs_add(&u, sha256, strlen(sha256), &err), VK_INVALID);
	cr_expect(strstr(err.msg, "SHA-256") != NULL, "%s", err.msg);
	refs_release(&u);
}

Test(refs, branch_lists)
{
	char name[REF_NAME_MAX + 1];
	refs_first_branch(" trunk, x", name);
	cr_expect_str_eq(name, "trunk");
	refs_first_branch("", name);
	cr_expect_str_eq(name, "main");
	cr_expect(refs_is_branch("a,b, c", "c"));
	cr_expect_not(refs_is_branch("ab", "a"));
	cr_expect_not(refs_is_branch("a", ""));
	cr_expect_not(refs_is_branch("", "a"));
}
