#include "config_table.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <viking/id.h>
#include <viking/str.h>

#define KIB    1024ull
#define MIB    (1024 * KIB)
#define GIB    (1024 * MIB)
#define TIB    (1024 * GIB)
#define SECOND 1000ull
#define DAY    (86400 * SECOND)

/* ---- checks of texts ---- */

static int one_of(const char *v, const char *const *words, struct vk_err *err)
{
	vk_autobuf list = VK_BUF_INIT(256);
	for (size_t i = 0; words[i] != NULL; i++) {
		if (strcmp(v, words[i]) == 0)
			return 0;
		vk_buf_addf(&list, "%s%s", i > 0 ? ", " : "", words[i]);
	}
	return vk_err_set(err, VK_INVALID, "one of: %s", vk_buf_str(&list));
}

static int check_backend(const char *v, struct vk_err *err)
{
	static const char *const words[] = {"buildkit", "classic", NULL};
	return one_of(v, words, err);
}

static int check_store(const char *v, struct vk_err *err)
{
	static const char *const words[] = {"sqlite", "etcd", NULL};
	return one_of(v, words, err);
}

static int check_sandbox(const char *v, struct vk_err *err)
{
	static const char *const words[] = {
		"auto", "require", "off", "no-landlock", "no-seccomp", NULL};
	return one_of(v, words, err);
}

static int check_host(const char *v, struct vk_err *err)
{
	if (*v == '\0' || vk_is_host(v))
		return 0; /* empty: asked of the system */
	return vk_err_set(err, VK_INVALID, "a host name without domain: a-z, 0-9 and -");
}

static int check_domain(const char *v, struct vk_err *err)
{
	char out[VK_DOMAIN_MAX + 1];
	return *v == '\0' ? 0 : vk_domain(v, false, out, err);
}

static int check_address(const char *v, struct vk_err *err)
{
	struct in6_addr a;
	if (inet_pton(AF_INET, v, &a) == 1 || inet_pton(AF_INET6, v, &a) == 1)
		return 0;
	return vk_err_set(err, VK_INVALID, "an IPv4 or IPv6 address");
}

static int check_range(const char *v, struct vk_err *err)
{
	struct in_addr a;
	uint64_t bits = 0;
	vk_autofree char *address = vk_strdup(v);
	char *slash = strchr(address, '/');
	if (slash != NULL) {
		*slash = '\0';
		if (inet_pton(AF_INET, address, &a) == 1 &&
			vk_parse_u64(slash + 1, 8, 24, &bits) == 0 &&
			(ntohl(a.s_addr) & (0xffffffffu >> bits)) == 0)
			return 0;
	}
	return vk_err_set(err, VK_INVALID, "an IPv4 range like 10.210.0.0/16, /8 to /24");
}

/* Calls item for each comma-separated word; none may be empty. */
static bool each_word(const char *v, bool (*item)(const char *word))
{
	while (*v != '\0') {
		size_t n = strcspn(v, ",");
		vk_autofree char *word = vk_strndup(v, n);
		if (n == 0 || !item(word) || (v[n] == ',' && v[n + 1] == '\0'))
			return false;
		v += n + (v[n] == ',' ? 1 : 0);
	}
	return true;
}

static bool is_branch(const char *w)
{
	for (const char *p = w; *p != '\0'; p++)
		if (!isgraph((unsigned char)*p) || strchr("~^:?*[\\", *p) != NULL)
			return false;
	return w[0] != '-' && w[0] != '/' && strstr(w, "..") == NULL;
}

static int check_branches(const char *v, struct vk_err *err)
{
	if (*v != '\0' && each_word(v, is_branch))
		return 0;
	return vk_err_set(err, VK_INVALID, "branch names with commas between, like main,master");
}

static int check_digest(const char *v, struct vk_err *err)
{
	if (*v == '\0' || (strlen(v) == 64 && v[strspn(v, "0123456789abcdef")] == '\0'))
		return 0;
	return vk_err_set(err, VK_INVALID, "64 hex digits: printf %%s TOKEN | sha256sum");
}

