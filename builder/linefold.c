#include "linefold.h"

enum { ESC_NONE, ESC_START, ESC_CSI, ESC_STRING, ESC_STRING_END };

void linefold_init(struct linefold *f)
{
	*f = (struct linefold){0};
	vk_buf_init(&f->line, LINE_BYTES_MAX);
}

void linefold_release(struct linefold *f)
{
	vk_buf_release(&f->line);
}

/* Follows a terminal escape; true while c belongs to it. */
static bool escape_take(struct linefold *f, unsigned char c)
{
	switch (f->escape) {
	case ESC_NONE:
		if (c != 0x1b)
			return false;
		f->escape = ESC_START;
		return true;
	case ESC_START:
		if (c == '[')
			f->escape = ESC_CSI;
		else if (c == ']' || c == 'P' || c == 'X' || c == '^' || c == '_')
			f->escape = ESC_STRING;
		else if (c < 0x20 || c > 0x2f) /* 0x20-0x2f: one more byte follows */
			f->escape = ESC_NONE;
		return true;
	case ESC_CSI:
		if (c >= 0x40 && c <= 0x7e)
			f->escape = ESC_NONE;
		return true;
	case ESC_STRING:
		if (c == 0x07)
			f->escape = ESC_NONE;
		else if (c == 0x1b)
			f->escape = ESC_STRING_END;
		return true;
	default:
		f->escape = c == '\\' ? ESC_NONE : ESC_STRING;
		return true;
	}
}

static void show(struct linefold *f, line_fn *fn, void *arg)
{
	if (f->cut) {
		static const char mark[] = " ... (line cut)";
		f->line.len -= sizeof(mark) - 1;
		vk_buf_add(&f->line, mark, sizeof(mark) - 1);
	}
	fn(arg, vk_buf_str(&f->line), f->line.len);
	vk_buf_clear(&f->line);
	f->carriage = f->cut = false;
}

static void add(struct linefold *f, char c)
{
	if (f->carriage) {
		vk_buf_clear(&f->line);
		f->carriage = f->cut = false;
	}
	if (!f->cut && vk_buf_addc(&f->line, c) != 0)
		f->cut = true;
}

void linefold_feed(
	struct linefold *f, const char *p, size_t n, int64_t now_ms, line_fn *fn, void *arg)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];
		if (c == '\n') { /* also ends an escape that was never closed */
			f->escape = ESC_NONE;
			show(f, fn, arg);
			f->shown_ms = now_ms;
		} else if (escape_take(f, c)) {
			continue;
		} else if (c == '\r') {
			if (f->line.len > 0 && !f->carriage &&
				now_ms - f->shown_ms >= BAR_EVERY_MS) {
				show(f, fn, arg);
				f->shown_ms = now_ms;
			}
			f->carriage = true;
		} else if (c == '\t' || (c >= 0x20 && c != 0x7f)) {
			add(f, p[i]);
		}
	}
}

void linefold_end(struct linefold *f, line_fn *fn, void *arg)
{
	if (f->line.len > 0)
		show(f, fn, arg);
	f->escape = ESC_NONE;
}
