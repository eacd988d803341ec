#include "packref.h"
#include "scene.h"

static char prefixes[] = "https://,http://,git://", paths[] = "/srv/packs";
static const struct vk_config host = {.policy_pack_urls = prefixes, .policy_pack_paths = paths};

Test(packref, what_is_known_to_be_harmless_passes)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{"node", "own:node"},
		{"own:procfile", "own:procfile"},
		{"inline", "inline"},
		{"heroku/nodejs", "https://github.com/heroku/heroku-buildpack-nodejs"},
		{"heroku/ruby#v250", "https://github.com/heroku/heroku-buildpack-ruby#v250"},
		{"https://github.com/x/y.git", "https://github.com/x/y.git"},
		{"https://github.com/x/y#feature/a-b_1.2",
			"https://github.com/x/y#feature/a-b_1.2"},
		{"https://github.com:8443/x/y?a=b", "https://github.com:8443/x/y?a=b"},
		{"http://packs.example.org/p.tgz", "http://packs.example.org/p.tgz"},
		{"git://example.org/p", "git://example.org/p"},
		{"https://93.184.216.34/p", "https://93.184.216.34/p"},
		{"https://[2606:2800:220:1::1]:8443/p", "https://[2606:2800:220:1::1]:8443/p"},
		{"https://example.org/a%20b", NULL},
		{"https://example.org/a%41b", "https://example.org/a%41b"},
		{"https://127.example.org/p", "https://127.example.org/p"},
		{"/srv/packs/mine", "/srv/packs/mine"},
		{"file:///srv/packs/mine", "/srv/packs/mine"},
	};
	for (size_t i = 0; i < VK_COUNT(cases); i++) {
		vk_autofree char *have = NULL;
		struct vk_err err = {0};
		int rc = packref_parse(&host, cases[i].text, &have, &err);
		if (cases[i].want == NULL)
			cr_expect_eq(rc, VK_INVALID, "%s", cases[i].text);
		else
			cr_expect(rc == 0 && strcmp(have, cases[i].want) == 0, "%s: %s %s",
				cases[i].text, have != NULL ? have : "-", err.msg);
	}
}

Test(packref, hostile_ones_are_refused_in_one_line)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{"", "nothing"},
		{"ext::sh -c id", "blank"},
		{"ext::sh%20-c", "runs a program"},
		{"fd::17", "runs a program"},
		{"https::https://x/y", "runs a program"},
		{"--upload-pack=id", "dash"},
		{"-oProxyCommand=id", "dash"},
		{"https://example.org/x\nhttps://evil/y", "control"},
		{"https://example.org/x\ty", "control"},
		{"https://ex\xc3\xa4mple.org/x", "control"},
		{"https://user:secret@example.org/x", "user or password"},
		{"https://token@example.org/x", "user or password"},
		{"https://localhost/x", "loopback"},
		{"https://LOCALHOST:3000/x", "loopback"},
		{"https://a.localhost./x", "loopback"},
		{"https://127.0.0.1/x", "loopback"},
		{"https://127.0.0.1./x", "loopback"},
		{"https://127.9.9.9:80/x", "loopback"},
		{"https://0.0.0.0/x", "loopback"},
		{"https://169.254.169.254/latest", "link-local"},
		{"https://[::1]/x", "loopback"},
		{"https://[::]/x", "loopback"},
		{"https://[fe80::1]/x", "link-local"},
		{"https://[::ffff:127.0.0.1]/x", "loopback"},
		{"https://[::127.0.0.1]/x", "loopback"},
		{"https://2130706433/x", "malformed"},
		{"https://0x7f.1/x", "malformed"},
		{"https://0x7f000001/x", "malformed"},
		{"https://127.1/x", "malformed"},
		{"https://0177.0.0.1/x", "malformed"},
		{"https://[::1/x", "malformed"},
		{"https:///x", "no host"},
		{"https://-x/y", "no host"},
		{"https://example.org", "no path"},
		{"https://example.org#x", "no path"},
		{"https://example.org:0/x", "port"},
		{"https://example.org:99999/x", "port"},
		{"https://example.org/x%0ahost=evil", "control"},
		{"https://example.org/x%00", "control"},
		{"https://example.org/x%", "malformed"},
		{"https://example.org/$(id)", "character"},
		{"https://example.org/`id`", "character"},
		{"https://example.org/'x'", "character"},
		{"https://example.org\\@evil/x", "user or password"},
		{"https://example.org/x#--upload-pack=id", "#REF"},
		{"https://example.org/x#a..b", "#REF"},
		{"https://example.org/x#", "#REF"},
		{"https://example.org/x#a:b", "#REF"},
		{"https://example.org/p.tgz#v1", "tarball"},
		{"HTTPS://example.org/x", "scheme"},
		{"ssh://example.org/x", "only https"},
		{"ftp://example.org/x", "only https"},
		{"git@github.com:x/y.git", "no URL"},
		{"heroku/../../evil#x y", "blank"},
		{"nodejs", "no URL"},
		{"../packs/x", "no URL"},
	};
	for (size_t i = 0; i < VK_COUNT(cases); i++) {
		vk_autofree char *have = NULL;
		struct vk_err err = {0};
		cr_expect_eq(packref_parse(&host, cases[i].text, &have, &err), VK_INVALID, "%s",
			cases[i].text);
		cr_expect(strstr(err.msg, cases[i].why) != NULL, "%s: %s", cases[i].text, err.msg);
		cr_expect(strchr(err.msg, '\n') == NULL && strstr(err.msg, "secret") == NULL &&
				err.hint[0] != '\0',
			"%s", err.msg);
		cr_expect_null(have);
	}
}

Test(packref, the_host_says_where_packs_come_from)
{
	static const char *const outside[] = {
		"/etc/packs", "file:///etc/passwd", "/srv/packsx/y", "/srv/packs/../../etc"};
	char only[] = "https://github.com,https://packs.example.org/ok-", none[] = "";
	struct vk_config strict = {.policy_pack_urls = only, .policy_pack_paths = none};
	struct vk_err err = {0};
	char *have = NULL;
	for (size_t i = 0; i < VK_COUNT(outside); i++)
		cr_expect_eq(
			packref_parse(&host, outside[i], &have, &err), VK_DENIED, "%s", outside[i]);
	cr_expect(strstr(err.hint, "policy.pack_paths") != NULL);
	cr_expect_eq(packref_parse(&strict, "/srv/packs/x", &have, &err), VK_DENIED);
	cr_expect_eq(packref_parse(&strict, "https://gitlab.com/x", &have, &err), VK_DENIED);
	cr_expect(strstr(err.hint, "policy.pack_urls") != NULL);
	cr_expect_eq(
		packref_parse(&strict, "https://github.com.evil.org/x", &have, &err), VK_DENIED);
	cr_expect_eq(packref_parse(&strict, "https://packs.example.org/x", &have, &err), VK_DENIED);
	cr_expect_eq(packref_parse(&strict, "https://packs.example.org/ok-1", &have, NULL), 0);
	free(have);
	cr_expect_eq(packref_parse(&strict, "https://github.com/x/y", &have, NULL), 0);
	free(have);
}

Test(packref, a_wrong_name_of_ours_is_mended)
{
	struct vk_err err = {0};
	char *have = NULL;
	cr_expect_eq(packref_parse(&host, "pyton", &have, &err), VK_INVALID);
	cr_expect_str_eq(err.hint, "did you mean python?");
}
