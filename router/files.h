/*
 * The rendered files in STATE/route: haproxy.cfg, the maps, assign.json. Each is
 * replaced atomically and only when its text changes, or changed line by line (mapfile.h). haproxy.cfg is the state HAProxy comes back
 * with after a crash; it is written before the runtime socket is told the same. Nobody waits for the disk: the next boot writes all
 * of them anew, closed, from what it can read.
 */
#ifndef ROUTER_FILES_H
#define ROUTER_FILES_H

#include <stdbool.h>
#include <viking/err.h>
#include <viking/mem.h>

#include "assign.h"
#include "change.h"
#include "render.h"

struct files {
	const struct render_settings *settings; /* borrowed */
	char *cfg, *candidate, *assign;
	char *maps[MAPS];
	size_t sorted[MAPS];    /* bytes of them that were written in order; SIZE_MAX = not known */
	char *page_dir;         /* ID.http: pages of nodes' own */
	char *certs, *cert_dir; /* certs.list names certs/ID.pem with the names they are for */
};

#define FILES_MAX (512u << 20) /* bytes of one file */

char *files_cert(const struct files *f, const char *id); /* path; the caller frees */
char *files_page(const struct files *f, const char *id); /* likewise */
/* Of "502:ID 503:ID" what is on disk; NULL = none. The caller frees. */
char *files_pages_there(const struct files *f, const char *pages);
void files_init(struct files *f, const struct render_settings *s);
void files_release(struct files *f);
void files_render(const struct files *f, const struct model *m, struct vk_buf *out);
/* Writes `text` unless the file has it already; *ret_changed may be NULL. */
int files_put(const char *path, const struct vk_buf *text, bool *ret_changed, struct vk_err *err);
int files_put_maps(struct files *f, const struct model *m, struct vk_err *err);
/* The lines of a change alone; the model has it already. */
int files_change_maps(
	struct files *f, const struct model *m, const struct change *c, struct vk_err *err);
/* Removes the pages that no backend has. */
void files_sweep_pages(const struct files *f, const struct assign *a);
/* Removes the files of certificates that the model does not have. */
void files_sweep_certs(const struct files *f, const struct model *m);
int files_put_assign(const struct files *f, const struct assign *a, struct vk_err *err);
/* Missing or unreadable: a new one, *ret_fresh true. */
void files_get_assign(const struct files *f, struct assign *ret, bool *ret_fresh);
void files_get_maps(const struct files *f,
	struct model *m); /* routes to backends that do not exist are dropped */
/* Does the file on disk begin with the head that would be written now? */
bool files_same_head(const struct files *f);

#endif
