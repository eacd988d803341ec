/* The section deploy: nodes, each an application from an image or boat, or a website. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/str.h>

#include "image_name.h"
#include "manifest_parse.h"

#define MEMORY_MIN (4ull << 20)
#define MEMORY_MAX (1ull << 44)
#define CPUS_MAX   1024

enum { APP_ONLY = 1, WEBSITE_ONLY = 2 };

json_t *manifest_node_new(void)
{
	json_t *health = json_pack("{s:s, s:s, s:i, s:[], s:i, s:i, s:i, s:i}", "type", "auto",
		"path", "/", "port", 0, "cmd", "interval_ms", 5000, "timeout_ms", 2000, "retries",
		3, "start_ms", 0);
	json_t *node = json_pack(
		"{s:s, s:s, s:s, s:s, s:n, s:s, s:{}, s:[], s:[], s:[], s:i, s:b, s:s, s:[]}",
		"type", "app", "boat", "", "image", "", "from", "", "run", "cwd", "", "env",
		"expose", "publish", "volumes", "scale", 1, "service", 0, "document_root", "",
		"domains");
	json_t *rest = json_pack("{s:o, s:i, s:i, s:i, s:n, s:s, s:i, s:b, s:s, s:s}", "health",
		health, "stop_ms", 10000, "memory", 0, "cpus_milli", 0, "release", "restart",
		"always", "restart_count", -1, "privileged", 0, "network_mode", "default",
		"pid_mode", "");
	json_object_set_new(rest, "dns_update_policy", json_string("append"));
	json_object_set_new(rest, "links", json_array());
	json_object_set_new(rest, "require", json_array());
	json_object_set_new(rest, "shared", json_array());
	json_object_update(node, rest);
	json_decref(rest);
	return node;
}

static void set_int(json_t *out, const char *key, int64_t value)
{
	json_object_set_new(out, key, json_integer(value));
}

/* -- where it comes from -- */

static int own_boat(const struct mval *v, const char *boat, json_t *out, struct vk_err *err)
{
	const json_t *boats = json_object_get(v->m->doc, "boats");
	if (json_object_get(boats, boat) != NULL) {
		json_set_str(out, "boat", boat);
		return 0;
	}
	const char *names[MANIFEST_BOATS + 1] = {0};
	size_t n = 0;
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)boats, name, value) if (n < MANIFEST_BOATS)
		names[n++] = name;
	const char *near = vk_suggest(boat, names);
	if (near != NULL)
		return mval_error(v, err,
			"there is no boat \"%.60s\" in build:, did you mean \"%s\"?", boat, near);
	return mval_error(v, err, "there is no boat \"%.60s\" in build:", boat);
}

static int node_boat(const struct mval *v, json_t *out, struct vk_err *err)
{
	const char *text;
	int rc = mval_text(v, 256, &text, err);
	return rc == 0 ? own_boat(v, text, out, err) : rc;
}

static int node_image(const struct mval *v, json_t *out, struct vk_err *err)
{
	const char *text;
	int rc = mval_text(v, IMAGE_NAME_MAX, &text, err);
	if (rc != 0)
		return rc;
	if (!image_is_boat(text)) {
		rc = image_name_check(text, v->m->opts->registry, err);
		if (rc != 0) {
			mval_wrap(v, err);
			return rc;
		}
		json_set_str(out, "image", text);
		return 0;
	}
	struct boat_ref ref;
	if (image_boat_ref(text, &ref, err) != 0)
		return mval_wrap(v, err);
	if (manifest_is_own(v->m, ref.stack))
		return own_boat(v, ref.boat, out, err);
	vk_autofree char *from = vk_asprintf("%s/%s", ref.stack, ref.boat);
	json_set_str(out, "from", from);
	return 0;
}

