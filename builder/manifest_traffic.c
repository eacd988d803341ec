/*
 * What a node and its domains say about requests: domains with paths, ports and policies. In the
 * document `domains` lists places ("a.com", "a.com/api"); domain_options has by place the port and
 * policy of that domain, traffic the policy of all of the node's, both in the router's words
 * (docs/protocol.md 7). Passwords become HA1 here, and go no further.
 */
#include <arpa/inet.h>
#include <openssl/evp.h>
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/str.h>

#include "manifest_parse.h"

#define DOMAINS_MAX 256
#define USERS_MAX   100
#define RANGES_MAX  100
#define REALM       "protected"
#define BODY_MAX    (1ull << 40)
#define TIME_MAX    (24ll * 3600 * 1000)
#define HOLD_MAX    300000
#define HSTS_YEAR   31536000
#define HSTS_MAX    (10ll * HSTS_YEAR * 1000)
#define PATH_MAX_   200
#define DEPTH_MAX   4
#define PATH_BYTES  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~-"
#define USER_BYTES  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

/* -- policies -- */

static int policy_redirect(const struct mval *v, json_t *out, struct vk_err *err)
{
	const char *text;
	bool on = true;
	int rc = mval_text(v, 16, &text, err);
	if (rc != 0)
		return rc;
	if (strcmp(text, "https") != 0 && mval_bool(v, &on, NULL) != 0)
		return mval_error(v, err, "is https or false, not \"%.60s\"", text);
	if (on)
		json_object_set_new(out, "https", json_true());
	return 0;
}

/* true = a year, or how long. */
static int policy_hsts(const struct mval *v, json_t *out, struct vk_err *err)
{
	bool on;
	int64_t ms;
	if (mval_bool(v, &on, NULL) == 0) {
		if (on)
			json_object_set_new(out, "hsts", json_integer(HSTS_YEAR));
		return 0;
	}
	int rc = mval_duration(v, 0, HSTS_MAX, &ms, err);
	if (rc == 0)
		json_object_set_new(out, "hsts", json_integer(ms / 1000));
	return rc;
}

static int policy_body(const struct mval *v, json_t *out, struct vk_err *err)
{
	const char *text;
	uint64_t bytes;
	int rc = mval_text(v, 64, &text, err);
	if (rc != 0)
		return rc;
	if (vk_parse_size(text, &bytes) != 0 || bytes > BODY_MAX)
		return mval_error(v, err, "needs a size like 10M or 2G, not \"%.60s\"", text);
	json_object_set_new(out, "max_body", json_integer((json_int_t)bytes));
	return 0;
}

static int policy_ms(const struct mval *v, json_t *out, const char *name, struct vk_err *err)
{
	int64_t ms;
	int rc = mval_duration(v, 100, TIME_MAX, &ms, err);
	if (rc == 0)
		json_object_set_new(out, name, json_integer(ms));
	return rc;
}

static int policy_sticky(const struct mval *v, json_t *out, struct vk_err *err)
{
	bool on;
	int rc = mval_bool(v, &on, err);
	if (rc == 0 && on)
		json_object_set_new(out, "sticky", json_true());
	return rc;
}

static int policy_timeout(const struct mval *v, json_t *out, struct vk_err *err)
{
	return policy_ms(v, out, "response_ms", err);
}

/* While a deploy leaves the node without an instance. */
static int policy_hold(const struct mval *v, json_t *out, struct vk_err *err)
{
	int64_t ms;
	int rc = mval_duration(v, 100, HOLD_MAX, &ms, err);
	if (rc == 0)
		json_object_set_new(out, "hold_ms", json_integer(ms));
	return rc;
}

static int policy_idle(const struct mval *v, json_t *out, struct vk_err *err)
{
	return policy_ms(v, out, "tunnel_ms", err);
}

static void hash_hex(const EVP_MD *md, const char *text, struct vk_buf *out)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	EVP_Digest(text, strlen(text), sum, &n, md, NULL);
	for (unsigned i = 0; i < n; i++)
		vk_buf_addf(out, "%02x", sum[i]);
}

/* RFC 7616's H(user:realm:password), in MD5 and SHA-256. */
static char *ha1(const char *user, const char *password)
{
	vk_autobuf b = VK_BUF_INIT(256);
	vk_autofree char *text = vk_asprintf("%s:" REALM ":%s", user, password);
	hash_hex(EVP_md5(), text, &b);
	vk_buf_addc(&b, '|');
	hash_hex(EVP_sha256(), text, &b);
	explicit_bzero(text, strlen(text));
	return vk_buf_take(&b);
}

static bool is_hashes(const char *s)
{
	static const char hex[] = "0123456789abcdef";
	return strlen(s) == 97 && strspn(s, hex) == 32 && s[32] == '|' && strspn(s + 33, hex) == 64;
}

