/* Values of the manifest: text, numbers, sizes, words, variables; each checked where it stands. */
#include <ctype.h>
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/str.h>

#include "manifest_parse.h"

#define ARGV_MAX      256
#define ARG_BYTES_MAX (32 * 1024)

int mval_error(const struct mval *v, struct vk_err *err, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vk_err_setv(err, VK_INVALID, fmt, ap);
	va_end(ap);
	return mval_wrap(v, err);
}

int mval_wrap(const struct mval *v, struct vk_err *err)
{
	return vk_err_wrap(err, "%s:%u:%u: %s", v->m->opts->file, v->y->line, v->y->col, v->what);
}

void manifest_notice(struct manifest *m, const struct vk_yaml *at, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vk_autofree char *text = vk_vasprintf(fmt, ap);
	va_end(ap);
	vk_autofree char *line = vk_asprintf("%s:%u: %s", m->opts->file, at->line, text);
	json_array_append_new(m->notices, vk_json_safe_string(line, strlen(line)));
}

void json_set_str(json_t *obj, const char *key, const char *value)
{
	json_object_set_new(obj, key, vk_json_safe_string(value, strlen(value)));
}

bool mval_is_null(const struct vk_yaml *y)
{
	return y->type == VK_YAML_SCALAR && y->plain &&
		(y->len == 0 || strcmp(y->text, "~") == 0 || strcasecmp(y->text, "null") == 0);
}

static int scalar(const struct mval *v, const char *want, struct vk_err *err)
{
	if (v->y->type != VK_YAML_SCALAR)
		return mval_error(v, err, "needs %s, not a %s", want,
			v->y->type == VK_YAML_LIST ? "list" : "map");
	if (mval_is_null(v->y))
		return mval_error(v, err, "has no value; it needs %s", want);
	return 0;
}

static bool has_control(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return true;
	return false;
}

int mval_text(const struct mval *v, size_t max, const char **ret, struct vk_err *err)
{
	int rc = scalar(v, "text", err);
	if (rc != 0)
		return rc;
	if (v->y->len > max)
		return mval_error(v, err, "is longer than %zu characters", max);
	if (has_control(v->y->text))
		return mval_error(v, err, "has a control character or line end");
	*ret = v->y->text;
	return 0;
}

int mval_long_text(const struct mval *v, size_t max, const char **ret, struct vk_err *err)
{
	int rc = scalar(v, "text", err);
	if (rc == 0 && v->y->len > max)
		return mval_error(v, err, "is longer than %zu characters", max);
	if (rc == 0)
		*ret = v->y->text;
	return rc;
}

int mval_bool(const struct mval *v, bool *ret, struct vk_err *err)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = {{"true", true}, {"false", false}, {"yes", true}, {"no", false}, {"on", true},
		{"off", false}};
	int rc = scalar(v, "true or false", err);
	if (rc != 0)
		return rc;
	for (size_t i = 0; i < VK_COUNT(words); i++)
		if (strcasecmp(words[i].word, v->y->text) == 0) {
			*ret = words[i].value;
			return 0;
		}
	return mval_error(v, err, "needs true or false, not \"%.60s\"", v->y->text);
}

int mval_u64(const struct mval *v, uint64_t min, uint64_t max, uint64_t *ret, struct vk_err *err)
{
	int rc = scalar(v, "a number", err);
	if (rc != 0)
		return rc;
	if (vk_parse_u64(v->y->text, min, max, ret) != 0)
		return mval_error(v, err, "needs a number from %llu to %llu, not \"%.60s\"",
			(unsigned long long)min, (unsigned long long)max, v->y->text);
	return 0;
}

