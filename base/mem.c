#include <viking/mem.h>

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <viking/err.h>

static void *or_abort(void *p)
{
	if (p == NULL) {
		static const char text[] = "out of memory\n";
		ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
		(void)ignored;
		abort();
	}
	return p;
}

void *vk_alloc(size_t n)
{
	return or_abort(calloc(1, n > 0 ? n : 1));
}

void *vk_calloc(size_t n, size_t size)
{
	return or_abort(calloc(n > 0 ? n : 1, size > 0 ? size : 1));
}

void *vk_realloc(void *p, size_t n)
{
	return or_abort(realloc(p, n > 0 ? n : 1));
}

void *vk_reallocarray(void *p, size_t n, size_t size)
{
	return or_abort(reallocarray(p, n > 0 ? n : 1, size > 0 ? size : 1));
}

char *vk_strdup(const char *s)
{
	return s != NULL ? or_abort(strdup(s)) : NULL;
}

char *vk_strndup(const char *s, size_t n)
{
	return s != NULL ? or_abort(strndup(s, n)) : NULL;
}

char *vk_vasprintf(const char *fmt, va_list ap)
{
	char *s = NULL;
	if (vasprintf(&s, fmt, ap) < 0)
		or_abort(NULL);
	return or_abort(s);
}

char *vk_asprintf(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	char *s = vk_vasprintf(fmt, ap);
	va_end(ap);
	return s;
}

void vk_mem_trim(void)
{
	malloc_trim(0);
}

void vk_freep(void *pp)
{
	void *p;
	memcpy(&p, pp, sizeof(p)); /* pp is the address of a pointer of any type */
	free(p);
}

void vk_closep(int *fd)
{
	int saved = errno;
	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

void vk_buf_init(struct vk_buf *b, size_t max)
{
	*b = (struct vk_buf)VK_BUF_INIT(max);
}

void vk_buf_release(struct vk_buf *b)
{
	free(b->data);
	vk_buf_init(b, b->max);
}

void vk_buf_clear(struct vk_buf *b)
{
	b->len = 0;
	if (b->data != NULL)
		b->data[0] = '\0';
}

static int buf_grow(struct vk_buf *b, size_t n)
{
	if (n > b->max - b->len || b->len > b->max)
		return VK_LIMIT;
	size_t need = b->len + n + 1;
	if (need <= b->cap)
		return 0;
	size_t cap = b->cap > 0 ? b->cap : 64;
	while (cap < need)
		cap = cap <= SIZE_MAX / 2 ? cap * 2 : need;
	b->data = vk_realloc(b->data, cap);
	b->cap = cap;
	return 0;
}

int vk_buf_add(struct vk_buf *b, const void *p, size_t n)
{
	int rc = buf_grow(b, n);
	if (rc != 0)
		return rc;
	if (n > 0)
		memcpy(b->data + b->len, p, n);
	b->len += n;
	b->data[b->len] = '\0';
	return 0;
}

int vk_buf_adds(struct vk_buf *b, const char *s)
{
	return vk_buf_add(b, s, strlen(s));
}

int vk_buf_addc(struct vk_buf *b, char c)
{
	return vk_buf_add(b, &c, 1);
}

int vk_buf_addf(struct vk_buf *b, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vk_autofree char *s = vk_vasprintf(fmt, ap);
	va_end(ap);
	return vk_buf_adds(b, s);
}

void vk_buf_consume(struct vk_buf *b, size_t n)
{
	if (n >= b->len) {
		vk_buf_clear(b);
		return;
	}
	memmove(b->data, b->data + n, b->len - n + 1);
	b->len -= n;
}

const char *vk_buf_str(const struct vk_buf *b)
{
	return b->data != NULL ? b->data : "";
}

char *vk_buf_take(struct vk_buf *b)
{
	char *s = b->data != NULL ? b->data : vk_strdup("");
	vk_buf_init(b, b->max);
	return s;
}

void vk_strv_take(struct vk_strv *l, char *s)
{
	if (l->n + 2 > l->cap) {
		l->cap = l->cap > 0 ? l->cap * 2 : 8;
		l->v = vk_reallocarray(l->v, l->cap, sizeof(*l->v));
	}
	l->v[l->n++] = s;
	l->v[l->n] = NULL;
}

void vk_strv_add(struct vk_strv *l, const char *s)
{
	vk_strv_take(l, vk_strdup(s));
}

void vk_strv_addn(struct vk_strv *l, const char *s, size_t n)
{
	vk_strv_take(l, vk_strndup(s, n));
}

void vk_strv_addf(struct vk_strv *l, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vk_strv_take(l, vk_vasprintf(fmt, ap));
	va_end(ap);
}

bool vk_strv_has(const struct vk_strv *l, const char *s)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->v[i], s) == 0)
			return true;
	return false;
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void vk_strv_sort(struct vk_strv *l)
{
	if (l->n > 1)
		qsort(l->v, l->n, sizeof(*l->v), compare_strings);
}

void vk_strv_release(struct vk_strv *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct vk_strv){0};
}
