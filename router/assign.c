#include "assign.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/str.h>

static void grow(struct assign *a, unsigned n)
{
	if (n <= a->n)
		return;
	a->rows = vk_reallocarray(a->rows, n, sizeof(*a->rows));
	for (unsigned i = a->n; i < n; i++)
		a->rows[i] = (struct assign_row){
			.ids = vk_calloc(ASSIGN_SLOTS, sizeof(char *)), .n = ASSIGN_SLOTS};
	a->n = n;
}

void assign_init(struct assign *a)
{
	*a = (struct assign){0};
	grow(a, ASSIGN_POOL + ASSIGN_H2);
	for (unsigned i = 0; i < ASSIGN_H2; i++)
		a->rows[ASSIGN_POOL + i].h2 = true;
}

static void row_release(struct assign_row *r)
{
	for (unsigned i = 0; i < r->n; i++)
		free(r->ids[i]);
	free(r->ids);
	free(r->stack);
	free(r->node);
	free(r->pages);
}

void assign_release(struct assign *a)
{
	for (unsigned i = 0; i < a->n; i++)
		row_release(&a->rows[i]);
	free(a->rows);
	*a = (struct assign){0};
}

static bool pages_ok(const char *list)
{
	vk_autofree char *copy = vk_strdup(list);
	char *rest = copy;
	for (char *page; (page = strsep(&rest, " ")) != NULL;)
		if (!table_page_ok(page))
			return false;
	return true;
}

static int parse_row(const json_t *j, struct assign_row *r, struct vk_err *err)
{
	const json_t *ids = json_object_get(j, "slots");
	size_t n = json_array_size(ids);
	if (n < ASSIGN_SLOTS || n > MODEL_SLOTS_MAX)
		return vk_err_set(err, VK_INVALID, "a backend has %zu slots", n);
	r->ids = vk_calloc(n, sizeof(char *));
	r->n = (unsigned)n;
	for (size_t i = 0; i < n; i++)
		r->ids[i] = vk_strdup(json_string_value(json_array_get(ids, i)));
	r->freed = (uint64_t)vk_json_int(j, "freed", 0);
	r->h2 = vk_json_bool(j, "h2", false);
	const char *stack = vk_json_str(j, "stack", NULL), *node = vk_json_str(j, "node", NULL);
	if (stack == NULL)
		return 0;
	int rc = vk_stack_name(stack, err);
	if (rc == 0)
		rc = table_backend_name(node, err);
	if (rc != 0)
		return rc;
	r->stack = vk_strdup(stack);
	r->node = vk_strdup(node);
	r->front = table_front(node);
	const char *pages = vk_json_str(j, "pages", NULL);
	if (pages != NULL && !pages_ok(pages))
		return vk_err_set(err, VK_INVALID, "a backend has pages that are none");
	r->pages = vk_strdup(pages);
	return 0;
}

int assign_parse(const json_t *doc, struct assign *ret, struct vk_err *err)
{
	const json_t *rows = json_object_get(doc, "backends");
	size_t n = json_array_size(rows);
	if (vk_json_int(doc, "v", 0) != 1 || n < 1 || n > MODEL_BACKENDS_MAX)
		return vk_err_set(err, VK_INVALID, "not an assignment of backends");
	struct assign a = {.rows = vk_calloc(n, sizeof(*a.rows))};
	for (size_t i = 0; i < n; i++) {
		a.n++;
		int rc = parse_row(json_array_get(rows, i), &a.rows[i], err);
		if (rc != 0) {
			assign_release(&a);
			return rc;
		}
	}
	a.seq = (uint64_t)vk_json_int(doc, "seq", 0);
	a.reload = vk_json_bool(doc, "reload", false);
	const char *files = vk_json_str(doc, "files", "");
	snprintf(a.files, sizeof(a.files), "%s", vk_is_host(files) ? files : "");
	snprintf(a.boot, sizeof(a.boot), "%s", vk_json_str(doc, "boot", ""));
	*ret = a;
	return 0;
}

static json_t *row_json(const struct assign_row *r)
{
	json_t *j = json_object(), *ids = json_array();
	for (unsigned i = 0; i < r->n; i++)
		json_array_append_new(
			ids, r->ids[i] != NULL ? json_string(r->ids[i]) : json_null());
	json_object_set_new(j, "slots", ids);
	if (r->h2)
		json_object_set_new(j, "h2", json_true());
	if (r->pages != NULL)
		json_object_set_new(j, "pages", json_string(r->pages));
	if (r->freed > 0)
		json_object_set_new(j, "freed", json_integer((json_int_t)r->freed));
	if (r->stack != NULL) {
		json_object_set_new(j, "stack", json_string(r->stack));
		json_object_set_new(j, "node", json_string(r->node));
	}
	return j;
}

