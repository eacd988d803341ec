#include "job.h"

#include <stdlib.h>
#include <string.h>
#include <viking/json.h>
#include <viking/str.h>

#include "dowding_file.h"

#define WORDS_MAX 64

struct fields {
	char *image, *cwd, *restart, *network_mode, *pid_mode;
	json_t *run, *command, *cmd, *env, *expose, *domains, *cpus, *memory, *disk, *roles, *hosts;
	int64_t restart_count;
	bool privileged;
};
#define F(name, type, max) \
	{ \
#name, type, offsetof(struct fields, name), false, 0, max \
	}
static const struct vk_field job_fields[] = {
	F(image, VK_F_STR, 512),
	F(run, VK_F_JSON, 0),
	F(command, VK_F_JSON, 0),
	F(cmd, VK_F_JSON, 0),
	F(cwd, VK_F_STR, 4096),
	F(env, VK_F_OBJECT, 0),
	F(expose, VK_F_ARRAY, 0),
	F(domains, VK_F_ARRAY, 0),
	F(cpus, VK_F_JSON, 0),
	F(memory, VK_F_JSON, 0),
	F(disk, VK_F_JSON, 0),
	F(roles, VK_F_ARRAY, 0),
	F(hosts, VK_F_ARRAY, 0),
	F(restart, VK_F_STR, 16),
	F(restart_count, VK_F_I64, 0),
	F(privileged, VK_F_BOOL, 0),
	F(network_mode, VK_F_STR, 16),
	F(pid_mode, VK_F_STR, 16),
	{0},
};

/* ---- the key ---- */

