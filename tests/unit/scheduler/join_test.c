/* Who may join: the invitation, the name, the address. */
#include "join.h"

#include <viking/crypt.h>
#include <viking/str.h>

#include "scene.h"

#define SECRET "00112233445566778899aabbccddeeff"

static struct state st;
static char row[80];

/* An invitation of SECRET until 1000, and host h1 with the key "k1". */
static void setup(const char *used)
{
	char hash[65];
	vk_sha256_hex(SECRET, strlen(SECRET), hash);
	snprintf(row, sizeof(row), "/invite/%s", hash);
	vk_autofree char *invite =
		vk_asprintf("{'v':1,'who':'local:root','roles':[],'expires_ms':1000%s}", used);
	state_init(&st);
	scene_put(&st, row, invite);
	scene_put(&st, "/host/h1", "{'v':1,'addr':'10.0.0.1','port':8792,'key':'k1'}");
}

static int ask(const char *body, const char *key, int64_t now, struct vk_err *err)
{
	vk_autojson *j = scene_json(body);
	struct join_request q;
	*err = (struct vk_err){0};
	int rc = join_parse(j, &q, err);
	return rc == 0 ? join_check(&st, &q, key, now, err) : rc;
}

#define BODY(name, addr) \
	"{'token':'" SECRET "','name':'" name "','addr':'" addr \
	"','port':8792,'request':'x','version':'" VIKING_VERSION "'}"

Test(join, one_host_with_one_key_uses_an_invitation_as_often_as_it_must)
{
	struct vk_err err;
	setup("");
	cr_assert_eq(ask(BODY("h2", "10.0.0.2"), "k2", 999, &err), 0, "%s", err.msg);
	cr_assert_eq(ask(BODY("h2", "10.0.0.2"), "k2", 1000, &err), VK_DENIED);
	cr_assert(strstr(err.msg, "expired") != NULL && err.hint[0] != '\0');
	state_release(&st);

	setup(",'host':'h2','key':'k2'");
	scene_put(&st, "/host/h2", "{'v':1,'addr':'10.0.0.2','port':8792,'key':'k2'}");
	cr_assert_eq(ask(BODY("h2", "10.0.0.2"), "k2", 999, &err), 0, "%s", err.msg);
	cr_assert_eq(ask(BODY("h2", "10.0.0.2"), "k3", 999, &err), VK_DENIED);
	cr_assert_eq(ask(BODY("h3", "10.0.0.3"), "k2", 999, &err), VK_DENIED);
	cr_assert_not_null(strstr(err.msg, "used by h2"));
	scene_del(&st, row);
	cr_assert_eq(ask(BODY("h2", "10.0.0.2"), "k2", 999, &err), VK_DENIED);
	state_release(&st);
}

Test(join, names_and_addresses_of_others_are_theirs)
{
	struct vk_err err;
	setup("");
	cr_assert_eq(ask(BODY("h1", "10.0.0.2"), "k2", 1, &err), VK_CONFLICT);
	cr_assert_not_null(strstr(err.hint, "hosts:remove h1"));
	cr_assert_eq(ask(BODY("h2", "10.0.0.1"), "k2", 1, &err), VK_CONFLICT);
	/* one that was there and has the key still is the same */
	cr_assert_eq(ask(BODY("h1", "10.0.0.9"), "k1", 1, &err), 0, "%s", err.msg);
	/* a host that is known by its agent alone has no key */
	scene_put(&st, "/host/h4", "{'v':1}");
	cr_assert_eq(ask(BODY("h4", "10.0.0.4"), "k4", 1, &err), VK_CONFLICT);
	state_release(&st);
}

Test(join, another_version_is_named)
{
	struct vk_err err;
	setup("");
	cr_assert_eq(ask("{'token':'" SECRET "','name':'h2','addr':'10.0.0.2','port':8792,"
			 "'request':'x','version':'0.0.1'}",
			     "k2", 1, &err),
		VK_CONFLICT);
	cr_assert_not_null(strstr(err.msg, "h2 has viking 0.0.1, this cluster"));
	cr_assert_not_null(strstr(err.hint, "install viking"));
	state_release(&st);
}

Test(join, what_is_no_request_is_refused)
{
	static const char *const bad[] = {"{}", "{'token':''}", BODY("H2", "10.0.0.2"),
		BODY("../h2", "10.0.0.2"), BODY("h2", "h2"), BODY("h2", ""),
		BODY("h2", "127.0.0.1"), BODY("h2", "127.9.9.9"), BODY("h2", "0.0.0.0"),
		BODY("h2", "::1"), BODY("h2", "::"), BODY("h2", "255.255.255.255"),
		"{'token':'" SECRET "0','name':'h2','addr':'10.0.0.2','port':8792,'request':'x','"
		"version':'" VIKING_VERSION "'}",
		"{'token':'" SECRET "','name':'h2','addr':'10.0.0.2','port':0,'request':'x'}",
		"{'token':7,'name':['h2'],'addr':{},'port':'8792','request':null}"};
	struct vk_err err;
	setup("");
	for (size_t i = 0; i < VK_COUNT(bad); i++)
		cr_assert_eq(ask(bad[i], "k2", 1, &err), VK_INVALID, "%s", bad[i]);
	state_release(&st);
}