json_t *assign_json(const struct assign *a)
{
	json_t *rows = json_array();
	for (unsigned i = 0; i < a->n; i++)
		json_array_append_new(rows, row_json(&a->rows[i]));
	return json_pack("{s:i, s:s, s:I, s:b, s:s, s:o}", "v", 1, "boot", a->boot, "seq",
		(json_int_t)a->seq, "reload", (int)a->reload, "files", a->files, "backends", rows);
}

/* Rows by owner, for looking up; spare rows by how long they have waited. */
struct index {
	const struct assign_row *row;
	unsigned number;
};

static int by_owner(const void *a, const void *b)
{
	const struct assign_row *x = ((const struct index *)a)->row,
				*y = ((const struct index *)b)->row;
	int c = strcmp(x->stack, y->stack);
	return c != 0 ? c : strcmp(x->node, y->node);
}

static int by_wait(const void *a, const void *b)
{
	const struct index *x = a, *y = b;
	if (x->row->freed != y->row->freed)
		return x->row->freed < y->row->freed ? -1 : 1;
	return x->number < y->number ? -1 : 1;
}

static struct index *index_rows(const struct assign *a, bool spare, size_t *ret_n)
{
	struct index *v = vk_calloc(a->n + 1, sizeof(*v));
	size_t n = 0;
	for (unsigned i = 0; i < a->n; i++)
		if ((a->rows[i].stack == NULL) == spare)
			v[n++] = (struct index){&a->rows[i], i + 1};
	if (n > 1)
		qsort(v, n, sizeof(*v), spare ? by_wait : by_owner);
	*ret_n = n;
	return v;
}

static unsigned lookup(const struct index *v, size_t n, const char *stack, const char *node)
{
	struct assign_row row = {
		.stack = (char *)(uintptr_t)stack, .node = (char *)(uintptr_t)node};
	struct index key = {&row, 0};
	const struct index *hit = n > 0 ? bsearch(&key, v, n, sizeof(*v), by_owner) : NULL;
	return hit != NULL ? hit->number : 0;
}

unsigned assign_slot(const struct assign_row *r, const char *id)
{
	for (unsigned i = 0; i < r->n; i++)
		if (r->ids[i] != NULL && strcmp(r->ids[i], id) == 0)
			return i + 1;
	return 0;
}

static void add_server(struct assign_row *r, const char *id)
{
	for (unsigned i = 0; i < r->n; i++)
		if (r->ids[i] == NULL) {
			r->ids[i] = vk_strdup(id);
			return;
		}
	r->ids = vk_reallocarray(r->ids, r->n + 1, sizeof(char *));
	r->ids[r->n++] = vk_strdup(id);
}

static bool node_has(const struct table_node *node, const char *id)
{
	for (size_t i = 0; i < node->n; i++)
		if (strcmp(node->servers[i].id, id) == 0)
			return true;
	return false;
}

/* New servers first, then the slots of those that are gone become free. */
void assign_servers(struct assign_row *r, const struct table_node *node)
{
	unsigned before = r->n;
	for (size_t i = 0; i < node->n; i++)
		if (assign_slot(r, node->servers[i].id) == 0)
			add_server(r, node->servers[i].id);
	for (unsigned i = 0; i < before; i++)
		if (r->ids[i] != NULL && !node_has(node, r->ids[i])) {
			free(r->ids[i]);
			r->ids[i] = NULL;
		}
}

static void take_row(struct assign_row *r, const char *stack, const char *node)
{
	r->stack = vk_strdup(stack);
	r->node = vk_strdup(node);
	r->freed = 0;
}

static void free_row(struct assign *a, struct assign_row *r)
{
	for (unsigned i = 0; i < r->n; i++) {
		free(r->ids[i]);
		r->ids[i] = NULL;
	}
	free(r->stack);
	free(r->node);
	r->stack = r->node = NULL;
	r->freed = ++a->seq;
	/* its listener goes; pages of its own cannot be another's */
	a->reload = a->reload || r->front != 0 || r->pages != NULL;
	r->front = 0;
	free(VK_TAKE(r->pages));
}

