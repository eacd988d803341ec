/*
 * The audit log: one JSON line a decision, appended and synced before the caller gets its answer. Each line carries the
 * SHA-256 of the line before, so that a cut or changed line shows. Values of configuration are never written, only names.
 * A line torn by a power cut is cut off at the next start. A file that would grow over size_max is put aside as
 * PATH.1, the older ones move on to PATH.<keep>, what is older goes; the chain goes on over them.
 */
#ifndef SCHEDULER_AUDIT_H
#define SCHEDULER_AUDIT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <viking/err.h>

struct audit;
struct audit_entry {
	const char *who;    /* caller name */
	const char *source; /* key fingerprint, or NULL */
	const char *verb;   /* "POST /v1/stacks/{stack}/scale" */
	const char *stack;  /* or NULL */
	const char *result; /* "ok" or an error name */
	json_t *params;     /* borrowed, no secrets; or NULL */
};
int audit_open(
	const char *path, uint64_t size_max, uint64_t keep, struct audit **ret, struct vk_err *err);
void audit_close(struct audit *a);
/* sync false: written, synced with the next one that is (for what changes nothing). */
int audit_add(struct audit *a, const struct audit_entry *e, bool sync, struct vk_err *err);
/* Checks the chain from the oldest file put aside on; *ret_lines = good lines. VK_FAILED names the first bad one. */
int audit_verify(const char *path, uint64_t *ret_lines, struct vk_err *err);

#endif
