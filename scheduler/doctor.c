/* The checks, one function each. */
#include "doctor.h"

#include <stdarg.h>
#include <string.h>
#include <viking/buildcgroup.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "acme.h"
#include "builds.h"
#include "certs.h"
#include "copies.h"
#include "dpkg.h"
#include "holder.h"
#include "hosts.h"
#include "instances.h"
#include "lead.h"
#include "netfeed.h"
#include "router.h"
#include "stackpacks.h"

#define DPKG_STATUS   "/var/lib/dpkg/status"
#define LIBSSH        "libssh-4"
#define LIBSSH_MIN    "0.10.6-0+deb12u3" /* the first with all known fixes for servers */
#define PROCESSES_MAX ((size_t)256 << 10)
#define RESTARTS_MANY 3

void doctor_prepare(struct sched *s)
{
	(void)dpkg_version(DPKG_STATUS, LIBSSH, s->libssh, sizeof(s->libssh), NULL);
}

void doctor_add(
	json_t *checks, const char *name, enum verdict v, const char *hint, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vk_autofree char *what = vk_vasprintf(fmt, ap);
	va_end(ap);
	json_t *ok = v == VERDICT_OK ? json_true() : v == VERDICT_WARN ? json_null() : json_false();
	json_array_append_new(checks,
		json_pack("{s:s,s:o,s:o,s:s}", "name", name, "ok", ok, "what",
			vk_json_safe_string(what, strlen(what)), "hint",
			v == VERDICT_OK ? "" : hint));
}

/* ---- processes ---- */

/* A layer that a process does without by design is nothing to warn of. */
static void check_sandbox(json_t *checks, const char *name, const char *sandbox)
{
	static const char unused[] = "off(not used by this process)";
	bool files = strstr(sandbox, "landlock=on") != NULL || strstr(sandbox, unused) != NULL;
	bool full = files && strstr(sandbox, "seccomp=on") != NULL;
	if (sandbox[0] != '\0') /* helpers that we did not write say nothing */
		doctor_add(checks, "sandbox", full ? VERDICT_OK : VERDICT_WARN, "", "%s: %s", name,
			sandbox);
}

static void check_process(json_t *checks, const char *name, const json_t *p)
{
	char since[32];
	long long restarts = vk_json_int(p, "restarts", 0);
	bool ready = vk_json_bool(p, "ready", false);
	vk_format_time(vk_json_int(p, "started_ms", 0), since);
	if (!ready)
		doctor_add(checks, "process", VERDICT_BROKEN, "journalctl -u viking -n 100",
			"%s is not ready (%lld restarts)", name, restarts);
	else
		doctor_add(checks, "process", restarts > RESTARTS_MANY ? VERDICT_WARN : VERDICT_OK,
			"journalctl -u viking -n 100", "%s: pid %lld since %s, %lld restarts", name,
			(long long)vk_json_int(p, "pid", 0), since, restarts);
	check_sandbox(checks, name, vk_json_str(p, "sandbox", ""));
}

static void check_processes(struct sched *s, json_t *checks)
{
	vk_autofree char *path = vk_run_path(s->cfg, "processes.json");
	vk_autobuf b = VK_BUF_INIT(PROCESSES_MAX);
	vk_autojson *all = NULL;
	struct vk_err err = {0};
	if (vk_fs_read(path, &b, &err) != 0 ||
		vk_json_parse(vk_buf_str(&b), b.len, &all, &err) != 0) {
		doctor_add(checks, "process", VERDICT_WARN, "systemctl status viking",
			"no table of processes: %s", err.msg);
		return;
	}
	const char *name;
	json_t *p;
	json_object_foreach(all, name, p) check_process(checks, name, p);
	if (s->cfg->single_uid)
		doctor_add(checks, "users", VERDICT_WARN,
			"install the package: it makes a user for each process",
			"all processes run under one user");
}

