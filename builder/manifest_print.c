/* A document back as a manifest: every value that is not the default, strings quoted, in a
 * form that parses to the same document. */
#include <string.h>
#include <viking/json.h>
#include <viking/str.h>

#include "manifest_parse.h"

#define SIMPLE_KEY_MAX 128 /* YAML looks no farther than 1024 bytes for the colon */

struct printer {
	struct vk_buf *out;
	bool full; /* the buffer took no more */
};

static void put(struct printer *p, const char *s)
{
	if (vk_buf_adds(p->out, s) != 0)
		p->full = true;
}

static void put_n(struct printer *p, const char *s, size_t n)
{
	if (vk_buf_add(p->out, s, n) != 0)
		p->full = true;
}

static void indent(struct printer *p, int depth)
{
	for (int i = 0; i < depth; i++)
		put(p, "  ");
}

/* One code point, escaped where YAML's double quotes need it. */
static size_t put_char(struct printer *p, const unsigned char *s)
{
	char esc[16];
	size_t len = *s < 0x80 ? 1 : *s >= 0xf0 ? 4 : *s >= 0xe0 ? 3 : 2;
	unsigned cp = len == 1 ? *s
		: len == 2     ? (unsigned)(s[0] & 0x1f) << 6 | (s[1] & 0x3f)
		: len == 3
		? (unsigned)(s[0] & 0x0f) << 12 | (unsigned)(s[1] & 0x3f) << 6 | (s[2] & 0x3f)
		: 0x10000;
	if (cp == '"' || cp == '\\')
		snprintf(esc, sizeof(esc), "\\%c", (char)cp);
	else if (cp == '\n')
		snprintf(esc, sizeof(esc), "\\n");
	else if (cp == '\t')
		snprintf(esc, sizeof(esc), "\\t");
	else if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0))
		snprintf(esc, sizeof(esc), "\\x%02x", cp);
	else if (cp == 0x2028 || cp == 0x2029 || cp == 0xfeff || cp == 0xfffe || cp == 0xffff)
		snprintf(esc, sizeof(esc), "\\u%04x", cp);
	else
		esc[0] = '\0';
	if (esc[0] != '\0')
		put(p, esc);
	else
		put_n(p, (const char *)s, len);
	return len;
}

static void put_quoted(struct printer *p, const char *s)
{
	put(p, "\"");
	for (const unsigned char *u = (const unsigned char *)s; *u != '\0';)
		u += put_char(p, u);
	put(p, "\"");
}

/* Words that YAML reads as text whatever stands around them stay bare. */
static bool is_bare(const char *s)
{
	static const char chars[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./";
	static const char *const words[] = {
		"true", "false", "yes", "no", "on", "off", "null", "y", "n"};
	if (s[strspn(s, chars)] != '\0' ||
		strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_", *s) == NULL)
		return false;
	for (size_t i = 0; i < VK_COUNT(words); i++)
		if (strcasecmp(words[i], s) == 0)
			return false;
	return *s != '\0';
}

static void put_word(struct printer *p, const char *s)
{
	if (is_bare(s))
		put(p, s);
	else
		put_quoted(p, s);
}

static void put_value(struct printer *p, const json_t *v);

static void put_list(struct printer *p, const json_t *list)
{
	size_t i;
	json_t *item;
	put(p, "[");
	json_array_foreach(list, i, item)
	{
		put(p, i > 0 ? ", " : "");
		put_value(p, item);
	}
	put(p, "]");
}

static void put_map(struct printer *p, const json_t *map)
{
	const char *key;
	json_t *value;
	bool first = true;
	put(p, "{");
	json_object_foreach((json_t *)(uintptr_t)map, key, value)
	{
		put(p, first ? "" : ", ");
		first = false;
		put(p, strlen(key) > SIMPLE_KEY_MAX ? "? " : "");
		put_word(p, key);
		put(p, strlen(key) <= SIMPLE_KEY_MAX ? ": " : " : ");
		put_value(p, value);
	}
	put(p, "}");
}

/* In flow style; as deep as the document, which the parser bounded. */
static void put_value(struct printer *p, const json_t *v)
{
	char number[32];
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		put_map(p, v);
		break;
	case JSON_ARRAY:
		put_list(p, v);
		break;
	case JSON_STRING:
		put_word(p, json_string_value(v));
		break;
	case JSON_INTEGER:
		snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(v));
		put(p, number);
		break;
	case JSON_TRUE:
		put(p, "true");
		break;
	case JSON_FALSE:
		put(p, "false");
		break;
	case JSON_REAL:
	case JSON_NULL:
		put(p, "null");
		break;
	}
}