static int auth_user(const struct mval *v, const char *user, json_t *users, struct vk_err *err)
{
	const char *text;
	int rc = mval_text(v, 1024, &text, err);
	if (rc != 0)
		return rc;
	size_t n = strlen(user);
	if (n == 0 || n > 64 || user[strspn(user, USER_BYTES)] != '\0')
		return mval_error(v, err,
			"\"%.64s\" is no name for a login: letters, digits, . _ and -", user);
	if (vk_starts(text, "ha1:")) {
		if (!is_hashes(text + 4))
			return mval_error(v, err,
				"ha1: is followed by MD5|SHA-256 of USER:" REALM
				":PASSWORD in hex");
		json_set_str(users, user, text + 4);
		return 0;
	}
	vk_autofree char *hashes = ha1(user, text);
	json_set_str(users, user, hashes);
	return 0;
}

/* {user: password}, or {user: "ha1:MD5|SHA256"} for who wants no password in the file. */
static int policy_auth(const struct mval *v, json_t *out, struct vk_err *err)
{
	int rc = mval_map(v, err);
	if (rc == 0 && (v->y->n == 0 || v->y->n > USERS_MAX))
		rc = mval_error(v, err, "needs 1 to %d logins, as in {bob: password}", USERS_MAX);
	vk_autojson *users = json_object();
	for (size_t i = 0; rc == 0 && i < v->y->n; i++) {
		struct mval item = {v->m, v->y->items[i], v->what};
		rc = auth_user(&item, v->y->keys[i].name, users, err);
	}
	if (rc == 0)
		json_object_set(out, "auth", users);
	return rc;
}

static int policy_auth_mode(const struct mval *v, json_t *out, struct vk_err *err)
{
	const char *text;
	int rc = mval_text(v, 16, &text, err);
	if (rc != 0)
		return rc;
	if (strcmp(text, "basic") != 0 && strcmp(text, "digest") != 0)
		return mval_error(v, err, "is digest or basic, not \"%.60s\"", text);
	json_set_str(out, "auth_mode", text);
	return 0;
}

/* Who gets the certificate: viking by itself, or nobody but a person. */
static int policy_tls(const struct mval *v, json_t *out, struct vk_err *err)
{
	const char *text;
	int rc = mval_text(v, 16, &text, err);
	if (rc != 0)
		return rc;
	if (strcmp(text, "auto") != 0 && strcmp(text, "off") != 0)
		return mval_error(v, err, "is auto or off, not \"%.60s\"", text);
	json_set_str(out, "tls", text);
	return 0;
}

static int allow_item(const struct mval *v, json_t *out, struct vk_err *err)
{
	const char *text;
	unsigned char addr[16];
	uint64_t bits = 32;
	int rc = mval_text(v, 64, &text, err);
	if (rc != 0)
		return rc;
	size_t n = strcspn(text, "/");
	vk_autofree char *host = vk_strndup(text, n);
	bool six = strchr(host, ':') != NULL;
	if (inet_pton(six ? AF_INET6 : AF_INET, host, addr) != 1 ||
		(text[n] == '/' &&
			vk_parse_u64(text + n + 1, six ? 25 : 1, six ? 128 : 32, &bits) != 0))
		return mval_error(
			v, err, "\"%.60s\" is no address or range, as in 10.0.0.0/8", text);
	if (six && text[n] == '/' && bits > 64 && bits < 120)
		return mval_error(
			v, err, "%.60s: write a range of /64 or wider, or single addresses", text);
	json_array_append_new(json_object_get(out, "allow"), json_string(text));
	return 0;
}

static int policy_allow(const struct mval *v, json_t *out, struct vk_err *err)
{
	json_object_set_new(out, "allow", json_array());
	int rc = mval_each(v, RANGES_MAX, allow_item, out, err);
	if (rc == 0 && json_array_size(json_object_get(out, "allow")) == 0)
		rc = mval_error(v, err, "names nobody: leave it out to let all in");
	return rc;
}

#define POLICY_KEYS \
	{"hold", NULL, policy_hold, 0}, {"sticky", "sticky_sessions", policy_sticky, 0}, \
		{"redirect", NULL, policy_redirect, 0}, {"hsts", NULL, policy_hsts, 0}, \
		{"max_body", "client_max_body_size", policy_body, 0}, \
		{"timeout", "response_timeout", policy_timeout, 0}, \
		{"idle_timeout", NULL, policy_idle, 0}, {"auth", NULL, policy_auth, 0}, \
		{"auth_mode", NULL, policy_auth_mode, 0}, {"tls", NULL, policy_tls, 0}, \
	{ \
		"allow", NULL, policy_allow, 0 \
	}

static const struct mkey traffic_keys[] = {POLICY_KEYS, {0}};

