/* One element of an array at a time: jansson reads a value and says where it ended. */
#include "dowding_file.h"

#include <math.h>
#include <string.h>
#include <viking/json.h>
#include <viking/str.h>

#define NAME_MAX_BYTES 255
#define MAX_CPUS       1e6
#define MAX_REPLICAS   1000000
#define MAX_TOTAL      20000000
#define MAX_HOSTS      1000000 /* a rank has 24 bits */

struct reader {
	struct dowding *d;
	const char *text;
	size_t n, at;
	size_t hosts, replicas;
};

static void skip_space(struct reader *r)
{
	r->at += strspn(r->text + r->at, " \t\r\n");
}

static bool take(struct reader *r, char c)
{
	skip_space(r);
	if (r->text[r->at] != c)
		return false;
	r->at++;
	return true;
}

static int value(struct reader *r, json_t **ret, struct vk_err *err)
{
	json_error_t e;
	skip_space(r);
	*ret = json_loadb(r->text + r->at, r->n - r->at,
		JSON_DISABLE_EOF_CHECK | JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &e);
	if (*ret == NULL)
		return vk_err_set(err, VK_INVALID, "not JSON at byte %zu: %s",
			r->at + (e.position > 0 ? (size_t)e.position : 0), e.text);
	r->at += (size_t)e.position;
	return 0;
}

/* ---- what an element holds ---- */

struct fields {
	char *name, *zone, *group, *spread, *service, *host;
	json_t *cpus, *memory, *disk, *labels, *roles, *hosts;
	uint64_t replicas, max_per_host, n;
	bool down, volume, sticky;
};
#define F(key, kind, member, need, most) \
	{ \
		key, kind, offsetof(struct fields, member), need, 0, most \
	}
static const struct vk_field host_fields[] = {
	F("name", VK_F_STR, name, true, NAME_MAX_BYTES),
	F("cpus", VK_F_JSON, cpus, false, 0),
	F("memory", VK_F_JSON, memory, false, 0),
	F("disk", VK_F_JSON, disk, false, 0),
	F("labels", VK_F_ARRAY, labels, false, 0),
	F("zone", VK_F_STR, zone, false, NAME_MAX_BYTES),
	F("down", VK_F_BOOL, down, false, 0),
	{0},
};
static const struct vk_field service_fields[] = {
	F("name", VK_F_STR, name, true, NAME_MAX_BYTES),
	F("replicas", VK_F_U64, replicas, false, MAX_REPLICAS),
	F("cpus", VK_F_JSON, cpus, false, 0),
	F("memory", VK_F_JSON, memory, false, 0),
	F("disk", VK_F_JSON, disk, false, 0),
	F("roles", VK_F_ARRAY, roles, false, 0),
	F("hosts", VK_F_ARRAY, hosts, false, 0),
	F("group", VK_F_STR, group, false, NAME_MAX_BYTES),
	F("spread", VK_F_STR, spread, false, 8),
	F("max_per_host", VK_F_U64, max_per_host, false, MAX_REPLICAS),
	F("volume", VK_F_BOOL, volume, false, 0),
	F("sticky", VK_F_BOOL, sticky, false, 0),
	{0},
};
static const struct vk_field placed_fields[] = {
	F("service", VK_F_STR, service, true, NAME_MAX_BYTES),
	F("n", VK_F_U64, n, true, MAX_REPLICAS),
	F("host", VK_F_STR, host, true, NAME_MAX_BYTES),
	{0},
};

int dow_read_cpus(const json_t *j, uint64_t *ret, struct vk_err *err)
{
	char *end = NULL;
	double v = 0;
	if (json_is_number(j)) {
		v = json_number_value(j);
	} else if (json_is_string(j)) {
		v = strtod(json_string_value(j), &end);
		if (end == json_string_value(j) || *end != '\0')
			v = -1;
	} else if (j != NULL) {
		v = -1;
	}
	if (!(v >= 0 && v <= MAX_CPUS))
		return vk_err_set(err, VK_INVALID, "cpus: cores, 0 to 1000000, like 2 or 0.5");
	*ret = (uint64_t)llround(v * 1000);
	return 0;
}