static bool is_role(const char *w)
{
	return w[0] != '\0' && w[strspn(w, "abcdefghijklmnopqrstuvwxyz0123456789_.-")] == '\0';
}

static int check_roles(const char *v, struct vk_err *err)
{
	if (*v == '\0' || each_word(v, is_role))
		return 0;
	return vk_err_set(
		err, VK_INVALID, "words of a-z, 0-9, _, . and - with commas between, like db,ssd");
}

static int check_zone(const char *v, struct vk_err *err)
{
	if (*v == '\0' || is_role(v))
		return 0;
	return vk_err_set(err, VK_INVALID, "a word of a-z, 0-9, _, . and -, like room2");
}

static bool is_host_path(const char *w)
{
	return w[0] == '/' && strstr(w, "/../") == NULL && !vk_ends(w, "/..");
}

static int check_host_paths(const char *v, struct vk_err *err)
{
	if (each_word(v, is_host_path))
		return 0;
	return vk_err_set(err, VK_INVALID, "absolute paths with commas between");
}

static bool is_url_prefix(const char *w)
{
	return strstr(w, "://") != NULL && w[strcspn(w, " \t")] == '\0';
}

static int check_pack_urls(const char *v, struct vk_err *err)
{
	if (each_word(v, is_url_prefix))
		return 0;
	return vk_err_set(err, VK_INVALID,
		"beginnings of URLs with commas between, like https://github.com/heroku/");
}

static bool is_image(const char *w)
{
	return w[0] != '-' && w[strcspn(w, " \t")] == '\0';
}

static int check_images(const char *v, struct vk_err *err)
{
	if (each_word(v, is_image))
		return 0;
	return vk_err_set(err, VK_INVALID, "names of images with commas between; * is any text");
}

static int check_image(const char *v, struct vk_err *err)
{
	if (is_image(v) && strchr(v, ',') == NULL)
		return 0;
	return vk_err_set(err, VK_INVALID, "the name of an image");
}

static bool is_port_range(const char *w)
{
	uint64_t first, last;
	vk_autofree char *s = vk_strdup(w);
	char *dash = strchr(s, '-');
	if (dash != NULL)
		*dash = '\0';
	return vk_parse_u64(s, 1, 65535, &first) == 0 &&
		vk_parse_u64(dash != NULL ? dash + 1 : s, first, 65535, &last) == 0;
}

static int check_publish(const char *v, struct vk_err *err)
{
	if (each_word(v, is_port_range))
		return 0;
	return vk_err_set(err, VK_INVALID, "ports or ranges with commas between, like 1024-65535");
}

static int check_port_range(const char *v, struct vk_err *err)
{
	if (strchr(v, '-') != NULL && is_port_range(v))
		return 0;
	return vk_err_set(err, VK_INVALID, "a range of ports, like 20000-29999");
}

static bool is_ipv4(const char *w)
{
	struct in_addr a;
	return inet_pton(AF_INET, w, &a) == 1;
}

static int check_addresses(const char *v, struct vk_err *err)
{
	if (each_word(v, is_ipv4))
		return 0;
	return vk_err_set(err, VK_INVALID, "IPv4 addresses with commas between");
}

static bool is_zone(const char *w)
{
	static const char *const zones[] = {"skydns.local", "veo", "local.zone"};
	for (size_t i = 0; i < VK_COUNT(zones); i++)
		if (strcmp(zones[i], w) == 0)
			return true;
	return false;
}

static int check_zones(const char *v, struct vk_err *err)
{
	if (each_word(v, is_zone))
		return 0;
	return vk_err_set(err, VK_INVALID, "of skydns.local, veo, local.zone, with commas between");
}

