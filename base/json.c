#include <viking/json.h>

#include <viking/str.h>

#define PARSE_MAX     (1u << 20)
#define DEPTH_MAX     32
#define FIELD_STR_MAX 4096

void vk_json_decrefp(json_t **j)
{
	json_decref(*j);
	*j = NULL;
}

/* jansson itself recurses to depth 2048, so the depth is judged before it sees the text. */
static bool too_deep(const char *text, size_t n)
{
	unsigned depth = 0;
	bool quoted = false;
	for (size_t i = 0; i < n; i++) {
		char c = text[i];
		if (quoted && c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == '{' || c == '[') && ++depth > DEPTH_MAX)
			return true;
		else if (!quoted && (c == '}' || c == ']') && depth > 0)
			depth--;
	}
	return false;
}

static int parse(
	const char *text, size_t n, size_t max, size_t flags, json_t **ret, struct vk_err *err)
{
	if (n > max)
		return vk_err_set(
			err, VK_LIMIT, "JSON of %zu bytes is over the limit of %zu", n, max);
	if (too_deep(text, n))
		return vk_err_set(err, VK_LIMIT, "JSON is nested deeper than %d", DEPTH_MAX);
	json_error_t je;
	json_t *j = json_loadb(text, n, flags | JSON_DECODE_ANY, &je);
	if (j == NULL)
		return vk_err_set(err, VK_INVALID, "not valid JSON at %d:%d: %s", je.line,
			je.column, je.text);
	*ret = j;
	return 0;
}

int vk_json_parse_max(const char *text, size_t n, size_t max, json_t **ret, struct vk_err *err)
{
	return parse(text, n, max, JSON_REJECT_DUPLICATES, ret, err);
}

int vk_json_parse(const char *text, size_t n, json_t **ret, struct vk_err *err)
{
	return vk_json_parse_max(text, n, PARSE_MAX, ret, err);
}

/* Dumps through a growing string of ours: json_dumps would give memory of jansson's allocator. */
static int dump_piece(const char *p, size_t n, void *arg)
{
	return vk_buf_add(arg, p, n) == 0 ? 0 : -1;
}

static char *dump(const json_t *j, size_t flags)
{
	struct vk_buf b = VK_BUF_INIT(SIZE_MAX / 4);
	json_dump_callback(j, dump_piece, &b, flags | JSON_ENCODE_ANY);
	return vk_buf_take(&b);
}

char *vk_json_text(const json_t *j)
{
	return dump(j, JSON_COMPACT | JSON_SORT_KEYS);
}

