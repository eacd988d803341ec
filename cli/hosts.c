/* hosts, hosts:info, label, drain, undrain, remove, invite; leader, cluster:status */
#include <string.h>
#include <viking/json.h>
#include <viking/str.h>

#include "groups.h"
#include "output.h"

static char *size_or_dash(const json_t *j, const char *key)
{
	char text[24];
	int64_t n = vk_json_int(j, key, 0);
	if (n <= 0)
		return vk_strdup("-");
	vk_format_size((uint64_t)n, text);
	return vk_strdup(text);
}

static char *joined(const json_t *words)
{
	vk_autobuf b = VK_BUF_INIT(4096);
	size_t i;
	json_t *v;
	json_array_foreach(words, i, v)(void)
		vk_buf_addf(&b, "%s%s", i > 0 ? "," : "", json_string_value(v));
	return vk_strdup(b.len > 0 ? vk_buf_str(&b) : "-");
}

/* What the cluster has it for, beside instances. */
static const char *duty(const json_t *h)
{
	bool leads = vk_json_bool(h, "leader", false), git = vk_json_bool(h, "registry", false);
	static const char *const names[] = {
		NULL, "leader", "git", "leader,git", "copies", "leader,copies"};
	return names[leads + 2 * git + (git ? 0 : 4 * vk_json_bool(h, "copies", false))];
}

static void host_line(struct table *t, const json_t *h)
{
	vk_autofree char *memory = size_or_dash(h, "memory"), *disk = size_or_dash(h, "disk_free");
	vk_autofree char *roles = joined(json_object_get(h, "roles"));
	int64_t load = vk_json_int(h, "load", 0);
	table_add(t, vk_json_str(h, "name", "?"));
	table_add(t, vk_json_str(h, "state", NULL));
	table_add(t, duty(h));
	table_add(t, roles);
	table_add(t, vk_json_str(h, "zone", "")[0] != '\0' ? vk_json_str(h, "zone", "") : NULL);
	table_addf(t, "%lld", (long long)vk_json_int(h, "cpus", 0));
	table_add(t, memory);
	table_add(t, disk);
	table_addf(t, "%lld.%02lld", (long long)(load / 100), (long long)(load % 100));
	table_add(t, vk_json_str(h, "engine", NULL));
	table_addf(t, "%lld", (long long)vk_json_int(h, "instances", 0));
}

static int hosts_list(struct call *c, struct vk_err *err)
{
	vk_autojson *answer = NULL;
	int r = api_get(c, &answer, err, "/v1/hosts");
	if (r < 0)
		return r;
	if (c->json)
		return print_json(answer);
	struct table t;
	table_init(&t, "HOST|STATE|DUTY|ROLES|ZONE|CPUS|MEMORY|DISK FREE|LOAD|ENGINE|INSTANCES");
	size_t i;
	json_t *h;
	json_array_foreach(json_object_get(answer, "hosts"), i, h) host_line(&t, h);
	table_print(&t, stdout);
	return 0;
}

static int hosts_info(struct call *c, struct vk_err *err)
{
	vk_autofree char *host = url_escape(c->words.v[0]);
	vk_autojson *answer = NULL;
	int r = api_get(c, &answer, err, "/v1/hosts/%s", host);
	if (r < 0)
		return r;
	if (c->json)
		return print_json(answer);
	static const char *const sizes[] = {"memory", "disk", "disk_free"};
	for (size_t i = 0; i < VK_COUNT(sizes); i++) {
		vk_autofree char *text = size_or_dash(answer, sizes[i]);
		json_object_set_new(answer, sizes[i], json_string(text));
	}
	vk_autofree char *load = vk_asprintf("%.2f", (double)vk_json_int(answer, "load", 0) / 100);
	json_object_set_new(answer, "load", json_string(load));
	print_pairs(answer);
	return 0;
}

/* "db" gives the role, "-db" takes it. */
static int hosts_label(struct call *c, struct vk_err *err)
{
	vk_autofree char *host = url_escape(c->words.v[0]);
	vk_autojson *body = json_pack("{s:[],s:[]}", "add", "remove");
	for (size_t i = 1; i < c->words.n; i++) {
		const char *w = c->words.v[i];
		json_t *list = json_object_get(body, w[0] == '-' ? "remove" : "add");
		w += w[0] == '-';
		json_array_append_new(list, vk_json_safe_string(w, strlen(w)));
	}
	int r = api_send(c, "POST", body, NULL, err, "/v1/hosts/%s/label", host);
	if (r == 0)
		printf("%s labelled\n", c->words.v[0]);
	return r;
}