int mval_duration(
	const struct mval *v, int64_t min_ms, int64_t max_ms, int64_t *ret, struct vk_err *err)
{
	int rc = scalar(v, "a duration like 5s", err);
	if (rc != 0)
		return rc;
	int64_t ms;
	if (vk_parse_duration_ms(v->y->text, &ms) != 0)
		return mval_error(
			v, err, "needs a duration like 500ms, 5s, 2m, not \"%.60s\"", v->y->text);
	if (ms < min_ms || ms > max_ms) {
		char low[24], high[24];
		vk_format_duration_ms(min_ms, low);
		vk_format_duration_ms(max_ms, high);
		return mval_error(v, err, "has to be between %s and %s", low, high);
	}
	*ret = ms;
	return 0;
}

int mval_map(const struct mval *v, struct vk_err *err)
{
	if (v->y->type == VK_YAML_MAP)
		return 0;
	return mval_error(v, err, "needs a map (KEY: VALUE lines), not %s",
		v->y->type == VK_YAML_LIST   ? "a list"
			: mval_is_null(v->y) ? "nothing"
					     : "a word");
}

int mval_each(const struct mval *v, size_t max, mkey_fn *fn, json_t *out, struct vk_err *err)
{
	if (v->y->type != VK_YAML_LIST)
		return fn(v, out, err);
	if (v->y->n > max)
		return mval_error(v, err, "has more than %zu entries", max);
	int rc = 0;
	for (size_t i = 0; i < v->y->n && rc == 0; i++) {
		struct mval item = {v->m, v->y->items[i], v->what};
		rc = fn(&item, out, err);
	}
	return rc;
}

static int split_words(const struct mval *v, json_t *argv, struct vk_err *err)
{
	vk_autostrv words = {0};
	if (vk_shell_split(v->y->text, &words, err) != 0)
		return mval_wrap(v, err);
	for (size_t i = 0; i < words.n; i++)
		json_array_append_new(argv, vk_json_safe_string(words.v[i], strlen(words.v[i])));
	return 0;
}

static int list_word(const struct mval *v, json_t *argv, struct vk_err *err)
{
	int rc = scalar(v, "words", err);
	if (rc == 0)
		json_array_append_new(argv, vk_json_safe_string(v->y->text, v->y->len));
	return rc;
}

int mval_argv(const struct mval *v, json_t **ret, struct vk_err *err)
{
	vk_autojson *argv = json_array();
	int rc = v->y->type == VK_YAML_LIST ? mval_each(v, ARGV_MAX, list_word, argv, err)
					    : scalar(v, "a command", err);
	if (rc == 0 && v->y->type == VK_YAML_SCALAR)
		rc = split_words(v, argv, err);
	if (rc != 0)
		return rc;
	size_t bytes = 0, i;
	json_t *word;
	json_array_foreach(argv, i, word) bytes += json_string_length(word) + 1;
	if (json_array_size(argv) == 0 || json_string_length(json_array_get(argv, 0)) == 0)
		return mval_error(v, err, "is an empty command");
	if (json_array_size(argv) > ARGV_MAX || bytes > ARG_BYTES_MAX)
		return mval_error(v, err, "is a command of more than %d words or %d KiB", ARGV_MAX,
			ARG_BYTES_MAX / 1024);
	*ret = VK_TAKE(argv);
	return 0;
}

static int add_variable(const struct mval *v, const char *name, const char *value, size_t n,
	json_t *out, struct vk_err *err)
{
	if (vk_env_name(name, err) != 0)
		return mval_wrap(v, err);
	if (json_object_get(out, name) != NULL)
		return mval_error(v, err, "%s is there twice", name);
	json_object_set_new(out, name, vk_json_safe_string(value, n));
	return 0;
}

static int variable_line(const struct mval *v, json_t *out, struct vk_err *err)
{
	int rc = scalar(v, "NAME=VALUE lines", err);
	if (rc != 0)
		return rc;
	const char *eq = strchr(v->y->text, '=');
	if (eq == NULL)
		return mval_error(v, err, "\"%.60s\" is not of the form NAME=VALUE", v->y->text);
	vk_autofree char *name = vk_strndup(v->y->text, (size_t)(eq - v->y->text));
	return add_variable(v, name, eq + 1, strlen(eq + 1), out, err);
}

