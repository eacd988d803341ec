/* Ports, volumes and health checks of a node. */
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/str.h>

#include "manifest_parse.h"

#define PORTS_MAX   64
#define VOLUMES_MAX 32

/* -- ports -- */

/* "80" or "80/udp", in place. */
static int parse_port(
	const struct mval *v, char *s, uint64_t *ret, const char **proto, struct vk_err *err)
{
	char *slash = strchr(s, '/');
	*proto = "tcp";
	if (slash != NULL) {
		*slash = '\0';
		*proto = slash + 1;
	}
	if (vk_parse_u64(s, 1, 65535, ret) != 0)
		return mval_error(v, err, "\"%.40s\" is no port: a number from 1 to 65535", s);
	if (strcmp(*proto, "tcp") != 0 && strcmp(*proto, "udp") != 0)
		return mval_error(
			v, err, "the protocol of a port is tcp or udp, not \"%.40s\"", *proto);
	return 0;
}

static json_t *find_port(const json_t *list, const char *key, int64_t port, const char *proto)
{
	size_t i;
	json_t *item;
	json_array_foreach(list, i, item) if (vk_json_int(item, key, 0) == port &&
		strcmp(vk_json_str(item, "proto", ""), proto) == 0) return item;
	return NULL;
}

/* A port that only follows from another key gives way to the one that is written out. */
static int add_expose(const struct mval *v, json_t *node, uint64_t port, const char *proto,
	const char *name, bool written, struct vk_err *err)
{
	json_t *list = json_object_get(node, "expose"), *item;
	size_t i;
	json_array_foreach(list, i, item) if (*name != '\0' &&
		strcmp(vk_json_str(item, "name", ""), name) == 0) return mval_error(v, err,
		"the port name \"%s\" is there twice", name);
	json_t *old = find_port(list, "port", (int64_t)port, proto);
	if (old != NULL && !written)
		return 0;
	if (old != NULL && json_object_get(old, "implied") == NULL)
		return mval_error(v, err, "port %d/%s is there twice", (int)port, proto);
	if (old != NULL) {
		json_object_del(old, "implied");
		json_set_str(old, "name", name);
		return 0;
	}
	item = json_pack("{s:i, s:s, s:s}", "port", (int)port, "proto", proto, "name", name);
	if (!written)
		json_object_set_new(item, "implied", json_true());
	json_array_append_new(list, item);
	return 0;
}

static int add_publish(const struct mval *v, json_t *node, uint64_t host, uint64_t port,
	const char *proto, struct vk_err *err)
{
	json_t *list = json_object_get(node, "publish");
	if (json_array_size(list) >= PORTS_MAX)
		return mval_error(v, err, "more than %d ports", PORTS_MAX);
	if (find_port(list, "host", (int64_t)host, proto) != NULL)
		return mval_error(v, err, "host port %d/%s is there twice", (int)host, proto);
	json_array_append_new(list,
		json_pack("{s:i, s:i, s:s}", "host", (int)host, "port", (int)port, "proto", proto));
	return add_expose(v, node, port, proto, "", false, err);
}

struct port_fields {
	uint64_t port;
	const char *proto, *name;
	bool h2;
};

static int port_map(const struct mval *v, struct port_fields *f, struct vk_err *err)
{
	for (size_t i = 0; i < v->y->n; i++) {
		struct mval item = {v->m, v->y->items[i], v->what};
		const char *key = v->y->keys[i].name;
		const char *text;
		int rc = mval_text(&item, 64, &text, err);
		if (rc != 0)
			return rc;
		if (strcmp(key, "port") == 0)
			rc = mval_u64(&item, 1, 65535, &f->port, err);
		else if (strcmp(key, "proto") == 0 || strcmp(key, "protocol") == 0)
			f->proto = text;
		else if (strcmp(key, "name") == 0)
			f->name = text;
		else
			rc = mval_error(&item, err,
				"unknown key \"%.60s\": a port has port, proto, name", key);
		if (rc != 0)
			return rc;
	}
	if (f->port == 0)
		return mval_error(v, err, "has an entry without port");
	f->h2 = strcmp(f->proto, "h2") == 0 || strcmp(f->name, "grpc") == 0;
	if (strcmp(f->proto, "h2") == 0)
		f->proto = "tcp";
	if (strcmp(f->proto, "tcp") != 0 && strcmp(f->proto, "udp") != 0)
		return mval_error(v, err, "the protocol of a port is tcp, h2 or udp, not \"%.40s\"",
			f->proto);
	if (*f->name != '\0' && vk_node_name(f->name, NULL) != 0)
		return mval_error(
			v, err, "\"%.60s\" is no name of a port: a-z, 0-9, _ and -", f->name);
	return 0;
}

