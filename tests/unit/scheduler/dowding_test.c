#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <viking/mem.h>

#include "dowding_file.h"

static struct vk_err last;

/* 'text' with ' for ". */
static struct dowding *cluster(const char *text)
{
	vk_autofree char *json = vk_strdup(text);
	for (char *p = json; *p != '\0'; p++)
		*p = *p == '\'' ? '"' : *p;
	struct dowding *d = dow_new();
	last = (struct vk_err){0};
	if (dow_read(d, json, strlen(json), &last) == 0)
		return d;
	dow_free(d);
	return NULL;
}

static struct dow_plan planned(struct dowding *d)
{
	struct dow_plan p;
	cr_assert_not_null(d, "%s", last.msg);
	dow_plan(d, &p);
	return p;
}

#define THREE \
	"{'hosts':[{'name':'a','cpus':4,'zone':'x'},{'name':'b','cpus':4,'zone':'x'},{'name':'c'," \
	"'cpus':4,'zone':'y','labels':['db']}]," \
	"'services':["

Test(dowding, zones_come_before_hosts)
{
	struct dowding *d = cluster(THREE "{'name':'w','replicas':4,'cpus':1}]}");
	struct dow_plan p = planned(d);
	cr_expect_str_eq(dow_where(d, "w", 1), "a");
	cr_expect_str_eq(dow_where(d, "w", 2), "c");
	cr_expect_str_eq(dow_where(d, "w", 3), "b");
	cr_expect_str_eq(dow_where(d, "w", 4), "c");
	cr_expect_eq(p.nchanges, 4);
	dow_plan_release(&p);
	dow_free(d);
}

Test(dowding, says_what_is_short)
{
	static const struct {
		const char *service, *reason;
	} cases[] = {
		{"{'name':'w','cpus':5}", "cpu on 3 hosts short by at least 1 core"},
		{"{'name':'w','cpus':4.2}", "cpu on 3 hosts short by at least 0.2 cores"},
		{"{'name':'w','roles':['gpu']}", "no host that is up has the role gpu"},
		{"{'name':'w','hosts':['z']}", "no host is named z"},
		{"{'name':'w','roles':['db'],'hosts':['a']}",
			"none of the hosts a is up and has the role db"},
		{"{'name':'w','replicas':4,'spread':'hard'}",
			"3 hosts already run 1 of it (spread: hard)"},
		{"{'name':'w','replicas':4,'max_per_host':1}",
			"3 hosts already run 1 of it (max_per_host)"},
		{"{'name':'w','memory':'1M'}", "memory on 3 hosts short by at least 1.0 MiB"},
	};
	for (size_t i = 0; i < VK_COUNT(cases); i++) {
		vk_autofree char *text = vk_asprintf(THREE "%s]}", cases[i].service);
		struct dowding *d = cluster(text);
		struct dow_plan p = planned(d);
		cr_assert_eq(p.nunplaced, 1, "%s", cases[i].service);
		cr_expect_str_eq(p.unplaced[0].reason, cases[i].reason);
		dow_plan_release(&p);
		dow_free(d);
	}
}

Test(dowding, a_lost_host_moves_only_its_own_and_not_what_has_a_volume)
{
	struct dowding *d = cluster(THREE
		"{'name':'w','replicas':3,'cpus':1},{'name':'v','volume':true,'hosts':['a','b']}],"
		"'placed':[{'service':'v','n':1,'host':'a'},{'service':'w','n':1,'host':'a'},"
		"{'service':'w','n':2,'host':'b'},{'service':'w','n':3,'host':'c'}]}");
	struct dow_plan p = planned(d);
	cr_expect_eq(p.nchanges, 0);
	dow_plan_release(&p);
	cr_assert(dow_set_down(d, "a", true));
	p = planned(d);
	cr_expect_eq(p.moved, 1);
	cr_expect_str_eq(p.changes[0].from, "a");
	cr_expect_str_eq(dow_where(d, "w", 1), "b");
	cr_assert_eq(p.nwaiting, 1);
	cr_expect_str_eq(p.waiting[0].host, "a");
	cr_expect_eq(p.nunplaced, 0);
	dow_plan_release(&p);
	dow_set_down(d, "a", false);
	p = planned(d);
	cr_expect_eq(p.nchanges + p.nwaiting, 0, "a return moves nothing");
	dow_plan_release(&p);
	dow_free(d);
}

