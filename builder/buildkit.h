/*
 * Decoder of BuildKit's progress records, as the engine sends them in lines with the id
 * moby.buildkit.trace: base64 of a protobuf StatusResponse (moby/buildkit api/services/control). Only
 * the fields a person sees are read: vertex {1 digest, 3 name, 4 cached, 5 started, 6 completed, 7 error}
 * and log {1 vertex, 3 stream, 4 msg}; all others are skipped by their wire type. Pure and bounded: no
 * recursion, nothing is allocated, spans point into the input.
 */
#ifndef BUILDER_BUILDKIT_H
#define BUILDER_BUILDKIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <viking/err.h>

struct span {
	const char *p; /* not NUL-terminated; NULL when the field was absent */
	size_t n;
};

struct buildkit_vertex {
	struct span digest, name, error;
	bool cached, started, completed;
};

struct buildkit_log {
	struct span vertex, text;
	uint64_t stream; /* 1 stdout, 2 stderr */
};

struct buildkit_events {
	void (*vertex)(void *arg, const struct buildkit_vertex *v);
	void (*log)(void *arg, const struct buildkit_log *l);
};

/* Calls ev for each record of one StatusResponse. Malformed: VK_INVALID (records before it were
 * handed on). */
int buildkit_decode(
	const void *p, size_t n, const struct buildkit_events *ev, void *arg, struct vk_err *err);

#endif