static void check_connected(struct sched *s, json_t *checks)
{
	const struct {
		const char *name;
		bool live;
	} parts[] = {{"agent", hosts_live(s)}, {"builder", builds_live(s)},
		{"router", router_live(s)}, {"web", web_live(s)}};
	const char *trouble = router_trouble(s);
	if (trouble != NULL)
		doctor_add(checks, "routes", VERDICT_BROKEN, "viking doctor, line disk",
			"the router cannot apply its table: %s", trouble);
	for (size_t i = 0; i < VK_COUNT(parts); i++)
		doctor_add(checks, parts[i].name, parts[i].live ? VERDICT_OK : VERDICT_BROKEN,
			"journalctl -u viking -n 100",
			parts[i].live ? "%s is connected" : "%s is not connected", parts[i].name);
}

static void check_store(struct sched *s, json_t *checks)
{
	const struct vk_err *away = lead_away(s->lead);
	if (away != NULL)
		doctor_add(
			checks, "store", VERDICT_BROKEN, "viking cluster:status", "%s", away->msg);
	else
		doctor_add(checks, "store", VERDICT_OK, "", "%s, epoch %llu", s->cfg->store,
			(unsigned long long)s->st.epoch);
}

/* Is there a network document for them to answer? Behind a change of the leader it waits for the hosts' agents. */
static bool net_waits(struct sched *s, json_t *checks, const char *name)
{
	if (netfeed_doc(s) != NULL)
		return false;
	doctor_add(checks, name, VERDICT_WARN, "viking hosts",
		"goes on as it was until all hosts have said what they run");
	return true;
}

static void check_dns(struct sched *s, json_t *checks)
{
	const json_t *acked = netfeed_acked(s, "", "dns");
	const json_t *bad = json_array_get(json_object_get(acked, "errors"), 0);
	if (!s->cfg->dns_enabled)
		doctor_add(checks, "dns", VERDICT_WARN, "dns.enabled in /etc/viking/viking.conf",
			"names of instances are not served");
	else if (acked == NULL && net_waits(s, checks, "dns"))
		return;
	else if (acked == NULL)
		doctor_add(checks, "dns", VERDICT_BROKEN, "journalctl -u viking -n 100",
			"the resolver has not answered yet");
	else if (bad != NULL)
		doctor_add(checks, "dns", VERDICT_BROKEN, vk_json_str(bad, "hint", ""),
			"no names for %s: %s", vk_json_str(bad, "stack", "?"),
			vk_json_str(bad, "message", "?"));
	else if (vk_json_int(acked, "upstreams", 0) == 0)
		doctor_add(checks, "dns", VERDICT_WARN, "dns.upstream in /etc/viking/viking.conf",
			"/etc/resolv.conf names no resolver: containers know only one another");
	else
		doctor_add(checks, "dns", VERDICT_OK, "", "containers' questions are answered");
}

static void check_links(struct sched *s, json_t *checks)
{
	const json_t *acked = netfeed_acked(s, "", "links");
	const char *bad = json_string_value(json_array_get(json_object_get(acked, "errors"), 0));
	if (bad != NULL)
		doctor_add(checks, "links", VERDICT_BROKEN, "who has it: ss -lntp", "%s", bad);
	else if (vk_json_int(acked, "links", 0) > 0)
		doctor_add(checks, "links", VERDICT_OK, "", "%d links are served",
			(int)vk_json_int(acked, "links", 0));
}

static void check_firewall(struct sched *s, json_t *checks)
{
	const json_t *acked = netfeed_acked(s, "", "firewall");
	if (!s->cfg->firewall_enabled)
		doctor_add(checks, "firewall", VERDICT_WARN,
			"firewall.enabled in /etc/viking/viking.conf",
			"containers may reach this host's services");
	else if (acked == NULL && net_waits(s, checks, "firewall"))
		return;
	else if (acked == NULL)
		doctor_add(checks, "firewall", VERDICT_BROKEN, "journalctl -u viking -n 100",
			"the firewall has not answered yet");
	else if (!vk_json_bool(acked, "applied", false))
		doctor_add(checks, "firewall", VERDICT_BROKEN,
			"run vikingd as root, or set firewall.enabled: false",
			"containers are not kept from this host: %s",
			vk_json_str(acked, "error", "?"));
	else
		doctor_add(checks, "firewall", VERDICT_OK, "", "table inet %s is in force",
			vk_json_str(acked, "table", "?"));
}