static void key(struct printer *p, int depth, const char *name)
{
	indent(p, depth);
	put_word(p, name);
	put(p, ":");
}

static void line(struct printer *p, int depth, const char *name, const json_t *value)
{
	key(p, depth, name);
	put(p, " ");
	put_value(p, value);
	put(p, "\n");
}

/* Text that a literal block gives back unchanged, so that people can read it. */
static bool fits_block(const char *s)
{
	size_t n = strlen(s);
	if (n < 2 || s[n - 1] != '\n' || s[n - 2] == '\n' || *s == ' ' || *s == '\n' || *s == '\t')
		return false;
	for (size_t i = 0; i < n; i++) {
		if (s[i] != '\n' && ((unsigned char)s[i] < 0x20 || (unsigned char)s[i] > 0x7e))
			return false;
		if (s[i] == '\n' && i > 0 && s[i - 1] == ' ')
			return false;
	}
	return true;
}

static void text(struct printer *p, int depth, const char *name, const char *s)
{
	key(p, depth, name);
	if (!fits_block(s)) {
		put(p, " ");
		put_quoted(p, s);
		put(p, "\n");
		return;
	}
	put(p, " |\n");
	while (*s != '\0') {
		size_t n = strcspn(s, "\n");
		if (n > 0)
			indent(p, depth + 1);
		put_n(p, s, n + 1);
		s += n + 1;
	}
}

static bool is_empty(const json_t *v)
{
	return v == NULL || json_is_null(v) || (json_is_string(v) && json_string_length(v) == 0) ||
		(json_is_array(v) && json_array_size(v) == 0) ||
		(json_is_object(v) && json_object_size(v) == 0);
}

static void extras(struct printer *p, int depth, const json_t *x)
{
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)x, name, value) if (vk_starts(name, "x-"))
		line(p, depth, name, value);
}

static void node_extras(
	struct printer *p, int depth, const json_t *doc, const char *section, const char *name)
{
	vk_autofree char *where = vk_asprintf("%s.%s", section, name);
	extras(p, depth, json_object_get(json_object_get(doc, "x"), where));
}

static void print_builder(struct printer *p, const json_t *builder)
{
	const char *type = vk_json_str(builder, "type", "auto");
	if (strcmp(type, "packs") == 0) {
		line(p, 2, "builder", json_object_get(builder, "packs"));
	} else if (strcmp(type, "own") == 0) {
		line(p, 2, "builder", json_object_get(builder, "pack"));
	} else if (strcmp(type, "cnb") == 0) {
		key(p, 2, "builder");
		put(p, " {cnb: ");
		put_quoted(p, vk_json_str(builder, "image", ""));
		put(p, "}\n");
	} else {
		key(p, 2, "builder");
		put(p, " auto\n");
	}
}

static void print_boat(struct printer *p, const json_t *doc, const char *name, const json_t *boat)
{
	key(p, 1, name);
	put(p, "\n");
	const json_t *inline_text = json_object_get(boat, "inline");
	if (json_is_object(json_object_get(boat, "builder")))
		print_builder(p, json_object_get(boat, "builder"));
	else if (json_is_string(inline_text))
		text(p, 2, "inline", json_string_value(inline_text));
	else
		line(p, 2, "dockerfile", json_object_get(boat, "dockerfile"));
	if (strcmp(vk_json_str(boat, "context", "."), ".") != 0)
		line(p, 2, "context", json_object_get(boat, "context"));
	if (!is_empty(json_object_get(boat, "args")))
		line(p, 2, "args", json_object_get(boat, "args"));
	if (!is_empty(json_object_get(boat, "target")))
		line(p, 2, "target", json_object_get(boat, "target"));
	node_extras(p, 2, doc, "build", name);
}

static void port_text(const json_t *port, bool publish, char buf[static 64])
{
	const char *proto = vk_json_str(port, "proto", "tcp");
	const char *suffix = strcmp(proto, "udp") == 0 ? "/udp" : "";
	int number = (int)vk_json_int(port, "port", 0);
	if (publish)
		snprintf(buf, 64, "%d:%d%s", (int)vk_json_int(port, "host", 0), number, suffix);
	else
		snprintf(buf, 64, "%d%s", number, suffix);
}