static int check_file(const char *v, struct vk_err *err)
{
	return *v == '\0' || is_host_path(v)
		? 0
		: vk_err_set(err, VK_INVALID, "the absolute path of a file");
}

static bool is_plain(const char *v)
{
	for (; *v != '\0'; v++)
		if (!isgraph((unsigned char)*v))
			return false;
	return true;
}

static int check_https(const char *v, struct vk_err *err)
{
	return vk_starts(v, "https://") && is_plain(v)
		? 0
		: vk_err_set(err, VK_INVALID, "a URL that begins with https://");
}

static int check_email(const char *v, struct vk_err *err)
{
	const char *at = strchr(v, '@');
	return *v == '\0' || (at != NULL && at > v && at[1] != '\0' && v[0] != '-' && is_plain(v))
		? 0
		: vk_err_set(err, VK_INVALID, "an address like admin@example.org");
}

static int check_key_prefix(const char *v, struct vk_err *err)
{
	return *v == '\0' || (is_host_path(v) && v[strlen(v) - 1] != '/')
		? 0
		: vk_err_set(err, VK_INVALID, "begins with / and does not end with it");
}

static int check_classic(const char *v, struct vk_err *err)
{
	if (strcmp(v, "/") == 0 || strcmp(v, "off") == 0 ||
		(*v != '\0' && check_key_prefix(v, NULL) == 0))
		return 0;
	return vk_err_set(err, VK_INVALID, "is off, / or a prefix like /shop");
}

static int check_path(const char *v, struct vk_err *err)
{
	return *v != '\0' ? 0 : vk_err_set(err, VK_INVALID, "a path");
}

/* ---- the table ---- */

#define AT(field) offsetof(struct vk_config, field)
#define TEXT(name, field, dflt, check, help) \
	{ \
		name, SETTING_TEXT, AT(field), dflt, 0, 0, check, help \
	}
#define PATH(name, field, dflt, help) \
	{ \
		name, SETTING_PATH, AT(field), dflt, 0, 0, check_path, help \
	}
#define PORT(name, field, dflt, min, help) \
	{ \
		name, SETTING_NUMBER, AT(field), dflt, min, 65535, NULL, help \
	}
#define NUMBER(name, field, dflt, min, max, help) \
	{ \
		name, SETTING_NUMBER, AT(field), dflt, min, max, NULL, help \
	}
#define SIZE(name, field, dflt, min, help) \
	{ \
		name, SETTING_SIZE, AT(field), dflt, min, 1024 * TIB, NULL, help \
	}
#define TIME(name, field, dflt, min, help) \
	{ \
		name, SETTING_DURATION, AT(field), dflt, min, DAY, NULL, help \
	}
#define BOOL(name, field, dflt, help) \
	{ \
		name, SETTING_BOOL, AT(field), dflt, 0, 1, NULL, help \
	}

