/*
 * Logging: one line per event to stderr, `time level program event key=value ...`. Base and pure code
 * never log; programs log once, at the place that decides. The level is the only global state.
 */
#ifndef VIKING_LOG_H
#define VIKING_LOG_H

#include <viking/err.h>

enum vk_level { VK_ERROR, VK_WARN, VK_INFO, VK_DEBUG };

void vk_log_init(const char *program); /* level from VIKING_LOG_LEVEL or LOG_LEVEL, else INFO */
void vk_log_level(enum vk_level level);
/* fmt writes the key=value part: vk_log(VK_INFO, "instance-started", "stack=%s n=%d", s, n). Values
 * with blanks are to be quoted by the caller with \"%s\". Control bytes are replaced. */
void vk_log(enum vk_level level, const char *event, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void vk_log_err(enum vk_level level, const char *event, const struct vk_err *err);

#endif