/* As in seed manifests a login without a mode is by digest, which sends no password. */
static void finish_policy(json_t *policy)
{
	if (json_object_get(policy, "auth") == NULL)
		json_object_del(policy, "auth_mode");
	else if (json_object_get(policy, "auth_mode") == NULL)
		json_set_str(policy, "auth_mode", "digest");
}

int mnode_traffic(const struct mval *v, json_t *node, struct vk_err *err)
{
	vk_autojson *policy = json_object();
	int rc = mval_map(v, err);
	if (rc == 0)
		rc = mtable_run(v->m, v->y,
			&(struct mtable){traffic_keys, NULL, v->what, false, NULL}, policy, NULL,
			err);
	if (rc != 0)
		return rc;
	finish_policy(policy);
	if (json_object_size(policy) > 0)
		json_object_set(node, "traffic", policy);
	return 0;
}

/* -- domains -- */

static int domain_host(const struct mval *v, json_t *out, struct vk_err *err)
{
	const char *text;
	int rc = mval_text(v, 1024, &text, err);
	if (rc == 0)
		json_set_str(out, "host", text);
	return rc;
}

/* A number, or the name of one of the node's ports; which ports there are is known at the end. */
static int domain_port(const struct mval *v, json_t *out, struct vk_err *err)
{
	const char *text;
	int rc = mval_text(v, 64, &text, err);
	if (rc == 0)
		json_set_str(out, "port", text);
	return rc;
}

static int domain_path(const struct mval *v, json_t *out, struct vk_err *err)
{
	const char *text;
	int rc = mval_text(v, 1024, &text, err);
	if (rc == 0)
		json_set_str(out, "path", text);
	return rc;
}

static int domain_strip(const struct mval *v, json_t *out, struct vk_err *err)
{
	bool on;
	int rc = mval_bool(v, &on, err);
	if (rc == 0 && on)
		json_object_set_new(out, "strip", json_true());
	return rc;
}

static int domain_cert(const struct mval *v, json_t *out, struct vk_err *err)
{
	(void)out;
	mval_error(v, err, "a certificate and its key do not belong into the repository");
	vk_err_hint(err, "viking certs:add STACK CHAIN.pem KEY.pem");
	return VK_INVALID;
}

static const struct mkey domain_keys[] = {{"host", "domain name", domain_host, 0},
	{"port", NULL, domain_port, 0}, {"path", NULL, domain_path, 0},
	{"strip", NULL, domain_strip, 0}, {"cert", "key", domain_cert, 0}, POLICY_KEYS, {0}};

static int check_path(
	const struct mval *v, const char *path, unsigned *ret_depth, struct vk_err *err)
{
	*ret_depth = 0;
	for (const char *at = path; *at != '\0'; (*ret_depth)++) {
		size_t n = strcspn(at + 1, "/");
		if (*at != '/' || n == 0 || strspn(at + 1, PATH_BYTES) != n ||
			(n <= 2 && strspn(at + 1, ".") >= n) || strlen(path) > PATH_MAX_)
			return mval_error(v, err,
				"\"%.60s\" is no path of a domain, as in /api: letters, digits, . "
				"_ ~ "
				"and - between slashes, none at the end",
				path);
		at += 1 + n;
	}
	return 0;
}

/* "a.com/api:9000" in parts; what is not written out as a key of its own. */
static void split_place(json_t *o)
{
	vk_autofree char *text = vk_strdup(vk_json_str(o, "host", ""));
	char *slash = strchr(text, '/');
	char *colon = strchr(slash != NULL ? slash : text, ':');
	if (colon != NULL) {
		*colon = '\0';
		if (json_object_get(o, "port") == NULL)
			json_set_str(o, "port", colon + 1);
	}
	if (slash != NULL) {
		if (json_object_get(o, "path") == NULL)
			json_set_str(o, "path", slash);
		*slash = '\0';
	}
	json_set_str(o, "host", text);
}

static int add_domain(const struct mval *v, json_t *node, json_t *o, struct vk_err *err)
{
	json_t *list = json_object_get(node, "domains"), *item;
	char host[VK_DOMAIN_MAX + 1];
	unsigned depth;
	size_t i;
	split_place(o);
	if (vk_domain(vk_json_str(o, "host", ""), true, host, err) != 0)
		return mval_wrap(v, err);
	const char *path = vk_json_str(o, "path", "");
	if (strcmp(path, "/") == 0)
		path = "";
	int rc = check_path(v, path, &depth, err);
	if (rc != 0)
		return rc;
	if (vk_json_bool(o, "strip", false) && (depth == 0 || depth > DEPTH_MAX))
		return mval_error(v, err, "strip needs a path of 1 to %d parts", DEPTH_MAX);
	vk_autofree char *place = vk_asprintf("%s%s", host, path);
	json_array_foreach(list, i, item) if (strcmp(json_string_value(item), place) ==
		0) return mval_error(v, err, "%s is there twice", place);
	if (json_array_size(list) >= DOMAINS_MAX)
		return mval_error(v, err, "more than %d domains", DOMAINS_MAX);
	json_array_append_new(list, json_string(place));
	json_object_del(o, "host");
	json_object_del(o, "path");
	finish_policy(o);
	if (json_object_size(o) == 0)
		return 0;
	json_t *options = json_object_get(node, "domain_options");
	if (options == NULL)
		json_object_set_new(node, "domain_options", options = json_object());
	json_object_set(options, place, o);
	return 0;
}