Test(dowding, groups_stay_whole_and_follow_their_volume)
{
	struct dowding *d = cluster(THREE
		"{'name':'m','group':'g','volume':true,'cpus':2},{'name':'s','group':'g','cpus':2},"
		"{'name':'t','group':'g','cpus':1}],'placed':[{'service':'m','n':1,'host':'b'}]}");
	struct dow_plan p = planned(d);
	cr_expect_eq(p.nunplaced, 2, "4 cores do not hold 2 + 2 + 1");
	cr_expect_str_eq(p.unplaced[0].reason, "group g is on b, where cpu is short by 1 core");
	cr_expect_null(dow_where(d, "s", 1), "a group comes whole or not at all");
	dow_plan_release(&p);
	dow_free(d);
	d = cluster(THREE
		"{'name':'m','group':'g','volume':true},{'name':'n','group':'g','volume':true},{'"
		"name':'o','group':'g'}],"
		"'placed':[{'service':'m','n':1,'host':'a'},{'service':'n','n':1,'host':'b'}]}");
	p = planned(d);
	cr_assert_eq(p.nunplaced, 1);
	cr_expect_str_eq(
		p.unplaced[0].reason, "group g cannot be on one host: its volumes are on a and b");
	dow_plan_release(&p);
	dow_free(d);
}

Test(dowding, waits_where_its_volume_was_on_a_host_nobody_knows)
{
	struct dowding *d = cluster(THREE
		"{'name':'v','volume':true}],'placed':[{'service':'v','n':1,'host':'gone'}]}");
	struct dow_plan p = planned(d);
	cr_expect_eq(p.nchanges, 0);
	cr_assert_eq(p.nwaiting, 1);
	cr_expect_str_eq(p.waiting[0].host, "gone");
	dow_plan_release(&p);
	dow_free(d);
}

Test(dowding, scaling_down_gives_back)
{
	struct dowding *d = cluster(THREE "{'name':'w','replicas':3,'cpus':4}]}");
	struct dow_plan p = planned(d);
	dow_plan_release(&p);
	dow_set_service(d, &(struct dow_service){.name = "w", .replicas = 1, .demand = {4000}});
	dow_set_service(d, &(struct dow_service){.name = "x", .replicas = 2, .demand = {4000}});
	p = planned(d);
	cr_expect_eq(p.nunplaced, 0);
	dow_plan_release(&p);
	dow_remove_service(d, "w");
	dow_remove_service(d, "x");
	dow_set_service(d, &(struct dow_service){.name = "y", .replicas = 3, .demand = {4000}});
	p = planned(d);
	cr_expect_eq(p.nunplaced, 0);
	dow_plan_release(&p);
	dow_free(d);
}

/* ---- against the definition, naively ---- */

enum { HOSTS = 150, ZONES = 3 };
struct naive {
	uint64_t used[HOSTS][DOW_DIMS], cap[HOSTS][DOW_DIMS];
	unsigned zone[HOSTS], labels[HOSTS], count[HOSTS], in_zone[ZONES];
};

static uint64_t share(const struct naive *n, int h, const uint64_t d[DOW_DIMS])
{
	uint64_t most = 0;
	for (int k = 0; k < DOW_DIMS; k++) {
		uint64_t s = n->cap[h][k] == 0
			? 0
			: (n->used[h][k] + d[k]) * ((UINT64_C(1) << 52) / n->cap[h][k]) >> 32;
		most = s > most ? s : most;
	}
	return most;
}

static bool fits(const struct naive *n, int h, const uint64_t d[DOW_DIMS])
{
	for (int k = 0; k < DOW_DIMS; k++)
		if (d[k] > 0 && n->used[h][k] + d[k] > n->cap[h][k])
			return false;
	return true;
}