static void check_away(json_t *checks, const struct host_row *row, bool lost)
{
	vk_autofree char *hint = vk_asprintf(
		"start viking there; if it will not come back: viking hosts:remove %s", row->name);
	doctor_add(checks, "hosts", lost ? VERDICT_BROKEN : VERDICT_WARN, hint,
		"%s is %s: its agent is not connected", row->name, lost ? "lost" : "away");
}

/* What the agent of one that is up says. */
static void check_host(struct sched *s, json_t *checks, const struct host_row *row)
{
	const json_t *facts = hosts_facts(s, row->name);
	const char *engine = vk_json_str(facts, "engine", NULL);
	const char *says = vk_json_str(facts, "cluster_address", NULL);
	vk_autofree char *hint = vk_asprintf("viking hosts:undrain %s", row->name);
	if (vk_streq(engine, "") && strcmp(row->name, s->cfg->host_name) != 0)
		doctor_add(checks, "hosts", VERDICT_BROKEN, "there: sudo systemctl start docker",
			"the engine of %s does not answer", row->name);
	if (row->addr != NULL && says != NULL && strcmp(says, row->addr) != 0)
		doctor_add(checks, "hosts", VERDICT_WARN, "cluster.address in its viking.conf",
			"%s is known at %s, and cannot be at %s, as it says", row->name, row->addr,
			says);
	if (row->draining)
		doctor_add(checks, "hosts", VERDICT_WARN, hint, "%s takes no instances", row->name);
}

/* Of the leader's own host check_connected and the engine's line tell. */
static void check_hosts(struct sched *s, json_t *checks)
{
	const struct host_row *row;
	table_each(&s->st.hosts, i, row)
	{
		enum host_life life = hosts_life(s, row->name);
		if (life == HOST_UP)
			check_host(s, checks, row);
		else if (strcmp(row->name, s->cfg->host_name) != 0)
			check_away(checks, row, life == HOST_LOST);
	}
}

/* ---- the host ---- */

static void check_disk(struct sched *s, json_t *checks)
{
	uint64_t free_bytes, total;
	char free_text[24], total_text[24];
	struct vk_err err = {0};
	if (vk_fs_free_bytes(s->cfg->state_dir, &free_bytes, &total, &err) != 0) {
		doctor_add(checks, "disk", VERDICT_WARN, "", "%s", err.msg);
		return;
	}
	vk_format_size(free_bytes, free_text);
	vk_format_size(total, total_text);
	enum verdict v = free_bytes < s->cfg->free_bytes_min ? VERDICT_BROKEN
		: free_bytes < total / 20                    ? VERDICT_WARN
							     : VERDICT_OK;
	doctor_add(checks, "disk", v, "viking gc, or make room", "%s of %s free in %s", free_text,
		total_text, s->cfg->state_dir);
}

static void check_libssh(struct sched *s, json_t *checks)
{
	if (s->libssh[0] == '\0')
		doctor_add(checks, "libssh", VERDICT_WARN, "", "its package is not known");
	else if (dpkg_compare(s->libssh, LIBSSH_MIN) < 0)
		doctor_add(checks, "libssh", VERDICT_WARN,
			"sudo apt-get install --only-upgrade " LIBSSH,
			"%s has known holes; %s closes them", s->libssh, LIBSSH_MIN);
	else
		doctor_add(checks, "libssh", VERDICT_OK, "", "%s", s->libssh);
}

static void check_build_limits(struct sched *s, json_t *checks)
{
	struct vk_build_cgroup_report r = {0};
	struct vk_err err = {0};
	char memory[24];
	vk_format_size(s->cfg->build_memory, memory);
	if (vk_build_cgroup_check(VK_CGROUP_ROOT, &r, &err) != 0)
		doctor_add(checks, "build limits", VERDICT_WARN, "", "not held: %s", err.msg);
	else if (!r.memory || !r.cpu || !r.pids)
		doctor_add(checks, "build limits", VERDICT_WARN,
			"vikingd sets them when it runs as root",
			"not held for builds:%s%s%s%s%s%s", r.memory ? "" : " memory",
			r.cpu ? "" : " cpu", r.pids ? "" : " pids", r.why[0] != '\0' ? " (" : "",
			r.why, r.why[0] != '\0' ? ")" : "");
	else
		doctor_add(checks, "build limits", VERDICT_OK, "",
			"builds as a class: %s, cpu weight %llu, %llu processes", memory,
			(unsigned long long)s->cfg->build_cpu_weight,
			(unsigned long long)s->cfg->build_pids);
}

