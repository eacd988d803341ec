/* The pages HAProxy answers itself: complete HTTP answers, written once into STATE/route. */
#ifndef ROUTER_PAGES_H
#define ROUTER_PAGES_H

#include <viking/err.h>
#include <viking/mem.h>

/* One row a file: "<name>.http". The list ends with name NULL. */
struct page {
	const char *name; /* "404", "404-text" */
	int status;
	const char *reason, *title, *text;
};
extern const struct page pages[];

#define PAGE_FILE_MAX 12000 /* bytes of a whole answer: haproxy keeps it in one buffer of 16 KiB */
/* An answer with a page of the tenant's; VK_LIMIT if it is too large for out. */
int page_custom(int status, const char *text, struct vk_buf *out);
void page_render(const struct page *p, struct vk_buf *out);
int pages_write(const char *dir, struct vk_err *err);
/* hold.lua: a held request waits until its policy is gone from policies.map, or its time is over. HAProxy has
 * no other way to wait for a map. */
int pages_write_hold(const char *dir, struct vk_err *err);

#endif
