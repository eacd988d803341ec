#include <viking/log.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <viking/mem.h>
#include <viking/str.h>

#define LINE_MAX_BYTES 4096

static enum vk_level current_level = VK_INFO;
static char program_name[32] = "viking";

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void vk_log_level(enum vk_level level)
{
	current_level = level;
}

void vk_log_init(const char *program)
{
	vk_str_printable(program, strlen(program), program_name, sizeof(program_name));
	const char *wanted = getenv("VIKING_LOG_LEVEL");
	if (wanted == NULL)
		wanted = getenv("LOG_LEVEL");
	for (size_t i = 0; wanted != NULL && i < VK_COUNT(level_names); i++)
		if (strcasecmp(wanted, level_names[i]) == 0)
			vk_log_level((enum vk_level)i);
}

/* One write a line, so that lines of several processes on one pipe do not mix. A log that cannot be
 * written is no reason to fail. */
static void emit(enum vk_level level, const char *event, const char *fields)
{
	char now[32], line[LINE_MAX_BYTES], clean[LINE_MAX_BYTES];
	int64_t ms = vk_now_ms();
	vk_format_time(ms, now);
	now[19] = '\0'; /* the Z, to put the milliseconds before it */
	int n = snprintf(line, sizeof(line), "%s.%03dZ %s %s %s%s%s", now, (int)(ms % 1000),
		level_names[level], program_name, event, *fields != '\0' ? " " : "", fields);
	bool cut = n >= (int)sizeof(line) - 1;
	vk_str_printable(line, strlen(line), clean, sizeof(clean) - 4);
	size_t len = strlen(clean);
	if (cut) {
		memcpy(clean + len, "...", 3);
		len += 3;
	}
	clean[len++] = '\n';
	int saved = errno;
	ssize_t ignored = write(STDERR_FILENO, clean, len);
	(void)ignored;
	errno = saved;
}

void vk_log(enum vk_level level, const char *event, const char *fmt, ...)
{
	if (level > current_level)
		return;
	char fields[LINE_MAX_BYTES];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(fields, sizeof(fields), fmt, ap);
	va_end(ap);
	emit(level, event, fields);
}

/* The message between double quotes, its own quotes and backslashes escaped. */
static void quote(const char *s, char *out, size_t size)
{
	size_t n = 0;
	for (; *s != '\0' && n + 3 < size; s++) {
		if (*s == '"' || *s == '\\')
			out[n++] = '\\';
		out[n++] = *s;
	}
	out[n] = '\0';
}

void vk_log_err(enum vk_level level, const char *event, const struct vk_err *err)
{
	char msg[2 * sizeof(err->msg)];
	quote(err->msg, msg, sizeof(msg));
	vk_log(level, event, "code=%s msg=\"%s\"", vk_err_name(err->code), msg);
}
