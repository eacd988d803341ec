/* What each name means to whom. */
#include <criterion/criterion.h>
#include <string.h>
#include <viking/json.h>

#include "zone.h"

static const char document[] =
	"{'rev':7,'networks':["
	"{'stack':'shop','subnet':'10.210.3.0/24','gateway':'10.210.3.1','nodes':{"
	"'web':{'policy':'append','ports':[{'port':80,'proto':'tcp','name':'http'}],'instances':["
	"{'name':'shop-web-3-1','n':1,'addr':'10.210.3.2'},{'name':'shop-web-3-2','n':2,'addr':'10."
	"210.3.3'}]},"
	"'back_end':{'policy':'replace','ports':[],'instances':["
	"{'name':'shop-back_end-1-1','n':1,'addr':'10.210.3.4'},{'name':'shop-back_end-1-2','n':2,'"
	"addr':'10.210.3.5'}]},"
	"'hid':{'policy':'hide','ports':[],'instances':[{'name':'shop-hid-1-1','n':1,'addr':'10."
	"210.3.6'}]},"
	"'down':{'policy':'append','ports':[],'instances':[]}},"
	"'links':[{'alias':'db','stack':'data','node':'pg','port':10000}]},"
	"{'stack':'data','subnet':'10.210.4.0/24','gateway':'10.210.4.1','nodes':{"
	"'pg':{'policy':'append','ports':[{'port':5432,'proto':'tcp','name':''}],'instances':["
	"{'name':'data-pg-1-1','n':1,'addr':'10.210.4.2'}]},"
	"'own':{'policy':'append','ports':[],'instances':[{'name':'data-own-1-1','n':1,'addr':'10."
	"210.4.9'}]}}}]}";

static struct zone *zone_of(const char *text, const char *aliases, int want)
{
	vk_autofree char *copy = vk_strdup(text);
	for (char *p = copy; *p != '\0'; p++)
		if (*p == '\'')
			*p = '"';
	vk_autojson *doc = NULL;
	struct vk_err err = {0};
	struct zone *z = NULL;
	cr_assert_eq(vk_json_parse(copy, strlen(copy), &doc, &err), 0);
	cr_assert_eq(zone_parse(doc, &(struct zone_host){"uno", aliases, true}, &z, &err), want,
		"%s", err.msg);
	return z;
}

/* "FOUND 10.210.3.2 10.210.3.3", "FOUND 80>target ...", "NONE", "FOREIGN"; the additional records behind '+'. */
static const char *find(struct zone *z, int net, const char *name, enum dns_type type)
{
	static char text[2048];
	static const char *const words[] = {"FOREIGN", "FOUND", "NONE"};
	struct dns_query q = {.type = type};
	struct dns_records r = {0};
	snprintf(q.name, sizeof(q.name), "%s", name);
	z->turn = 0;
	enum zone_answer a = zone_find(z, net < 0 ? NULL : &z->nets[net], &q, &r);
	size_t n = (size_t)snprintf(text, sizeof(text), "%s", words[a]);
	for (size_t i = 0; i < r.n; i++) {
		const struct dns_record *rec = &r.v[i];
		n += (size_t)snprintf(text + n, sizeof(text) - n, i == r.answers ? " + " : " ");
		if (rec->type == DNS_SRV)
			n += (size_t)snprintf(
				text + n, sizeof(text) - n, "%u>%s", rec->port, rec->target);
		else
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%u.%u.%u.%u",
				rec->addr >> 24, rec->addr >> 16 & 255, rec->addr >> 8 & 255,
				rec->addr & 255);
	}
	dns_records_release(&r);
	return text;
}

static const struct {
	int net;
	const char *name;
	enum dns_type type;
	const char *want;
} cases[] = {
	{0, "web.shop.viking", DNS_A, "FOUND 10.210.3.2 10.210.3.3"},
	{0, "web.shop.viking", DNS_AAAA, "FOUND"},
	{0, "web", DNS_A, "FOUND 10.210.3.2 10.210.3.3"},
	{0, "2.web.shop.viking", DNS_A, "FOUND 10.210.3.3"},
	{0, "shop-web-3-2.web.shop.viking", DNS_A, "FOUND 10.210.3.3"},
	{0, "3.web.shop.viking", DNS_A, "NONE"},
	{0, "1.2.web.shop.viking", DNS_A, "NONE"},
	{0, "_80._tcp.web.shop.viking", DNS_SRV,
		"FOUND 80>shop-web-3-1.web.shop.viking 80>shop-web-3-2.web.shop.viking + "
		"10.210.3.2 10.210.3.3"},
	{0, "_http._tcp.1.web.shop.viking", DNS_SRV, "NONE"},
	{0, "_http._udp.web.shop.viking", DNS_SRV, "NONE"},
	{0, "_81._tcp.web.shop.viking", DNS_SRV, "NONE"},
	{0, "back-end.shop.viking", DNS_A, "FOUND 10.210.3.5"},
	{0, "back_end.shop.viking", DNS_A, "FOUND 10.210.3.5"},
	{0, "1.back-end.shop.viking", DNS_A, "FOUND 10.210.3.4"},
	{0, "hid.shop.viking", DNS_A, "NONE"},
	{0, "1.hid.shop.viking", DNS_A, "NONE"},
	{0, "down.shop.viking", DNS_A, "NONE"},
	{0, "db", DNS_A, "FOUND 10.210.3.1"},
	{0, "backends", DNS_A, "FOUND 10.210.3.1"},
	{0, "db.shop.viking", DNS_SRV, "FOUND 10000>db.shop.viking + 10.210.3.1"},
	{0, "pg.data.viking", DNS_A, "FOUND 10.210.3.1"}, /* linked: by the link */
	{0, "_5432._tcp.pg.data.viking", DNS_SRV, "FOUND 10000>db.shop.viking + 10.210.3.1"},
	{0, "own.data.viking", DNS_A, "NONE"}, /* there, but not for this stack */
	{1, "web.shop.viking", DNS_A, "NONE"},
	{1, "backends", DNS_A, "NONE"},
	{-1, "own.data.viking", DNS_A, "FOUND 10.210.4.9"},
	{-1, "own.data.skydns.local", DNS_A, "FOUND 10.210.4.9"},
	{-1, "own.veo", DNS_A, "FOUND 10.210.4.9"},
	{0, "5432.own.veo", DNS_A, "NONE"},
	{0, "80.web.veo", DNS_A, "FOUND 10.210.3.2 10.210.3.3"},
	{0, "_80._tcp.web.veo", DNS_SRV,
		"FOUND 80>shop-web-3-1.web.shop.viking 80>shop-web-3-2.web.shop.viking + "
		"10.210.3.2 10.210.3.3"},
	{0, "web-2.local.zone", DNS_A, "FOUND 10.210.3.3"},
	{0, "web-2", DNS_A, "FOUND 10.210.3.3"},
	{0, "web-9.local.zone", DNS_A, "NONE"},
	{0, "a.web.local.zone", DNS_A, "NONE"},
	{0, "viking", DNS_A, "FOUND"},
	{0, "shop.viking", DNS_A, "FOUND"},
	{0, "data.viking", DNS_A, "NONE"},
	{0, "web.example.org", DNS_A, "FOREIGN"},
	{0, "webviking", DNS_A, "NONE"},
	{0, "a.notviking", DNS_A, "FOREIGN"},
	{-1, "web", DNS_A, "NONE"},
};

