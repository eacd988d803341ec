/*
 * Memory: small allocations abort on failure; what a peer can size goes through struct vk_buf, which
 * has a maximum. Cleanup attributes on declaration, VK_TAKE to hand over.
 */
#ifndef VIKING_MEM_H
#define VIKING_MEM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *vk_alloc(size_t n);               /* zeroed */
void *vk_calloc(size_t n, size_t size); /* zeroed, overflow checked */
void *vk_realloc(void *p, size_t n);
void *vk_reallocarray(void *p, size_t n, size_t size);
char *vk_strdup(const char *s); /* NULL stays NULL */
char *vk_strndup(const char *s, size_t n);
char *vk_asprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *vk_vasprintf(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));

/* Free pages back to the kernel; for the end of work that took much and comes seldom (some 100 us). */
void vk_mem_trim(void);

void vk_freep(void *pp); /* for vk_autofree */
void vk_closep(int *fd); /* for vk_autoclose; closes when >= 0, keeps errno */
#define vk_autofree  __attribute__((cleanup(vk_freep)))
#define vk_autoclose __attribute__((cleanup(vk_closep)))
#define VK_TAKE(p) \
	({ \
		__auto_type _t = (p); \
		(p) = NULL; \
		_t; \
	})
#define VK_TAKE_FD(fd) \
	({ \
		int _t = (fd); \
		(fd) = -1; \
		_t; \
	})
#define VK_COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Growing bytes with a maximum. data is always NUL-terminated behind len (data may be NULL when
 * nothing was ever added: use vk_buf_str). Adding past max changes nothing and returns VK_LIMIT. */
struct vk_buf {
	char *data;
	size_t len, cap;
	size_t max; /* bytes; never 0 */
};
#define VK_BUF_INIT(limit) \
	{ \
		.max = (limit) \
	}
#define vk_autobuf __attribute__((cleanup(vk_buf_release))) struct vk_buf
void vk_buf_init(struct vk_buf *b, size_t max);
void vk_buf_release(struct vk_buf *b); /* frees; the buffer is empty and usable again */
void vk_buf_clear(struct vk_buf *b);   /* length 0, keeps memory */
int vk_buf_add(struct vk_buf *b, const void *p, size_t n);
int vk_buf_adds(struct vk_buf *b, const char *s);
int vk_buf_addc(struct vk_buf *b, char c);
int vk_buf_addf(struct vk_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void vk_buf_consume(struct vk_buf *b, size_t n); /* drops n bytes from the front */
const char *vk_buf_str(const struct vk_buf *b);  /* never NULL; borrowed until the next change */
char *vk_buf_take(struct vk_buf *b);             /* the string, now the caller's; never NULL */

/* A growing list of owned strings, NULL-terminated at v[n]. */
struct vk_strv {
	char **v;
	size_t n, cap;
};
#define vk_autostrv __attribute__((cleanup(vk_strv_release))) struct vk_strv
void vk_strv_add(struct vk_strv *l, const char *s); /* copies */
void vk_strv_addn(struct vk_strv *l, const char *s, size_t n);
void vk_strv_take(struct vk_strv *l, char *s); /* takes over */
void vk_strv_addf(struct vk_strv *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool vk_strv_has(const struct vk_strv *l, const char *s);
void vk_strv_sort(struct vk_strv *l); /* strcmp order */
void vk_strv_release(struct vk_strv *l);

#endif
