#include <criterion/criterion.h>
#include <string.h>
#include <viking/id.h>
#include <viking/mem.h>

#define X63 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

typedef int name_fn(const char *s, struct vk_err *err);

static void accepts(name_fn *fn, const char *const *names)
{
	struct vk_err e = {0};
	for (; *names != NULL; names++)
		cr_assert_eq(fn(*names, &e), 0, "%s: %s", *names, e.msg);
}

static void refuses(name_fn *fn, const char *const *names)
{
	for (; *names != NULL; names++) {
		struct vk_err e = {0};
		cr_assert_eq(fn(*names, &e), VK_INVALID, "%s", *names);
		cr_assert_neq(e.msg[0], '\0');
	}
	struct vk_err e = {0};
	cr_assert_eq(fn(NULL, &e), VK_INVALID);
}

Test(id, stack_names)
{
	static const char *const good[] = {
		"a", "0a", "ragnar", "my-app-2", X63, "a-", "vikings", NULL};
	static const char *const bad[] = {"", "-a", "A", "a_b", "a.b", "a/b", "../x", "a b", "a\n",
		"123", "0", X63 "x", "viking", "core", "system", "shared-registry", "--help",
		"\xc3\xa9", "a;b", "$x", NULL};
	accepts(vk_stack_name, good);
	refuses(vk_stack_name, bad);
}

Test(id, refusals_show_the_name_but_not_its_control_bytes)
{
	struct vk_err e = {0};
	vk_stack_name("Bad\x1b[1m", &e);
	cr_assert_not_null(strstr(e.msg, "Bad?[1m"));
	vk_stack_name("viking", &e);
	cr_assert_not_null(strstr(e.msg, "reserved"));
}

Test(id, a_name_that_is_too_long_says_so)
{
	struct vk_err e = {0};
	cr_assert_eq(vk_stack_name(X63 "x", &e), VK_INVALID);
	cr_assert_not_null(
		strstr(e.msg, "it has 64 characters, at most 63 are allowed"), "%s", e.msg);
}

Test(id, a_new_stack_name_is_the_label_of_a_domain)
{
	static const char *const good[] = {"a", "my-app-2", X63, NULL};
	static const char *const bad[] = {"", "a-", "a--", "-a", "viking", X63 "x", NULL};
	accepts(vk_stack_name_new, good);
	refuses(vk_stack_name_new, bad);
}

Test(id, node_names)
{
	static const char *const good[] = {"web", "a_b", "1", "a-b_c", X63, NULL};
	static const char *const bad[] = {"", "_a", "-a", "Web", "a.b", X63 "x", NULL};
	accepts(vk_node_name, good);
	refuses(vk_node_name, bad);
}

Test(id, key_names)
{
	static const char *const good[] = {"me", "Anna.Smith@example", "a-b_c", "1", X63, NULL};
	static const char *const bad[] = {"", ".me", "@x", "a b", "a/b", X63 "x", NULL};
	accepts(vk_key_name, good);
	refuses(vk_key_name, bad);
}

Test(id, env_names)
{
	char longest[130];
	memset(longest, 'A', 128);
	longest[128] = '\0';
	const char *const good[] = {"A", "_", "PATH", "a1_B", longest, NULL};
	accepts(vk_env_name, good);
	longest[128] = 'A';
	longest[129] = '\0';
	const char *const bad[] = {"", "1A", "A-B", "A=B", "A B", longest, NULL};
	refuses(vk_env_name, bad);
}

static void domain_is(const char *in, bool wildcard, const char *want)
{
	char out[VK_DOMAIN_MAX + 1] = "untouched";
	struct vk_err e = {0};
	int rc = vk_domain(in, wildcard, out, &e);
	if (want == NULL) {
		cr_assert_eq(rc, VK_INVALID, "%s -> %s", in, out);
		cr_assert_str_eq(out, "untouched");
		cr_assert_neq(e.msg[0], '\0');
		return;
	}
	cr_assert_eq(rc, 0, "%s: %s", in, e.msg);
	cr_assert_str_eq(out, want);
}

