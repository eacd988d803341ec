#include <viking/yaml.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define DEPTH_MAX 32

/* The events of one document build the tree on a stack of open collections: no recursion. */
struct builder {
	yaml_parser_t parser;
	const char *file;
	struct vk_err *err;
	struct vk_yaml *root;
	struct vk_yaml *open[DEPTH_MAX];
	size_t depth;
	bool key_given; /* the map on top has a key that waits for its value */
	bool document_seen;
};

static int error_at(struct vk_err *err, const char *file, size_t line, size_t col, const char *fmt,
	...) __attribute__((format(printf, 5, 6)));

static int error_at(
	struct vk_err *err, const char *file, size_t line, size_t col, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vk_err_setv(err, VK_INVALID, fmt, ap);
	va_end(ap);
	vk_err_wrap(err, "%s:%zu:%zu", file, line, col);
	return VK_INVALID;
}

int vk_yaml_error(
	struct vk_err *err, const char *file, const struct vk_yaml *at, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vk_err_setv(err, VK_INVALID, fmt, ap);
	va_end(ap);
	vk_err_wrap(err, "%s:%u:%u", file, at->line, at->col);
	return VK_INVALID;
}

static int fail(struct builder *b, const yaml_event_t *e, const char *what)
{
	return error_at(
		b->err, b->file, e->start_mark.line + 1, e->start_mark.column + 1, "%s", what);
}

static struct vk_yaml *node_new(enum vk_yaml_type type, const yaml_event_t *e)
{
	struct vk_yaml *y = vk_alloc(sizeof(*y));
	y->type = type;
	y->line = e != NULL ? (unsigned)e->start_mark.line + 1 : 1;
	y->col = e != NULL ? (unsigned)e->start_mark.column + 1 : 1;
	return y;
}

/* Room for one more: the arrays double when their count reaches a power of two. */
static void grow(struct vk_yaml *y)
{
	if ((y->n & (y->n - 1)) != 0)
		return;
	size_t cap = y->n > 0 ? 2 * y->n : 1;
	y->items = vk_reallocarray(y->items, cap, sizeof(*y->items));
	if (y->type == VK_YAML_MAP)
		y->keys = vk_reallocarray(y->keys, cap, sizeof(*y->keys));
}

static bool wants_key(const struct builder *b)
{
	return b->depth > 0 && b->open[b->depth - 1]->type == VK_YAML_MAP && !b->key_given;
}

static int add_key(struct builder *b, const yaml_event_t *e)
{
	struct vk_yaml *map = b->open[b->depth - 1];
	if (e->type != YAML_SCALAR_EVENT)
		return fail(b, e, "a key has to be a plain word");
	const char *text = (const char *)e->data.scalar.value;
	if (strlen(text) != e->data.scalar.length)
		return fail(b, e, "a key with a NUL byte");
	grow(map);
	map->keys[map->n].name = vk_strdup(text);
	map->keys[map->n].line = (unsigned)e->start_mark.line + 1;
	map->keys[map->n].col = (unsigned)e->start_mark.column + 1;
	map->items[map->n++] = NULL; /* until its value comes */
	b->key_given = true;
	return 0;
}

static void add_value(struct builder *b, struct vk_yaml *y)
{
	struct vk_yaml *top = b->depth > 0 ? b->open[b->depth - 1] : NULL;
	if (top == NULL) {
		b->root = y;
	} else if (top->type == VK_YAML_MAP) {
		top->items[top->n - 1] = y;
		b->key_given = false;
	} else {
		grow(top);
		top->items[top->n++] = y;
	}
}

static int on_scalar(struct builder *b, const yaml_event_t *e)
{
	bool plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	if (e->data.scalar.anchor != NULL)
		return fail(b, e, "anchors are not supported");
	if (e->data.scalar.tag != NULL || (plain && !e->data.scalar.plain_implicit))
		return fail(b, e, "tags are not supported");
	if (wants_key(b))
		return add_key(b, e);
	if (memchr(e->data.scalar.value, '\0', e->data.scalar.length) != NULL)
		return fail(b, e, "a value with a NUL byte");
	struct vk_yaml *y = node_new(VK_YAML_SCALAR, e);
	y->text = vk_strdup((const char *)e->data.scalar.value);
	y->len = e->data.scalar.length;
	y->plain = plain;
	add_value(b, y);
	return 0;
}

static int on_open(struct builder *b, const yaml_event_t *e, enum vk_yaml_type type,
	const void *anchor, const void *tag)
{
	if (anchor != NULL)
		return fail(b, e, "anchors are not supported");
	if (tag != NULL)
		return fail(b, e, "tags are not supported");
	if (wants_key(b))
		return add_key(b, e); /* refuses it */
	if (b->depth == DEPTH_MAX)
		return fail(b, e, "nested too deeply (more than 32 levels)");
	struct vk_yaml *y = node_new(type, e);
	add_value(b, y);
	b->open[b->depth++] = y;
	return 0;
}

struct key_order {
	const char *name;
	size_t index;
};

static int compare_keys(const void *a, const void *b)
{
	const struct key_order *x = a, *y = b;
	int c = strcmp(x->name, y->name);
	return c != 0 ? c : x->index < y->index ? -1 : 1;
}