static void print_ports(struct printer *p, const json_t *node, const char *name)
{
	const json_t *list = json_object_get(node, name);
	bool publish = strcmp(name, "publish") == 0;
	size_t i;
	json_t *port;
	if (is_empty(list))
		return;
	key(p, 2, name);
	put(p, " [");
	json_array_foreach(list, i, port)
	{
		char buf[64];
		put(p, i > 0 ? ", " : "");
		port_text(port, publish, buf);
		bool h2 = vk_json_bool(port, "h2", false);
		vk_autojson *map = json_copy(port);
		json_object_del(map, "h2");
		if (h2)
			json_object_set_new(map, "proto", json_string("h2"));
		if (h2 || *vk_json_str(port, "name", "") != '\0')
			put_map(p, map);
		else if (strpbrk(buf, ":/") != NULL)
			put_quoted(p, buf);
		else
			put(p, buf);
	}
	put(p, "]\n");
}

static void print_pages(struct printer *p, const json_t *node)
{
	json_t *pages = json_object_get(node, "error_pages"), *page;
	const char *status, *before = "";
	if (is_empty(pages))
		return;
	key(p, 2, "error_pages");
	put(p, " {");
	json_object_foreach(pages, status, page)
	{
		put(p, before);
		put(p, status);
		put(p, ": ");
		put_quoted(p, vk_json_str(page, "path", ""));
		before = ", ";
	}
	put(p, "}\n");
}

static void print_tcp(struct printer *p, const json_t *node)
{
	const json_t *list = json_object_get(node, "tcp");
	size_t i;
	json_t *tcp;
	if (is_empty(list))
		return;
	key(p, 2, "tcp");
	put(p, " {");
	json_array_foreach(list, i, tcp)
	{
		char text[64];
		snprintf(text, sizeof(text), "%s%d: %d", i > 0 ? ", " : "",
			(int)vk_json_int(tcp, "front", 0), (int)vk_json_int(tcp, "port", 0));
		put(p, text);
	}
	put(p, "}\n");
}

static void print_volumes(struct printer *p, const json_t *node)
{
	size_t i;
	json_t *volume;
	json_t *list = json_object_get(node, "volumes");
	if (is_empty(list))
		return;
	key(p, 2, "volumes");
	put(p, " [");
	json_array_foreach(list, i, volume)
	{
		const char *host = vk_json_str(volume, "host", ""),
			   *name = vk_json_str(volume, "name", "");
		const char *left = *host != '\0' ? host : name;
		vk_autofree char *both = vk_asprintf(
			"%s%s%s", left, *left != '\0' ? ":" : "", vk_json_str(volume, "path", ""));
		put(p, i > 0 ? ", " : "");
		put_quoted(p, both);
	}
	put(p, "]\n");
}

/* "500ms": the unit that keeps it exact. */
static void print_ms(struct printer *p, const char *before, const char *name, int64_t ms)
{
	vk_autofree char *s = ms % 1000 == 0
		? vk_asprintf("%s%s: %llds", before, name, (long long)(ms / 1000))
		: vk_asprintf("%s%s: %lldms", before, name, (long long)ms);
	put(p, s);
}

static void print_health(struct printer *p, const json_t *node)
{
	const json_t *h = json_object_get(node, "health");
	const char *type = vk_json_str(h, "type", "auto");
	char number[64];
	key(p, 2, "healthcheck");
	put(p, " {");
	if (strcmp(type, "http") == 0) {
		put(p, "path: ");
		put_quoted(p, vk_json_str(h, "path", "/"));
	} else if (strcmp(type, "cmd") == 0) {
		put(p, "cmd: ");
		put_list(p, json_object_get(h, "cmd"));
	} else {
		put(p, "type: ");
		put(p, type);
	}
	if (vk_json_int(h, "port", 0) != 0) {
		snprintf(number, sizeof(number), ", port: %d", (int)vk_json_int(h, "port", 0));
		put(p, number);
	}
	print_ms(p, ", ", "interval", vk_json_int(h, "interval_ms", 0));
	print_ms(p, ", ", "timeout", vk_json_int(h, "timeout_ms", 0));
	snprintf(number, sizeof(number), ", retries: %d", (int)vk_json_int(h, "retries", 0));
	put(p, number);
	print_ms(p, ", ", "start_period", vk_json_int(h, "start_ms", 0));
	const char *then = vk_json_str(h, "on_unhealthy", NULL);
	if (then != NULL) {
		put(p, ", on_unhealthy: ");
		put(p, then);
	}
	put(p, "}\n");
}