static bool tag_ok(const char *s)
{
	static const char chars[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	return *s != '\0' && s[strspn(s, chars)] == '\0';
}

int job_key_parse(const char *text, struct job_key *ret, struct vk_err *err)
{
	char *const part[] = {ret->stack, ret->node, ret->tag};
	for (size_t i = 0; i < VK_COUNT(part); i++) {
		size_t n = strcspn(text, "/");
		bool last = i == VK_COUNT(part) - 1;
		if (n == 0 || n > VK_NAME_MAX || (text[n] == '\0') != last)
			return vk_err_set(err, VK_INVALID, "a job is /proc/STACK/NODE/TAG");
		snprintf(part[i], VK_NAME_MAX + 1, "%.*s", (int)n, text);
		text += n + !last;
	}
	int rc = vk_stack_name(ret->stack, err);
	if (rc == 0)
		rc = vk_node_name(ret->node, err);
	if (rc == 0 && !tag_ok(ret->tag))
		return vk_err_set(err, VK_INVALID, "a tag has A-Z a-z 0-9 . _ -, like 1-1");
	return rc;
}

/* ---- values ---- */

static int check_texts(const json_t *list, const char *key, size_t max, struct vk_err *err)
{
	size_t i;
	json_t *item;
	if (json_array_size(list) > WORDS_MAX)
		return vk_err_set(err, VK_LIMIT, "%s: more than %d", key, WORDS_MAX);
	json_array_foreach(list, i, item) if (!json_is_string(item) ||
		json_string_length(item) > max ||
		(max < JOB_MAX && json_string_length(item) == 0)) return vk_err_set(err, VK_INVALID,
		"%s: needs texts of at most %zu bytes", key, max);
	return 0;
}

/* The command under one of its three names. */
static int add_run(const struct fields *f, json_t *node, struct vk_err *err)
{
	json_t *run = f->run != NULL ? f->run : f->command != NULL ? f->command : f->cmd;
	vk_autostrv words = {0};
	if ((f->run != NULL) + (f->command != NULL) + (f->cmd != NULL) > 1)
		return vk_err_set(err, VK_INVALID, "run, command and cmd are one key: give one");
	if (run == NULL || json_is_null(run))
		return 0;
	if (json_is_array(run) && json_array_size(run) > 0) {
		json_object_set(node, "run", run);
		return check_texts(run, "run", JOB_MAX, err);
	}
	if (!json_is_string(run))
		return vk_err_set(err, VK_INVALID, "run: needs a text or a list of texts");
	int rc = vk_shell_split(json_string_value(run), &words, err);
	if (rc == 0 && words.n == 0)
		rc = vk_err_set(err, VK_INVALID, "run: is empty");
	json_t *list = json_array();
	for (size_t i = 0; i < words.n; i++)
		json_array_append_new(list, json_string(words.v[i]));
	json_object_set_new(node, "run", list);
	return rc;
}

static bool env_name_ok(const char *s)
{
	static const char chars[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
	return *s != '\0' && (*s < '0' || *s > '9') && s[strspn(s, chars)] == '\0';
}

static int add_env(const struct fields *f, json_t *node, struct vk_err *err)
{
	json_t *env = json_object(), *value;
	const char *name;
	json_object_set_new(node, "env", env);
	json_object_foreach(f->env, name, value)
	{
		if (!env_name_ok(name) || strlen(name) > 256)
			return vk_err_set(
				err, VK_INVALID, "env: \"%.60s\" is no variable's name", name);
		if (json_is_integer(value))
			json_object_set_new(env, name,
				json_sprintf("%lld", (long long)json_integer_value(value)));
		else if (json_is_string(value))
			json_object_set(env, name, value);
		else
			return vk_err_set(
				err, VK_INVALID, "env: %.60s needs a text or a number", name);
	}
	return 0;
}

/* 80, "80" or "53/udp". */
static int add_port(const json_t *item, json_t *list, struct vk_err *err)
{
	vk_autofree char *text = json_is_integer(item)
		? vk_asprintf("%lld", (long long)json_integer_value(item))
		: vk_strdup(json_is_string(item) ? json_string_value(item) : "");
	char *slash = strchr(text, '/');
	const char *proto = slash != NULL ? slash + 1 : "tcp";
	uint64_t port;
	if (slash != NULL)
		*slash = '\0';
	if (vk_parse_u64(text, 1, 65535, &port) < 0 ||
		(strcmp(proto, "tcp") != 0 && strcmp(proto, "udp") != 0))
		return vk_err_set(err, VK_INVALID, "expose: needs ports like 80 or \"53/udp\"");
	json_array_append_new(
		list, json_pack("{s:i,s:s,s:s}", "port", (int)port, "proto", proto, "name", ""));
	return 0;
}

static int add_ports(const struct fields *f, json_t *node, struct vk_err *err)
{
	json_t *list = json_array(), *item;
	size_t i;
	int rc = json_array_size(f->expose) > WORDS_MAX
		? vk_err_set(err, VK_LIMIT, "expose: more than %d", WORDS_MAX)
		: 0;
	json_object_set_new(node, "expose", list);
	json_array_foreach(f->expose, i, item) if (rc == 0) rc = add_port(item, list, err);
	return rc;
}

static int add_restart(const struct fields *f, json_t *node, struct vk_err *err)
{
	const char *word = f->restart != NULL ? f->restart : "always";
	bool never = strcmp(word, "never") == 0;
	if (!never && strcmp(word, "always") != 0 && strcmp(word, "restart") != 0)
		return vk_err_set(err, VK_INVALID, "restart: is always, restart or never");
	if (f->restart_count < -1 || f->restart_count > 1000)
		return vk_err_set(err, VK_INVALID, "restart_count: is 0 to 1000");
	json_object_set_new(node, "restart", json_string(never ? "never" : "always"));
	json_object_set_new(node, "restart_count", json_integer(f->restart_count));
	return 0;
}

/* node@host of older files: the host counts. */
static json_t *host_names(const json_t *hosts)
{
	json_t *list = json_array(), *item;
	size_t i;
	json_array_foreach(hosts, i, item)
	{
		const char *name = json_string_value(item);
		const char *at = strchr(name, '@');
		json_array_append_new(list, json_string(at != NULL ? at + 1 : name));
	}
	return list;
}

static int add_place(const struct fields *f, json_t *node, struct vk_err *err)
{
	uint64_t cpus = 0, memory = 0, disk = 0;
	json_t *place = json_object();
	json_object_set_new(node, "place", place);
	int rc = dow_read_cpus(f->cpus, &cpus, err);
	if (rc == 0)
		rc = dow_read_bytes(f->memory, "memory", &memory, err);
	if (rc == 0)
		rc = dow_read_bytes(f->disk, "disk", &disk, err);
	if (rc == 0)
		rc = check_texts(f->roles, "roles", VK_NAME_MAX, err);
	if (rc == 0)
		rc = check_texts(f->hosts, "hosts", VK_NAME_MAX, err);
	if (rc != 0)
		return rc;
	if (memory > 0 && memory < (uint64_t)4 << 20)
		return vk_err_set(err, VK_INVALID, "memory: is at least 4M");
	json_object_set_new(node, "cpus_milli", json_integer((json_int_t)cpus));
	json_object_set_new(node, "memory", json_integer((json_int_t)memory));
	if (disk > 0)
		json_object_set_new(place, "disk", json_integer((json_int_t)disk));
	if (json_array_size(f->roles) > 0)
		json_object_set(place, "roles", f->roles);
	if (json_array_size(f->hosts) > 0)
		json_object_set_new(place, "hosts", host_names(f->hosts));
	if (json_object_size(place) == 0)
		json_object_del(node, "place");
	return 0;
}

/* ---- the whole ---- */

static json_t *node_new(const struct fields *f)
{
	const char *net = f->network_mode != NULL ? f->network_mode : "default";
	json_t *node = json_pack("{s:s,s:s,s:s,s:s,s:n,s:s,s:[],s:[],s:i,s:b,s:s,s:[],s:i,s:n,s:b,"
				 "s:s,s:s,s:s,s:[],s:[],s:[]}",
		"type", "app", "boat", "", "from", "", "image", f->image, "run", "cwd",
		f->cwd != NULL ? f->cwd : "", "publish", "volumes", "scale", 1, "service", 0,
		"document_root", "", "domains", "stop_ms", 10000, "release", "privileged",
		f->privileged, "network_mode", strcmp(net, "bridge") == 0 ? "default" : net,
		"pid_mode", f->pid_mode != NULL ? f->pid_mode : "", "dns_update_policy", "append",
		"links", "require", "shared");
	json_object_set_new(node, "health",
		json_pack("{s:s,s:s,s:i,s:[],s:i,s:i,s:i,s:i}", "type", "auto", "path", "/", "port",
			0, "cmd", "interval_ms", 5000, "timeout_ms", 2000, "retries", 3, "start_ms",
			0));
	if (f->domains != NULL)
		json_object_set(node, "domains", f->domains);
	return node;
}

static int fill(const struct fields *f, json_t *node, struct vk_err *err)
{
	int rc = add_run(f, node, err);
	if (rc == 0)
		rc = add_env(f, node, err);
	if (rc == 0)
		rc = add_ports(f, node, err);
	if (rc == 0)
		rc = check_texts(f->domains, "domains", 253, err);
	if (rc == 0)
		rc = add_restart(f, node, err);
	return rc == 0 ? add_place(f, node, err) : rc;
}

int job_parse(const char *text, size_t n, json_t **ret_node, struct vk_err *err)
{
	vk_autojson *obj = NULL, *node = NULL;
	struct fields f = {.restart_count = -1};
	int rc = vk_json_parse_max(text, n, JOB_MAX, &obj, err);
	if (rc == 0 && !json_is_object(obj))
		rc = vk_err_set(err, VK_INVALID, "a job is an object, {\"image\": ...}");
	if (rc == 0)
		rc = vk_json_fields(obj, job_fields, &f, err);
	if (rc == 0 && (f.image == NULL || f.image[0] == '\0'))
		rc = vk_err_set(err, VK_INVALID, "image is missing");
	if (rc == 0) {
		node = node_new(&f);
		rc = fill(&f, node, err);
	}
	if (rc == 0)
		*ret_node = VK_TAKE(node);
	vk_fields_release(job_fields, &f);
	return rc;
}

json_t *job_doc(const char *stack, json_t *nodes)
{
	char hash[65];
	vk_json_hash(nodes, hash);
	hash[40] = '\0'; /* the length of a commit */
	return json_pack("{s:i,s:s,s:s,s:s,s:s,s:s,s:{},s:{},s:O,s:{},s:[]}", "v", 1, "commit",
		hash, "tree", hash, "file", "", "name", stack, "comment", "jobs under /proc", "env",
		"boats", "nodes", nodes, "x", "notices");
}