static int node_type(const struct mval *v, json_t *out, struct vk_err *err)
{
	const char *text;
	int rc = mval_text(v, 64, &text, err);
	if (rc != 0)
		return rc;
	if (strcmp(text, "app") != 0 && strcmp(text, "website") != 0)
		return mval_error(v, err, "is app or website, not \"%.60s\"", text);
	json_set_str(out, "type", text);
	return 0;
}

static int node_document_root(const struct mval *v, json_t *out, struct vk_err *err)
{
	const char *text;
	vk_autofree char *path = NULL;
	int rc = mval_text(v, 1024, &text, err);
	if (rc != 0)
		return rc;
	if (manifest_path(text, &path, err) != 0)
		return mval_wrap(v, err);
	json_set_str(out, "document_root", path);
	json_set_str(out, "type", "website"); /* it triggers website mode */
	return 0;
}

/* -- what runs -- */

/* Words that only a shell would act on; they reach the program as they are. */
static bool needs_shell(const json_t *argv)
{
	static const char *const operators[] = {
		"&&", "||", "|", ";", ">", ">>", "<", "&", "2>&1", NULL};
	size_t i;
	json_t *word;
	json_array_foreach(argv, i, word)
	{
		const char *s = json_string_value(word);
		for (size_t j = 0; operators[j] != NULL; j++)
			if (strcmp(s, operators[j]) == 0)
				return true;
	}
	return false;
}

static int command(const struct mval *v, json_t *out, const char *key, struct vk_err *err)
{
	json_t *argv = NULL;
	int rc = mval_argv(v, &argv, err);
	if (rc != 0)
		return rc;
	if (json_array_size(argv) > 1 &&
		strcmp(json_string_value(json_array_get(argv, 0)), "mon") == 0) {
		json_array_remove(argv, 0);
		manifest_notice(
			v->m, v->y, "%s: \"mon\" is dropped, viking supervises by itself", v->what);
	}
	if (v->y->type == VK_YAML_SCALAR && needs_shell(argv))
		manifest_notice(v->m, v->y,
			"%s: no shell reads this; for one write [sh, -c, \"...\"]", v->what);
	json_object_set_new(out, key, argv);
	return 0;
}

int mnode_run(const struct mval *v, json_t *out, struct vk_err *err)
{
	return command(v, out, "run", err);
}

static int node_release(const struct mval *v, json_t *out, struct vk_err *err)
{
	return command(v, out, "release", err);
}

static int node_cwd(const struct mval *v, json_t *out, struct vk_err *err)
{
	const char *text;
	int rc = mval_text(v, 1024, &text, err);
	if (rc == 0 && *text != '/')
		return mval_error(v, err, "needs an absolute path, not \"%.60s\"", text);
	if (rc == 0)
		json_set_str(out, "cwd", text);
	return rc;
}

static int node_env(const struct mval *v, json_t *out, struct vk_err *err)
{
	json_t *env = NULL;
	int rc = mval_variables(v, &env, err);
	if (rc == 0)
		json_object_set_new(out, "env", env);
	return rc;
}

/* -- how much of it, and for how long -- */

static int node_scale(const struct mval *v, json_t *out, struct vk_err *err)
{
	uint64_t n;
	int rc = mval_u64(v, 0, 100, &n, err);
	if (rc == 0)
		set_int(out, "scale", (int64_t)n);
	return rc;
}

static int node_service(const struct mval *v, json_t *out, struct vk_err *err)
{
	bool on;
	int rc = mval_bool(v, &on, err);
	if (rc == 0)
		json_object_set_new(out, "service", json_boolean(on));
	return rc;
}

static int node_memory(const struct mval *v, json_t *out, struct vk_err *err)
{
	const char *text;
	uint64_t bytes;
	int rc = mval_text(v, 64, &text, err);
	if (rc != 0)
		return rc;
	if (vk_parse_size(text, &bytes) != 0)
		return mval_error(v, err, "needs a size like 512M or 2G, not \"%.60s\"", text);
	if (bytes < MEMORY_MIN || bytes > MEMORY_MAX)
		return mval_error(v, err,
			"has to be between 4 MiB and 16 TiB; \"%.60s\" is %llu bytes", text,
			(unsigned long long)bytes);
	set_int(out, "memory", (int64_t)bytes);
	return 0;
}

