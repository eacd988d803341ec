#include "report.h"

#include <viking/fs.h>
#include <viking/mem.h>
#include <viking/str.h>

static void write_line(const char *text, size_t n)
{
	char line[REPORT_LINE_MAX + 2];
	vk_str_printable(text, n, line, REPORT_LINE_MAX);
	size_t len = strlen(line);
	line[len++] = '\n';
	(void)vk_write_all(
		STDERR_FILENO, line, len, NULL); /* a reader that went ends us by SIGPIPE */
}

void report_line(const char *text, size_t n)
{
	while (n > 0) {
		const char *end = memchr(text, '\n', n);
		size_t len = end != NULL ? (size_t)(end - text) : n;
		size_t shown = len > 0 && text[len - 1] == '\r' ? len - 1 : len;
		write_line(text, shown);
		len += end != NULL;
		text += len;
		n -= len;
	}
}

static void prefixed(const char *prefix, const char *text)
{
	vk_autofree char *line = vk_asprintf("%s%s", prefix, text);
	report_line(line, strlen(line));
}

void report_problem(const char *message, const char *hint)
{
	prefixed(" !     ", message);
	if (hint != NULL && *hint != '\0')
		prefixed(" !     try: ", hint);
}

void report_err(const struct vk_err *err)
{
	report_problem(err->msg, err->hint);
}
