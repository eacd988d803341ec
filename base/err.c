/* One table of codes; everything else writes into the caller's struct. */
#include <viking/err.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct code_row {
	int code, exit, http;
	const char *name;
} codes[] = {
	{VK_OK, 0, 200, "OK"},
	{VK_INVALID, 1, 400, "INVALID"},
	{VK_NOTFOUND, 3, 404, "NOTFOUND"},
	{VK_EXISTS, 5, 409, "EXISTS"},
	{VK_DENIED, 4, 403, "DENIED"},
	{VK_LIMIT, 1, 413, "LIMIT"},
	{VK_UNAVAILABLE, 6, 503, "UNAVAILABLE"},
	{VK_TIMEOUT, 7, 504, "TIMEOUT"},
	{VK_CANCELLED, 1, 499, "CANCELLED"},
	{VK_CONFLICT, 5, 409, "CONFLICT"},
	{VK_INTERNAL, 1, 500, "INTERNAL"},
	{VK_USAGE, 2, 422, "USAGE"},
	{VK_FAILED, 1, 424, "FAILED"},
};

static const struct code_row *find_code(int code)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].code == code)
			return &codes[i];
	return &codes[-VK_INTERNAL];
}

/* Messages carry names and lines that outsiders wrote: nothing in them may move a cursor or start a
 * new line. A line end at the very end is dropped, as library messages tend to bring one. */
static void one_line(char *s)
{
	size_t n = strlen(s);
	while (n > 0 && (s[n - 1] == '\n' || s[n - 1] == '\r'))
		s[--n] = '\0';
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = *s == '\n' || *s == '\t' ? ' ' : '?';
}

/* snprintf cuts anywhere; a cut UTF-8 sequence would make the text unfit for JSON */
static void trim_cut_utf8(char *s, size_t size)
{
	size_t n = strlen(s);
	if (n + 1 < size)
		return;
	size_t start = n;
	while (start > 0 && ((unsigned char)s[start - 1] & 0xc0) == 0x80)
		start--;
	if (start == 0 || (unsigned char)s[start - 1] < 0xc0)
		return;
	unsigned char lead = (unsigned char)s[start - 1];
	size_t want = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
	if (n - (start - 1) < want)
		s[start - 1] = '\0';
}

static void format_line(char *out, size_t size, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));

static void format_line(char *out, size_t size, const char *fmt, va_list ap)
{
	vsnprintf(out, size, fmt, ap);
	trim_cut_utf8(out, size);
	one_line(out);
}

int vk_err_setv(struct vk_err *err, int code, const char *fmt, va_list ap)
{
	if (err == NULL)
		return code;
	/* the arguments may point into *err itself */
	char msg[sizeof(err->msg)];
	format_line(msg, sizeof(msg), fmt, ap);
	memcpy(err->msg, msg, sizeof(msg));
	err->code = code;
	err->hint[0] = '\0';
	return code;
}

int vk_err_set(struct vk_err *err, int code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vk_err_setv(err, code, fmt, ap);
	va_end(ap);
	return code;
}

static int code_of_errno(int errnum)
{
	switch (errnum) {
	case ENOENT:
		return VK_NOTFOUND;
	case EACCES:
	case EPERM:
		return VK_DENIED;
	case ENOSPC:
	case EDQUOT:
		return VK_LIMIT;
	case ECONNREFUSED:
		return VK_UNAVAILABLE;
	default:
		return VK_INTERNAL;
	}
}

int vk_err_errno(struct vk_err *err, int errnum, const char *fmt, ...)
{
	char what[sizeof(err->msg)];
	va_list ap;
	va_start(ap, fmt);
	format_line(what, sizeof(what), fmt, ap);
	va_end(ap);
	return vk_err_set(err, code_of_errno(errnum), "%s: %s", what, strerror(errnum));
}

int vk_err_wrap(struct vk_err *err, const char *fmt, ...)
{
	if (err == NULL)
		return VK_INTERNAL;
	char what[sizeof(err->msg)], hint[sizeof(err->hint)];
	va_list ap;
	va_start(ap, fmt);
	format_line(what, sizeof(what), fmt, ap);
	va_end(ap);
	memcpy(hint, err->hint, sizeof(hint));
	vk_err_set(err, err->code, "%s: %s", what, err->msg);
	memcpy(err->hint, hint, sizeof(hint));
	return err->code;
}

int vk_err_hint(struct vk_err *err, const char *fmt, ...)
{
	if (err == NULL)
		return VK_INTERNAL;
	char hint[sizeof(err->hint)];
	va_list ap;
	va_start(ap, fmt);
	format_line(hint, sizeof(hint), fmt, ap);
	va_end(ap);
	memcpy(err->hint, hint, sizeof(hint));
	return err->code;
}

int vk_err_exit(int code)
{
	return find_code(code)->exit;
}

int vk_err_http(int code)
{
	return find_code(code)->http;
}

int vk_err_from_http(int status)
{
	if (status >= 200 && status < 300)
		return VK_OK;
	if (status == 409) /* EXISTS shares it; the body's name tells them apart */
		return VK_CONFLICT;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].http == status)
			return codes[i].code;
	switch (status) {
	case 401:
		return VK_DENIED;
	case 408:
		return VK_TIMEOUT;
	case 429:
		return VK_LIMIT;
	case 502:
		return VK_UNAVAILABLE;
	default:
		return status >= 400 && status < 500 ? VK_INVALID : VK_INTERNAL;
	}
}

const char *vk_err_name(int code)
{
	return find_code(code)->name;
}

int vk_err_from_name(const char *name)
{
	for (size_t i = 0; name != NULL && i < sizeof(codes) / sizeof(codes[0]); i++)
		if (strcmp(codes[i].name, name) == 0)
			return codes[i].code;
	return VK_INTERNAL;
}
