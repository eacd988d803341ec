/* What the parts of the manifest parser share. Nothing here is for other folders' or programs'
 * use. */
#ifndef VIKING_MANIFEST_PARSE_H
#define VIKING_MANIFEST_PARSE_H

#include <stdint.h>
#include <viking/yaml.h>

#include "manifest.h"

struct manifest {
	const struct manifest_opts *opts;
	struct vk_yaml *yaml; /* NULL for the default */
	json_t *doc;
	json_t *notices; /* doc's list, borrowed */
	bool implied; /* the boat `web` is from no line of the file: its Dockerfile, if there is one */
};

/* One value on its way into the document: where it stands in the file and how errors call it. */
struct mval {
	struct manifest *m;
	const struct vk_yaml *y;
	const char *what; /* "deploy.web.scale" */
};

/* "FILE:line:col: WHAT: ..."; VK_INVALID. */
int mval_error(const struct mval *v, struct vk_err *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Puts place and WHAT before the message that is in err. */
int mval_wrap(const struct mval *v, struct vk_err *err);
void manifest_notice(struct manifest *m, const struct vk_yaml *at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* A table of keys; ends with name NULL. fn stores into `out` (an object of the document) itself. */
typedef int mkey_fn(const struct mval *v, json_t *out, struct vk_err *err);
struct mkey {
	const char *name;
	const char *aliases; /* "a b c" or NULL */
	mkey_fn *fn;
	unsigned flags; /* the table's own use */
};
struct melse { /* a key that stands somewhere else */
	const char *name, *where;
};
struct mtable {
	const struct mkey *keys;
	const char *const *later; /* keys of later versions; ends with NULL; may be NULL */
	const char *
		where; /* "deploy.web", "the manifest" ... for unknown keys and the values' names */
	bool extras;   /* x-* allowed */
	const struct melse *elsewhere; /* ends with name NULL; may be NULL */
};
/* Runs the table over a map; ret_seen (may be NULL) gets a bit for each row that was there. */
int mtable_run(struct manifest *m, const struct vk_yaml *map, const struct mtable *t, json_t *out,
	uint64_t *ret_seen, struct vk_err *err);
/* The row of a key by name or alias, or NULL. */
const struct mkey *mtable_find(const struct mkey *keys, const char *name);

/* -- values; each leaves *ret alone on failure -- */
bool mval_is_null(const struct vk_yaml *y);
int mval_text(const struct mval *v, size_t max, const char **ret,
	struct vk_err *err); /* no control bytes */
int mval_long_text(
	const struct mval *v, size_t max, const char **ret, struct vk_err *err); /* any bytes */
int mval_bool(const struct mval *v, bool *ret, struct vk_err *err);
int mval_u64(const struct mval *v, uint64_t min, uint64_t max, uint64_t *ret, struct vk_err *err);
int mval_duration(
	const struct mval *v, int64_t min_ms, int64_t max_ms, int64_t *ret, struct vk_err *err);
int mval_argv(const struct mval *v, json_t **ret, struct vk_err *err);      /* words or list */
int mval_variables(const struct mval *v, json_t **ret, struct vk_err *err); /* map or K=V list */
int mval_map(const struct mval *v, struct vk_err *err);                     /* is it one? */
json_t *mval_json(const struct vk_yaml *y); /* x-*: any value; depth is the YAML parser's */
/* Calls fn for each item of a list, or once for anything else. */
int mval_each(const struct mval *v, size_t max, mkey_fn *fn, json_t *out, struct vk_err *err);
void manifest_store_extra(
	struct manifest *m, const char *where, const char *key, const struct vk_yaml *y);
/* Is this stack name our own: the one pushed to or viking.name? */
bool manifest_is_own(const struct manifest *m, const char *stack);
void json_set_str(json_t *obj, const char *key, const char *value);

/* -- sections -- */
int manifest_boats(struct manifest *m, const struct vk_yaml *build, struct vk_err *err);
json_t *manifest_default_boat(void);
int manifest_rollout(const struct mval *v, json_t *doc, struct vk_err *err);
bool manifest_is_node_key(const char *name);
int manifest_nodes(struct manifest *m, const struct vk_yaml *deploy, struct vk_err *err);
json_t *manifest_node_new(void);
int mnode_run(const struct mval *v, json_t *out, struct vk_err *err);
int mnode_expose(const struct mval *v, json_t *out, struct vk_err *err);
int mnode_publish(const struct mval *v, json_t *out, struct vk_err *err);
int mnode_error_pages(const struct mval *v, json_t *out, struct vk_err *err);
/* {"path"} gets the file's "text". */
int manifest_page_read(const struct manifest_files *files, json_t *page, struct vk_err *err);
int mnode_tcp(const struct mval *v, json_t *out, struct vk_err *err);
int mnode_volumes(const struct mval *v, json_t *out, struct vk_err *err);
int mnode_domains(const struct mval *v, json_t *out, struct vk_err *err);
int mnode_traffic(const struct mval *v, json_t *out, struct vk_err *err);
/* The ports that domains name: numbers instead of names. */
int mnode_check_domains(const struct mval *v, json_t *node, struct vk_err *err);
int mnode_links(const struct mval *v, json_t *out, struct vk_err *err);
int mnode_require(const struct mval *v, json_t *out, struct vk_err *err);
int mnode_shared(const struct mval *v, json_t *out, struct vk_err *err);
/* Once all nodes are there: own targets found, no link to itself, no circle. */
int manifest_links(struct manifest *m, struct vk_err *err);
int mnode_roles(const struct mval *v, json_t *out, struct vk_err *err);
int mnode_hosts(const struct mval *v, json_t *out, struct vk_err *err);
int mnode_disk(const struct mval *v, json_t *out, struct vk_err *err);
int mnode_group(const struct mval *v, json_t *out, struct vk_err *err);
int mnode_spread(const struct mval *v, json_t *out, struct vk_err *err);
int mnode_max_per_host(const struct mval *v, json_t *out, struct vk_err *err);
int mnode_group_role(const struct mval *v, json_t *out, struct vk_err *err);
int mnode_group_policy(const struct mval *v, json_t *out, struct vk_err *err);
int mnode_on_unhealthy(const struct mval *v, json_t *out, struct vk_err *err);
int mhealth_on_unhealthy(const struct mval *v, json_t *health, struct vk_err *err);
/* The top's nodes: (what hosts are expected) and roles: (of nodes that name none; into them by manifest_default_roles). */
int manifest_hosts(const struct mval *v, json_t *doc, struct vk_err *err);
int manifest_top_roles(const struct mval *v, json_t *doc, struct vk_err *err);
void manifest_default_roles(json_t *doc);
int mnode_check_group(const struct mval *v, const json_t *node, struct vk_err *err);
/* Once all nodes are there: a group that dies with its master has one. */
int manifest_groups(struct manifest *m, struct vk_err *err);
int mnode_health(const struct mval *v, json_t *out, struct vk_err *err);

#endif
