#include "dockerfile_expand.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <viking/str.h>

static int expand_until(
	struct df_expand *x, const char **p, char stop, struct vk_buf *out, struct vk_err *err);

static int add(struct vk_buf *out, const char *s, size_t n, struct vk_err *err)
{
	if (vk_buf_add(out, s, n) != 0)
		return vk_err_set(err, VK_LIMIT, "a value grows beyond %d bytes", EXPAND_MAX);
	return 0;
}

static size_t name_length(const char *s)
{
	size_t n = 0;
	if (isdigit((unsigned char)*s)) {
		while (isdigit((unsigned char)s[n]))
			n++;
		return n;
	}
	while (s[n] == '_' || isalnum((unsigned char)s[n]))
		n++;
	return n > 0 ? n : *s != '\0' && strchr("@*#?-$!", *s) != NULL;
}

static const char *lookup(const struct df_expand *x, const char *name, size_t n)
{
	char key[256];
	if (n >= sizeof(key))
		return NULL;
	memcpy(key, name, n);
	key[n] = '\0';
	return json_string_value(json_object_get(x->vars, key));
}

static int add_value(struct df_expand *x, const char *value, struct vk_buf *out, struct vk_err *err)
{
	if (value == NULL) {
		if (x->unknown_at == SIZE_MAX)
			x->unknown_at = out->len;
		return 0;
	}
	return add(out, value, strlen(value), err);
}

/* Behind "${NAME": the modifier, its word and the closing brace. */
static int expand_modifier(struct df_expand *x, const char **p, const char *value,
	struct vk_buf *out, struct vk_err *err)
{
	bool colon = **p == ':';
	*p += colon;
	if (value == NULL && x->unknown_at == SIZE_MAX)
		x->unknown_at = out->len; /* either side may come true */
	char op = **p;
	if (op == '\0')
		return vk_err_set(err, VK_INVALID, "a ${ is not closed");
	if (op != '-' && op != '+' && op != '?')
		return vk_err_set(err, VK_INVALID,
			"the form ${...%s%c...} of a variable is not known here", colon ? ":" : "",
			isprint((unsigned char)op) ? op : ' ');
	++*p;
	vk_autobuf word = VK_BUF_INIT(EXPAND_MAX);
	struct df_expand inner = *x;
	inner.unknown_at = SIZE_MAX;
	int rc = expand_until(&inner, p, '}', &word, err);
	if (rc != 0)
		return rc;
	if (**p != '}')
		return vk_err_set(err, VK_INVALID, "a ${ is not closed");
	++*p;
	bool set = value != NULL && (*value != '\0' || !colon);
	if (op != '?' && (op == '+') == set) {
		if (inner.unknown_at != SIZE_MAX && x->unknown_at == SIZE_MAX)
			x->unknown_at = out->len + inner.unknown_at;
		return add(out, vk_buf_str(&word), word.len, err);
	}
	return op == '+' ? 0 : add_value(x, value, out, err);
}

static int expand_variable(
	struct df_expand *x, const char **p, struct vk_buf *out, struct vk_err *err)
{
	const char *s = *p + 1;
	bool brace = *s == '{';
	s += brace;
	size_t n = name_length(s);
	if (n == 0) {
		if (brace)
			return vk_err_set(err, VK_INVALID, "a ${ names no variable");
		*p = s;
		return add(out, "$", 1, err);
	}
	const char *value = lookup(x, s, n);
	*p = s + n;
	if (!brace)
		return add_value(x, value, out, err);
	if (**p == '}') {
		++*p;
		return add_value(x, value, out, err);
	}
	return expand_modifier(x, p, value, out, err);
}

static int expand_quoted(
	struct df_expand *x, const char **p, struct vk_buf *out, struct vk_err *err)
{
	char quote = *(*p)++;
	while (**p != quote) {
		int rc = 0;
		if (**p == '\0')
			return vk_err_set(err, VK_INVALID, "a quote (%c) is not closed", quote);
		if (quote == '"' && **p == '$') {
			rc = expand_variable(x, p, out, err);
		} else {
			char next = (*p)[1];
			if (quote == '"' && **p == x->escape &&
				(next == '"' || next == '$' || next == x->escape))
				++*p;
			rc = add(out, (*p)++, 1, err);
		}
		if (rc != 0)
			return rc;
	}
	++*p;
	return 0;
}

static int expand_until(
	struct df_expand *x, const char **p, char stop, struct vk_buf *out, struct vk_err *err)
{
	if (++x->depth > EXPAND_DEPTH)
		return vk_err_set(
			err, VK_LIMIT, "variables are nested deeper than %d", EXPAND_DEPTH);
	int rc = 0;
	while (rc == 0 && **p != '\0' && **p != stop) {
		if (**p == '\'' || **p == '"') {
			rc = expand_quoted(x, p, out, err);
		} else if (**p == '$') {
			rc = expand_variable(x, p, out, err);
		} else {
			if (**p == x->escape && (*p)[1] != '\0')
				++*p;
			rc = add(out, (*p)++, 1, err);
		}
	}
	x->depth--;
	return rc;
}

int df_expand(struct df_expand *x, const char *word, struct vk_buf *out, struct vk_err *err)
{
	x->unknown_at = SIZE_MAX;
	x->depth = 0;
	return expand_until(x, &word, '\0', out, err);
}