/* HOST:PORT[/proto] */
static int publish_text(const struct mval *v, const char *text, json_t *node, struct vk_err *err)
{
	vk_autofree char *copy = vk_strdup(text);
	char *colon = strchr(copy, ':');
	uint64_t host, port;
	const char *proto;
	if (colon == NULL || strchr(colon + 1, ':') != NULL)
		return mval_error(v, err,
			"\"%.40s\" is not HOST-PORT:PORT, as in 8080:80; a port for the stack "
			"and its domains alone goes under expose:",
			text);
	*colon = '\0';
	int rc = parse_port(v, colon + 1, &port, &proto, err);
	if (rc == 0 && vk_parse_u64(copy, 1, 65535, &host) != 0)
		rc = mval_error(v, err, "\"%.40s\" is no port: a number from 1 to 65535", copy);
	return rc == 0 ? add_publish(v, node, host, port, proto, err) : rc;
}

static int expose_item(const struct mval *v, json_t *node, struct vk_err *err)
{
	struct port_fields f = {0, "tcp", "", false};
	if (v->y->type == VK_YAML_MAP) {
		int rc = port_map(v, &f, err);
		if (rc == 0)
			rc = add_expose(v, node, f.port, f.proto, f.name, true, err);
		if (rc == 0 && f.h2)
			json_object_set_new(find_port(json_object_get(node, "expose"), "port",
						    (int64_t)f.port, f.proto),
				"h2", json_true());
		return rc;
	}
	const char *text;
	int rc = mval_text(v, 64, &text, err);
	if (rc != 0)
		return rc;
	if (strchr(text, ':') != NULL)
		return publish_text(v, text, node, err);
	vk_autofree char *copy = vk_strdup(text);
	rc = parse_port(v, copy, &f.port, &f.proto, err);
	return rc == 0 ? add_expose(v, node, f.port, f.proto, "", true, err) : rc;
}

static int publish_item(const struct mval *v, json_t *node, struct vk_err *err)
{
	const char *text;
	int rc = mval_text(v, 64, &text, err);
	return rc == 0 ? publish_text(v, text, node, err) : rc;
}

int mnode_expose(const struct mval *v, json_t *node, struct vk_err *err)
{
	return mval_each(v, PORTS_MAX, expose_item, node, err);
}

int mnode_publish(const struct mval *v, json_t *node, struct vk_err *err)
{
	return mval_each(v, PORTS_MAX, publish_item, node, err);
}

/* {5432: pg}: a port of the host, and the TCP port (number or name) it leads to; which there are is known at
 * the end. */
int mnode_tcp(const struct mval *v, json_t *node, struct vk_err *err)
{
	json_t *list = json_array();
	int rc = mval_map(v, err);
	json_object_set_new(node, "tcp", list);
	for (size_t i = 0; rc == 0 && i < v->y->n; i++) {
		struct mval item = {v->m, v->y->items[i], v->what};
		const char *to, *key = v->y->keys[i].name;
		uint64_t front;
		if (vk_parse_u64(key, 1, 65535, &front) != 0)
			return mval_error(&item, err,
				"\"%.40s\" is no port of the host: a number from 1 to 65535", key);
		rc = mval_text(&item, 64, &to, err);
		if (rc == 0 && json_array_size(list) >= PORTS_MAX)
			rc = mval_error(&item, err, "more than %d ports", PORTS_MAX);
		if (rc == 0)
			json_array_append_new(
				list, json_pack("{s:i, s:s}", "front", (int)front, "port", to));
	}
	return rc;
}

/* -- volumes -- */

static int container_path(const struct mval *v, const char *s, const char *side, struct vk_err *err)
{
	vk_autofree char *clean = NULL;
	if (*s != '/' || s[1] == '\0' || strchr(s, ':') != NULL ||
		manifest_path(s + 1, &clean, NULL) != 0 || strcmp(clean, s + 1) != 0)
		return mval_error(v, err,
			"\"%.100s\" is no %s: an absolute path without :, //, . and ..", s, side);
	return 0;
}

static int add_volume(
	const struct mval *v, json_t *node, const char *left, const char *path, struct vk_err *err)
{
	json_t *list = json_object_get(node, "volumes"), *item;
	size_t i;
	int rc = container_path(v, path, "path in the container", err);
	if (rc == 0 && *left == '/')
		rc = container_path(v, left, "path on the host", err);
	else if (rc == 0 && *left != '\0' && vk_node_name(left, NULL) != 0)
		rc = mval_error(
			v, err, "\"%.60s\" is no name of a volume: a-z, 0-9, _ and -", left);
	if (rc != 0)
		return rc;
	json_array_foreach(list, i, item) if (strcmp(vk_json_str(item, "path", ""), path) ==
		0) return mval_error(v, err, "the path %s is there twice", path);
	if (json_array_size(list) >= VOLUMES_MAX)
		return mval_error(v, err, "more than %d volumes", VOLUMES_MAX);
	bool host = *left == '/';
	json_array_append_new(list,
		json_pack("{s:s, s:s, s:s}", "path", path, "name", host ? "" : left, "host",
			host ? left : ""));
	return 0;
}