/* "2", "0.5", "1.25": thousandths of a core. */
static int parse_milli(const char *s, uint64_t *ret)
{
	size_t whole = strcspn(s, ".");
	const char *part = s[whole] == '.' ? s + whole + 1 : "";
	if (strlen(part) > 3 || (s[whole] == '.' && *part == '\0'))
		return VK_INVALID;
	vk_autofree char *digits =
		vk_asprintf("%.*s%s%.*s", (int)whole, s, part, (int)(3 - strlen(part)), "000");
	return vk_parse_u64(digits, 0, CPUS_MAX * 1000, ret);
}

static int node_cpus(const struct mval *v, json_t *out, struct vk_err *err)
{
	const char *text;
	uint64_t milli;
	int rc = mval_text(v, 64, &text, err);
	if (rc != 0)
		return rc;
	if (parse_milli(text, &milli) != 0 || milli == 0)
		return mval_error(v, err,
			"needs a number of cores above 0, like 2 or 0.5, not \"%.60s\"", text);
	set_int(out, "cpus_milli", (int64_t)milli);
	return 0;
}

static int node_stop(const struct mval *v, json_t *out, struct vk_err *err)
{
	int64_t ms;
	int rc = mval_duration(v, 0, 3600 * 1000, &ms, err);
	if (rc == 0)
		set_int(out, "stop_ms", ms);
	return rc;
}

static int node_drain(const struct mval *v, json_t *out, struct vk_err *err)
{
	int64_t ms;
	int rc = mval_duration(v, 0, 24 * 3600 * 1000, &ms, err);
	if (rc == 0)
		set_int(out, "drain_ms", ms);
	return rc;
}

static int node_restart(const struct mval *v, json_t *out, struct vk_err *err)
{
	static const char *const words[][2] = {{"always", "always"}, {"never", "never"},
		{"restart", "always"}, {"on-failure", "always"}, {"unless-stopped", "always"},
		{"no", "never"}, {"false", "never"}, {"true", "always"}};
	const char *text;
	int rc = mval_text(v, 64, &text, err);
	if (rc != 0)
		return rc;
	for (size_t i = 0; i < VK_COUNT(words); i++)
		if (strcmp(words[i][0], text) == 0) {
			json_set_str(out, "restart", words[i][1]);
			return 0;
		}
	return mval_error(v, err, "is always or never, not \"%.60s\"", text);
}

static int node_restart_count(const struct mval *v, json_t *out, struct vk_err *err)
{
	uint64_t n;
	int rc = mval_u64(v, 0, 1000, &n, err);
	if (rc == 0)
		set_int(out, "restart_count", (int64_t)n);
	return rc;
}

/* Which addresses the node's own name stands for. */
static int node_dns(const struct mval *v, json_t *out, struct vk_err *err)
{
	static const char *const words[] = {"append", "replace", "hide"};
	const char *text;
	int rc = mval_text(v, 64, &text, err);
	if (rc != 0)
		return rc;
	for (size_t i = 0; i < VK_COUNT(words); i++)
		if (strcasecmp(words[i], text) == 0) {
			json_set_str(out, "dns_update_policy", words[i]);
			return 0;
		}
	return mval_error(v, err, "is APPEND, REPLACE or HIDE, not \"%.60s\"", text);
}

/* -- what the host's policy decides on -- */

static int node_privileged(const struct mval *v, json_t *out, struct vk_err *err)
{
	bool on;
	int rc = mval_bool(v, &on, err);
	if (rc == 0)
		json_object_set_new(out, "privileged", json_boolean(on));
	return rc;
}