const struct setting settings[SETTING_COUNT] = {
	TEXT("host.name", host_name, "", check_host,
		"this machine's name; empty: what the system says"),
	TEXT("host.roles", host_roles, "", check_roles,
		"what this host is for, words with commas between: nodes ask for them by roles"),
	TEXT("host.zone", host_zone, "", check_zone,
		"instances of a node are spread over zones first: a room, a rack"),
	TEXT("base_domain", base_domain, "", check_domain,
		"stacks without a domain get STACK.base_domain; empty: STACK.localhost"),
	TEXT("ssh.address", ssh_address, "0.0.0.0", check_address,
		"where git and commands come in"),
	PORT("ssh.port", ssh_port, "2222", 1, "port of the SSH server"),
	NUMBER("ssh.startups", ssh_startups, "100", 1, 10000,
		"connections not yet logged in, in all"),
	NUMBER("ssh.startups_per_source", ssh_startups_per_source, "10", 1, 10000,
		"connections not yet logged in, from one address"),
	TIME("ssh.grace", ssh_grace_ms, "20s", SECOND, "time to log in"),
	TIME("ssh.keepalive", ssh_keepalive_ms, "30s", SECOND,
		"silence before a client is asked for a sign of life; it has three chances"),
	TIME("ssh.idle", ssh_idle_ms, "10m", SECOND,
		"connections without a command, or whose output nobody reads, end then"),
	TEXT("http.address", http_address, "0.0.0.0", check_address, "where visitors come in"),
	PORT("http.port", http_port, "80", 1, "port for HTTP"),
	PORT("https.port", https_port, "443", 0, "port for HTTPS; 0: off"),
	TEXT("web.address", web_address, "127.0.0.1", check_address,
		"where the API listens on TCP"),
	PORT("web.port", web_port, "8791", 0, "port of the API; 0: off"),
	TEXT("metrics.token", metrics_token, "", check_digest,
		"SHA-256 of the token that may read /metrics there; empty: nobody"),
	TEXT("cluster.address", cluster_address, "0.0.0.0", check_address,
		"where the cluster's other hosts reach this one"),
	PORT("cluster.port", cluster_port, "8792", 1,
		"port of the cluster's hosts for one another; nothing listens there without a "
		"cluster"),
	TEXT("cluster.ports", cluster_ports, "20000-29999", check_port_range,
		"ports of cluster.address at which other hosts reach containers; the same on all "
		"hosts"),
	TEXT("registry.address", registry_address, "127.0.0.1", check_address,
		"where images are kept"),
	PORT("registry.port", registry_port, "5000", 1, "port of the registry"),
	PATH("paths.etc", etc_dir, "etc/viking", "configuration"),
	PATH("paths.state", state_dir, "var/lib/viking", "repositories, database, logs"),
	PATH("paths.run", run_dir, "run/viking", "sockets"),
	PATH("paths.libexec", libexec_dir, VIKING_LIBEXEC_DIR, "viking's programs"),
	PATH("engine.socket", engine_socket, "/var/run/docker.sock", "the Docker Engine"),
	PATH("helpers.haproxy", haproxy_path, "/usr/sbin/haproxy", "program"),
	PATH("helpers.registry", registry_path, "/usr/bin/docker-registry", "program"),
	PATH("helpers.uacme", uacme_path, "/usr/bin/uacme", "program"),
	PATH("helpers.git", git_path, "/usr/bin/git", "program"),
	PATH("helpers.etcd", etcd_path, "/usr/bin/etcd", "program"),
	BOOL("helpers.run_etcd", run_etcd, "false",
		"start and watch an etcd (viking cluster:init)"),
	BOOL("helpers.run_haproxy", run_haproxy, "true", "start and watch haproxy"),
	BOOL("helpers.run_registry", run_registry, "true", "start and watch the registry"),
	TEXT("store", store, "sqlite", check_store, "where the state is: sqlite or etcd"),
	TEXT("etcd.endpoints", etcd_endpoints, "", NULL,
		"members of the etcd, like https://10.0.0.1:2379, with commas between"),
	TEXT("etcd.ca", etcd_ca, "", check_file,
		"PEM file of the authority of etcd's certificates"),
	TEXT("etcd.cert", etcd_cert, "", check_file, "PEM file of viking's certificate for etcd"),
	TEXT("etcd.key", etcd_key, "", check_file, "PEM file of its key, for viking-sched to read"),
	TEXT("etcd.prefix", etcd_prefix, "/viking", check_key_prefix, "before all keys in etcd"),
	TEXT("etcd.classic", etcd_classic, "/", check_classic,
		"before the keys of seed 000 (/proc /run /ports ..) in etcd; / = as they are, off "
		"= none"),
	PORT("etcd.port", etcd_port, "2379", 1, "port of the etcd of this host, on loopback"),
	PORT("etcd.peer_port", etcd_peer_port, "2380", 1, "its port for other members"),
	TIME("etcd.lease", etcd_lease_ms, "10s", 2 * SECOND,
		"a leader that gives no sign of life for so long is replaced"),
	TEXT("deploy.branches", deploy_branches, "main,master", check_branches,
		"branches that deploy"),
	BOOL("deploy.create_on_push", create_on_push, "true", "a first push makes the stack"),
	TIME("deploy.health_timeout", health_timeout_ms, "60s", SECOND,
		"from start to first healthy"),
	TIME("deploy.drain", drain_ms, "30s", 0, "for requests on old instances to end"),
	TIME("deploy.route_ack", route_ack_ms, "30s", SECOND, "for the router to apply new routes"),
	TIME("cluster.host_grace", host_grace_ms, "30s", SECOND,
		"without its agent a host counts as lost after this, and what can go runs "
		"elsewhere; one "
		"whose machine is silent at once"),
	BOOL("receiver.bench_skip_release", bench_skip_release, "false",
		"for measurements: a push only moves the ref"),
	SIZE("receive.max_pack", pack_max, "512MiB", MIB, "largest push"),
	SIZE("receive.max_object", object_max, "100MiB", MIB, "largest file in a push"),
	NUMBER("receive.max_depth", tree_depth_max, "64", 1, 1000, "deepest directory of a commit"),
	NUMBER("receive.max_files", tree_files_max, "50000", 1, 10000000, "most files of a commit"),
	SIZE("receive.max_bytes", tree_bytes_max, "1GiB", MIB, "all files of a commit"),
	SIZE("receive.min_free", free_bytes_min, "512MiB", 0,
		"disk that has to be free for a push"),
	NUMBER("builds.parallel", builds_parallel, "2", 1, 64, "builds at the same time"),
	TEXT("builds.backend", build_backend, "buildkit", check_backend, "buildkit or classic"),
	SIZE("builds.memory", build_memory, "2GiB", 32 * MIB, "memory of a build"),
	NUMBER("builds.cpu_weight", build_cpu_weight, "100", 1, 10000,
		"share of builds; apps have 1000"),
	NUMBER("builds.pids", build_pids, "1024", 16, 1000000, "processes of a build"),
	SIZE("builds.disk", build_disk, "10GiB", 64 * MIB,
		"disk that a build may take, its cache included"),
	TIME("builds.timeout", build_timeout_ms, "30m", SECOND, "longest build"),
	BOOL("builder.stack_ahead", stack_ahead, "true",
		"store the stack image in the registry before a push waits for it"),
	TEXT("builder.build_env", build_env_file, "", check_file,
		"file of NAME=VALUE lines for buildpacks: proxies, mirrors"),
	TEXT("builder.extra_ca", build_ca_file, "", check_file,
		"PEM file of certificates that buildpacks trust besides the usual ones"),
	SIZE("images.budget", images_budget, "20GiB", 0, "disk for images before old ones go"),
	NUMBER("releases.keep", releases_keep, "10", 1, 1000,
		"releases that can be rolled back to"),
	SIZE("nodes.memory", default_memory, "512MiB", 6 * MIB,
		"memory of an instance that names none"),
	NUMBER("nodes.pids", default_pids, "512", 8, 1000000, "processes of an instance"),
	TIME("nodes.disk_check", disk_check_ms, "30s", SECOND,
		"how often what instances have written is held against their disk"),
	TEXT("networks.range", network_range, "10.210.0.0/16", check_range,
		"one /24 of it a stack"),
	BOOL("dns.enabled", dns_enabled, "true", "answer containers' questions for names"),
	TEXT("dns.upstream", dns_upstream, "", check_addresses,
		"resolvers for all other names; empty: those of /etc/resolv.conf"),
	TEXT("dns.zones", dns_zones, "skydns.local,veo,local.zone", check_zones,
		"zones of older systems that are served beside .viking; empty: none"),
	TEXT("acme.directory", acme_directory, "https://acme-v02.api.letsencrypt.org/directory",
		check_https, "authority that automatic certificates come from"),
	BOOL("acme.accept_terms", acme_accept_terms, "false",
		"you agree to its terms; nothing is ordered before"),
	BOOL("acme.auto", acme_auto, "false", "order for every domain, not only where asked for"),
	TEXT("acme.email", acme_email, "", check_email, "where it may reach you"),
	TEXT("acme.ca_file", acme_ca_file, "", check_file,
		"certificates its HTTPS is checked with instead of the system's"),
	TEXT("acme.dns_hook", acme_dns_hook, "", check_file,
		"program that sets TXT records, for wildcards"),
	TIME("acme.timeout", acme_timeout_ms, "5m", 10 * SECOND, "of one order"),
	TIME("acme.retry", acme_retry_ms, "10m", SECOND,
		"wait after a failed order, doubling to a day"),
	BOOL("firewall.enabled", firewall_enabled, "true",
		"keep containers from this host and from other stacks"),
	TEXT("firewall.allow", firewall_allow, "", check_publish,
		"TCP ports of this host that containers may reach all the same"),
	SIZE("logs.stack_bytes", logs_stack_bytes, "64MiB", MIB, "kept log of a stack"),
	SIZE("audit.max_size", audit_size_max, "64MiB", MIB, "audit.jsonl before it is put aside"),
	NUMBER("audit.keep", audit_keep, "8", 1, 100, "audit logs put aside"),
	BOOL("policy.privileged", policy_privileged, "false", "manifests may ask for privileged"),
	BOOL("policy.host_network", policy_host_network, "false",
		"manifests may ask for the host's network"),
	BOOL("policy.host_pid", policy_host_pid, "false",
		"manifests may ask for the host's processes"),
	TEXT("policy.host_paths", policy_host_paths, "", check_host_paths,
		"directories of the host that manifests may mount"),
	TEXT("policy.publish", policy_publish, "1024-65535", check_publish,
		"ports of the host that manifests may publish"),
	TEXT("builder.cnb", builder_cnb, "", check_image,
		"Cloud Native builder image for a project.toml; empty: that file is not looked at"),
	TEXT("policy.pack_urls", policy_pack_urls, "https://,http://,git://", check_pack_urls,
		"how the URL of a buildpack must begin"),
	TEXT("policy.pack_paths", policy_pack_paths, "", check_host_paths,
		"directories of the host under which buildpacks may lie"),
	TEXT("policy.cnb_builders", policy_cnb_builders, "", check_images,
		"Cloud Native builder images, beside builder.cnb, that manifests may name: they "
		"build as root"),
	TEXT("sandbox", sandbox, "auto", check_sandbox,
		"auto: what the kernel has; require: all or do not start; off, no-landlock, "
		"no-seccomp: for tests"),
};

