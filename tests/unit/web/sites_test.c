#include <criterion/criterion.h>
#include <viking/json.h>
#include <viking/str.h>

#include "sites.h"

#define A            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B            "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define SITE(commit) "{\"stack\":\"ragnar\",\"node\":\"help\",\"commit\":\"" commit "\"}"

static struct sites *parse(const char *text, const struct sites *old)
{
	vk_autojson *j = NULL;
	struct sites *s = NULL;
	struct vk_err err = {0};
	cr_assert_eq(vk_json_parse(text, strlen(text), &j, &err), 0, "%s", err.msg);
	cr_assert_eq(sites_parse(j, old, NULL, NULL, &s, &err), 0, "%s", err.msg);
	return s;
}

static void finds(const struct sites *s, const char *host, const char *commit)
{
	const struct site *hit = sites_find(s, host);
	cr_assert(commit != NULL ? hit != NULL && vk_streq(hit->commit, commit) : hit == NULL, "%s",
		host);
}

Test(sites, lookup)
{
	struct sites *s =
		parse("{\"rev\":5,\"sites\":{\"a.com\":" SITE(A) ",\"*.w.com\":" SITE(
			      A) ",\"*.deep.w.com\":" SITE(B) ",\"localhost\":" SITE(B) "}}",
			NULL);
	cr_assert_eq(s->rev, 5);
	finds(s, "a.com", A);
	finds(s, "A.COM.:8080", A);
	finds(s, "x.w.com", A);
	finds(s, "x.y.w.com", A);
	finds(s, "x.deep.w.com", B);
	finds(s, "deep.w.com", A);
	finds(s, "localhost:1", B);
	static const char *const none[] = {"w.com", "b.com", "xa.com", "a.com.evil", "", ":80",
		"a.com/x", "u@a.com", "[::1]", "1.2.3.4", ".a.com", "a..com", ".w.com", "*.w.com",
		"a.com:80@x"};
	for (size_t i = 0; i < VK_COUNT(none); i++)
		finds(s, none[i], NULL);
	cr_assert_null(sites_find(NULL, "a.com"));
	cr_assert_null(sites_find(s, NULL));
	sites_free(s);
}

static void count(void *arg, const char *host, const struct vk_err *err)
{
	cr_assert(err->code == VK_INVALID && host != NULL);
	++*(unsigned *)arg;
}

Test(sites, bad_entries_keep_the_old_ones)
{
	static const char text[] =
		"{\"rev\":6,\"sites\":{\"a.com\":" SITE("../../etc") ",\"b.com\":" SITE(
			"ABC") ",\"c d\":" SITE(A) ",\"*.w.com\":1,"
						   "\"e.com\":{\"stack\":\"..\",\"node\":\"x\","
						   "\"commit\":\"" A
						   "\"},\"f.com\":{\"stack\":\"s\",\"node\":\"a/"
						   "b\",\"commit\":\"" A
						   "\"},\"ok.com\":" SITE(B) "}}";
	struct sites *old = parse("{\"rev\":5,\"sites\":{\"a.com\":" SITE(A) ",\"*.w.com\":" SITE(
					  A) "}}",
			     NULL),
		     *s = NULL;
	vk_autojson *j = NULL;
	unsigned bad = 0;
	cr_assert_eq(vk_json_parse(text, strlen(text), &j, NULL), 0);
	cr_assert_eq(sites_parse(j, old, count, &bad, &s, NULL), 0);
	cr_assert_eq(bad, 6);
	cr_assert_eq(s->n, 3);
	finds(s, "a.com", A);
	finds(s, "x.w.com", A);
	finds(s, "ok.com", B);
	sites_free(old);
	sites_free(s);
}

Test(sites, no_table)
{
	vk_autojson *j = json_object();
	struct sites *s = NULL;
	struct vk_err err = {0};
	cr_assert_eq(sites_parse(j, NULL, NULL, NULL, &s, &err), VK_INVALID);
}