int dow_read_bytes(const json_t *j, const char *key, uint64_t *ret, struct vk_err *err)
{
	*ret = 0;
	if (j == NULL)
		return 0;
	if (json_is_integer(j) && json_integer_value(j) >= 0)
		*ret = (uint64_t)json_integer_value(j);
	else if (json_is_real(j) && json_real_value(j) >= 0 && json_real_value(j) < 1e18)
		*ret = (uint64_t)json_real_value(j);
	else if (!json_is_string(j) || vk_parse_size(json_string_value(j), ret) < 0)
		return vk_err_set(
			err, VK_INVALID, "%s: bytes, or with a unit like 512M or 2G", key);
	return *ret >> 60 ? vk_err_set(err, VK_INVALID, "%s: over 1 EiB", key) : 0;
}

static int read_amounts(const struct fields *f, uint64_t ret[DOW_DIMS], struct vk_err *err)
{
	int r = dow_read_cpus(f->cpus, &ret[DOW_CPU], err);
	if (r == 0)
		r = dow_read_bytes(f->memory, "memory", &ret[DOW_MEMORY], err);
	return r < 0 ? r : dow_read_bytes(f->disk, "disk", &ret[DOW_DISK], err);
}

/* Borrows the strings. */
static int read_names(
	const json_t *list, const char *key, const char ***ret, size_t *ret_n, struct vk_err *err)
{
	size_t i;
	json_t *v;
	*ret_n = json_array_size(list);
	*ret = vk_calloc(*ret_n + 1, sizeof(char *));
	json_array_foreach(list, i, v)
	{
		const char *s = json_string_value(v);
		if (s == NULL || *s == '\0' || strlen(s) > NAME_MAX_BYTES ||
			strchr(s, '\n') != NULL)
			return vk_err_set(err, VK_INVALID, "%s[%zu]: a name is wanted", key, i);
		(*ret)[i] = s;
	}
	return 0;
}

static int need_name(const char *name, struct vk_err *err)
{
	return *name != '\0' ? 0 : vk_err_set(err, VK_INVALID, "name: must not be empty");
}

static int add_host(struct reader *r, const struct fields *f, struct vk_err *err)
{
	vk_autofree const char **labels = NULL;
	struct dow_host h = {.name = f->name, .zone = f->zone, .down = f->down};
	int rc = need_name(f->name, err);
	if (rc == 0)
		rc = read_names(f->labels, "labels", &labels, &h.nlabels, err);
	if (rc == 0)
		rc = read_amounts(f, h.cap, err);
	if (rc < 0)
		return rc;
	if (r->hosts++ >= MAX_HOSTS)
		return vk_err_set(err, VK_LIMIT, "more than %d hosts", MAX_HOSTS);
	if (dow_knows_host(r->d, f->name))
		return vk_err_set(err, VK_EXISTS, "a second host named %s", f->name);
	h.labels = labels;
	dow_set_host(r->d, &h);
	return 0;
}

static int read_spread(const char *s, enum dow_spread *ret, struct vk_err *err)
{
	static const char *const names[] = {"soft", "hard", "none"};
	*ret = DOW_SOFT;
	for (size_t i = 0; s != NULL && i < VK_COUNT(names); i++)
		if (strcmp(s, names[i]) == 0) {
			*ret = (enum dow_spread)i;
			return 0;
		}
	return s == NULL ? 0 : vk_err_set(err, VK_INVALID, "spread: soft, hard or none, not %s", s);
}

static int add_service(struct reader *r, const struct fields *f, struct vk_err *err)
{
	vk_autofree const char **roles = NULL;
	vk_autofree const char **hosts = NULL;
	struct dow_service s = {.name = f->name,
		.group = f->group,
		.replicas = (unsigned)f->replicas,
		.max_per_host = (unsigned)f->max_per_host,
		.volume = f->volume};
	int rc = need_name(f->name, err);
	if (rc == 0)
		rc = read_names(f->roles, "roles", &roles, &s.nroles, err);
	if (rc == 0)
		rc = read_names(f->hosts, "hosts", &hosts, &s.nhosts, err);
	if (rc == 0)
		rc = read_spread(f->spread, &s.spread, err);
	if (rc == 0)
		rc = read_amounts(f, s.demand, err);
	if (rc < 0)
		return rc;
	if (dow_knows_service(r->d, f->name))
		return vk_err_set(err, VK_EXISTS, "a second service named %s", f->name);
	if ((r->replicas += s.replicas) > MAX_TOTAL)
		return vk_err_set(err, VK_LIMIT, "more than %d replicas in all", MAX_TOTAL);
	s.roles = roles;
	s.hosts = hosts;
	dow_set_service(r->d, &s);
	return 0;
}