static int domain_item(const struct mval *v, json_t *node, struct vk_err *err)
{
	vk_autojson *o = json_object();
	int rc;
	if (v->y->type == VK_YAML_MAP) {
		rc = mtable_run(v->m, v->y,
			&(struct mtable){domain_keys, NULL, v->what, false, NULL}, o, NULL, err);
		if (rc == 0 && json_object_get(o, "host") == NULL)
			rc = mval_error(v, err, "has an entry without host");
	} else {
		rc = domain_host(v, o, err);
	}
	return rc == 0 ? add_domain(v, node, o, err) : rc;
}

/* HOST: PORT, HOST: {key: value ...}, or HOST: with nothing behind it */
static int domain_pair(const char *host, const struct mval *v, json_t *node, struct vk_err *err)
{
	vk_autojson *o = json_object();
	int rc = 0;
	if (v->y->type == VK_YAML_MAP)
		rc = mtable_run(v->m, v->y,
			&(struct mtable){domain_keys, NULL, v->what, false, NULL}, o, NULL, err);
	else if (!mval_is_null(v->y))
		rc = domain_port(v, o, err);
	if (rc == 0 && json_object_get(o, "host") != NULL)
		rc = mval_error(v, err, "%.60s: the host is there already", host);
	json_set_str(o, "host", host);
	return rc == 0 ? add_domain(v, node, o, err) : rc;
}

int mnode_domains(const struct mval *v, json_t *node, struct vk_err *err)
{
	int rc = 0;
	if (v->y->type != VK_YAML_MAP || v->y->n == 0 || strchr(v->y->keys[0].name, '.') == NULL)
		return mval_each(v, DOMAINS_MAX, domain_item, node, err);
	for (size_t i = 0; i < v->y->n && rc == 0; i++) /* no key of a domain has a dot */
		rc = domain_pair(v->y->keys[i].name,
			&(struct mval){.m = v->m, .y = v->y->items[i], .what = v->what}, node, err);
	return rc;
}

/* -- when all of the node is known -- */

/* what: "domain a.com", "tcp 5432" */
static int find_port(const struct mval *v, const json_t *node, const char *what, const char *text,
	json_t **ret, struct vk_err *err)
{
	size_t i;
	json_t *port;
	uint64_t number = 0;
	bool digits = vk_parse_u64(text, 1, 65535, &number) == 0;
	json_array_foreach(json_object_get(node, "expose"), i, port)
	{
		if (strcmp(vk_json_str(port, "proto", ""), "tcp") != 0)
			continue;
		if (digits ? vk_json_int(port, "port", 0) == (int64_t)number
			   : strcmp(vk_json_str(port, "name", ""), text) == 0) {
			*ret = json_integer(vk_json_int(port, "port", 0));
			return 0;
		}
	}
	return mval_error(v, err, "%.200s: expose: has no TCP port %.64s", what, text);
}

int mnode_check_domains(const struct mval *v, json_t *node, struct vk_err *err)
{
	bool site = strcmp(vk_json_str(node, "type", ""), "website") == 0;
	json_t *options = json_object_get(node, "domain_options"), *o, *item;
	const char *place;
	size_t i;
	json_array_foreach(json_object_get(node, "domains"), i,
		item) if (site && strchr(json_string_value(item), '/') != NULL) return mval_error(v,
		err, "a website has whole domains, not %.200s", json_string_value(item));
	json_object_foreach(options, place, o)
	{
		const char *text = vk_json_str(o, "port", NULL);
		json_t *port = NULL;
		if (text == NULL)
			continue;
		if (site)
			return mval_error(v, err, "a website has no ports");
		vk_autofree char *what = vk_asprintf("domain %s", place);
		int rc = find_port(v, node, what, text, &port, err);
		if (rc != 0)
			return rc;
		json_object_set_new(o, "port", port);
	}
	json_array_foreach(json_object_get(node, "tcp"), i, o)
	{
		json_t *port = NULL;
		vk_autofree char *what = vk_asprintf("tcp %d", (int)vk_json_int(o, "front", 0));
		int rc = find_port(v, node, what, vk_json_str(o, "port", ""), &port, err);
		if (rc != 0)
			return rc;
		json_object_set_new(o, "port", port);
	}
	return 0;
}
