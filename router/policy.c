#include "policy.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <viking/crypt.h>
#include <viking/json.h>
#include <viking/str.h>

#define USER_MAX   64
#define USER_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
#define HEX        "0123456789abcdef"
#define MS_MAX     (24 * 3600 * 1000)

struct draft {
	struct policy *p;
	struct vk_buf flags; /* one letter a rule; frontend.c asks for them */
	int64_t hsts, max_body, response_ms, tunnel_ms, hold_ms, watch;
	char *message, *html; /* base64; the second escaped for a page */
};

void policy_hash(const char *text, char ret[static POLICY_ID_SIZE])
{
	char hex[65];
	vk_sha256_hex(text, strlen(text), hex);
	memcpy(ret, hex, POLICY_ID_SIZE - 1);
	ret[POLICY_ID_SIZE - 1] = '\0';
}

void policy_free(struct policy *p)
{
	if (p == NULL)
		return;
	routes_release(&p->access);
	free(p->value);
	free(p);
}

static int number(const json_t *doc, const char *key, int64_t max, char flag, struct draft *d,
	int64_t *ret, struct vk_err *err)
{
	const json_t *v = json_object_get(doc, key);
	*ret = 0;
	if (v == NULL)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > max)
		return vk_err_set(err, VK_INVALID, "%s is out of range", key);
	*ret = json_integer_value(v);
	vk_buf_addc(&d->flags, flag);
	return 0;
}

static int parse_numbers(const json_t *doc, struct draft *d, struct vk_err *err)
{
	int rc = number(doc, "hsts", 10ll * 365 * 86400, 'h', d, &d->hsts, err);
	if (rc == 0)
		rc = number(doc, "max_body", INT64_C(1) << 40, 'b', d, &d->max_body, err);
	if (rc == 0)
		rc = number(doc, "response_ms", MS_MAX, 't', d, &d->response_ms, err);
	if (rc == 0)
		rc = number(doc, "tunnel_ms", MS_MAX, 'w', d, &d->tunnel_ms, err);
	if (rc == 0)
		rc = number(doc, "watch", INT32_MAX, 'l', d, &d->watch, err);
	return rc == 0 ? number(doc, "hold_ms", POLICY_HOLD_MAX, 'q', d, &d->hold_ms, err) : rc;
}

/* "32 hex|64 hex" */
static bool hashes_ok(const char *text)
{
	return text != NULL && strlen(text) == 32 + 1 + 64 && strspn(text, HEX) == 32 &&
		text[32] == '|' && strspn(text + 33, HEX) == 64;
}

static int parse_auth(const json_t *doc, struct draft *d, struct vk_err *err)
{
	json_t *users = json_object_get(doc, "auth"), *value;
	const char *mode = vk_json_str(doc, "auth_mode", "basic"), *user;
	if (users == NULL)
		return 0;
	if (!json_is_object(users) || json_object_size(users) == 0 ||
		json_object_size(users) > POLICY_USERS_MAX)
		return vk_err_set(err, VK_INVALID, "auth names no users, or too many");
	if (strcmp(mode, "basic") != 0 && strcmp(mode, "digest") != 0)
		return vk_err_set(err, VK_INVALID, "auth_mode is neither basic nor digest");
	json_object_foreach(users, user, value)
	{
		const char *hashes = json_string_value(value);
		size_t n = strlen(user);
		if (n == 0 || n > USER_MAX || user[strspn(user, USER_BYTES)] != '\0')
			return vk_err_set(err, VK_INVALID, "auth has no valid name of a user");
		if (!hashes_ok(hashes))
			return vk_err_set(err, VK_INVALID, "auth has no hash of %s", user);
		vk_autofree char *key = vk_asprintf("%s:%s", d->p->id, user);
		routes_add(&d->p->access, key, hashes);
	}
	vk_buf_addc(&d->flags, mode[0] == 'b' ? 'u' : 'd');
	return 0;
}

/* The lengths of prefixes that are looked up (frontend.c); any other range is written as several of
 * the next longer length. */
static const unsigned lengths4[] = {8, 16, 24, 32}, lengths6[] = {32, 40, 48, 56, 64, 128};

static unsigned next_length(int family, unsigned bits)
{
	const unsigned *v = family == AF_INET ? lengths4 : lengths6;
	for (size_t i = 0;; i++)
		if (v[i] >= bits)
			return v[i];
}

static void add_range(struct draft *d, int family, const uint8_t addr[16])
{
	char text[INET6_ADDRSTRLEN];
	inet_ntop(family, addr, text, sizeof(text));
	vk_autofree char *key = vk_asprintf("%s@%s", text, d->p->id);
	routes_add(&d->p->access, key, "1");
}

