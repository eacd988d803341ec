#include <criterion/criterion.h>
#include <viking/err.h>
#include <viking/mem.h>

#include "routes.h"

static const char table[] =
	"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
	"eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
	"docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
	"eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
	"broken line\n";

Test(routes, the_kernels_table_without_the_default_route)
{
	vk_autofree struct route *v = NULL;
	size_t n = 0;
	char text[20];
	routes_parse(table, &v, &n);
	cr_assert_eq(n, 2);
	cidr_print(&v[0].net, text);
	cr_expect_str_eq(text, "172.17.0.0/16");
	cr_expect_str_eq(v[0].device, "docker0");
	cidr_print(&v[1].net, text);
	cr_expect_str_eq(text, "192.0.2.0/24");
}

static const char *clash(const char *subnet)
{
	static struct route *v;
	static size_t n;
	struct cidr c;
	if (v == NULL)
		routes_parse(table, &v, &n);
	cr_assert_eq(cidr_parse(subnet, &c), 0, "%s", subnet);
	const struct route *r = routes_clash(v, n, &c);
	return r == NULL ? "" : r->device;
}

Test(routes, clashes_either_way_round)
{
	cr_expect_str_eq(clash("172.17.3.0/24"), "docker0");
	cr_expect_str_eq(clash("172.16.0.0/12"), "docker0");
	cr_expect_str_eq(clash("192.0.2.128/25"), "eth0");
	cr_expect_str_eq(clash("192.0.3.0/24"), "");
	cr_expect_str_eq(clash("10.210.0.0/24"), "");
}

Test(routes, only_proper_subnets_are_read)
{
	static const char *const bad[] = {"", "10.0.0.0", "10.0.0/8", "10.0.0.0/33", "10.0.0.0/",
		"x/8", "10.0.0.0/0", "1000.0.0.0/8"};
	struct cidr c;
	char text[20];
	for (size_t i = 0; i < VK_COUNT(bad); i++)
		cr_expect_eq(cidr_parse(bad[i], &c), VK_INVALID, "%s", bad[i]);
	cr_expect_eq(cidr_parse(NULL, &c), VK_INVALID);
	cr_assert_eq(cidr_parse("10.1.2.3/16", &c), 0);
	cidr_print(&c, text);
	cr_expect_str_eq(text, "10.1.0.0/16", "host bits are cut");
}
