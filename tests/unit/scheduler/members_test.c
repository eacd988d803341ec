/* Which hosts run etcd, and the one next step of each towards that. */
#include "members.h"

#include <viking/str.h>

#include "scene.h"

static void host(struct state *st, unsigned n)
{
	vk_autofree char *key = vk_asprintf("/host/h%u", n);
	vk_autofree char *row =
		vk_asprintf("{'v':1,'addr':'10.0.0.%u','port':8792,'created_ms':%u}", n, n);
	scene_put(st, key, row);
}

static unsigned wanted(const struct state *st, unsigned n)
{
	unsigned all = 0;
	for (unsigned i = 1; i <= n; i++) {
		vk_autofree char *name = vk_asprintf("h%u", i);
		all += members_wanted(st, name);
	}
	return all;
}

Test(members, are_one_three_or_five_and_the_oldest)
{
	static const unsigned want[] = {0, 1, 1, 3, 3, 5, 5, 5};
	struct state st;
	state_init(&st);
	scene_put(&st, "/host/h0", "{'v':1,'created_ms':0}"); /* in no cluster */
	for (unsigned n = 0; n < VK_COUNT(want); n++) {
		if (n > 0)
			host(&st, n);
		cr_assert_eq(wanted(&st, 9), want[n], "%u hosts", n);
	}
	cr_assert(members_wanted(&st, "h5") && !members_wanted(&st, "h6"));
	cr_assert_not(members_wanted(&st, "h0"));
	scene_del(&st, "/host/h1");
	cr_assert(members_wanted(&st, "h6"));
	state_release(&st);
}

#define M1 \
	"{'ID':'1','name':'h1','peerURLs':['https://10.0.0.1:2380'],'clientURLs':['https://" \
	"10.0.0.1:2379']}"
#define M2_ADDED "{'ID':'2','peerURLs':['https://10.0.0.2:2380'],'isLearner':true}"
#define M2_LEARNS \
	"{'ID':'2','name':'h2','peerURLs':['https://10.0.0.2:2380'],'clientURLs':['https://" \
	"10.0.0.2:2379'],'isLearner':true}"
#define M2 \
	"{'ID':'2','name':'h2','peerURLs':['https://10.0.0.2:2380'],'clientURLs':['https://" \
	"10.0.0.2:2379']}"
#define M4 \
	"{'ID':'4','name':'h4','peerURLs':['https://10.0.0.4:2380'],'clientURLs':['https://" \
	"10.0.0.4:2379']}"

static struct state st;

static enum members_step next(unsigned n, const char *list, bool leading, bool run, const char *id)
{
	vk_autojson *j = scene_json(list);
	vk_autofree char *name = vk_asprintf("h%u", n),
			 *peer = vk_asprintf("https://10.0.0.%u:2380", n);
	const struct members_view v = {
		.st = &st, .list = j, .name = name, .peer = peer, .leading = leading, .runs = run};
	const char *meant;
	enum members_step step = members_next(&v, &meant);
	if (id != NULL)
		cr_assert_str_eq(meant, id);
	return step;
}

static void three_hosts(void)
{
	state_init(&st);
	for (unsigned n = 1; n <= 3; n++)
		host(&st, n);
}

Test(members, come_one_after_the_other, .init = three_hosts)
{
	cr_assert_eq(next(1, "[" M1 "]", true, true, NULL), MEMBERS_NOTHING);
	cr_assert_eq(next(2, "[" M1 "]", false, false, NULL), MEMBERS_ADD);
	cr_assert_eq(next(3, "[" M1 "," M2_ADDED "]", false, false, NULL), MEMBERS_NOTHING);
	cr_assert_eq(next(2, "[" M1 "," M2_ADDED "]", false, false, "2"), MEMBERS_RUN);
	cr_assert_eq(next(2, "[" M1 "," M2_ADDED "]", false, true, "2"), MEMBERS_PROMOTE);
	cr_assert_eq(next(3, "[" M1 "," M2_LEARNS "]", false, false, NULL), MEMBERS_NOTHING);
	cr_assert_eq(next(2, "[" M1 "," M2_LEARNS "]", false, true, "2"), MEMBERS_PROMOTE);
	cr_assert_eq(next(2, "[" M1 "," M2 "]", false, true, NULL), MEMBERS_NOTHING);
	cr_assert_eq(next(3, "[" M1 "," M2 "]", false, false, NULL), MEMBERS_ADD);
	state_release(&st);
}

Test(members, on_loopback_move_before_another_comes, .init = three_hosts)
{
	static const char list[] = "[{'ID':'1','name':'h1','peerURLs':['https://127.0.0.1:2380']}]";
	cr_assert_eq(next(1, list, true, true, "1"), MEMBERS_MOVE);
	cr_assert_eq(next(2, list, false, false, NULL), MEMBERS_NOTHING);
	state_release(&st);
}

Test(members, of_a_removed_host_are_taken_out_by_who_leads, .init = three_hosts)
{
	cr_assert_eq(next(1, "[" M1 "," M2 "," M4 "]", true, true, "4"), MEMBERS_REMOVE);
	cr_assert_eq(next(2, "[" M1 "," M2 "," M4 "]", false, true, NULL), MEMBERS_NOTHING);
	/* nobody takes the last one out, and none whose host is only silent */
	cr_assert_eq(next(1, "[" M4 "]", true, true, NULL), MEMBERS_NOTHING);
	cr_assert_eq(next(1, "[" M1 "," M2 "]", true, true, NULL), MEMBERS_NOTHING);
	state_release(&st);
}

Test(members, of_a_host_at_another_address_are_its_own_business, .init = three_hosts)
{
	static const char old[] =
		"[" M1 ",{'ID':'2','name':'h2','peerURLs':['https://10.0.0.9:2380']}]";
	cr_assert_eq(next(1, old, true, true, NULL), MEMBERS_NOTHING);
	cr_assert_eq(next(2, old, false, true, "2"), MEMBERS_MOVE);
	/* of another machine of its name, that was removed */
	cr_assert_eq(next(2, old, false, false, "2"), MEMBERS_REMOVE);
	state_release(&st);
}

Test(members, are_told_as_etcd_and_people_want_it)
{
	vk_autojson *list = scene_json("[" M1 "," M2_ADDED "]"),
		    *both = scene_json("[" M1 "," M2 "]");
	vk_autofree char *cluster = members_cluster(list, "h2", "https://10.0.0.2:2380");
	cr_assert_str_eq(cluster, "h1=https://10.0.0.1:2380,h2=https://10.0.0.2:2380");
	cr_assert_null(members_cluster(list, "h3", "https://10.0.0.3:2380"));
	vk_autofree char *one = members_endpoints(list), *two = members_endpoints(both);
	cr_assert_str_eq(one, "https://10.0.0.1:2379");
	cr_assert_str_eq(two, "https://10.0.0.1:2379,https://10.0.0.2:2379");
	vk_autojson *shown = members_shown(list);
	cr_assert(scene_equal(shown,
		"[{'name':'h1','address':'https://"
		"10.0.0.1:2380','state':'voter'},{'name':'','address':"
		"'https://10.0.0.2:2380','state':'starting'}]"));
}