static int node_network_mode(const struct mval *v, json_t *out, struct vk_err *err)
{
	const char *text;
	if (mval_is_null(v->y))
		return 0;
	int rc = mval_text(v, 64, &text, err);
	if (rc != 0)
		return rc;
	if (strcmp(text, "bridge") == 0)
		text = "default";
	if (strcmp(text, "default") != 0 && strcmp(text, "host") != 0 && strcmp(text, "none") != 0)
		return mval_error(v, err, "is default, host or none, not \"%.60s\"", text);
	json_set_str(out, "network_mode", text);
	return 0;
}

static int node_pid_mode(const struct mval *v, json_t *out, struct vk_err *err)
{
	const char *text;
	if (mval_is_null(v->y))
		return 0;
	int rc = mval_text(v, 64, &text, err);
	if (rc != 0)
		return rc;
	if (strcmp(text, "undefined") == 0 || *text == '\0')
		return 0;
	if (strcmp(text, "host") != 0)
		return mval_error(v, err, "is host or left out, not \"%.60s\"", text);
	json_set_str(out, "pid_mode", text);
	return 0;
}

/* -- a node as a whole -- */

static const struct mkey node_keys[] = {
	{"type", NULL, node_type, 0},
	{"image", NULL, node_image, APP_ONLY},
	{"boat", NULL, node_boat, APP_ONLY},
	{"run", "command cmd args seed_command", mnode_run, APP_ONLY},
	{"cwd", "workdir working_dir", node_cwd, APP_ONLY},
	{"env", "environment", node_env, APP_ONLY},
	{"expose", NULL, mnode_expose, APP_ONLY},
	{"publish", "ports", mnode_publish, APP_ONLY},
	{"tcp", NULL, mnode_tcp, APP_ONLY},
	{"error_pages", "errors", mnode_error_pages, APP_ONLY},
	{"volumes", "volume", mnode_volumes, APP_ONLY},
	{"scale", NULL, node_scale, APP_ONLY},
	{"service", "static", node_service, APP_ONLY},
	{"document_root", NULL, node_document_root, WEBSITE_ONLY},
	{"domains", "domain route", mnode_domains, 0},
	{"traffic", NULL, mnode_traffic, 0},
	{"healthcheck", "health_check health", mnode_health, APP_ONLY},
	{"stop_timeout", "stop_grace_period", node_stop, APP_ONLY},
	{"drain", "drain_timeout", node_drain, APP_ONLY},
	{"memory", "mem_limit", node_memory, APP_ONLY},
	{"cpus", "cpu", node_cpus, APP_ONLY},
	{"disk", NULL, mnode_disk, APP_ONLY},
	{"roles", NULL, mnode_roles, APP_ONLY},
	{"hosts", NULL, mnode_hosts, APP_ONLY},
	{"spread", NULL, mnode_spread, APP_ONLY},
	{"max_per_host", NULL, mnode_max_per_host, APP_ONLY},
	{"group", NULL, mnode_group, APP_ONLY},
	{"group_role", NULL, mnode_group_role, APP_ONLY},
	{"group_policy", NULL, mnode_group_policy, APP_ONLY},
	{"on_unhealthy", NULL, mnode_on_unhealthy, APP_ONLY},
	{"release", NULL, node_release, APP_ONLY},
	{"restart", NULL, node_restart, APP_ONLY},
	{"restart_count", NULL, node_restart_count, APP_ONLY},
	{"privileged", NULL, node_privileged, APP_ONLY},
	{"network_mode", NULL, node_network_mode, APP_ONLY},
	{"pid_mode", NULL, node_pid_mode, APP_ONLY},
	{"dns_update_policy", NULL, node_dns, APP_ONLY},
	{"links", "link", mnode_links, APP_ONLY},
	{"require", NULL, mnode_require, APP_ONLY},
	{"shared", NULL, mnode_shared, APP_ONLY},
	{0},
};

