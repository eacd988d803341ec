#include "stats.h"

#include <stdlib.h>
#include <string.h>
#include <viking/crypt.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/str.h>

#include "exchange.h"
#include "policy.h"

#define LOOK_MS     15000
#define ASK_MS      5000
#define COLUMNS_MAX 160

/* What a backend had counted when its owner got it. */
struct base {
	char owner[POLICY_ID_SIZE];
	uint64_t v[STATS];
};

struct stats {
	struct vk_loop *l;
	struct stats_opts o;
	struct vk_timer *timer;
	struct exchange *x;
	struct base *base;
	unsigned n;
	char last[65]; /* hash of the last report */
	json_t *report;
};

const char *const stat_names[STATS] = {"requests", "bytes_in", "bytes_out", "1xx", "2xx", "3xx",
	"4xx", "5xx", "retries", "now", "response_ms", "total_ms"};

static const char *const columns[STATS] = {"stot", "bin", "bout", "hrsp_1xx", "hrsp_2xx",
	"hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "wretr", "scur", "rtime", "ttime"};

/* The next comma-separated field of a line. */
static const char *field(const char **at, size_t *ret_n)
{
	const char *f = *at;
	*ret_n = strcspn(f, ",\n");
	*at = f + *ret_n + (f[*ret_n] == ',');
	return f;
}

/* at[i]: which column holds number i, -1 = none. */
static void find_columns(const char *line, int at[static STATS])
{
	for (size_t i = 0; i < STATS; i++)
		at[i] = -1;
	for (int column = 0; column < COLUMNS_MAX && *line != '\0' && *line != '\n'; column++) {
		size_t n;
		const char *f = field(&line, &n);
		for (size_t i = 0; i < STATS; i++)
			if (strlen(columns[i]) == n && memcmp(columns[i], f, n) == 0)
				at[i] = column;
	}
}

static uint64_t number(const char *f, size_t n)
{
	char text[24];
	uint64_t v;
	if (n == 0 || n >= sizeof(text))
		return 0;
	memcpy(text, f, n);
	text[n] = '\0';
	return vk_parse_u64(text, 0, UINT64_MAX, &v) == 0 ? v : 0;
}

static void read_row(const char *line, const int at[static STATS], stats_row_fn *fn, void *arg)
{
	uint64_t v[STATS] = {0};
	unsigned backend;
	size_t n;
	const char *name = field(&line, &n);
	if (!backend_number(name, n, &backend) || backend == 0)
		return;
	for (int column = 1; column < COLUMNS_MAX && *line != '\0' && *line != '\n'; column++) {
		const char *f = field(&line, &n);
		for (size_t i = 0; i < STATS; i++)
			if (at[i] == column)
				v[i] = number(f, n);
	}
	fn(arg, backend, v);
}

void stats_read(const char *text, stats_row_fn *fn, void *arg)
{
	int at[STATS];
	find_columns(text, at);
	for (const char *line = strchr(text, '\n'); line != NULL; line = strchr(line, '\n')) {
		line++;
		read_row(line, at, fn, arg);
	}
}

/* ---- sums ---- */

static struct base *base_of(struct stats *s, unsigned backend)
{
	if (backend > s->n) {
		s->base = vk_reallocarray(s->base, backend, sizeof(*s->base));
		memset(s->base + s->n, 0, (backend - s->n) * sizeof(*s->base));
		s->n = backend;
	}
	return &s->base[backend - 1];
}

static void since(struct base *b, const char *owner, uint64_t v[static STATS])
{
	bool moved = strcmp(b->owner, owner) != 0, fresh = v[STAT_REQUESTS] < b->v[STAT_REQUESTS];
	if (moved || fresh) {
		/* never seen before: all it counted is its first owner's */
		bool all = fresh || b->owner[0] == '\0';
		for (size_t i = 0; i < STATS; i++)
			b->v[i] = all ? 0 : v[i];
		memcpy(b->owner, owner, sizeof(b->owner));
	}
	for (size_t i = 0; i < STAT_NOW; i++)
		v[i] -= v[i] >= b->v[i] ? b->v[i] : 0;
}

/* A node with several ports has several backends. */
static void add_row(void *arg, unsigned backend, const uint64_t counted[STATS])
{
	struct stats *s = arg;
	char owner[POLICY_ID_SIZE];
	uint64_t v[STATS];
	if (backend > s->o.assign->n || s->o.assign->rows[backend - 1].stack == NULL)
		return;
	const struct assign_row *row = &s->o.assign->rows[backend - 1];
	vk_autofree char *name =
		vk_asprintf("%s/%.*s", row->stack, (int)strcspn(row->node, ":"), row->node);
	memcpy(v, counted, sizeof(v));
	policy_hash(name, owner);
	since(base_of(s, backend), owner, v);
	json_t *one = json_object_get(s->report, name);
	if (one == NULL)
		json_object_set_new(s->report, name, one = json_object());
	for (size_t i = 0; i < STATS; i++) {
		int64_t sum = vk_json_int(one, stat_names[i], 0), now = (int64_t)v[i];
		if (i >= STAT_RESPONSE)
			sum = now > sum ? now : sum;
		else
			sum += now;
		json_object_set_new(one, stat_names[i], json_integer(sum));
	}
}

static void on_reported(void *arg, const struct vk_err *err, const json_t *answer)
{
	(void)arg;
	(void)answer;
	if (err->code != 0)
		vk_log_err(VK_WARN, "stats-refused", err);
}

static void on_stats(void *arg, const struct vk_err *err, const char *text)
{
	struct stats *s = arg;
	char hash[65];
	s->x = NULL;
	vk_timer_set(s->timer, LOOK_MS);
	if (err->code != 0)
		return;
	s->report = json_object();
	stats_read(text, add_row, s);
	vk_autojson *body = json_pack("{s:o}", "nodes", VK_TAKE(s->report));
	vk_json_hash(body, hash);
	if (strcmp(hash, s->last) == 0)
		return;
	memcpy(s->last, hash, sizeof(hash));
	vk_api_queue_add(s->o.queue, "POST", "/v1/internal/router/stats", body, on_reported, s);
}

static void look(void *arg)
{
	struct stats *s = arg;
	struct exchange_opts o = {
		.socket = s->o.admin, .request = "show stat -1 2 -1\n", .timeout_ms = ASK_MS};
	s->x = exchange_start(s->l, &o, on_stats, s);
}

struct stats *stats_new(struct vk_loop *l, const struct stats_opts *o)
{
	struct stats *s = vk_alloc(sizeof(*s));
	*s = (struct stats){.l = l, .o = *o};
	s->timer = vk_timer_new(l, look, s);
	vk_timer_set(s->timer, LOOK_MS);
	return s;
}

void stats_free(struct stats *s)
{
	if (s == NULL)
		return;
	exchange_free(s->x);
	vk_timer_free(s->timer);
	free(s->base);
	free(s);
}
