/*
 * Errors: a code, one line of text and, where there is one, the thing to type next.
 *
 * Functions that can fail return 0 or a negative enum vk_code and fill the caller's struct vk_err
 * (may be NULL). A function either logs or returns an error, never both. Return parameters
 * (ret_*) are untouched on failure.
 */
#ifndef VIKING_ERR_H
#define VIKING_ERR_H

#include <stdarg.h>
#include <stddef.h>

enum vk_code {
	VK_OK = 0,
	VK_INVALID = -1,     /* the input is wrong; HTTP 400, exit 1 */
	VK_NOTFOUND = -2,    /* HTTP 404, exit 3 */
	VK_EXISTS = -3,      /* HTTP 409, exit 5 */
	VK_DENIED = -4,      /* HTTP 403, exit 4 */
	VK_LIMIT = -5,       /* over a stated limit; HTTP 413, exit 1 */
	VK_UNAVAILABLE = -6, /* a part of viking or the engine does not answer; HTTP 503, exit 6 */
	VK_TIMEOUT = -7,     /* HTTP 504, exit 7 */
	VK_CANCELLED = -8,   /* HTTP 499, exit 1 */
	VK_CONFLICT = -9,    /* busy, locked or changed meanwhile; HTTP 409, exit 5 */
	VK_INTERNAL = -10,   /* our own fault; HTTP 500, exit 1 */
	VK_USAGE = -11,      /* wrong command words; HTTP 422, exit 2 */
	VK_FAILED =
		-12, /* the thing asked for was tried and failed (build, start); HTTP 424, exit 1 */
};

struct vk_err {
	int code;       /* enum vk_code */
	char msg[1024]; /* one line, no final full stop, no newline */
	char hint[512]; /* what to type next, or "" */
};

/* All of these return `code` (or err->code), so that `return vk_err_set(...)` reads well. */
int vk_err_set(struct vk_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int vk_err_setv(struct vk_err *err, int code, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));
/* "<formatted>: <strerror(errnum)>"; the code follows from errnum (ENOENT -> VK_NOTFOUND, EACCES and
 * EPERM -> VK_DENIED, ENOSPC and EDQUOT -> VK_LIMIT, ECONNREFUSED -> VK_UNAVAILABLE, else VK_INTERNAL). */
int vk_err_errno(struct vk_err *err, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Puts "<formatted>: " before the message; keeps code and hint. (Without an err the code is not known:
 * VK_INTERNAL. Who may be given NULL returns its own code.) */
int vk_err_wrap(struct vk_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Sets what to type next; keeps code and message. */
int vk_err_hint(struct vk_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

int vk_err_exit(int code);              /* process exit status of a code, DESIGN section 9 */
int vk_err_http(int code);              /* HTTP status of a code */
int vk_err_from_http(int status);       /* the code a client makes of a status (0 for 2xx) */
const char *vk_err_name(int code);      /* "NOTFOUND" ... as in JSON error bodies */
int vk_err_from_name(const char *name); /* VK_INTERNAL for an unknown name */

#endif
