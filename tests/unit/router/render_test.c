#include <criterion/criterion.h>
#include <stdio.h>
#include <viking/fs.h>
#include <viking/json.h>

#include "assign.h"
#include "cfg_parse.h"
#include "pages.h"
#include "render.h"

static const struct render_settings settings = {
	.address = "127.0.0.1",
	.port = 8080,
	.https_port = 8443,
	.nonce_key = "bm9uY2Uta2V5",
	.route_dir = "/ROUTE",
	.run_dir = "/RUN",
	.sites = "/SITES/sites.sock",
	.maxconn = 9000,
};

/* tests/golden/router/NAME.json -> NAME.cfg and NAME.maps (all maps, one behind the other).
 * VIKING_GOLDEN_WRITE=1 writes them. */
static void compare(const char *name, const char *kind, const struct vk_buf *text)
{
	vk_autofree char *path = vk_asprintf("%s/golden/router/%s.%s", TEST_DATA, name, kind);
	if (getenv("VIKING_GOLDEN_WRITE") != NULL)
		cr_assert_eq(vk_fs_write_atomic(path, vk_buf_str(text), text->len, 0644, NULL), 0);
	vk_autobuf want = VK_BUF_INIT(1 << 20);
	cr_assert_eq(vk_fs_read(path, &want, NULL), 0, "%s", path);
	cr_assert_str_eq(vk_buf_str(text), vk_buf_str(&want), "%s", path);
}

static void load(const char *name, struct assign *a, struct model *m)
{
	vk_autofree char *path = vk_asprintf("%s/golden/router/%s.json", TEST_DATA, name);
	vk_autobuf b = VK_BUF_INIT(1 << 20);
	vk_autojson *j = NULL;
	struct table *t = NULL;
	struct faults f = {0};
	cr_assert_eq(vk_fs_read(path, &b, NULL), 0, "%s", path);
	cr_assert_eq(vk_json_parse(b.data, b.len, &j, NULL), 0);
	cr_assert_eq(table_parse(j, "uno", &t, &f, NULL), 0);
	table_settle(t, NULL, &f);
	assign_init(a);
	assign_update(a, t);
	assign_model(a, t, m);
	table_free(t);
	faults_release(&f);
}

static void golden(const char *name)
{
	struct assign a;
	struct model m, back = {0};
	vk_autobuf cfg = VK_BUF_INIT(1 << 20), maps = VK_BUF_INIT(1 << 20);
	load(name, &a, &m);
	render_head(&settings, &cfg);
	size_t head = cfg.len;
	render_backends(&settings, &m, &cfg);
	for (enum map_id i = 0; i < MAPS; i++) {
		vk_buf_addf(&maps, "# %s\n", map_names[i]);
		render_map(&m.maps[i], &maps);
	}
	compare(name, "cfg", &cfg);
	compare(name, "maps", &maps);
	cr_assert(cfg_parse(cfg.data + head, &back));
	cr_assert(cfg_same(&m, &back));
	model_release(&m);
	model_release(&back);
	assign_release(&a);
}

Test(render, golden_empty)
{
	golden("empty");
}

Test(render, golden_two_stacks)
{
	golden("two");
}

Test(render, golden_canary)
{
	golden("canary");
}

Test(render, golden_kinds)
{
	golden("kinds");
}

Test(render, golden_policies)
{
	golden("policies");
}

Test(render, golden_hostile)
{
	golden("hostile");
}

Test(render, settings_are_checked)
{
	struct vk_err err = {0};
	cr_assert_eq(render_check(&settings, &err), 0, "%s", err.msg);
	struct render_settings s = settings;
	s.address = "localhost";
	cr_assert_eq(render_check(&s, &err), VK_INVALID);
	s = settings;
	s.port = 70000;
	cr_assert_eq(render_check(&s, &err), VK_INVALID);
	s = settings;
	s.https_port = s.port;
	cr_assert_eq(render_check(&s, &err), VK_INVALID);
	static const char *const bad[] = {
		"relative", "/a b", "/a\nb", "/a\"b", "/a,b", "/a)b", "/a#b", "/a$b"};
	for (size_t i = 0; i < VK_COUNT(bad); i++) {
		s = settings;
		s.route_dir = bad[i];
		cr_assert_eq(render_check(&s, &err), VK_INVALID, "%s", bad[i]);
		s = settings;
		s.run_dir = bad[i];
		cr_assert_eq(render_check(&s, &err), VK_INVALID, "%s", bad[i]);
	}
	s = settings;
	s.sites = "/a-path-that-is-far-too-long-for-the-address-of-a-unix-socket-because-sun-path-"
		  "has-108-bytes-only-and-more";
	cr_assert_eq(render_check(&s, &err), VK_LIMIT);
}

Test(render, maxconn_fits_the_descriptors)
{
	cr_assert_eq(render_maxconn(20000), 9000);
	cr_assert_eq(render_maxconn(1024), 459);
	cr_assert_eq(render_maxconn(10), 100);
	cr_assert_eq(render_maxconn(1000000), 40000);
}

Test(render, owner_of_a_line)
{
	struct model m;
	vk_autobuf b = VK_BUF_INIT(1 << 20);
	model_init(&m, 3, 2);
	m.backends[1].label = vk_strdup("ragnar/web");
	render_head(&settings, &b);
	unsigned lines = 0;
	for (size_t i = 0; i < b.len; i++)
		lines += b.data[i] == '\n';
	render_backends(&settings, &m, &b);
	cr_assert_null(render_owner(&m, vk_buf_str(&b), 1));
	cr_assert_null(render_owner(&m, vk_buf_str(&b), lines), "the head is nobody's");
	cr_assert_null(render_owner(&m, vk_buf_str(&b), lines + 2), "a spare one is nobody's");
	cr_assert_str_eq(render_owner(&m, vk_buf_str(&b), lines + 6), "ragnar/web");
	cr_assert_null(render_owner(&m, vk_buf_str(&b), lines + 10));
	cr_assert_null(render_owner(&m, vk_buf_str(&b), 0));
	model_release(&m);
}

Test(render, fault_line)
{
	static const char said[] =
		"[NOTICE]   (1) : haproxy version is 2.6.12\n[ALERT]    (1) : config : parsing "
		"[/x/haproxy.cfg.check:61] : 'server b0003/s1' : could not resolve address 'x'.\n";
	cr_assert_eq(render_fault_line(said, "/x/haproxy.cfg.check"), 61);
	cr_assert_eq(render_fault_line(said, "/y/haproxy.cfg.check"), 0);
	cr_assert_eq(render_fault_line("", "/x"), 0);
	cr_assert_eq(render_fault_line("/x:99999999999999 /x:7", "/x"), 7);
	cr_assert_eq(render_fault_line("/x /x: /x:a", "/x"), 0);
}

Test(render, pages_have_the_right_length)
{
	for (const struct page *p = pages; p->name != NULL; p++) {
		vk_autobuf b = VK_BUF_INIT(8192);
		page_render(p, &b);
		const char *length = strstr(vk_buf_str(&b), "Content-Length: "),
			   *body = strstr(vk_buf_str(&b), "\r\n\r\n");
		cr_assert(length != NULL && body != NULL);
		cr_assert_eq(strtoul(length + 16, NULL, 10), strlen(body + 4), "%s", p->name);
		cr_assert_lt(b.len, 4096, "must fit haproxy's buffer");
	}
}