static size_t count_new(const struct index *owned, size_t n, const struct table *t)
{
	size_t count = 0;
	for (size_t s = 0; s < t->n; s++)
		for (size_t k = 0; k < t->stacks[s].n_nodes; k++)
			if (table_node_needs_backend(&t->stacks[s].nodes[k]) &&
				lookup(owned, n, t->stacks[s].name, t->stacks[s].nodes[k].name) ==
					0)
				count++;
	return count;
}

/* When `fresh` spare rows are not there, a sixteenth more than that, since HAProxy keeps 17 kB for each: few reloads on the
 * way to 10,000 stacks, and no gap of thousands behind them. Rows released by this very table are not counted. */
static void grow_pool(struct assign *a, size_t fresh)
{
	size_t need = fresh;
	for (unsigned i = 0; i < a->n; i++)
		need += a->rows[i].stack != NULL;
	if (need > a->n)
		grow(a, (unsigned)(need + (need / 16 > ASSIGN_POOL ? need / 16 : ASSIGN_POOL)));
}

struct update {
	struct index *owned, *spare;
	size_t n_owned, n_spare, next;
	bool *seen;
};

/* Who has waited longest of the kind wanted, or of any. */
static unsigned next_spare(struct update *u, bool h2)
{
	while (u->spare[u->next].number == 0)
		u->next++;
	size_t i = u->next;
	while (i < u->n_spare && (u->spare[i].number == 0 || u->spare[i].row->h2 != h2))
		i++;
	i = i < u->n_spare ? i : u->next;
	unsigned number = u->spare[i].number;
	u->spare[i].number = 0;
	return number;
}

/* Another kind than haproxy has it as needs a reload; one, whatever else the table changes. */
static void set_kind(struct assign *a, struct assign_row *r, const struct table_node *node)
{
	uint16_t front = table_front(node->name);
	a->reload = a->reload || r->front != front || r->h2 != node->h2 ||
		!vk_streq(r->pages, node->pages);
	r->front = front;
	r->h2 = node->h2;
	free(r->pages);
	r->pages = vk_strdup(node->pages);
}

static void update_stack(struct assign *a, struct update *u, const struct table_stack *s)
{
	for (size_t k = 0; k < s->n_nodes; k++) {
		s->nodes[k].backend = 0;
		if (!table_node_needs_backend(&s->nodes[k]))
			continue;
		unsigned number = lookup(u->owned, u->n_owned, s->name, s->nodes[k].name);
		if (number == 0) {
			number = next_spare(u, s->nodes[k].h2);
			take_row(&a->rows[number - 1], s->name, s->nodes[k].name);
		}
		set_kind(a, &a->rows[number - 1], &s->nodes[k]);
		s->nodes[k].backend = number;
		u->seen[number - 1] = true;
		assign_servers(&a->rows[number - 1], &s->nodes[k]);
	}
}

/* With a reload that is due anyway the next nodes with HTTP/2 get theirs, so that they need none. */
static void spare_h2(struct assign *a)
{
	size_t have = 0;
	for (unsigned i = 0; i < a->n; i++)
		have += a->rows[i].stack == NULL && a->rows[i].h2;
	for (unsigned i = a->n; i-- > 0 && have < ASSIGN_H2;) {
		struct assign_row *r = &a->rows[i];
		if (r->stack == NULL && !r->h2) {
			r->h2 = true;
			have++;
		}
	}
}

void assign_update(struct assign *a, const struct table *t)
{
	struct update u = {0};
	unsigned before = a->n;
	a->reload = a->reload || !vk_streq(a->files, t->files);
	memcpy(a->files, t->files, sizeof(a->files));
	u.owned = index_rows(a, false, &u.n_owned);
	size_t fresh = count_new(u.owned, u.n_owned, t);
	free(u.owned);
	grow_pool(a, fresh);
	u.owned = index_rows(a, false, &u.n_owned); /* growing moved the rows */
	u.spare = index_rows(a, true, &u.n_spare);
	u.seen = vk_calloc(a->n, sizeof(*u.seen));
	for (size_t s = 0; s < t->n; s++)
		update_stack(a, &u, &t->stacks[s]);
	for (unsigned i = 0; i < a->n; i++)
		if (a->rows[i].stack != NULL && !u.seen[i])
			free_row(a, &a->rows[i]);
	if (a->reload || a->n > before)
		spare_h2(a);
	free(u.owned);
	free(u.spare);
	free(u.seen);
}

const char *assign_id(const struct assign *a, unsigned backend, unsigned slot)
{
	if (backend < 1 || backend > a->n || slot < 1 || slot > a->rows[backend - 1].n)
		return NULL;
	return a->rows[backend - 1].ids[slot - 1];
}