/* A replica that is no longer wanted is no error: it is what a scale-down leaves. */
static int add_placed(struct reader *r, const struct fields *f, struct vk_err *err)
{
	if (!dow_knows_service(r->d, f->service))
		return vk_err_set(err, VK_NOTFOUND, "there is no service %s", f->service);
	if (f->n == 0)
		return vk_err_set(err, VK_INVALID, "n: replicas are numbered from 1");
	dow_placed(r->d, f->service, (unsigned)f->n, f->host);
	return 0;
}

/* ---- the walk ---- */

struct section {
	const char *name;
	const struct vk_field *fields;
	int (*add)(struct reader *r, const struct fields *f, struct vk_err *err);
};
static const struct section sections[] = {
	{"hosts", host_fields, add_host},
	{"services", service_fields, add_service},
	{"placed", placed_fields, add_placed},
};

static int element(struct reader *r, const struct section *s, struct vk_err *err)
{
	vk_autojson *j = NULL;
	struct fields f = {.replicas = 1};
	int rc = value(r, &j, err);
	if (rc == 0)
		rc = vk_json_fields(j, s->fields, &f, err);
	if (rc == 0)
		rc = s->add(r, &f, err);
	vk_fields_release(s->fields, &f);
	return rc;
}

/* add NULL: only over it. */
static int array(struct reader *r, const struct section *s, bool add, struct vk_err *err)
{
	if (!take(r, '['))
		return vk_err_set(err, VK_INVALID, "%s: an array is wanted", s->name);
	if (take(r, ']'))
		return 0;
	for (size_t i = 0;; i++) {
		vk_autojson *skipped = NULL;
		int rc = add ? element(r, s, err) : value(r, &skipped, err);
		if (rc < 0)
			return vk_err_wrap(err, "%s[%zu]", s->name, i);
		if (take(r, ']'))
			return 0;
		if (!take(r, ','))
			return vk_err_set(err, VK_INVALID,
				"%s[%zu]: a comma or ] is wanted after it", s->name, i);
	}
}

static const struct section *section_of(const json_t *key)
{
	for (size_t i = 0; json_is_string(key) && i < VK_COUNT(sections); i++)
		if (strcmp(json_string_value(key), sections[i].name) == 0)
			return &sections[i];
	return NULL;
}

/* Reads the members; `placed` is only passed over, as services may come behind it. */
static int members(struct reader *r, size_t *ret_placed, struct vk_err *err)
{
	bool seen[VK_COUNT(sections)] = {false};
	if (!take(r, '{'))
		return vk_err_set(
			err, VK_INVALID, "an object with hosts, services and placed is wanted");
	if (take(r, '}'))
		return 0;
	for (;;) {
		vk_autojson *key = NULL;
		int rc = value(r, &key, err);
		const struct section *s = rc < 0 ? NULL : section_of(key);
		if (rc < 0)
			return rc;
		if (s == NULL)
			return vk_err_set(err, VK_INVALID,
				"unknown key %s: hosts, services or placed",
				json_is_string(key) ? json_string_value(key) : "that is no string");
		if (seen[s - sections])
			return vk_err_set(err, VK_INVALID, "%s: given twice", s->name);
		seen[s - sections] = true;
		if (!take(r, ':'))
			return vk_err_set(
				err, VK_INVALID, "%s: a colon is wanted after it", s->name);
		skip_space(r);
		if (s->add == add_placed)
			*ret_placed = r->at;
		rc = array(r, s, s->add != add_placed, err);
		if (rc < 0)
			return rc;
		if (take(r, '}'))
			return 0;
		if (!take(r, ','))
			return vk_err_set(
				err, VK_INVALID, "a comma or } is wanted after %s", s->name);
	}
}

int dow_read(struct dowding *d, const char *text, size_t n, struct vk_err *err)
{
	struct reader r = {.d = d, .text = text, .n = n};
	size_t placed = 0;
	if (memchr(text, '\0', n) != NULL)
		return vk_err_set(err, VK_INVALID, "a NUL byte");
	int rc = members(&r, &placed, err);
	if (rc < 0)
		return rc;
	skip_space(&r);
	if (r.at < n)
		return vk_err_set(
			err, VK_INVALID, "more text behind the object, at byte %zu", r.at);
	if (placed == 0)
		return 0;
	r.at = placed;
	return array(&r, &sections[2], true, err);
}
