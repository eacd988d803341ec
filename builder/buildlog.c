#include "buildlog.h"

#include <stdarg.h>
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>

void buildlog_init(struct buildlog *b, buildlog_fn *fn, void *arg)
{
	*b = (struct buildlog){.fn = fn, .arg = arg};
}

void buildlog_release(struct buildlog *b)
{
	for (unsigned i = 0; i < TAIL_LINES; i++)
		vk_freep(&b->tail[i]);
}

static void remember(struct buildlog *b, const char *line, size_t n)
{
	vk_freep(&b->tail[b->next]);
	b->tail[b->next] = vk_strndup(line, n);
	b->next = (b->next + 1) % TAIL_LINES;
}

void buildlog_line(struct buildlog *b, const char *line, size_t n)
{
	remember(b, line, n);
	if (b->full) {
		b->hidden++;
		return;
	}
	if (b->bytes + n + 1 > BUILDLOG_BYTES_MAX) {
		static const char note[] =
			"(more than 16 MiB of output: of the rest, the last lines)";
		b->full = true;
		b->hidden = 1;
		b->fn(b->arg, note, sizeof(note) - 1);
		return;
	}
	b->bytes += n + 1;
	b->fn(b->arg, line, n);
}

void buildlog_linef(struct buildlog *b, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vk_autofree char *line = vk_vasprintf(fmt, ap);
	va_end(ap);
	buildlog_line(b, line, strlen(line));
}

void buildlog_end(struct buildlog *b)
{
	unsigned n = b->hidden < TAIL_LINES ? (unsigned)b->hidden : TAIL_LINES;
	for (; n > 0; n--) {
		const char *line = b->tail[(b->next + TAIL_LINES - n) % TAIL_LINES];
		b->fn(b->arg, line, strlen(line));
	}
	b->hidden = 0;
}

json_t *buildlog_tail(const struct buildlog *b)
{
	json_t *a = json_array();
	for (unsigned i = 0; i < TAIL_LINES; i++) {
		const char *line = b->tail[(b->next + i) % TAIL_LINES];
		if (line != NULL)
			json_array_append_new(a, vk_json_safe_string(line, strlen(line)));
	}
	return a;
}

bool buildlog_tail_has(const struct buildlog *b, const char *text)
{
	for (unsigned i = 0; i < TAIL_LINES; i++) {
		if (b->tail[i] != NULL && strstr(b->tail[i], text) != NULL)
			return true;
	}
	return false;
}