Test(zone, names)
{
	struct zone *z = zone_of(document, "skydns.local,veo,local.zone", 0);
	for (size_t i = 0; i < VK_COUNT(cases); i++)
		cr_expect_str_eq(find(z, cases[i].net, cases[i].name, cases[i].type), cases[i].want,
			"%d %s type %d: %s", cases[i].net, cases[i].name, cases[i].type,
			find(z, cases[i].net, cases[i].name, cases[i].type));
	zone_free(z);
}

Test(zone, rotates)
{
	struct zone *z = zone_of(document, "", 0);
	struct dns_query q = {.type = DNS_A, .name = "web.shop.viking"};
	uint32_t first[2];
	for (int i = 0; i < 2; i++) {
		struct dns_records r = {0};
		zone_find(z, &z->nets[0], &q, &r);
		cr_assert_eq(r.n, 2);
		first[i] = r.v[0].addr;
		dns_records_release(&r);
	}
	cr_assert_neq(first[0], first[1]);
	zone_free(z);
}

Test(zone, zones_that_are_off_are_foreign)
{
	struct zone *z = zone_of(document, "veo", 0);
	cr_assert_str_eq(find(z, 0, "web.shop.skydns.local", DNS_A), "FOREIGN");
	cr_assert_str_eq(find(z, 0, "web.local.zone", DNS_A), "FOREIGN");
	cr_assert_str_eq(find(z, 0, "back-end.veo", DNS_A), "FOUND 10.210.3.5");
	zone_free(z);
}

Test(zone, documents_that_are_wrong_are_refused)
{
	zone_of("{'rev':1}", "", VK_INVALID);
	zone_of("{'networks':[]}", "", VK_INVALID);
	zone_of("{'rev':1,'networks':[{'stack':'a','subnet':'10.0.0.0','gateway':'10.0.0.1'}]}", "",
		VK_INVALID);
	zone_of("{'rev':1,'networks':[{'stack':'a','subnet':'10.0.0.0/24','gateway':'x'}]}", "",
		VK_INVALID);
	zone_of("{'rev':1,'networks':[{'stack':'A "
		"b','subnet':'10.0.0.0/24','gateway':'10.0.0.1'}]}",
		"", VK_INVALID);
	zone_of("{'rev':1,'networks':[{'stack':'a','subnet':'10.0.0.0/24','gateway':'10.0.0.1',"
		"'nodes':{'w':{'instances':[{'name':'i','n':1,'addr':'1.2'}]}}}]}",
		"", VK_INVALID);
}

Test(zone, what_another_host_runs_has_the_address_that_is_translated)
{
	static const char text[] =
		"{'rev':1,'networks':[{'stack':'a','subnet':'10.1.0.0/"
		"24','gateway':'10.1.0.1','nodes':{"
		"'web':{'ports':[{'port':80}],'instances':["
		"{'name':'a-web-1-1','n':1,'addr':'10.1.0.2','host':'uno'},"
		"{'name':'a-web-1-2','n':2,'addr':'10.1.0.2','host':'due','far':{'addr':'10.9.9.9',"
		"'vip':'198.18.0.2'}},"
		"{'name':'a-web-1-3','n':3,'addr':'10.1.0.3','host':'due'}]}}}]}";
	struct zone *z = zone_of(text, "", 0);
	cr_expect_str_eq(find(z, 0, "web", DNS_A), "FOUND 10.1.0.2 198.18.0.2");
	cr_expect_str_eq(find(z, 0, "2.web.a.viking", DNS_A), "FOUND 198.18.0.2");
	cr_expect_str_eq(find(z, 0, "3.web.a.viking", DNS_A), "NONE");
	zone_free(z);
}