static bool overlaps_route(const char *subnet, const json_t *routes, const char **ret)
{
	size_t i;
	json_t *route;
	json_array_foreach(routes, i, route)
	{
		const char *text = json_string_value(route);
		if (text == NULL || vk_ends(text, "/0") || strcmp(text, subnet) == 0 ||
			!subnet_overlap(subnet, text))
			continue;
		*ret = text;
		return true;
	}
	return false;
}

static void check_networks(struct sched *s, json_t *checks)
{
	const json_t *routes = json_object_get(hosts_facts(s, NULL), "routes");
	size_t n = 0, bad = 0;
	struct stack *sk;
	table_each(&s->st.stacks, i, sk)
	{
		char subnet[32];
		const char *route;
		if (!sk->exists)
			continue;
		n++;
		subnet_text(&s->range, sk->row.subnet, subnet);
		if (!overlaps_route(subnet, routes, &route))
			continue;
		bad++;
		doctor_add(checks, "networks", VERDICT_WARN,
			"take another networks.range, or remove the route",
			"the network of %s (%s) overlaps the host's route %s", sk->name, subnet,
			route);
	}
	if (bad == 0)
		doctor_add(checks, "networks", VERDICT_OK, "",
			"%zu of %llu subnets in use, none overlaps a route", n,
			(unsigned long long)s->range.count);
}

/* ---- the stacks ---- */

static size_t check_stack(struct sched *s, const struct stack *sk, json_t *checks)
{
	struct inst_list list = {0};
	size_t bad = 0;
	stack_instances(sk, stack_overlay(sk), &list);
	for (size_t i = 0; i < list.n; i++) {
		const struct inst_status *st = hosts_find(s, list.v[i].name);
		if (list.v[i].stop || st == NULL ||
			(st->state != INST_FAILED && st->state != INST_BACKOFF &&
				st->state != INST_UNHEALTHY))
			continue;
		vk_autofree char *hint =
			vk_asprintf("viking explain %s/%s", sk->name, list.v[i].node);
		doctor_add(checks, "instances", VERDICT_WARN, hint, "%s is %s%s%s", list.v[i].name,
			inst_state_name(st->state), st->reason != NULL ? ": " : "",
			st->reason != NULL ? st->reason : "");
		bad++;
	}
	inst_list_release(&list);
	return bad;
}

/* Containers keep the resolver they were made with: those from before a change of dns.enabled are named. */
static void check_resolvers(struct sched *s, const struct stack *sk, json_t *checks)
{
	struct inst_list list = {0};
	const char *first = NULL;
	size_t n = 0;
	stack_instances(sk, stack_overlay(sk), &list);
	for (size_t i = 0; i < list.n; i++) {
		const struct inst_status *st = hosts_find(s, list.v[i].name);
		if (list.v[i].stop || st == NULL || !st->old_resolver)
			continue;
		first = first != NULL ? first : list.v[i].name;
		n++;
	}
	vk_autofree char *hint = vk_asprintf("viking ps:restart %s", sk->name);
	if (n > 1)
		doctor_add(checks, "resolver", VERDICT_WARN, hint,
			"%s and %zu more keep the resolver they were started with", first, n - 1);
	else if (n == 1)
		doctor_add(checks, "resolver", VERDICT_WARN, hint,
			"%s keeps the resolver it was started with", first);
	inst_list_release(&list);
}