static int variable_map(const struct mval *v, json_t *out, struct vk_err *err)
{
	int rc = 0;
	for (size_t i = 0; i < v->y->n && rc == 0; i++) {
		struct mval item = {v->m, v->y->items[i], v->what};
		const char *name = v->y->keys[i].name;
		if (item.y->type != VK_YAML_SCALAR)
			rc = mval_error(&item, err, "%.60s needs a plain value", name);
		else if (mval_is_null(item.y))
			rc = mval_error(&item, err,
				"%.60s has no value; write \"\" for the empty one", name);
		else
			rc = add_variable(&item, name, item.y->text, item.y->len, out, err);
	}
	return rc;
}

int mval_variables(const struct mval *v, json_t **ret, struct vk_err *err)
{
	vk_autojson *out = json_object();
	int rc = v->y->type == VK_YAML_MAP
		? variable_map(v, out, err)
		: mval_each(v, MANIFEST_ENV_NAMES, variable_line, out, err);
	if (rc != 0)
		return rc;
	size_t bytes = 0;
	const char *name;
	json_t *value;
	json_object_foreach(out, name, value) bytes += strlen(name) + json_string_length(value) + 2;
	if (json_object_size(out) > MANIFEST_ENV_NAMES || bytes > MANIFEST_ENV_BYTES)
		return mval_error(v, err, "has more than %d variables or %d KiB",
			MANIFEST_ENV_NAMES, MANIFEST_ENV_BYTES / 1024);
	*ret = VK_TAKE(out);
	return 0;
}

static json_t *scalar_json(const struct vk_yaml *y)
{
	int64_t number;
	if (mval_is_null(y))
		return json_null();
	if (y->plain && (strcmp(y->text, "true") == 0 || strcmp(y->text, "false") == 0))
		return json_boolean(y->text[0] == 't');
	if (y->plain && vk_parse_i64(y->text, INT64_MIN, INT64_MAX, &number) == 0)
		return json_integer(number);
	return vk_json_safe_string(y->text, y->len);
}

/* As deep as the YAML parser lets a document be. */
json_t *mval_json(const struct vk_yaml *y)
{
	if (y->type == VK_YAML_SCALAR)
		return scalar_json(y);
	json_t *out = y->type == VK_YAML_LIST ? json_array() : json_object();
	for (size_t i = 0; i < y->n; i++) {
		json_t *value = mval_json(y->items[i]);
		if (y->type == VK_YAML_LIST)
			json_array_append_new(out, value);
		else
			json_object_set_new(out, y->keys[i].name, value);
	}
	return out;
}

static bool bad_path_part(const char *s, size_t n)
{
	return n > 255 || (n == 2 && s[0] == '.' && s[1] == '.') ||
		(n == 4 && strncasecmp(s, ".git", 4) == 0);
}

int manifest_path(const char *s, char **ret, struct vk_err *err)
{
	if (*s == '\0' || *s == '/' || strlen(s) > 1024 || has_control(s))
		return vk_err_set(
			err, VK_INVALID, "\"%.100s\" is no path inside the repository", s);
	vk_autobuf out = VK_BUF_INIT(1100);
	for (const char *p = s; *p != '\0';) {
		size_t n = strcspn(p, "/");
		if (bad_path_part(p, n))
			return vk_err_set(err, VK_INVALID,
				"\"%.100s\" is no path inside the repository: "
				"no .., no .git",
				s);
		if (n > 0 && !(n == 1 && *p == '.')) {
			if (out.len > 0)
				vk_buf_addc(&out, '/');
			vk_buf_add(&out, p, n);
		}
		p += n + (p[n] == '/');
	}
	if (out.len == 0)
		vk_buf_addc(&out, '.');
	*ret = vk_buf_take(&out);
	return 0;
}