/* ---- use ---- */

const struct setting *setting_find(const char *name)
{
	for (size_t i = 0; settings[i].name != NULL; i++)
		if (strcmp(settings[i].name, name) == 0)
			return &settings[i];
	return NULL;
}

const char *setting_suggest(const char *name)
{
	const char *names[SETTING_COUNT + 1] = {NULL};
	for (size_t i = 0; settings[i].name != NULL; i++)
		names[i] = settings[i].name;
	return vk_suggest(name, names);
}

char *setting_env_name(const struct setting *s)
{
	char *env = vk_asprintf("VIKING_%s", s->name);
	for (char *p = env; *p != '\0'; p++)
		*p = *p == '.' ? '_' : (char)toupper((unsigned char)*p);
	return env;
}

static void *field_of(const struct setting *s, struct vk_config *c)
{
	return (char *)c + s->offset;
}

static int wrong(const struct setting *s, const char *text, struct vk_err *err, const char *wanted)
{
	char shown[64];
	vk_str_printable(text, strlen(text), shown, sizeof(shown));
	return vk_err_set(err, VK_INVALID, "%s: \"%s\" is not %s", s->name, shown, wanted);
}

static int set_text(
	const struct setting *s, struct vk_config *c, const char *text, struct vk_err *err)
{
	struct vk_err why = {0};
	char **field = field_of(s, c);
	for (const char *p = text; *p != '\0'; p++)
		if (iscntrl((unsigned char)*p))
			return wrong(s, text, err, "plain text");
	if (s->check != NULL && s->check(text, &why) != 0)
		return wrong(s, text, err, why.msg);
	free(*field);
	*field = vk_strdup(text);
	return 0;
}