static void check_stacks(struct sched *s, json_t *checks)
{
	size_t bad = 0, n = 0;
	struct stack *sk;
	table_each(&s->st.stacks, i, sk)
	{
		if (!sk->exists)
			continue;
		n++;
		bad += check_stack(s, sk, checks);
		check_resolvers(s, sk, checks);
		const char *complaint = router_complaint(s, sk->name);
		if (complaint != NULL)
			doctor_add(checks, "routes", VERDICT_WARN, "",
				"the router refuses those of %s: %s", sk->name, complaint);
	}
	if (bad == 0)
		doctor_add(checks, "instances", VERDICT_OK, "", "none is in trouble (%zu stack%s)",
			n, n == 1 ? "" : "s");
}

/* What a command has set stays until a command ends it, and is easily forgotten. */
static void check_traffic(struct sched *s, json_t *checks)
{
	const struct traffic_row *row;
	table_each(&s->st.traffic, i, row)
	{
		char since[32];
		vk_format_time(row->since_ms, since);
		bool closed = row->maintenance != NULL;
		if (!closed && row->hold_ms == 0)
			continue;
		vk_autofree char *hint =
			vk_asprintf("viking %s:off %s", closed ? "maintenance" : "hold", row->name);
		doctor_add(checks, "traffic", VERDICT_WARN, hint, "%s %s since %s, by %s",
			row->name,
			closed ? "answers 503 (maintenance)" : "has its requests wait (hold)",
			since, row->who != NULL ? row->who : "?");
	}
}

/* A new stack image has the fixes of its packages: what was built before has not. */
static void check_stack_image(struct sched *s, json_t *checks)
{
	vk_autobuf names = VK_BUF_INIT(600);
	const char *first = NULL;
	struct stack *sk;
	if (s->stack_image[0] == '\0')
		return; /* no pack has built anything yet */
	table_each(&s->st.stacks, i, sk)
	{
		if (!sk->exists || stackpacks_outdated(s, sk) == 0)
			continue;
		(void)vk_buf_addf(&names, "%s%s", first != NULL ? ", " : "", sk->name);
		first = first != NULL ? first : sk->name;
	}
	if (first == NULL) {
		doctor_add(checks, "stack image", VERDICT_OK, "",
			"%.19s, no stack is on an older one", s->stack_image);
		return;
	}
	vk_autofree char *hint = vk_asprintf("viking ps:rebuild %s", first);
	doctor_add(checks, "stack image", VERDICT_WARN, hint,
		"built on an older one than the builder has now: %s", vk_buf_str(&names));
}

/* Of a cluster: who has the repositories and the registry, and who could have them. */
static void check_holder(struct sched *s, json_t *checks)
{
	const char *holder = holder_of(&s->st, s->cfg->host_name), *next, *why;
	if (holder == NULL)
		return;
	bool whole = copies_whole(s, &next, &why), lost = hosts_lost(s, holder);
	vk_autofree char *hint = lost
		? vk_asprintf("start it again; or viking hosts:remove %s --data-lost", holder)
		: vk_strdup("the line registry of viking doctor on both hosts; it is tried again");
	vk_autofree char *copies = next == NULL
		? vk_strdup("no other host could have them")
		: vk_asprintf("%s %s", next, whole ? "has copies of all images" : "lacks images");
	doctor_add(checks, "git",
		lost            ? VERDICT_BROKEN
			: whole ? VERDICT_OK
				: VERDICT_WARN,
		hint, "%s has the repositories and the registry%s; %s%s%s", holder,
		lost ? " and is lost" : "", copies, why[0] != '\0' ? ": " : "", why);
}

void doctor_look_host(struct sched *s, json_t *checks)
{
	check_processes(s, checks);
	check_disk(s, checks);
	check_libssh(s, checks);
	check_build_limits(s, checks);
}

void doctor_look(struct sched *s, json_t *checks)
{
	doctor_look_host(s, checks);
	check_store(s, checks);
	check_connected(s, checks);
	check_hosts(s, checks);
	check_dns(s, checks);
	check_links(s, checks);
	check_firewall(s, checks);
	check_networks(s, checks);
	check_stacks(s, checks);
	certs_doctor(s, checks);
	acme_doctor(s, checks);
	check_traffic(s, checks);
	check_stack_image(s, checks);
	check_holder(s, checks);
}
