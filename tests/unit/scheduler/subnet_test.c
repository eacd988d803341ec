#include <criterion/criterion.h>
#include <viking/json.h>

#include "subnet.h"

static bool used_below(void *arg, uint64_t index)
{
	return index < *(uint64_t *)arg;
}

static struct subnet_range range_of(const char *text)
{
	struct subnet_range r;
	struct vk_err err = {0};
	cr_assert_eq(subnet_range_parse(text, &r, &err), 0, "%s", err.msg);
	return r;
}

Test(subnet, ranges_hold_as_many_stacks_as_they_have_24s)
{
	cr_expect_eq(range_of("10.210.0.0/16").count, 256);
	cr_expect_eq(range_of("10.210.7.0/24").count, 1);
	cr_expect_eq(range_of("10.0.0.0/8").count, 65536);
	char text[32];
	struct subnet_range r = range_of("10.210.0.0/16");
	subnet_text(&r, 255, text);
	cr_expect_str_eq(text, "10.210.255.0/24");
}

Test(subnet, what_is_no_range_is_refused)
{
	static const char *const bad[] = {
		"", "10.0.0.0/25", "10.0.0.0/7", "10.0.0/16", "a/16", "10.0.0.0/-1", "::/16"};
	struct subnet_range r;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(subnet_range_parse(bad[i], &r, NULL), VK_INVALID, "%s", bad[i]);
}

Test(subnet, the_lowest_free_one_outside_the_hosts_routes_is_taken)
{
	struct subnet_range r = range_of("10.210.0.0/16");
	vk_autojson *routes = json_pack(
		"[s,s,s,s]", "0.0.0.0/0", "10.210.2.128/25", "10.210.4.0/22", "192.168.0.0/16");
	uint64_t used = 2, index = 0;
	cr_assert_eq(subnet_pick(&r, used_below, &used, routes, &index, NULL), 0);
	cr_expect_eq(index, 3, "2 holds a route, the default route means nothing");
	used = 4;
	cr_assert_eq(subnet_pick(&r, used_below, &used, routes, &index, NULL), 0);
	cr_expect_eq(index, 8, "4 to 7 are one route");
}

Test(subnet, a_full_range_says_so)
{
	struct subnet_range r = range_of("10.210.0.0/24");
	uint64_t used = 1, index = 77;
	struct vk_err err = {0};
	cr_expect_eq(subnet_pick(&r, used_below, &used, NULL, &index, &err), VK_LIMIT);
	cr_expect_eq(index, 77);
	cr_expect(err.hint[0] != '\0');
}

Test(subnet, overlap)
{
	cr_expect(subnet_overlap("10.0.0.0/8", "10.9.9.0/24"));
	cr_expect(subnet_overlap("10.9.9.0/24", "10.0.0.0/8"));
	cr_expect(!subnet_overlap("10.9.9.0/24", "10.9.8.0/24"));
	cr_expect(subnet_overlap("10.9.9.7", "10.9.9.0/24"));
	cr_expect(!subnet_overlap("x", "10.9.9.0/24"));
}
