#include "tally.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/str.h>

#define REPORT_MS 1000
#define AGAIN_MS \
	5000 /* totals are told again as long as they are counted: the scheduler may be another one */
#define LINES_MAX 512 /* of one pass of the loop */
#define ROWS_MAX  4096

struct row {
	char *id;
	unsigned watch;
	uint64_t requests, errors;
	uint32_t class[TALLY_CLASSES];
};

struct tally {
	struct tally_opts o;
	int fd;
	struct vk_io *io;
	struct vk_timer *timer;
	struct row *rows;
	size_t n;
	int64_t changed, told; /* vk_mono_ms */
};

/* ---- lines and classes ---- */

/* The next number of a line, -1 among them. */
static bool next_number(const char **at, int64_t *ret)
{
	char word[16];
	uint64_t v;
	size_t n = strcspn(*at, " \n");
	bool minus = **at == '-';
	if (n == 0 || n >= sizeof(word))
		return false;
	memcpy(word, *at + minus, n - minus);
	word[n - minus] = '\0';
	*at += n + strspn(*at + n, " ");
	if (vk_parse_u64(word, 0, INT32_MAX, &v) != 0)
		return false;
	*ret = minus ? -(int64_t)v : (int64_t)v;
	return true;
}

static bool next_name(
	const char **at, bool (*read)(const char *, size_t, unsigned *), unsigned *ret)
{
	size_t n = strcspn(*at, " \n");
	bool ok = read(*at, n, ret);
	*at += n + strspn(*at + n, " ");
	return ok && *ret > 0;
}

bool tally_read(const char *text, struct tally_line *ret)
{
	int64_t watch, status, wait, connect, answer;
	if (!next_number(&text, &watch) || watch < 1 ||
		!next_name(&text, backend_number, &ret->backend) ||
		!next_name(&text, slot_number, &ret->slot) || !next_number(&text, &status) ||
		status < 0 || status > 999 || !next_number(&text, &wait) ||
		!next_number(&text, &connect) || !next_number(&text, &answer))
		return false;
	ret->watch = (unsigned)watch;
	ret->status = (unsigned)status;
	ret->ms = wait < 0 || connect < 0 || answer < 0 ? -1 : wait + connect + answer;
	return true;
}

unsigned tally_class(int64_t ms)
{
	if (ms < 16)
		return ms > 0 ? (unsigned)ms : 0;
	unsigned octave = 63 - (unsigned)__builtin_clzll((uint64_t)ms);
	unsigned class = 16 + (octave - 4) * 8 + ((unsigned)(ms >> (octave - 3)) & 7);
	return class < TALLY_CLASSES ? class : TALLY_CLASSES - 1;
}

int64_t tally_upper(unsigned class)
{
	if (class < 16)
		return class;
	unsigned octave = 4 + (class - 16) / 8;
	return ((int64_t)(8 + (class - 16) % 8 + 1) << (octave - 3)) - 1;
}

/* ---- counting ---- */

static void drop_row(struct tally *t, size_t i)
{
	free(t->rows[i].id);
	t->rows[i] = t->rows[--t->n];
}

static bool assigned(const struct assign *a, const char *id)
{
	for (unsigned b = 0; b < a->n; b++)
		for (unsigned s = 0; s < a->rows[b].n; s++)
			if (vk_streq(a->rows[b].ids[s], id))
				return true;
	return false;
}

static struct row *row_of(struct tally *t, const char *id, unsigned watch)
{
	for (size_t i = 0; i < t->n; i++) {
		if (strcmp(t->rows[i].id, id) != 0)
			continue;
		if (t->rows[i].watch == watch)
			return &t->rows[i];
		drop_row(t, i--); /* an earlier watch is over */
	}
	for (size_t i = t->n; t->n >= ROWS_MAX && i-- > 0;)
		if (!assigned(t->o.assign, t->rows[i].id))
			drop_row(t, i);
	if (t->n >= ROWS_MAX)
		return NULL;
	t->rows = vk_reallocarray(t->rows, t->n + 1, sizeof(*t->rows));
	t->rows[t->n] = (struct row){.id = vk_strdup(id), .watch = watch};
	return &t->rows[t->n++];
}