static void print_limits(struct printer *p, const json_t *node)
{
	char number[64];
	int64_t memory = vk_json_int(node, "memory", 0), cpus = vk_json_int(node, "cpus_milli", 0);
	if (memory != 0) {
		snprintf(number, sizeof(number), "    memory: %lld\n", (long long)memory);
		put(p, number);
	}
	if (cpus != 0) {
		snprintf(number, sizeof(number), "    cpus: %lld.%03lld\n",
			(long long)(cpus / 1000), (long long)(cpus % 1000));
		put(p, number);
	}
	print_ms(p, "    ", "stop_timeout", vk_json_int(node, "stop_ms", 0));
	if (json_object_get(node, "drain_ms") != NULL)
		print_ms(p, "\n    ", "drain", vk_json_int(node, "drain_ms", 0));
	put(p, "\n");
}

static void print_if(struct printer *p, const json_t *node, const char *name)
{
	const json_t *v = json_object_get(node, name);
	if (!is_empty(v))
		line(p, 2, name, v);
}

static void print_place(struct printer *p, const json_t *node)
{
	static const char *const keys[] = {
		"disk", "roles", "hosts", "spread", "max_per_host", "group"};
	for (size_t i = 0; i < VK_COUNT(keys); i++)
		print_if(p, json_object_get(node, "place"), keys[i]);
	print_if(p, node, "group_role");
	print_if(p, node, "group_policy");
}

static void print_app(struct printer *p, const json_t *node)
{
	const char *from = vk_json_str(node, "from", "");
	print_if(p, node, "boat");
	print_if(p, node, "image");
	if (*from != '\0') {
		vk_autofree char *image = vk_asprintf("    image: \"viking:%s\"\n", from);
		put(p, image);
	}
	print_if(p, node, "run");
	print_if(p, node, "cwd");
	print_if(p, node, "env");
	print_ports(p, node, "expose");
	print_ports(p, node, "publish");
	print_tcp(p, node);
	print_pages(p, node);
	print_volumes(p, node);
	line(p, 2, "scale", json_object_get(node, "scale"));
	line(p, 2, "service", json_object_get(node, "service"));
	print_health(p, node);
	print_limits(p, node);
	print_place(p, node);
	print_if(p, node, "release");
	print_if(p, node, "restart");
	if (vk_json_int(node, "restart_count", -1) >= 0)
		line(p, 2, "restart_count", json_object_get(node, "restart_count"));
	line(p, 2, "privileged", json_object_get(node, "privileged"));
	print_if(p, node, "network_mode");
	print_if(p, node, "pid_mode");
	print_if(p, node, "links");
	print_if(p, node, "require");
	print_if(p, node, "shared");
	if (strcmp(vk_json_str(node, "dns_update_policy", "append"), "append") != 0)
		print_if(p, node, "dns_update_policy");
}

/* A policy in the manifest's words. */
static json_t *policy_keys(const json_t *policy)
{
	static const struct {
		const char *from, *to;
	} same[] = {{"port", "port"}, {"strip", "strip"}, {"sticky", "sticky"},
		{"max_body", "max_body"}, {"auth_mode", "auth_mode"}, {"allow", "allow"},
		{"tls", "tls"}};
	json_t *out = json_object();
	for (size_t i = 0; i < VK_COUNT(same); i++) {
		json_t *value = json_object_get(policy, same[i].from);
		if (value != NULL)
			json_object_set(out, same[i].to, value);
	}
	if (vk_json_bool(policy, "https", false))
		json_set_str(out, "redirect", "https");
	int64_t hsts = vk_json_int(policy, "hsts", -1);
	if (hsts >= 0)
		json_object_set_new(out, "hsts", json_sprintf("%llds", (long long)hsts));
	static const char *const times[][2] = {
		{"response_ms", "timeout"}, {"tunnel_ms", "idle_timeout"}, {"hold_ms", "hold"}};
	for (size_t i = 0; i < VK_COUNT(times); i++) {
		int64_t ms = vk_json_int(policy, times[i][0], 0);
		if (ms > 0)
			json_object_set_new(
				out, times[i][1], json_sprintf("%lldms", (long long)ms));
	}
	const char *user;
	json_t *hashes, *users = json_object();
	json_object_foreach(json_object_get(policy, "auth"), user, hashes)
		json_object_set_new(users, user, json_sprintf("ha1:%s", json_string_value(hashes)));
	if (json_object_size(users) > 0)
		json_object_set(out, "auth", users);
	json_decref(users);
	return out;
}

