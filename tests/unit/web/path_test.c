#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "path.h"

static void takes(const char *path, const char *rel, bool dir, const char *location)
{
	struct site_path p;
	char out[PATH_LOCATION_MAX];
	cr_assert(site_path_parse(path, &p), "%s", path);
	cr_assert_str_eq(p.rel, rel, "%s", path);
	cr_assert_eq(p.dir, dir, "%s", path);
	site_path_location(&p, out);
	cr_assert_str_eq(out, location, "%s", path);
}

Test(path, plain)
{
	takes("/", ".", true, "/");
	takes("/a", "a", false, "/a/");
	takes("/a/", "a", true, "/a/");
	takes("/a/b.html", "a/b.html", false, "/a/b.html/");
	takes("//a///b//", "a/b", true, "/a/b/");
	takes("/.well-known/x", ".well-known/x", false, "/.well-known/x/");
	takes("/a..b", "a..b", false, "/a..b/");
	takes("/\xc3\xa4 b", "\xc3\xa4 b", false, "/%C3%A4%20b/");
	takes("/%2e%2e", "%2e%2e", false, "/%252e%252e/");
	takes("//evil.com", "evil.com", false, "/evil.com/");
	takes("/a:b?c#d", "a:b?c#d", false, "/a%3Ab%3Fc%23d/");
}

Test(path, refused)
{
	static const char *const bad[] = {"", "a", "*", "http://x/", "/..", "/../a", "/a/..",
		"/a/../b", "/.", "/./a", "/.git/config", "/.env", "/a/.b", "/a/.well-known/x",
		"/.well-knownx", "/...", "/a\\b", "/\\..\\x", "/a\nb", "/a\rb", "/\x01", "/a\x7f",
		"/a\tb"};
	struct site_path p;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_not(site_path_parse(bad[i], &p), "%s", bad[i]);
}

Test(path, limits)
{
	struct site_path p;
	char text[PATH_TEXT_MAX + 3];
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 100 == 0 ? '/' : 'a';
	text[PATH_TEXT_MAX + 1] = '\0';
	cr_assert_not(site_path_parse(text, &p));
	text[PATH_TEXT_MAX] = '\0';
	cr_assert(site_path_parse(text, &p));
	char name[260];
	memset(name, 'a', sizeof(name));
	name[0] = '/';
	name[257] = '\0';
	cr_assert_not(site_path_parse(name, &p), "a name of 256 bytes");
	name[256] = '\0';
	cr_assert(site_path_parse(name, &p));
}
