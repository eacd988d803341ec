/* Text: strict numbers, words, globs, suggestions. Nothing here knows a domain. */
#ifndef VIKING_STR_H
#define VIKING_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <viking/err.h>
#include <viking/mem.h>

bool vk_streq(const char *a, const char *b); /* NULL equals only NULL */
bool vk_starts(const char *s, const char *prefix);
bool vk_ends(const char *s, const char *suffix);
/* Whole string, decimal, no sign (u64) or one optional '-' (i64), within [min, max]; else VK_INVALID. */
int vk_parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret);
int vk_parse_i64(const char *s, int64_t min, int64_t max, int64_t *ret);
/* "512M", "2G", "64KiB", "100": bytes, powers of 1024; suffixes k K M G T, optional "iB" or "B". */
int vk_parse_size(const char *s, uint64_t *ret);
/* "30", "5s", "200ms", "10m", "2h", "1d": milliseconds; a bare number is seconds. */
int vk_parse_duration_ms(const char *s, int64_t *ret);
void vk_format_size(uint64_t bytes, char buf[static 24]);    /* "1.5 GiB" */
void vk_format_duration_ms(int64_t ms, char buf[static 24]); /* "0.3 s", "2 min 5 s" */
/* Splits like a POSIX shell does words: blanks, '...', "...", \x; no expansion, no operators.
 * Unterminated quote: VK_INVALID. */
int vk_shell_split(const char *s, struct vk_strv *ret, struct vk_err *err);
/* Quotes one word so that vk_shell_split gives it back. Caller frees. */
char *vk_shell_quote(const char *s);
/* '*' any run, '?' one character; everything else literal. At most |pattern| x |s| steps. */
bool vk_glob(const char *pattern, const char *s);
/* The nearest of `words` (NULL-terminated) within edit distance 2 (and less than the word's length),
 * or NULL. For "did you mean". */
const char *vk_suggest(const char *word, const char *const *words);
/* Copies with control bytes and non-UTF-8 replaced by '?' (tab stays); at most max bytes, the
 * final NUL included. */
void vk_str_printable(const char *s, size_t n, char *out, size_t max);
/* Cuts UTF-8 text to at most max bytes (8 or more), behind a word where there is one in the last half, and ends it with
 * "..."; shorter text stays as it is. */
void vk_str_shorten(char *s, size_t max);
int64_t vk_now_ms(void);                                   /* CLOCK_REALTIME */
int64_t vk_mono_ms(void);                                  /* CLOCK_BOOTTIME */
void vk_format_time(int64_t unix_ms, char buf[static 32]); /* 2026-11-21T04:05:06Z */
int vk_parse_time(const char *s, int64_t *ret_unix_ms);    /* date, or the form above */

#endif