static int best(const struct naive *n, const struct dow_service *s)
{
	int b = -1;
	unsigned max = s->max_per_host ? s->max_per_host : s->spread == DOW_HARD ? 1 : UINT32_MAX;
	for (int h = 0; h < HOSTS; h++) {
		if (!fits(n, h, s->demand) || n->count[h] >= max)
			continue;
		uint64_t key[2][4];
		for (int i = 0; i < 2; i++) {
			int at = i == 0 ? h : b < 0 ? h : b;
			key[i][0] = s->spread == DOW_NONE ? 0 : n->in_zone[n->zone[at]];
			key[i][1] = s->spread == DOW_NONE ? 0 : n->count[at];
			key[i][2] = share(n, at, s->demand);
			key[i][3] = n->labels[at];
		}
		bool lower = false;
		for (int k = 0; k < 4 && !lower; k++) {
			lower = key[0][k] < key[1][k];
			if (key[0][k] > key[1][k])
				break;
		}
		if (b < 0 || lower)
			b = h;
	}
	return b;
}

static void naive_place(struct naive *n, struct dowding *d, const struct dow_service *s)
{
	memset(n->count, 0, sizeof(n->count));
	memset(n->in_zone, 0, sizeof(n->in_zone));
	for (unsigned i = 1; i <= s->replicas; i++) {
		int h = best(n, s);
		const char *at = dow_where(d, s->name, i);
		char want[16];
		snprintf(want, sizeof(want), "h%03d", h);
		if (h < 0)
			cr_assert_null(at);
		else
			cr_assert_str_eq(at == NULL ? "nowhere" : at, want, "%s.%u", s->name, i);
		if (h < 0)
			continue;
		n->count[h]++;
		n->in_zone[n->zone[h]]++;
		for (int k = 0; k < DOW_DIMS; k++)
			n->used[h][k] += s->demand[k];
	}
}

static void naive_round(unsigned zones)
{
	static const char *const labels[] = {"l1", "l2", "l3"};
	static const char *const zone_names[] = {"", "east", "west"};
	struct naive n = {0};
	struct dowding *d = dow_new();
	for (int h = 0; h < HOSTS; h++) {
		char name[16];
		snprintf(name, sizeof(name), "h%03d", h);
		n.zone[h] = (unsigned)rand() % zones;
		n.labels[h] = (unsigned)rand() % 4;
		for (int k = 0; k < DOW_DIMS; k++)
			n.cap[h][k] = ((uint64_t)(rand() % 4) * 1000 + 500) << (rand() % 8 ? 0 : 5);
		struct dow_host in = {.name = name,
			.zone = zone_names[n.zone[h]],
			.labels = labels,
			.nlabels = n.labels[h]};
		memcpy(in.cap, n.cap[h], sizeof(in.cap));
		dow_set_host(d, &in);
	}
	for (int i = 0; i < 12; i++) {
		struct dow_plan p;
		char name[16];
		snprintf(name, sizeof(name), "s%d", i);
		struct dow_service s = {.name = name,
			.replicas = 1 + (unsigned)rand() % (rand() % 2 ? 40 : 4 * HOSTS),
			.spread = (enum dow_spread)(rand() % 3),
			.max_per_host = rand() % 3 ? 0 : 1 + (unsigned)rand() % 3,
			.demand = {(uint64_t)rand() % 300, (uint64_t)rand() % 300,
				(uint64_t)rand() % 200}};
		dow_set_service(d, &s);
		dow_plan(d, &p);
		naive_place(&n, d, &s);
		dow_plan_release(&p);
		dow_set_down(d, "none", true);
	}
	dow_free(d);
}

Test(dowding, takes_the_host_that_the_definition_names)
{
	srand(20);
	for (int i = 0; i < 200; i++)
		naive_round(1 + (unsigned)i % ZONES);
}

Test(dowding, refuses_what_it_cannot_read)
{
	static const char *const bad[] = {"", "[]", "{", "{'hosts':{}}", "{'hosts':[}",
		"{'hosts':[{'name':''}]}", "{'hosts':[{'name':'a'},{'name':'a'}]}",
		"{'hosts':[],'hosts':[]}", "{'hosts':[{'name':'a','cpu':1}]}",
		"{'services':[{'name':'w','spread':'wide'}]}",
		"{'services':[{'name':'w','cpus':-1}]}",
		"{'services':[{'name':'w','memory':'lots'}]}",
		"{'placed':[{'service':'w','n':1,'host':'a'}]}", "{} x", "{'x':[]}",
		"{'services':[{'name':'w','replicas':99999999}]}"};
	for (size_t i = 0; i < VK_COUNT(bad); i++) {
		cr_assert_null(cluster(bad[i]), "%s", bad[i]);
		cr_expect_neq(last.msg[0], '\0');
	}
}