Test(id, domains)
{
	domain_is("example.com", false, "example.com");
	domain_is("WWW.Example.COM.", false, "www.example.com");
	domain_is("a-b.c1", false, "a-b.c1");
	domain_is("xn--bcher-kva.example", false, "xn--bcher-kva.example");
	domain_is("1.example", false, "1.example");
	domain_is("localhost", false, "localhost");
	domain_is("app.localhost", false, "app.localhost");
	domain_is("*.help.x.com", true, "*.help.x.com");
	domain_is("*.localhost", true, "*.localhost");
}

Test(id, a_domain_in_other_letters_is_told_its_form)
{
	char out[VK_DOMAIN_MAX + 1];
	struct vk_err e = {0};
	cr_assert_eq(vk_domain("b\303\274cher.example", false, out, &e), VK_INVALID);
	cr_assert(strstr(e.msg, "xn--"), "%s", e.msg);
}

Test(id, domains_refused)
{
	static const char *const bad[] = {"", ".", "..", "com", "notlocalhost", "a..b", ".a.b",
		"a.b..", "-a.b", "a-.b", "a_b.c", "a b.c", "a.b\n", "a.b/c", "a.b:80", "a.b;x",
		"a.b #", "\"${HOME}.x\"", "a.b\\", "127.0.0.1", "10.1", "1.2.3.0x4", "0x7f.1",
		"[::1]", "a.b\tc.d",
		"b\xc3\xbc"
		"cher.de",
		X63 "x.com", "*.a.b", "a.*.b", NULL};
	for (int i = 0; bad[i] != NULL; i++)
		domain_is(bad[i], false, NULL);
	domain_is("*", true, NULL);
	domain_is("*.com", true, NULL);
	domain_is("*.*.com", true, NULL);
	domain_is("a.*.com", true, NULL);
	domain_is("**.a.com", true, NULL);
	domain_is("*.1.2.3.4", true, NULL);
	domain_is(NULL, true, NULL);
}

Test(id, domain_length)
{
	char name[260];
	memset(name, 'a', sizeof(name));
	for (int i = 50; i < 255; i += 51)
		name[i] = '.';
	name[253] = '\0';
	domain_is(name, false, name);
	name[253] = 'a';
	name[254] = '\0';
	domain_is(name, false, NULL);
	name[253] = '.'; /* the dot that is cut does not count */
	char cut[254];
	memcpy(cut, name, 253);
	cut[253] = '\0';
	domain_is(name, false, cut);
}

Test(id, commits)
{
	cr_assert(vk_is_commit("0123456789abcdef0123456789abcdef01234567"));
	cr_assert_not(vk_is_commit("0123456789abcdef0123456789abcdef0123456"));
	cr_assert_not(vk_is_commit("0123456789abcdef0123456789abcdef012345678"));
	cr_assert_not(vk_is_commit("0123456789ABCDEF0123456789abcdef01234567"));
	cr_assert_not(vk_is_commit("0123456789abcdef0123456789abcdef0123456g"));
	cr_assert_not(vk_is_commit(NULL));
}

Test(id, random_hex)
{
	char a[65], b[65];
	vk_random_hex(32, a);
	vk_random_hex(32, b);
	cr_assert_eq(strlen(a), 64);
	cr_assert_eq(strspn(a, "0123456789abcdef"), 64);
	cr_assert_str_neq(a, b);
	vk_random_hex(0, a);
	cr_assert_str_eq(a, "");
}

Test(id, derived_names)
{
	char out[160], alias[VK_NAME_MAX + 1];
	vk_instance_name("ragnar", "web", 3, 1, out);
	cr_assert_str_eq(out, "ragnar-web-3-1");
	vk_instance_name(X63, X63, 4294967295u, 4294967295u, out);
	cr_assert_eq(strlen(out), 63 + 1 + 63 + 1 + 10 + 1 + 10);
	vk_dns_alias("a_b-c_", alias);
	cr_assert_str_eq(alias, "a-b-c-");
}