static void count(struct tally *t, const char *text)
{
	struct tally_line line;
	if (!tally_read(text, &line))
		return;
	const char *id = assign_id(t->o.assign, line.backend, line.slot);
	struct row *row = id != NULL ? row_of(t, id, line.watch) : NULL;
	if (row == NULL)
		return;
	row->requests++;
	row->errors += line.status >= 500;
	if (line.ms >= 0)
		row->class[tally_class(line.ms)]++;
	if (t->changed <= t->told) {
		t->changed = vk_mono_ms() + 1;
		vk_timer_set(t->timer, REPORT_MS);
	}
}

static void on_lines(void *arg, int fd, int what)
{
	struct tally *t = arg;
	(void)what;
	for (int i = 0; i < LINES_MAX; i++) {
		char line[256];
		ssize_t n = recv(fd, line, sizeof(line) - 1, MSG_DONTWAIT);
		if (n < 0)
			return;
		line[n] = '\0';
		count(t, line);
	}
}

/* ---- telling ---- */

static json_t *row_json(const struct row *row)
{
	json_t *ms = json_array();
	for (unsigned i = 0; i < TALLY_CLASSES; i++)
		if (row->class[i] > 0)
			json_array_append_new(ms,
				json_pack("[I,I]", (json_int_t)tally_upper(i),
					(json_int_t)row->class[i]));
	return json_pack("{s:s,s:I,s:I,s:I,s:o}", "id", row->id, "watch", (json_int_t)row->watch,
		"requests", (json_int_t)row->requests, "errors", (json_int_t)row->errors, "ms", ms);
}

static void on_reported(void *arg, const struct vk_err *err, const json_t *answer)
{
	(void)arg;
	(void)answer;
	if (err->code != 0)
		vk_log_err(VK_WARN, "tally-refused", err);
}

static void report(void *arg)
{
	struct tally *t = arg;
	json_t *list = json_array();
	for (size_t i = t->n; i-- > 0;) {
		if (assigned(t->o.assign, t->rows[i].id))
			json_array_append_new(list, row_json(&t->rows[i]));
		else
			drop_row(t, i);
	}
	vk_autojson *body = json_pack("{s:o}", "servers", list);
	t->told = vk_mono_ms();
	if (json_array_size(list) == 0)
		return;
	vk_api_queue_add(t->o.queue, "POST", "/v1/internal/router/tally", body, on_reported, t);
	if (t->told - t->changed < 12 * AGAIN_MS)
		vk_timer_set(t->timer, AGAIN_MS);
}

int tally_new(struct vk_loop *l, const struct tally_opts *o, struct tally **ret, struct vk_err *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	if (strlen(o->socket) >= sizeof(addr.sun_path))
		return vk_err_set(err, VK_LIMIT, "%s is too long for a socket", o->socket);
	memcpy(addr.sun_path, o->socket, strlen(o->socket));
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unlink(o->socket);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
		int rc = vk_err_errno(err, errno, "bind %s", o->socket);
		if (fd >= 0)
			close(fd);
		return rc;
	}
	struct tally *t = vk_alloc(sizeof(*t));
	*t = (struct tally){.o = *o, .fd = fd};
	t->io = vk_io_new(l, fd, VK_READ, on_lines, t);
	t->timer = vk_timer_new(l, report, t);
	*ret = t;
	return 0;
}

void tally_free(struct tally *t)
{
	if (t == NULL)
		return;
	vk_io_free(t->io);
	vk_timer_free(t->timer);
	close(t->fd);
	while (t->n > 0)
		drop_row(t, t->n - 1);
	free(t->rows);
	free(t);
}
