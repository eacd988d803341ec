#include <criterion/criterion.h>
#include <string.h>
#include <viking/mem.h>
#include <viking/pack_name.h>
#include <viking/str.h>

Test(pack_name, what_is_known_to_be_harmless_passes)
{
	static const struct {
		const char *text, *want;
		enum vk_pack_kind kind;
	} cases[] = {
		{"node", "own:node", VK_PACK_OWN},
		{"own:procfile", "own:procfile", VK_PACK_OWN},
		{"inline", "inline", VK_PACK_INLINE},
		{"heroku/nodejs", "https://github.com/heroku/heroku-buildpack-nodejs", VK_PACK_GIT},
		{"heroku/ruby#v250", "https://github.com/heroku/heroku-buildpack-ruby#v250",
			VK_PACK_GIT},
		{"https://github.com/x/y.git", "https://github.com/x/y.git", VK_PACK_GIT},
		{"https://github.com/x/y#feature/a-b_1.2", "https://github.com/x/y#feature/a-b_1.2",
			VK_PACK_GIT},
		{"https://github.com:8443/x/y?a=b", "https://github.com:8443/x/y?a=b", VK_PACK_GIT},
		{"http://packs.example.org/p.tgz", "http://packs.example.org/p.tgz", VK_PACK_TAR},
		{"git://example.org/p", "git://example.org/p", VK_PACK_GIT},
		{"https://93.184.216.34/p", "https://93.184.216.34/p", VK_PACK_GIT},
		{"https://[2606:2800:220:1::1]:8443/p", "https://[2606:2800:220:1::1]:8443/p",
			VK_PACK_GIT},

		{"https://example.org/a%41b", "https://example.org/a%41b", VK_PACK_GIT},
		{"https://127.example.org/p", "https://127.example.org/p", VK_PACK_GIT},
		{"/srv/packs/mine", "/srv/packs/mine", VK_PACK_DIR},
		{"file:///srv/packs/mine", "/srv/packs/mine", VK_PACK_DIR},
		{"https://h.example/x.tar.gz?sig=1", "https://h.example/x.tar.gz?sig=1",
			VK_PACK_TAR},
		{"https://h.example/x.tbz", "https://h.example/x.tbz", VK_PACK_TAR},
		{"git://h.example:9418/x", "git://h.example:9418/x", VK_PACK_GIT},
		{"http://10.1.2.3/x", "http://10.1.2.3/x", VK_PACK_GIT},
	};
	for (size_t i = 0; i < VK_COUNT(cases); i++) {
		vk_autofree char *have = NULL;
		enum vk_pack_kind kind;
		struct vk_err err = {0};
		int rc = vk_pack_name(cases[i].text, &have, &kind, &err);
		cr_expect(rc == 0 && strcmp(have, cases[i].want) == 0 && kind == cases[i].kind,
			"%s: %s %s", cases[i].text, have != NULL ? have : "-", err.msg);
	}
}

Test(pack_name, hostile_ones_are_refused_in_one_line)
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
		{"https://2130706433/x", "loopback"},
		{"https://0x7f.1/x", "loopback"},
		{"https://0x7f000001/x", "loopback"},
		{"https://127.1/x", "loopback"},
		{"https://0177.0.0.1/x", "loopback"},
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
		{"HTTPS://example.org/x", "only https"},
		{"ssh://example.org/x", "only https"},
		{"ftp://example.org/x", "only https"},
		{"git@github.com:x/y.git", "no URL"},
		{"heroku/../../evil#x y", "blank"},
		{"nodejs", "no URL"},
		{"../packs/x", "no URL"},
		{"https://example.org/a%20b", "control"},
		{"fd::7", "runs a program"},
		{"http://[::ffff:169.254.169.254]/x", "link-local"},
		{"http://ip6-localhost/x", "loopback"},
		{"https://example.org/x#a.lock", "#REF"},
		{"/", "absolute"},
		{"//x", "absolute"},
		{"/srv/../etc", ". or .."},
		{"/srv/./x", ". or .."},
		{"/srv/a%41", "absolute"},
		{"file://host/x", "only https"},
		{"file:x", "no URL"},
		{"heroku/", "no URL"},
		{"heroku/..", "no URL"},
	};
	for (size_t i = 0; i < VK_COUNT(cases); i++) {
		vk_autofree char *have = NULL;
		enum vk_pack_kind kind;
		struct vk_err err = {0};
		cr_expect_eq(vk_pack_name(cases[i].text, &have, &kind, &err), VK_INVALID, "%s",
			cases[i].text);
		cr_expect(strstr(err.msg, cases[i].why) != NULL, "%s: %s", cases[i].text, err.msg);
		cr_expect(strchr(err.msg, '\n') == NULL && strstr(err.msg, "secret") == NULL &&
				err.hint[0] != '\0',
			"%s", err.msg);
		cr_expect_null(have);
	}
}

Test(pack_name, a_wrong_name_of_ours_is_mended)
{
	struct vk_err err = {0};
	char *have = NULL;
	enum vk_pack_kind kind;
	cr_expect_eq(vk_pack_name("pyton", &have, &kind, &err), VK_INVALID);
	cr_expect_str_eq(err.hint, "did you mean python?");
}