char *vk_json_pretty(const json_t *j)
{
	return dump(j, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
}

static const char *const type_names[] = {
	[VK_F_STR] = "a string",
	[VK_F_BOOL] = "true or false",
	[VK_F_U64] = "a whole number from 0",
	[VK_F_I64] = "a whole number",
	[VK_F_JSON] = "a value",
	[VK_F_OBJECT] = "an object",
	[VK_F_ARRAY] = "a list",
};

static bool type_matches(const struct vk_field *f, const json_t *v)
{
	switch (f->type) {
	case VK_F_STR:
		return json_is_string(v);
	case VK_F_BOOL:
		return json_is_boolean(v);
	case VK_F_U64:
		return json_is_integer(v) && json_integer_value(v) >= 0;
	case VK_F_I64:
		return json_is_integer(v);
	case VK_F_JSON:
		return true;
	case VK_F_OBJECT:
		return json_is_object(v);
	case VK_F_ARRAY:
		return json_is_array(v);
	}
	return false;
}

static int check_range(const struct vk_field *f, const json_t *v, struct vk_err *err)
{
	if (f->type == VK_F_STR) {
		size_t max = f->max ? f->max : FIELD_STR_MAX;
		if (json_string_length(v) > max)
			return vk_err_set(
				err, VK_LIMIT, "%s is longer than %zu bytes", f->name, max);
		return 0;
	}
	json_int_t i = json_integer_value(v);
	bool low = f->type == VK_F_U64 ? (uint64_t)i < f->min : f->max && i < (int64_t)f->min;
	bool high = f->max && (f->type == VK_F_U64 ? (uint64_t)i > f->max : i > (int64_t)f->max);
	if (!low && !high)
		return 0;
	return vk_err_set(err, VK_INVALID, "%s is %s the limit of %lld", f->name,
		low ? "below" : "over", (long long)(low ? f->min : f->max));
}

static void store_str(char **slot, const json_t *v)
{
	free(*slot);
	*slot = vk_strndup(json_string_value(v), json_string_length(v));
}

static void store_ref(json_t **slot, json_t *v)
{
	json_t *old = *slot;
	*slot = json_incref(v);
	json_decref(old);
}

static int fill(const struct vk_field *f, json_t *v, void *out, struct vk_err *err)
{
	void *at = (char *)out + f->offset;
	if (json_is_null(v) && !f->required && f->type != VK_F_JSON)
		return 0;
	if (!type_matches(f, v))
		return vk_err_set(err, VK_INVALID, "%s must be %s", f->name, type_names[f->type]);
	if (f->type == VK_F_STR || f->type == VK_F_U64 || f->type == VK_F_I64) {
		int rc = check_range(f, v, err);
		if (rc != 0)
			return rc;
	}
	switch (f->type) {
	case VK_F_STR:
		store_str(at, v);
		break;
	case VK_F_BOOL:
		*(bool *)at = json_is_true(v);
		break;
	case VK_F_U64:
		*(uint64_t *)at = (uint64_t)json_integer_value(v);
		break;
	case VK_F_I64:
		*(int64_t *)at = json_integer_value(v);
		break;
	case VK_F_JSON:
	case VK_F_OBJECT:
	case VK_F_ARRAY:
		store_ref(at, v);
		break;
	}
	return 0;
}

static int unknown_key(const char *key, const struct vk_field *fields, struct vk_err *err)
{
	size_t n = 0;
	while (fields[n].name != NULL)
		n++;
	vk_autofree const char **words = vk_calloc(n + 1, sizeof(*words));
	for (size_t i = 0; i < n; i++)
		words[i] = fields[i].name;
	char shown[64];
	vk_str_printable(key, strlen(key), shown, sizeof(shown));
	const char *near = vk_suggest(key, words);
	if (near == NULL)
		return vk_err_set(err, VK_INVALID, "unknown key \"%s\"", shown);
	return vk_err_set(err, VK_INVALID, "unknown key \"%s\", did you mean \"%s\"?", shown, near);
}

static const struct vk_field *find_field(const struct vk_field *fields, const char *key)
{
	for (const struct vk_field *f = fields; f->name != NULL; f++)
		if (strcmp(f->name, key) == 0)
			return f;
	return NULL;
}

int vk_json_fields(const json_t *obj, const struct vk_field *fields, void *out, struct vk_err *err)
{
	if (!json_is_object(obj))
		return vk_err_set(err, VK_INVALID, "a JSON object is expected");
	json_t *walk = (json_t *)(uintptr_t)obj; /* jansson's iterators take no const */
	for (void *it = json_object_iter(walk); it != NULL; it = json_object_iter_next(walk, it)) {
		const char *key = json_object_iter_key(it);
		const struct vk_field *f = find_field(fields, key);
		int rc = f == NULL ? unknown_key(key, fields, err)
				   : fill(f, json_object_iter_value(it), out, err);
		if (rc != 0)
			return rc;
	}
	for (const struct vk_field *f = fields; f->name != NULL; f++)
		if (f->required && json_object_get(obj, f->name) == NULL)
			return vk_err_set(err, VK_INVALID, "%s is missing", f->name);
	return 0;
}

void vk_fields_release(const struct vk_field *fields, void *out)
{
	for (const struct vk_field *f = fields; f->name != NULL; f++) {
		void *at = (char *)out + f->offset;
		if (f->type == VK_F_STR)
			free(VK_TAKE(*(char **)at));
		else if (f->type == VK_F_JSON || f->type == VK_F_OBJECT || f->type == VK_F_ARRAY)
			vk_json_decrefp(at);
	}
}

const char *vk_json_str(const json_t *obj, const char *key, const char *dflt)
{
	const char *s = json_string_value(json_object_get(obj, key));
	return s != NULL ? s : dflt;
}

int64_t vk_json_int(const json_t *obj, const char *key, int64_t dflt)
{
	const json_t *v = json_object_get(obj, key);
	return json_is_integer(v) ? json_integer_value(v) : dflt;
}

bool vk_json_bool(const json_t *obj, const char *key, bool dflt)
{
	const json_t *v = json_object_get(obj, key);
	return json_is_boolean(v) ? json_is_true(v) : dflt;
}

/* Length of the well-formed UTF-8 sequence at p (RFC 3629), 0 when there is none. NUL counts as bad:
 * our own parser refuses \u0000. */
static size_t utf8_step(const unsigned char *p, size_t n)
{
	if (p[0] > 0 && p[0] < 0x80)
		return 1;
	size_t len = p[0] >= 0xc2 && p[0] < 0xe0 ? 2
		: (p[0] & 0xf0) == 0xe0          ? 3
		: p[0] >= 0xf0 && p[0] < 0xf5    ? 4
						 : 0;
	if (len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
	bool surrogate = p[0] == 0xed && p[1] >= 0xa0;
	bool beyond = p[0] == 0xf4 && p[1] >= 0x90;
	return overlong || surrogate || beyond ? 0 : len;
}

json_t *vk_json_safe_string(const char *s, size_t n)
{
	vk_autobuf b = VK_BUF_INIT(SIZE_MAX / 4);
	for (size_t i = 0; i < n;) {
		size_t step = utf8_step((const unsigned char *)s + i, n - i);
		if (step == 0)
			vk_buf_adds(&b, "\xef\xbf\xbd");
		else
			vk_buf_add(&b, s + i, step);
		i += step ? step : 1;
	}
	return json_stringn_nocheck(vk_buf_str(&b), b.len);
}

void vk_jsonl_init(struct vk_jsonl *l, size_t max_line)
{
	vk_buf_init(&l->buf, max_line);
}

void vk_jsonl_release(struct vk_jsonl *l)
{
	vk_buf_release(&l->buf);
}

static bool blank(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != ' ' && p[i] != '\t' && p[i] != '\r')
			return false;
	return true;
}

/* \u0000 is let through here: a build step may print NUL bytes, and that must not fail the build. */
static int hand_line(
	struct vk_jsonl *l, const char *p, size_t n, vk_jsonl_fn *fn, void *arg, struct vk_err *err)
{
	if (blank(p, n))
		return 0;
	vk_autojson *value = NULL;
	int rc = parse(p, n, l->buf.max, JSON_ALLOW_NUL, &value, err);
	return rc != 0 ? rc : fn(arg, value, err);
}

int vk_jsonl_feed(
	struct vk_jsonl *l, const void *p, size_t n, vk_jsonl_fn *fn, void *arg, struct vk_err *err)
{
	const char *at = p, *end = at + n;
	while (at < end) {
		const char *nl = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((nl ? nl : end) - at);
		bool whole = nl != NULL &&
			l->buf.len == 0; /* no copy for a line that came in one piece */
		if (!whole && vk_buf_add(&l->buf, at, len) != 0)
			return vk_err_set(
				err, VK_LIMIT, "a line is longer than %zu bytes", l->buf.max);
		if (nl == NULL)
			return 0;
		int rc = whole ? hand_line(l, at, len, fn, arg, err)
			       : hand_line(l, vk_buf_str(&l->buf), l->buf.len, fn, arg, err);
		vk_buf_clear(&l->buf);
		if (rc != 0)
			return rc;
		at = nl + 1;
	}
	return 0;
}

int vk_jsonl_end(struct vk_jsonl *l, vk_jsonl_fn *fn, void *arg, struct vk_err *err)
{
	int rc = hand_line(l, vk_buf_str(&l->buf), l->buf.len, fn, arg, err);
	vk_buf_clear(&l->buf);
	return rc;
}
