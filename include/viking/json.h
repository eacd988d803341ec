/*
 * JSON over jansson: strict parsing (1 MiB, depth 32, duplicates refused unless said otherwise), field
 * tables into structs, and builders that never print by hand. json_t references follow jansson's rules:
 * returned pointers named ret_ are new references, others are borrowed.
 */
#ifndef VIKING_JSON_H
#define VIKING_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <viking/err.h>
#include <viking/mem.h>

void vk_json_decrefp(json_t **j);
#define vk_autojson __attribute__((cleanup(vk_json_decrefp))) json_t

int vk_json_parse(const char *text, size_t n, json_t **ret, struct vk_err *err);
int vk_json_parse_max(const char *text, size_t n, size_t max, json_t **ret, struct vk_err *err);
char *vk_json_text(const json_t *j);   /* compact, keys sorted: canonical. Caller frees. */
char *vk_json_pretty(const json_t *j); /* indent 2, keys in order */
void vk_json_hash(const json_t *j, char out[static 65]); /* SHA-256 of the canonical text */
/* The merge patch (RFC 7396) that makes `to` of `from`, two objects without a null in them; NULL when they are equal. What both hold
 * by the same reference is equal at no cost; the patch refers to parts of `to`. New reference. */
json_t *vk_json_diff(const json_t *from, const json_t *to);
/* Applies a merge patch to an object in place. Nested no deeper than a parsed document is. */
void vk_json_merge(json_t *target, const json_t *patch);

enum vk_field_type {
	VK_F_STR,    /* char *, strdup'd */
	VK_F_BOOL,   /* bool */
	VK_F_U64,    /* uint64_t */
	VK_F_I64,    /* int64_t */
	VK_F_JSON,   /* json_t *, new reference, any type */
	VK_F_OBJECT, /* json_t *, new reference, must be an object */
	VK_F_ARRAY,  /* json_t *, new reference, must be an array */
};
struct vk_field {
	const char *name;
	enum vk_field_type type;
	size_t offset;
	bool required;
	uint64_t min, max; /* numbers: range (max 0 = no limit); strings: max bytes (0 = 4096) */
};
/* Fills *out by the table (ends with name NULL). Unknown key: VK_INVALID with a suggestion. Absent
 * optional fields are left as they were. On failure what was filled stays for vk_fields_release. */
int vk_json_fields(const json_t *obj, const struct vk_field *fields, void *out, struct vk_err *err);
void vk_fields_release(const struct vk_field *fields, void *out); /* frees strings and references */

/* Typed reads with defaults for trusted documents (our own processes). Borrowed. */
const char *vk_json_str(const json_t *obj, const char *key, const char *dflt);
int64_t vk_json_int(const json_t *obj, const char *key, int64_t dflt);
bool vk_json_bool(const json_t *obj, const char *key, bool dflt);
/* json_string that replaces invalid UTF-8 instead of failing. Never NULL. */
json_t *vk_json_safe_string(const char *s, size_t n);

/* Lines of JSON in a byte stream split at random. feed calls fn for each complete line's value. A line
 * over max bytes or not JSON: VK_LIMIT / VK_INVALID. fn's non-zero return stops and is returned. */
struct vk_jsonl {
	struct vk_buf buf;
};
typedef int vk_jsonl_fn(void *arg, json_t *value, struct vk_err *err);
void vk_jsonl_init(struct vk_jsonl *l, size_t max_line);
int vk_jsonl_feed(struct vk_jsonl *l, const void *p, size_t n, vk_jsonl_fn *fn, void *arg,
	struct vk_err *err);
int vk_jsonl_end(
	struct vk_jsonl *l, vk_jsonl_fn *fn, void *arg, struct vk_err *err); /* tail without \n */
void vk_jsonl_release(struct vk_jsonl *l);

#endif