static int set_bool(
	const struct setting *s, struct vk_config *c, const char *text, struct vk_err *err)
{
	static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
	for (size_t i = 0; i < VK_COUNT(words); i++) {
		if (strcasecmp(text, words[i]) != 0)
			continue;
		*(bool *)field_of(s, c) = i % 2 != 0;
		return 0;
	}
	return wrong(s, text, err, "true or false");
}

static char *unit_text(enum setting_type type, uint64_t v)
{
	static const struct unit {
		enum setting_type type;
		uint64_t size;
		const char *suffix;
	} units[] = {
		{SETTING_SIZE, GIB, "GiB"},
		{SETTING_SIZE, MIB, "MiB"},
		{SETTING_SIZE, KIB, "KiB"},
		{SETTING_DURATION, 3600 * SECOND, "h"},
		{SETTING_DURATION, 60 * SECOND, "m"},
		{SETTING_DURATION, SECOND, "s"},
		{SETTING_DURATION, 1, "ms"},
	};
	for (size_t i = 0; i < VK_COUNT(units); i++)
		if (units[i].type == type && v != 0 && v % units[i].size == 0)
			return vk_asprintf(
				"%llu%s", (unsigned long long)(v / units[i].size), units[i].suffix);
	return vk_asprintf("%llu", (unsigned long long)v);
}