static int drain(struct call *c, const char *what, struct vk_err *err)
{
	vk_autofree char *host = url_escape(c->words.v[0]);
	vk_autojson *body = json_object();
	return api_send(c, "POST", body, NULL, err, "/v1/hosts/%s/%s", host, what);
}

/* What is there still: it goes by releases of its own, but for what has data there. */
static void print_left(const char *host, const json_t *info)
{
	vk_autofree char *volumes = joined(json_object_get(info, "volumes"));
	size_t placed = json_array_size(json_object_get(info, "placed"));
	if (placed > 0)
		printf("       %zu instances are there; when they have gone is said by: viking "
		       "hosts:info "
		       "%s\n",
			placed, host);
	if (json_array_size(json_object_get(info, "volumes")) > 0)
		printf("       what has data there stays and ends with the machine: %s\n", volumes);
}

static int hosts_drain(struct call *c, struct vk_err *err)
{
	vk_autofree char *host = url_escape(c->words.v[0]);
	vk_autojson *info = NULL;
	int r = drain(c, "drain", err);
	if (r < 0)
		return r;
	printf("%s takes nothing new\n", c->words.v[0]);
	if (api_send(c, "GET", NULL, &info, err, "/v1/hosts/%s", host) == 0)
		print_left(c->words.v[0], info);
	return 0;
}

static int hosts_undrain(struct call *c, struct vk_err *err)
{
	int r = drain(c, "undrain", err);
	if (r == 0)
		printf("%s takes instances again\n", c->words.v[0]);
	return r;
}

static int hosts_remove(struct call *c, struct vk_err *err)
{
	vk_autofree char *host = url_escape(c->words.v[0]);
	vk_autojson *answer = NULL;
	int r = api_send(c, "DELETE", NULL, &answer, err, "/v1/hosts/%s%s", host,
		call_flag(c, "--data-lost") ? "?data_lost=1" : "");
	if (r != 0)
		return r;
	printf("host %s removed\n", c->words.v[0]);
	const char *registry = vk_json_str(answer, "registry", NULL);
	if (registry != NULL)
		printf("%s has the repositories and the registry now: push there, or to any host\n",
			registry);
	return 0;
}

/* ---- invitations ---- */

/* One line, for the next host's shell. */
static int hosts_invite(struct call *c, struct vk_err *err)
{
	const char *life = call_value(c, "--expires"), *role = call_value(c, "--role");
	vk_autojson *answer = NULL, *body = json_object();
	int64_t ms;
	if (life != NULL && vk_parse_duration_ms(life, &ms) != 0)
		return vk_err_set(err, VK_USAGE, "--expires %.40s is no duration (30m, 2h)", life);
	if (life != NULL)
		json_object_set_new(body, "expires_ms", json_integer(ms));
	if (role != NULL)
		json_object_set_new(body, "roles", json_pack("[s]", role));
	int r = api_send(c, "POST", body, &answer, err, "/v1/invites");
	if (r == 0)
		printf("viking join %s\n", vk_json_str(answer, "token", "?"));
	return r;
}

static int hosts_invites(struct call *c, struct vk_err *err)
{
	vk_autojson *answer = NULL;
	int r = api_get(c, &answer, err, "/v1/invites");
	if (r < 0)
		return r;
	if (c->json)
		return print_json(answer);
	struct table t;
	table_init(&t, "ID|EXPIRES|ROLES|BY");
	size_t i;
	json_t *v;
	json_array_foreach(json_object_get(answer, "invites"), i, v)
	{
		vk_autofree char *roles = joined(json_object_get(v, "roles"));
		char expires[32];
		vk_format_time(vk_json_int(v, "expires_ms", 0), expires);
		table_add(&t, vk_json_str(v, "id", NULL));
		table_add(&t, expires);
		table_add(&t, roles);
		table_add(&t, vk_json_str(v, "who", NULL));
	}
	table_print(&t, stdout);
	return 0;
}

static int hosts_uninvite(struct call *c, struct vk_err *err)
{
	vk_autofree char *id = url_escape(c->words.v[0]);
	int r = api_send(c, "DELETE", NULL, NULL, err, "/v1/invites/%s", id);
	if (r == 0)
		printf("invitation %s taken back\n", c->words.v[0]);
	return r;
}

/* ---- the cluster ---- */

static int cluster(struct call *c, json_t **ret, struct vk_err *err)
{
	int r = api_get(c, ret, err, "/v1/cluster");
	return r == 0 && c->json ? print_json(*ret) : r;
}