bool manifest_is_node_key(const char *name)
{
	return mtable_find(node_keys, name) != NULL;
}

static const char *const node_later[] = {"filter", "select", "instances", "instance_type", "git",
	"process", "services", "role", "labels", "entrypoint", "user", "depends_on", "auto_remove",
	"host_ports", "from", NULL};

#define OF_TRAFFIC "it stands in traffic: {...}, or in the options of one domain"
#define BY_CERTS   "certificates come by `viking certs:add STACK`"
static const struct melse node_elsewhere[] = {{"auth", OF_TRAFFIC}, {"auth_mode", OF_TRAFFIC},
	{"allow", OF_TRAFFIC}, {"hold", OF_TRAFFIC}, {"hsts", OF_TRAFFIC}, {"redirect", OF_TRAFFIC},
	{"max_body", OF_TRAFFIC}, {"sticky", OF_TRAFFIC}, {"idle_timeout", OF_TRAFFIC},
	{"timeout", OF_TRAFFIC}, {"cert", BY_CERTS}, {"key", BY_CERTS}, {0}};

static bool is_website(const json_t *node)
{
	return strcmp(vk_json_str(node, "type", ""), "website") == 0;
}

/* Keys that the node's type has no use for. */
static int check_type(const struct mval *v, const json_t *node, struct vk_err *err)
{
	bool website = is_website(node);
	for (size_t i = 0; i < v->y->n; i++) {
		const struct mkey *key = mtable_find(node_keys, v->y->keys[i].name);
		if (key == NULL || (key->flags & (website ? APP_ONLY : WEBSITE_ONLY)) == 0)
			continue;
		struct vk_yaml at = {.line = v->y->keys[i].line, .col = v->y->keys[i].col};
		return mval_error(&(struct mval){v->m, &at, v->what}, err,
			"%s has no use for \"%s\"", website ? "a website" : "an app",
			v->y->keys[i].name);
	}
	if (website && *vk_json_str(node, "document_root", "") == '\0')
		return mval_error(
			v, err, "a website needs document_root: the directory of its files");
	return 0;
}

/* No image given: the only boat there is; without build:, what the repository itself is, as boat
 * `web`. */
static int default_boat(const struct mval *v, json_t *node, struct vk_err *err)
{
	json_t *boats = json_object_get(v->m->doc, "boats");
	if (json_object_size(boats) == 0 && vk_yaml_get(v->m->yaml, "build") == NULL) {
		json_object_set_new(boats, "web", manifest_default_boat());
		v->m->implied = true;
	}
	if (json_object_size(boats) != 1)
		return mval_error(v, err, "has no image; add \"boat: BOAT\" or \"image: NAME\"");
	json_set_str(node, "boat", json_object_iter_key(json_object_iter(boats)));
	return 0;
}

static int check_app(const struct mval *v, json_t *node, struct vk_err *err)
{
	int sources = (*vk_json_str(node, "boat", "") != '\0') +
		(*vk_json_str(node, "image", "") != '\0') +
		(*vk_json_str(node, "from", "") != '\0');
	if (sources > 1)
		return mval_error(v, err, "has boat and image at once");
	int rc = sources == 0 ? default_boat(v, node, err) : 0;
	if (rc == 0 && json_array_size(json_object_get(node, "volumes")) > 0 &&
		vk_json_int(node, "scale", 1) > 1)
		return mval_error(v, err,
			"scale %d with a volume: two instances would write to one place; "
			"scale is 0 or 1 here",
			(int)vk_json_int(node, "scale", 1));
	return rc;
}