static int set_number(
	const struct setting *s, struct vk_config *c, const char *text, struct vk_err *err)
{
	static const char *const what[] = {
		[SETTING_NUMBER] = "a number",
		[SETTING_SIZE] = "a size (like 512MiB)",
		[SETTING_DURATION] = "a time (like 30s)",
	};
	uint64_t v = 0;
	int64_t ms = 0;
	int rc;
	if (s->type == SETTING_DURATION) {
		rc = vk_parse_duration_ms(text, &ms);
		v = (uint64_t)ms;
	} else {
		rc = s->type == SETTING_SIZE ? vk_parse_size(text, &v)
					     : vk_parse_u64(text, 0, UINT64_MAX, &v);
	}
	if (rc != 0 || v < s->min || v > s->max) {
		vk_autofree char *min = unit_text(s->type, s->min),
				 *max = unit_text(s->type, s->max);
		vk_autofree char *wanted = vk_asprintf("%s from %s to %s", what[s->type], min, max);
		return wrong(s, text, err, wanted);
	}
	*(uint64_t *)field_of(s, c) = v;
	return 0;
}

int setting_set(const struct setting *s, struct vk_config *c, const char *text, struct vk_err *err)
{
	switch (s->type) {
	case SETTING_TEXT:
	case SETTING_PATH:
		return set_text(s, c, text, err);
	case SETTING_BOOL:
		return set_bool(s, c, text, err);
	default:
		return set_number(s, c, text, err);
	}
}

char *setting_text(const struct setting *s, const struct vk_config *c)
{
	const char *field = (const char *)c + s->offset;
	switch (s->type) {
	case SETTING_TEXT:
	case SETTING_PATH:
		return vk_strdup(*(char *const *)(const void *)field);
	case SETTING_BOOL:
		return vk_strdup(*(const bool *)field ? "true" : "false");
	default:
		return unit_text(s->type, *(const uint64_t *)(const void *)field);
	}
}

void setting_release(const struct setting *s, struct vk_config *c)
{
	if (s->type == SETTING_TEXT || s->type == SETTING_PATH)
		free(*(char **)field_of(s, c));
}