static int leader(struct call *c, struct vk_err *err)
{
	vk_autojson *answer = NULL;
	int r = cluster(c, &answer, err);
	const json_t *l = json_object_get(answer, "leader");
	if (r == 0 && !c->json)
		printf("%s (epoch %lld)\n", vk_json_str(l, "host", "?"),
			(long long)vk_json_int(l, "epoch", 0));
	return r;
}

static int cluster_status(struct call *c, struct vk_err *err)
{
	vk_autojson *answer = NULL;
	int r = cluster(c, &answer, err);
	if (r != 0 || c->json)
		return r;
	const json_t *l = json_object_get(answer, "leader");
	vk_autofree char *endpoints = joined(json_object_get(answer, "endpoints"));
	char since[32];
	vk_format_time(vk_json_int(l, "since_ms", 0), since);
	const char *away = vk_json_str(answer, "away", NULL);
	const char *registry = vk_json_str(answer, "registry", NULL);
	printf("store:     %s\nendpoints: %s\nleader:    %s since %s\nepoch:     %lld\n",
		vk_json_str(answer, "store", "?"), endpoints, vk_json_str(l, "host", "?"), since,
		(long long)vk_json_int(l, "epoch", 0));
	if (registry != NULL)
		printf("git:       %s (repositories, builds, registry)\n", registry);
	size_t i;
	json_t *m;
	json_array_foreach(json_object_get(answer, "members"), i, m)
		printf("member:    %s %s %s\n", vk_json_str(m, "name", "?"),
			vk_json_str(m, "address", "?"), vk_json_str(m, "state", "?"));
	printf("changes:   %s\n", away == NULL ? "possible" : away);
	return 0;
}

static int rebalance(struct call *c, struct vk_err *err)
{
	vk_autojson *answer = NULL,
		    *body = json_pack("{s:b}", "dry_run", call_flag(c, "--dry-run"));
	int r = api_send(c, "POST", body, &answer, err, "/v1/rebalance");
	if (r != 0)
		return r;
	const json_t *moves = json_object_get(answer, "moves");
	size_t i;
	json_t *m;
	json_array_foreach(moves, i, m)
	{
		vk_autofree char *from = joined(json_object_get(m, "from"));
		vk_autofree char *to = joined(json_object_get(m, "to"));
		printf("%s/%s %s -> %s\n", vk_json_str(m, "stack", "?"),
			vk_json_str(m, "node", "?"), from, to);
	}
	if (json_array_size(moves) == 0)
		puts("nothing would be better elsewhere");
	return 0;
}

static const struct option rebalance_options[] = {
	{"--dry-run", NULL, NULL, "only say what would move"},
	{0},
};
static const struct option remove_options[] = {
	{"--data-lost", NULL, NULL,
		"it will not come back: nodes with volumes there begin anew, empty"},
	{0},
};

static const struct option invite_options[] = {
	{"--expires", NULL, "TIME", "how long the line is good for (1h)"},
	{"--role", NULL, "ROLE", "what nodes may ask for (vikingfile: roles)"},
	{0},
};

const struct command hosts_commands[] = {
	{"hosts:list", "", 0, 0, 0, true, hosts_list, NULL,
		"machines: state, roles, capacity, load"},
	{"hosts:info", "HOST", 1, 1, 0, true, hosts_info, NULL,
		"one machine, and what is placed on it"},
	{"hosts:label", "HOST ROLE...", 2, 99, 1, false, hosts_label, NULL,
		"give a machine roles that nodes ask for; -ROLE takes one away"},
	{"hosts:drain", "HOST", 1, 1, 0, false, hosts_drain, NULL,
		"place nothing new on a machine, and move what can be moved"},
	{"hosts:undrain", "HOST", 1, 1, 0, false, hosts_undrain, NULL,
		"let it take instances again"},
	{"rebalance", "[--dry-run]", 0, 0, 0, false, rebalance, rebalance_options,
		"spread instances over hosts anew, by releases of their nodes, a few at a time"},
	{"hosts:remove", "HOST [--data-lost]", 1, 1, 0, false, hosts_remove, remove_options,
		"forget a machine that is gone"},
	{"hosts:invite", "[--expires TIME] [--role ROLE]", 0, 0, 0, false, hosts_invite,
		invite_options, "print the one line to type on a new machine, to take it in"},
	{"hosts:invites", "", 0, 0, 0, true, hosts_invites, NULL,
		"invitations that nobody has used yet"},
	{"hosts:uninvite", "ID", 1, 1, 0, false, hosts_uninvite, NULL, "take an invitation back"},
	{"leader", "", 0, 0, 0, true, leader, NULL, "the machine whose scheduler decides"},
	{"cluster:status", "", 0, 0, 0, true, cluster_status, NULL,
		"where the state is, who leads, whether changes are possible"},
	{0},
};