static int parse_node(struct manifest *m, const struct vk_yaml *y, const char *name, json_t *node,
	struct vk_err *err)
{
	vk_autofree char *what = vk_asprintf("deploy.%s", name);
	/* "web:" alone is a node with nothing but defaults */
	struct vk_yaml none = {.type = VK_YAML_MAP, .line = y->line, .col = y->col};
	if (mval_is_null(y))
		y = &none;
	struct mval v = {m, y, what};
	int rc = mval_map(&v, err);
	if (rc == 0)
		rc = mtable_run(m, y,
			&(struct mtable){node_keys, node_later, what, true, node_elsewhere}, node,
			NULL, err);
	if (rc == 0)
		rc = check_type(&v, node, err);
	if (rc == 0 && !is_website(node))
		rc = check_app(&v, node, err);
	if (rc == 0)
		rc = mnode_check_domains(&v, node, err);
	if (rc == 0)
		rc = mnode_check_group(&v, node, err);
	size_t i;
	json_t *port;
	json_array_foreach(json_object_get(node, "expose"), i, port)
		json_object_del(port, "implied");
	return rc;
}

/* -- between nodes: names, domains and host ports are there once -- */

static int claim(
	const struct mval *v, json_t *taken, const char *key, const char *node, struct vk_err *err)
{
	const char *owner = json_string_value(json_object_get(taken, key));
	if (owner != NULL)
		return mval_error(v, err, "%s is taken by deploy.%s", key, owner);
	json_set_str(taken, key, node);
	return 0;
}

static int claim_all(const struct mval *v, const json_t *node, json_t *taken, const char *name,
	struct vk_err *err)
{
	char alias[VK_NAME_MAX + 1];
	size_t i;
	json_t *item;
	vk_dns_alias(name, alias);
	vk_autofree char *dns = vk_asprintf("the name %s", alias);
	int rc = claim(v, taken, dns, name, err);
	json_array_foreach(json_object_get(node, "domains"), i, item)
	{
		vk_autofree char *key = vk_asprintf("domain %s", json_string_value(item));
		rc = rc == 0 ? claim(v, taken, key, name, err) : rc;
	}
	json_array_foreach(json_object_get(node, "publish"), i, item)
	{
		vk_autofree char *key = vk_asprintf("host port %d/%s",
			(int)vk_json_int(item, "host", 0), vk_json_str(item, "proto", ""));
		rc = rc == 0 ? claim(v, taken, key, name, err) : rc;
	}
	json_array_foreach(json_object_get(node, "tcp"), i, item)
	{
		vk_autofree char *key =
			vk_asprintf("host port %d/tcp", (int)vk_json_int(item, "front", 0));
		rc = rc == 0 ? claim(v, taken, key, name, err) : rc;
	}
	return rc;
}

static int add_node(struct manifest *m, const struct vk_yaml *deploy, size_t i, json_t *taken,
	struct vk_err *err)
{
	const char *name = deploy->keys[i].name;
	struct vk_yaml at = {.line = deploy->keys[i].line, .col = deploy->keys[i].col};
	struct mval v = {m, &at, "deploy"};
	if (vk_starts(name, "x-")) {
		manifest_store_extra(m, "deploy.", name, deploy->items[i]);
		return 0;
	}
	if (vk_node_name(name, err) != 0)
		return mval_wrap(&v, err);
	vk_autojson *node = manifest_node_new();
	int rc = parse_node(m, deploy->items[i], name, node, err);
	if (rc == 0)
		rc = claim_all(&v, node, taken, name, err);
	if (rc == 0)
		json_object_set(json_object_get(m->doc, "nodes"), name, node);
	return rc;
}

int manifest_nodes(struct manifest *m, const struct vk_yaml *deploy, struct vk_err *err)
{
	if (deploy != NULL && deploy->n > MANIFEST_NODES)
		return vk_yaml_error(
			err, m->opts->file, deploy, "more than %d nodes", MANIFEST_NODES);
	vk_autojson *taken = json_object();
	int rc = 0;
	for (size_t i = 0; deploy != NULL && i < deploy->n && rc == 0; i++)
		rc = add_node(m, deploy, i, taken, err);
	if (rc == 0)
		rc = manifest_groups(m, err);
	return rc == 0 ? manifest_links(m, err) : rc;
}