/* By sorting: a map of ten thousand keys must not cost their square. */
static int check_duplicates(struct builder *b, const struct vk_yaml *map)
{
	vk_autofree struct key_order *order = vk_calloc(map->n, sizeof(*order));
	for (size_t i = 0; i < map->n; i++)
		order[i] = (struct key_order){map->keys[i].name, i};
	if (map->n > 1)
		qsort(order, map->n, sizeof(*order), compare_keys);
	for (size_t i = 1; i < map->n; i++) {
		if (strcmp(order[i].name, order[i - 1].name) != 0)
			continue;
		return error_at(b->err, b->file, map->keys[order[i].index].line,
			map->keys[order[i].index].col,
			"the key \"%s\" is here twice (first in line %u)", order[i].name,
			map->keys[order[i - 1].index].line);
	}
	return 0;
}

static int on_close(struct builder *b)
{
	const struct vk_yaml *closed = b->open[--b->depth];
	b->key_given = false;
	return closed->type == VK_YAML_MAP ? check_duplicates(b, closed) : 0;
}

static int on_document(struct builder *b, const yaml_event_t *e)
{
	if (b->document_seen)
		return fail(b, e, "only one document is allowed in a file");
	if (e->data.document_start.version_directive != NULL ||
		e->data.document_start.tag_directives.start !=
			e->data.document_start.tag_directives.end)
		return fail(b, e, "directives (%YAML, %TAG) are not supported");
	b->document_seen = true;
	return 0;
}

static int on_event(struct builder *b, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT:
		return on_document(b, e);
	case YAML_SCALAR_EVENT:
		return on_scalar(b, e);
	case YAML_SEQUENCE_START_EVENT:
		return on_open(b, e, VK_YAML_LIST, e->data.sequence_start.anchor,
			e->data.sequence_start.tag);
	case YAML_MAPPING_START_EVENT:
		return on_open(
			b, e, VK_YAML_MAP, e->data.mapping_start.anchor, e->data.mapping_start.tag);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return on_close(b);
	case YAML_ALIAS_EVENT:
		return fail(b, e, "aliases are not supported");
	default:
		return 0;
	}
}

/* The reader (encoding errors) gives an offset only. */
static int reader_error(struct builder *b, const char *text, size_t n)
{
	size_t line = 1, col = 1, end = b->parser.problem_offset;
	for (size_t i = 0; i < end && i < n; i++) {
		bool nl = text[i] == '\n';
		line += nl ? 1 : 0;
		col = nl ? 1 : col + 1;
	}
	return error_at(b->err, b->file, line, col, "%s (the file has to be UTF-8 text)",
		b->parser.problem != NULL ? b->parser.problem : "unreadable");
}

static int parser_error(struct builder *b, const char *text, size_t n)
{
	const yaml_parser_t *p = &b->parser;
	if (p->error == YAML_READER_ERROR)
		return reader_error(b, text, n);
	return error_at(b->err, b->file, p->problem_mark.line + 1, p->problem_mark.column + 1,
		"%s%s%s", p->problem != NULL ? p->problem : "not YAML",
		p->context != NULL ? " " : "", p->context != NULL ? p->context : "");
}

static int run(struct builder *b, const char *text, size_t n)
{
	yaml_parser_set_encoding(&b->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&b->parser, (const unsigned char *)text, n);
	for (bool more = true; more;) {
		yaml_event_t e;
		if (!yaml_parser_parse(&b->parser, &e))
			return parser_error(b, text, n);
		more = e.type != YAML_STREAM_END_EVENT;
		int rc = on_event(b, &e);
		yaml_event_delete(&e);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static bool is_empty(const struct vk_yaml *root)
{
	return root == NULL || (root->type == VK_YAML_SCALAR && root->plain && root->len == 0);
}

int vk_yaml_parse(
	const char *text, size_t n, const char *file, struct vk_yaml **ret, struct vk_err *err)
{
	if (n > VK_YAML_MAX_BYTES)
		return vk_err_set(
			err, VK_LIMIT, "%s: larger than %d KiB", file, VK_YAML_MAX_BYTES / 1024);
	struct vk_err own = {0};
	struct builder b = {.file = file, .err = err != NULL ? err : &own};
	if (!yaml_parser_initialize(&b.parser))
		abort(); /* it fails for want of memory only */
	int rc = run(&b, text, n);
	yaml_parser_delete(&b.parser);
	if (rc != 0) {
		vk_yaml_free(b.root);
		return rc;
	}
	if (is_empty(b.root)) {
		vk_yaml_free(b.root);
		b.root = node_new(VK_YAML_MAP, NULL);
	}
	*ret = b.root;
	return 0;
}

void vk_yaml_free(struct vk_yaml *y)
{
	if (y == NULL)
		return;
	for (size_t i = 0; i < y->n; i++) {
		vk_yaml_free(y->items[i]); /* at most DEPTH_MAX deep */
		if (y->keys != NULL)
			free(y->keys[i].name);
	}
	free(y->items);
	free(y->keys);
	free(y->text);
	free(y);
}

const struct vk_yaml *vk_yaml_get(const struct vk_yaml *map, const char *key)
{
	if (map == NULL || map->type != VK_YAML_MAP)
		return NULL;
	for (size_t i = 0; i < map->n; i++)
		if (strcmp(map->keys[i].name, key) == 0)
			return map->items[i];
	return NULL;
}