static void print_traffic(struct printer *p, const json_t *node)
{
	vk_autojson *traffic = policy_keys(json_object_get(node, "traffic")), *list = json_array();
	const json_t *options = json_object_get(node, "domain_options");
	size_t i;
	json_t *place;
	json_array_foreach(json_object_get(node, "domains"), i, place)
	{
		const json_t *o = json_object_get(options, json_string_value(place));
		json_t *item = o != NULL ? policy_keys(o) : json_incref(place);
		if (o != NULL)
			json_object_set(item, "host", place);
		json_array_append_new(list, item);
	}
	if (json_array_size(list) > 0)
		line(p, 2, "domains", list);
	if (json_object_size(traffic) > 0)
		line(p, 2, "traffic", traffic);
}

static void print_node(struct printer *p, const json_t *doc, const char *name, const json_t *node)
{
	key(p, 1, name);
	put(p, "\n");
	line(p, 2, "type", json_object_get(node, "type"));
	if (strcmp(vk_json_str(node, "type", ""), "website") == 0)
		print_if(p, node, "document_root");
	else
		print_app(p, node);
	print_traffic(p, node);
	node_extras(p, 2, doc, "deploy", name);
}

typedef void item_fn(struct printer *p, const json_t *doc, const char *name, const json_t *item);

static void section(
	struct printer *p, const json_t *doc, const char *name, const char *list, item_fn *fn)
{
	json_t *items = json_object_get(doc, list), *item;
	vk_autofree char *where = vk_asprintf("%s.", name);
	const json_t *x = json_object_get(json_object_get(doc, "x"), where);
	const char *item_name;
	if (is_empty(items) && is_empty(x))
		return;
	key(p, 0, name);
	put(p, "\n");
	extras(p, 1, x);
	json_object_foreach(items, item_name, item) fn(p, doc, item_name, item);
}

static void print_head(struct printer *p, const json_t *doc)
{
	if (*vk_json_str(doc, "name", "") == '\0')
		return;
	put(p, "viking:\n");
	line(p, 1, "name", json_object_get(doc, "name"));
	if (!is_empty(json_object_get(doc, "comment")))
		line(p, 1, "comment", json_object_get(doc, "comment"));
	if (!is_empty(json_object_get(doc, "require")))
		line(p, 1, "require", json_object_get(doc, "require"));
}

static void print_rollout(struct printer *p, const json_t *rollout)
{
	char text[96];
	int64_t canary = vk_json_int(rollout, "canary", 0),
		permille = vk_json_int(rollout, "error_permille", -1);
	if (rollout == NULL)
		return;
	put(p, "rollout: {");
	print_ms(p, "", "watch", vk_json_int(rollout, "watch_ms", 0));
	snprintf(text, sizeof(text), ", canary: %lld%%", (long long)canary);
	put(p, canary > 0 ? text : "");
	snprintf(text, sizeof(text), ", auto_rollback: {error_rate: %lld.%lld%%, requests: %lld}",
		(long long)permille / 10, (long long)permille % 10,
		(long long)vk_json_int(rollout, "min_requests", 0));
	put(p, permille >= 0 ? text : "");
	put(p, "}\n");
}

int manifest_print(const json_t *doc, struct vk_buf *out, struct vk_err *err)
{
	struct printer p = {.out = out};
	print_head(&p, doc);
	if (!is_empty(json_object_get(doc, "env")))
		line(&p, 0, "env", json_object_get(doc, "env"));
	print_rollout(&p, json_object_get(doc, "rollout"));
	if (json_object_get(doc, "hosts") != NULL)
		line(&p, 0, "nodes", json_object_get(doc, "hosts"));
	section(&p, doc, "build", "boats", print_boat);
	section(&p, doc, "deploy", "nodes", print_node);
	extras(&p, 0, json_object_get(doc, "x"));
	return p.full ? vk_err_set(err, VK_LIMIT, "the resolved manifest is too large") : 0;
}