/* Clears the bits behind the prefix. */
static void mask(uint8_t *addr, unsigned bits, unsigned size)
{
	for (unsigned i = bits; i < size * 8; i++)
		addr[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
}

/* Sets the bits from `bits` to `upto` to those of n. */
static void number_bits(uint8_t *addr, unsigned bits, unsigned upto, unsigned n)
{
	for (unsigned i = bits; i < upto; i++) {
		uint8_t bit = (uint8_t)(0x80u >> i % 8);
		if (n >> (upto - 1 - i) & 1)
			addr[i / 8] |= bit;
		else
			addr[i / 8] &= (uint8_t)~bit;
	}
}

static int parse_range(const char *text, struct draft *d, struct vk_err *err)
{
	uint8_t addr[16] = {0};
	uint64_t bits;
	const char *slash = text != NULL ? strchrnul(text, '/') : NULL;
	if (slash == NULL || slash - text >= INET6_ADDRSTRLEN)
		return vk_err_set(err, VK_INVALID, "allow has something that is no address");
	vk_autofree char *host = vk_strndup(text, (size_t)(slash - text));
	int family = strchr(host, ':') != NULL ? AF_INET6 : AF_INET;
	unsigned size = family == AF_INET ? 4 : 16;
	bits = size * 8;
	if (inet_pton(family, host, addr) != 1 ||
		(*slash != '\0' &&
			vk_parse_u64(slash + 1, family == AF_INET ? 1 : 25, size * 8, &bits) != 0))
		return vk_err_set(err, VK_INVALID, "allow has something that is no address range");
	unsigned upto = next_length(family, (unsigned)bits);
	if (upto == 128 && bits < 120)
		return vk_err_set(err, VK_INVALID,
			"allow has a range between /64 and /120, which would be too many "
			"addresses");
	mask(addr, (unsigned)bits, size);
	for (unsigned n = 0; n < 1u << (upto - bits); n++) {
		number_bits(addr, (unsigned)bits, upto, n);
		add_range(d, family, addr);
	}
	return 0;
}

static int parse_allow(const json_t *doc, struct draft *d, struct vk_err *err)
{
	json_t *list = json_object_get(doc, "allow"), *v;
	size_t i;
	if (list == NULL)
		return 0;
	if (!json_is_array(list) || json_array_size(list) == 0 ||
		json_array_size(list) > POLICY_ALLOW_MAX)
		return vk_err_set(err, VK_INVALID, "allow has no addresses, or too many");
	json_array_foreach(list, i, v)
	{
		int rc = parse_range(json_string_value(v), d, err);
		if (rc != 0)
			return rc;
	}
	vk_buf_addc(&d->flags, 'a');
	return 0;
}

static char *escaped(const char *text)
{
	vk_autobuf b = VK_BUF_INIT(POLICY_MESSAGE_MAX * 6 + 1);
	for (const char *p = text; *p != '\0'; p++)
		switch (*p) {
		case '<':
			vk_buf_adds(&b, "&lt;");
			break;
		case '>':
			vk_buf_adds(&b, "&gt;");
			break;
		case '&':
			vk_buf_adds(&b, "&amp;");
			break;
		default:
			vk_buf_addc(&b, *p);
		}
	return vk_base64(vk_buf_str(&b), b.len);
}

/* The text reaches HAProxy as base64 alone. */
static int parse_message(const json_t *doc, struct draft *d, struct vk_err *err)
{
	const json_t *v = json_object_get(doc, "maintenance");
	const char *text = json_string_value(v);
	if (v == NULL)
		return 0;
	if (text == NULL || json_string_length(v) > POLICY_MESSAGE_MAX ||
		strlen(text) != json_string_length(v))
		return vk_err_set(err, VK_INVALID, "maintenance is no short text");
	for (const char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return vk_err_set(
				err, VK_INVALID, "maintenance has characters that are not allowed");
	d->message = vk_base64(text, strlen(text));
	d->html = escaped(text);
	vk_buf_addc(&d->flags, 'm');
	return 0;
}

static int parse_all(const json_t *doc, unsigned depth, struct draft *d, struct vk_err *err)
{
	if (!json_is_object(doc))
		return vk_err_set(err, VK_INVALID, "a policy is no object");
	if (vk_json_bool(doc, "https", false))
		vk_buf_addc(&d->flags, 'r');
	d->p->sticky = vk_json_bool(doc, "sticky", false);
	if (d->p->sticky)
		vk_buf_addc(&d->flags, 's');
	if (vk_json_bool(doc, "canary", false))
		vk_buf_addc(&d->flags, 'c');
	int rc = parse_numbers(doc, d, err);
	if (rc == 0)
		rc = parse_auth(doc, d, err);
	if (rc == 0)
		rc = parse_allow(doc, d, err);
	if (rc == 0)
		rc = parse_message(doc, d, err);
	if (rc == 0 && vk_json_bool(doc, "strip", false)) {
		if (depth < 1 || depth > POLICY_DEPTH_MAX)
			return vk_err_set(err, VK_INVALID, "strip needs a path of 1 to %d parts",
				POLICY_DEPTH_MAX);
		vk_buf_addf(&d->flags, "%u", depth);
	}
	return rc;
}

int policy_parse(const json_t *doc, unsigned depth, struct policy **ret, struct vk_err *err)
{
	vk_autofree char *text = json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
	vk_autofree char *seed = vk_asprintf("%u %s", depth, text != NULL ? text : "");
	struct draft d = {.p = vk_alloc(sizeof(*d.p))};
	*d.p = (struct policy){0};
	policy_hash(seed, d.p->id);
	vk_buf_init(&d.flags, 64);
	vk_buf_addc(&d.flags, 'p');
	int rc = parse_all(doc, depth, &d, err);
	if (rc == 0) {
		d.p->value = vk_asprintf("%s|%lld|%lld|%lld|%lld|%s|%lld|%lld|%s",
			vk_buf_str(&d.flags), (long long)d.hsts, (long long)d.max_body,
			(long long)d.response_ms, (long long)d.tunnel_ms,
			d.message != NULL ? d.message : "0", (long long)d.hold_ms,
			(long long)d.watch, d.html != NULL ? d.html : "0");
		*ret = VK_TAKE(d.p);
	}
	policy_free(d.p);
	vk_buf_release(&d.flags);
	free(d.message);
	free(d.html);
	return rc;
}