/* PATH, NAME:PATH or /HOST/PATH:PATH */
static int volume_item(const struct mval *v, json_t *node, struct vk_err *err)
{
	const char *text;
	int rc = mval_text(v, 2048, &text, err);
	if (rc != 0)
		return rc;
	const char *colon = strchr(text, ':');
	if (colon == NULL)
		return add_volume(v, node, "", text, err);
	if (strchr(colon + 1, ':') != NULL)
		return mval_error(
			v, err, "\"%.100s\" is not PATH, NAME:PATH or /HOST/PATH:PATH", text);
	vk_autofree char *left = vk_strndup(text, (size_t)(colon - text));
	if (*left == '\0')
		return mval_error(v, err, "\"%.100s\" has nothing before the colon", text);
	return add_volume(v, node, left, colon + 1, err);
}

int mnode_volumes(const struct mval *v, json_t *node, struct vk_err *err)
{
	int rc = 0;
	if (v->y->type != VK_YAML_MAP)
		return mval_each(v, VOLUMES_MAX, volume_item, node, err);
	for (size_t i = 0; i < v->y->n && rc == 0; i++) {
		struct mval item = {v->m, v->y->items[i], v->what};
		const char *text;
		rc = mval_text(&item, 2048, &text, err);
		if (rc == 0)
			rc = add_volume(&item, node, v->y->keys[i].name, text, err);
	}
	return rc;
}

/* -- health -- */

static int health_path(const struct mval *v, json_t *h, struct vk_err *err)
{
	const char *text;
	int rc = mval_text(v, 1024, &text, err);
	if (rc != 0)
		return rc;
	if (*text != '/' || strchr(text, ' ') != NULL)
		return mval_error(v, err,
			"needs a path that begins with / and has no blanks, not \"%.60s\"", text);
	json_set_str(h, "path", text);
	json_set_str(h, "type", "http");
	return 0;
}

/* A text is for a shell, a list is the command itself; the words CMD and CMD-SHELL that
 * compose files put first mean the same. */
static int health_cmd(const struct mval *v, json_t *h, struct vk_err *err)
{
	json_t *argv = NULL;
	const char *text = NULL;
	int rc = v->y->type == VK_YAML_LIST ? mval_argv(v, &argv, err)
					    : mval_long_text(v, 8192, &text, err);
	if (rc != 0)
		return rc;
	if (text != NULL && text[strspn(text, " \t\n")] == '\0')
		return mval_error(v, err, "is an empty command");
	const char *first = json_string_value(json_array_get(argv, 0));
	if (text == NULL && json_array_size(argv) > 1 && strcmp(first, "CMD") == 0)
		json_array_remove(argv, 0);
	else if (text == NULL && json_array_size(argv) == 2 && strcmp(first, "CMD-SHELL") == 0)
		text = v->y->items[1]->text;
	if (text != NULL) {
		json_decref(argv);
		argv = json_pack("[s, s]", "/bin/sh", "-c");
		json_array_append_new(argv, vk_json_safe_string(text, strlen(text)));
	}
	json_object_set_new(h, "cmd", argv);
	json_set_str(h, "type", "cmd");
	return 0;
}

/* VEO's word: with `shell: false` a text is split into words as `run` is, and no shell runs it. */
static int health_shell(const struct mval *v, json_t *h, struct vk_err *err)
{
	bool on;
	int rc = mval_bool(v, &on, err);
	if (rc == 0)
		json_object_set_new(h, "shell", json_boolean(on));
	return rc;
}

static int health_port(const struct mval *v, json_t *h, struct vk_err *err)
{
	uint64_t port;
	int rc = mval_u64(v, 1, 65535, &port, err);
	if (rc == 0)
		json_object_set_new(h, "port", json_integer((json_int_t)port));
	return rc;
}

static int health_tcp(const struct mval *v, json_t *h, struct vk_err *err)
{
	bool on;
	if (mval_bool(v, &on, NULL) == 0) {
		if (!on)
			return mval_error(v, err,
				"is true or a port; for no check write \"healthcheck: none\"");
	} else {
		int rc = health_port(v, h, err);
		if (rc != 0)
			return rc;
	}
	json_set_str(h, "type", "tcp");
	return 0;
}

