#include "output.h"

#include <stdarg.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/str.h>

void table_init(struct table *t, const char *columns)
{
	*t = (struct table){.columns = 1};
	for (const char *p = columns; *p != '\0';) {
		size_t n = strcspn(p, "|");
		vk_strv_addn(&t->cells, p, n);
		p += n;
		if (*p == '|') {
			t->columns++;
			p++;
		}
	}
}

void table_add(struct table *t, const char *cell)
{
	char clean[512];
	if (cell == NULL || cell[0] == '\0')
		cell = "-";
	vk_str_printable(cell, strlen(cell), clean, sizeof(clean));
	vk_strv_add(&t->cells, clean);
}

void table_addf(struct table *t, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vk_autofree char *s = vk_vasprintf(fmt, ap);
	va_end(ap);
	table_add(t, s);
}

void table_print(struct table *t, FILE *out)
{
	size_t width[16] = {0};
	for (size_t i = 0; i < t->cells.n; i++) {
		size_t n = strlen(t->cells.v[i]), col = i % t->columns;
		if (col < VK_COUNT(width) && n > width[col])
			width[col] = n;
	}
	for (size_t i = 0; i < t->cells.n; i++) {
		bool last = (i + 1) % t->columns == 0;
		if (last)
			fprintf(out, "%s\n", t->cells.v[i]);
		else
			fprintf(out, "%-*s  ", (int)width[i % t->columns], t->cells.v[i]);
	}
	vk_strv_release(&t->cells);
}

void format_age(int64_t unix_ms, char buf[static 32])
{
	if (unix_ms <= 0) {
		snprintf(buf, 32, "never");
		return;
	}
	int64_t s = (vk_now_ms() - unix_ms) / 1000;
	if (s < 60)
		snprintf(buf, 32, "%llds ago", (long long)(s < 0 ? 0 : s));
	else if (s < 3600)
		snprintf(buf, 32, "%lld min ago", (long long)(s / 60));
	else if (s < 86400)
		snprintf(buf, 32, "%lld h ago", (long long)(s / 3600));
	else
		snprintf(buf, 32, "%lld days ago", (long long)(s / 86400));
}

int print_json(const json_t *j)
{
	vk_autofree char *text = vk_json_pretty(j);
	puts(text);
	return 0;
}

static void add_value(struct vk_buf *b, const char *name, const json_t *v);

static void add_members(struct vk_buf *b, const json_t *v)
{
	const char *key;
	json_t *member;
	size_t i;
	json_array_foreach(v, i, member)
	{
		vk_buf_adds(b, i > 0 ? ", " : "");
		add_value(b, "", member);
	}
	json_object_foreach((json_t *)(uintptr_t)v, key, member)
	{
		if (json_is_null(member))
			continue;
		vk_buf_addf(b, "%s%.*s ", b->len > 0 ? ", " : "",
			(int)(strlen(key) - (vk_ends(key, "_ms") ? 3 : 0)), key);
		add_value(b, key, member);
	}
}

static void add_value(struct vk_buf *b, const char *name, const json_t *v)
{
	char text[32] = "";
	if (vk_ends(name, "_ms") && json_is_integer(v))
		format_age(json_integer_value(v), text);
	else if (vk_streq(name, "ms") && json_is_integer(v))
		vk_format_duration_ms(json_integer_value(v), text);
	else if (json_is_boolean(v))
		snprintf(text, sizeof(text), "%s", json_is_true(v) ? "yes" : "no");
	else if (json_is_null(v) ||
		((json_is_array(v) || json_is_object(v)) && json_object_size(v) == 0 &&
			json_array_size(v) == 0))
		snprintf(text, sizeof(text), "-");
	if (text[0] != '\0')
		vk_buf_adds(b, text);
	else if (json_is_string(v))
		vk_buf_adds(b, json_string_value(v));
	else if (json_is_integer(v))
		vk_buf_addf(b, "%lld", (long long)json_integer_value(v));
	else
		add_members(b, v);
}

