#include "pktline.h"

#include <stdarg.h>

#define LENGTH_DIGITS 4

void pktline_init(struct pktline *p)
{
	*p = (struct pktline){.in = VK_BUF_INIT((size_t)PKTLINE_MAX * 2)};
}

void pktline_release(struct pktline *p)
{
	vk_buf_release(&p->in);
}

static void drop_last(struct pktline *p)
{
	vk_buf_consume(&p->in, p->last);
	p->last = 0;
}

int pktline_feed(struct pktline *p, const void *bytes, size_t n, struct vk_err *err)
{
	drop_last(p);
	if (vk_buf_add(&p->in, bytes, n) != 0)
		return vk_err_set(err, VK_LIMIT, "more packets than can be taken at once");
	return 0;
}

/* The length in the four hex digits, or -1. */
static int length_of(const char *digits)
{
	int n = 0;
	for (int i = 0; i < LENGTH_DIGITS; i++) {
		char c = digits[i];
		int v = c >= '0' && c <= '9'   ? c - '0'
			: c >= 'a' && c <= 'f' ? c - 'a' + 10
			: c >= 'A' && c <= 'F' ? c - 'A' + 10
					       : -1;
		if (v < 0)
			return -1;
		n = n * 16 + v;
	}
	return n;
}

int pktline_next(struct pktline *p, enum pktline_kind *ret_kind, const char **ret_data,
	size_t *ret_n, struct vk_err *err)
{
	drop_last(p);
	*ret_kind = PKTLINE_NONE;
	if (p->in.len < LENGTH_DIGITS)
		return 0;
	int n = length_of(p->in.data);
	if (n == 0) {
		p->last = LENGTH_DIGITS;
		*ret_kind = PKTLINE_FLUSH;
		return 0;
	}
	if (n < LENGTH_DIGITS || n > PKTLINE_MAX)
		return vk_err_set(err, VK_INVALID, "a packet with a wrong length");
	if (p->in.len < (size_t)n)
		return 0;
	p->last = (size_t)n;
	*ret_kind = PKTLINE_DATA;
	*ret_data = p->in.data + LENGTH_DIGITS;
	*ret_n = (size_t)n - LENGTH_DIGITS;
	if (*ret_n > 0 && (*ret_data)[*ret_n - 1] == '\n')
		(*ret_n)--;
	return 0;
}

int pktline_add(struct vk_buf *out, const void *data, size_t n)
{
	if (n > PKTLINE_MAX - LENGTH_DIGITS)
		return VK_LIMIT;
	int rc = vk_buf_addf(out, "%04zx", n + LENGTH_DIGITS);
	return rc != 0 ? rc : vk_buf_add(out, data, n);
}

int pktline_addf(struct vk_buf *out, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vk_autofree char *s = vk_vasprintf(fmt, ap);
	va_end(ap);
	return pktline_add(out, s, strlen(s));
}

int pktline_flush(struct vk_buf *out)
{
	return vk_buf_adds(out, "0000");
}