static int health_type(const struct mval *v, json_t *h, struct vk_err *err)
{
	static const char *const types[] = {"auto", "http", "tcp", "none"};
	const char *text;
	int rc = mval_text(v, 64, &text, err);
	if (rc != 0)
		return rc;
	for (size_t i = 0; i < VK_COUNT(types); i++)
		if (strcmp(types[i], text) == 0) {
			json_set_str(h, "type", text);
			return 0;
		}
	return mval_error(v, err, "is auto, http, tcp or none, not \"%.60s\"", text);
}

static int health_ms(const struct mval *v, json_t *h, const char *key, int64_t min, int64_t max,
	struct vk_err *err)
{
	int64_t ms;
	int rc = mval_duration(v, min, max, &ms, err);
	if (rc == 0)
		json_object_set_new(h, key, json_integer(ms));
	return rc;
}

static int health_interval(const struct mval *v, json_t *h, struct vk_err *err)
{
	return health_ms(v, h, "interval_ms", 100, 3600 * 1000, err);
}

static int health_timeout(const struct mval *v, json_t *h, struct vk_err *err)
{
	return health_ms(v, h, "timeout_ms", 100, 600 * 1000, err);
}

static int health_start(const struct mval *v, json_t *h, struct vk_err *err)
{
	return health_ms(v, h, "start_ms", 0, 3600 * 1000, err);
}

static int health_retries(const struct mval *v, json_t *h, struct vk_err *err)
{
	uint64_t n;
	int rc = mval_u64(v, 1, 100, &n, err);
	if (rc == 0)
		json_object_set_new(h, "retries", json_integer((json_int_t)n));
	return rc;
}

enum { KIND = 1 };

static const struct mkey health_keys[] = {
	{"type", NULL, health_type, KIND},
	{"path", "http", health_path, KIND},
	{"tcp", NULL, health_tcp, KIND},
	{"cmd", "command test", health_cmd, KIND},
	{"shell", NULL, health_shell, 0},
	{"port", NULL, health_port, 0},
	{"interval", NULL, health_interval, 0},
	{"timeout", NULL, health_timeout, 0},
	{"retries", NULL, health_retries, 0},
	{"start_period", NULL, health_start, 0},
	{"on_unhealthy", NULL, mhealth_on_unhealthy, 0},
	{0},
};

/* `shell` says how `cmd` is meant and is no part of the document; cmd may stand before or behind it. */
static int apply_shell(const struct mval *v, json_t *h, struct vk_err *err)
{
	const json_t *shell = json_object_get(h, "shell");
	const struct vk_yaml *y = NULL;
	bool on = json_is_true(shell);
	if (shell == NULL)
		return 0;
	json_object_del(h, "shell");
	for (size_t i = 0; i < v->y->n; i++)
		if (mtable_find(health_keys, v->y->keys[i].name)->fn == health_cmd)
			y = v->y->items[i];
	if (y == NULL)
		return mval_error(v, err, "has shell: and no cmd:");
	if (on && y->type == VK_YAML_LIST)
		return mval_error(v, err,
			"has a list as cmd:, which no shell reads; write it as one text for shell: "
			"true");
	if (on || y->type == VK_YAML_LIST)
		return 0;
	struct mval cmd = {v->m, y, v->what};
	json_t *argv = NULL;
	int rc = mval_argv(&cmd, &argv, err);
	if (rc == 0)
		json_object_set_new(h, "cmd", argv);
	return rc;
}

static int health_map(const struct mval *v, json_t *h, struct vk_err *err)
{
	uint64_t seen = 0;
	int rc = mtable_run(v->m, v->y, &(struct mtable){health_keys, NULL, v->what, false, NULL},
		h, &seen, err);
	if (rc != 0)
		return rc;
	int kinds = 0;
	for (size_t i = 0; health_keys[i].name != NULL; i++)
		kinds += (seen >> i & 1) != 0 && health_keys[i].flags == KIND;
	if (kinds > 1)
		return mval_error(v, err, "has more than one of type, path, tcp and cmd");
	return apply_shell(v, h, err);
}

int mnode_health(const struct mval *v, json_t *node, struct vk_err *err)
{
	json_t *h = json_object_get(node, "health");
	if (v->y->type == VK_YAML_MAP)
		return health_map(v, h, err);
	if (v->y->type == VK_YAML_LIST)
		return health_cmd(v, h, err);
	const char *text;
	int rc = mval_long_text(v, 8192, &text, err);
	if (rc != 0)
		return rc;
	if (*text == '/' && strchr(text, ' ') == NULL)
		return health_path(v, h, err);
	if (strcmp(text, "false") == 0 || strcmp(text, "no") == 0 || strcmp(text, "off") == 0)
		json_set_str(h, "type", "none");
	else if (health_type(v, h, NULL) != 0)
		return health_cmd(v, h, err);
	return 0;
}
