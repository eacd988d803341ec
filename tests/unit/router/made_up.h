/* Tables of the scheduler's, good and bad, made of random bytes. */
#ifndef TESTS_ROUTER_MADE_UP_H
#define TESTS_ROUTER_MADE_UP_H

#include <viking/json.h>

struct input {
	const uint8_t *p;
	size_t n;
};

static inline unsigned take(struct input *in, unsigned below)
{
	unsigned v = in->n > 0 ? in->p[0] : 0;
	in->p += in->n > 0;
	in->n -= in->n > 0;
	return v % below;
}

/* A short string of what names are made of and of what breaks out of them. */
static inline json_t *text(struct input *in)
{
	static const char alphabet[] = "abcdefgh0123-_.*:;#\"'\\ \n\t${}%/[],<>()|&!@~=+ABC";
	char s[64];
	size_t len = take(in, sizeof(s));
	for (size_t i = 0; i < len; i++)
		s[i] = alphabet[take(in, sizeof(alphabet) - 1)];
	return vk_json_safe_string(s, len);
}

static inline json_t *domain(struct input *in)
{
	static const char *const names[] = {
		"a.com", "*.a.com", "b.a.com", "*.b.a.com", "x.localhost", "localhost"};
	unsigned pick = take(in, 9);
	return pick < VK_COUNT(names) ? json_string(names[pick]) : text(in);
}

static inline json_t *address(struct input *in)
{
	static const char *const addrs[] = {
		"10.0.0.1", "10.0.0.2", "fd00::1", "0.0.0.0", "127.0.0.1"};
	unsigned pick = take(in, 7);
	return pick < VK_COUNT(addrs) ? json_string(addrs[pick]) : text(in);
}

static inline json_t *server(struct input *in)
{
	static const char *const states[] = {"ready", "drain", "canary", "up"};
	json_t *s = json_object(),
	       *id = take(in, 4) ? json_sprintf("i-%u", take(in, 50)) : text(in);
	json_object_set_new(s, "id", id);
	json_object_set_new(s, "addr", address(in));
	json_object_set_new(s, "port", json_integer(take(in, 200)));
	json_object_set_new(s, "state", json_string(states[take(in, 4)]));
	return s;
}

static inline void set_text(json_t *obj, json_t *key, json_t *value)
{
	json_object_set_new(obj, json_string_value(key), value);
	json_decref(key);
}

static inline json_t *node_name(struct input *in)
{
	static const char *const names[] = {
		"web", "worker", "help_1", "api", "web:8080", "db@5432"};
	unsigned pick = take(in, 7);
	return pick < VK_COUNT(names) ? json_string(names[pick]) : text(in);
}

static inline json_t *place(struct input *in)
{
	static const char *const paths[] = {"", "", "/api", "/api/v1", "/a/b/c/d/e"};
	vk_autojson *host = domain(in), *more = text(in);
	unsigned pick = take(in, 6);
	return json_sprintf("%s%s", json_string_value(host),
		pick < VK_COUNT(paths) ? paths[pick] : json_string_value(more));
}

static inline json_t *policy(struct input *in)
{
	static const char hashes[] = "0123456789abcdef0123456789abcdef|"
				     "0123456789abcdef0123456789abcdef"
				     "0123456789abcdef0123456789abcdef";
	static const char *const ranges[] = {"10.0.0.0/8", "10.1.2.3", "fd00::/44", "1.2.3.4/30"};
	json_t *p = json_object(), *users = json_object(), *allow = json_array();
	unsigned bits = take(in, 256);
	if (bits & 1)
		json_object_set_new(p, "https", json_true());
	if (bits & 2)
		json_object_set_new(p, "max_body", json_integer(take(in, 256) - 1));
	if (bits & 4)
		set_text(users, take(in, 3) ? json_string("bob") : text(in),
			take(in, 3) ? json_string(hashes) : text(in));
	if (bits & 8)
		json_array_append_new(
			allow, take(in, 4) ? json_string(ranges[take(in, 4)]) : text(in));
	if (bits & 16)
		json_object_set_new(p, "maintenance", text(in));
	if (bits & 32)
		json_object_set_new(p, "strip", json_true());
	if (bits & 64)
		json_object_set_new(p, "sticky", json_true());
	if (bits & 4)
		json_object_set(p, "auth", users);
	if (bits & 8)
		json_object_set(p, "allow", allow);
	json_decref(users);
	json_decref(allow);
	return p;
}

/* "web", or with a policy */
static inline json_t *leads_to(struct input *in)
{
	if (take(in, 2) == 0)
		return node_name(in);
	return json_pack("{s:o,s:o}", "to", node_name(in), "policy", policy(in));
}

static inline json_t *stack(struct input *in)
{
	json_t *s = json_object(), *backends = json_object(), *domains = json_object(),
	       *sites = json_array();
	for (unsigned i = take(in, 4); i > 0; i--) {
		json_t *servers = json_array(), *b = json_object();
		for (unsigned k = take(in, 6); k > 0; k--)
			json_array_append_new(servers, server(in));
		json_object_set_new(b, "servers", servers);
		json_object_set_new(b, "canary", json_integer(take(in, 101)));
		json_object_set_new(b, "h2", json_boolean(take(in, 4) == 0));
		if (take(in, 4) == 0)
			json_object_set_new(b, "pages",
				json_pack("{s:o}", take(in, 4) ? "503" : "404",
					take(in, 4) ? json_string("0123456789abcdef01234567")
						    : text(in)));
		set_text(backends, node_name(in), b);
	}
	for (unsigned i = take(in, 5); i > 0; i--)
		set_text(domains, place(in), leads_to(in));
	for (unsigned i = take(in, 2); i > 0; i--)
		json_array_append_new(sites, node_name(in));
	json_object_set_new(s, "backends", backends);
	json_object_set_new(s, "domains", domains);
	json_object_set_new(s, "sites", sites);
	return s;
}

static inline json_t *made_up(struct input *in)
{
	json_t *doc = json_object(), *stacks = json_object();
	for (unsigned i = 1 + take(in, 24); i > 0 && in->n > 0; i--)
		set_text(stacks, take(in, 8) ? json_sprintf("s-%u", take(in, 30)) : text(in),
			stack(in));
	json_object_set_new(doc, "rev", json_integer(1));
	json_object_set_new(doc, "stacks", stacks);
	return doc;
}

#endif