void print_pair(const char *name, const json_t *value)
{
	vk_autobuf b = VK_BUF_INIT(1 << 20);
	size_t n = strlen(name);
	add_value(&b, name, value);
	vk_autofree char *clean = vk_alloc(b.len + 1);
	vk_str_printable(vk_buf_str(&b), b.len, clean, b.len + 1);
	if (vk_ends(name, "_ms"))
		n -= 3;
	if (vk_streq(name, "ms"))
		printf("%-16s %s\n", "took", clean);
	else
		printf("%-16.*s %s\n", (int)n, name, clean);
}

void print_pairs(const json_t *object)
{
	const char *key, *inner;
	json_t *v, *w;
	json_object_foreach((json_t *)(uintptr_t)object, key, v)
	{
		if (!json_is_object(json_object_iter_value(json_object_iter(v)))) {
			print_pair(key, v);
			continue;
		}
		json_object_foreach(v, inner, w)
		{
			vk_autofree char *name = vk_asprintf("%s %s", key, inner);
			print_pair(name, w);
		}
	}
}

struct vk_api_opts api_opts(const struct call *c)
{
	return (struct vk_api_opts){
		.socket = c->socket, .timeout_ms = 60000, .patience_ms = VK_API_PATIENCE_MS};
}

int api_get(struct call *c, json_t **ret, struct vk_err *err, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vk_autofree char *path = vk_vasprintf(fmt, ap);
	va_end(ap);
	struct vk_api_opts o = api_opts(c);
	return vk_api_call(&o, "GET", path, NULL, ret, err);
}

int api_send(struct call *c, const char *method, const json_t *body, json_t **ret,
	struct vk_err *err, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vk_autofree char *path = vk_vasprintf(fmt, ap);
	va_end(ap);
	struct vk_api_opts o = api_opts(c);
	return vk_api_call(&o, method, path, body, ret, err);
}

struct lines {
	vk_api_line_fn *fn;
	void *arg;
};

/* A stream that was broken off says so in its last line. */
static int pass_on(void *arg, json_t *line, struct vk_err *err)
{
	const struct lines *l = arg;
	const json_t *end = json_object_get(line, "end");
	int rc = json_is_object(end) ? vk_api_end(end, err) : 0;
	return rc == 0 ? l->fn(l->arg, line, err) : rc;
}

int api_lines(
	struct call *c, vk_api_line_fn *fn, void *arg, struct vk_err *err, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vk_autofree char *path = vk_vasprintf(fmt, ap);
	va_end(ap);
	struct vk_api_opts o = api_opts(c);
	struct lines l = {.fn = fn, .arg = arg};
	return vk_api_stream(&o, "GET", path, NULL, pass_on, &l, err);
}

struct follow {
	bool ended;
};

static int on_line(void *arg, json_t *line, struct vk_err *err)
{
	struct follow *f = arg;
	const char *out = vk_json_str(line, "out", NULL);
	if (out != NULL) {
		char clean[16384];
		vk_str_printable(out, strlen(out), clean, sizeof(clean));
		puts(clean);
		fflush(stdout);
	}
	const json_t *end = json_object_get(line, "end");
	if (end == NULL)
		return 0;
	f->ended = true;
	return vk_api_end(end, err);
}

int api_follow(struct call *c, const char *method, const json_t *body, struct vk_err *err,
	const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vk_autofree char *path = vk_vasprintf(fmt, ap);
	va_end(ap);
	struct vk_api_opts o = api_opts(c);
	struct follow f = {0};
	int r = vk_api_stream(&o, method, path, body, on_line, &f, err);
	if (r == 0 && !f.ended) {
		vk_err_set(err, VK_UNAVAILABLE, "the answer broke off: the scheduler went away");
		r = vk_err_hint(err, "viking releases STACK shows what became of it");
	}
	return r;
}

char *url_escape(const char *s)
{
	static const char keep[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	vk_autobuf b = VK_BUF_INIT(1 << 20);
	for (; *s != '\0'; s++) {
		if (strchr(keep, *s) != NULL)
			vk_buf_addc(&b, *s);
		else
			vk_buf_addf(&b, "%%%02X", (unsigned char)*s);
	}
	return vk_buf_take(&b);
}

int stack_word(const struct call *c, size_t i, const char **ret, struct vk_err *err)
{
	int r = vk_stack_name(c->words.v[i], err);
	if (r == 0)
		*ret = c->words.v[i];
	return r;
}
