/*
 * The life of one of viking's processes, the same for all that watch the scheduler: configuration, loop, open, sandbox, start, READY,
 * until SIGTERM or SIGINT; and the two ways they talk to it. Unlike the rest of base it logs: it is the program.
 */
#ifndef VIKING_ROLE_H
#define VIKING_ROLE_H

#include <viking/api.h>
#include <viking/config.h>
#include <viking/loop.h>
#include <viking/mem.h>
#include <viking/sandbox.h>

/* One running process. Owned by vk_role_main; what is borrowed from it lives until ops->free has returned. */
struct vk_role {
	const struct vk_config *c;
	struct vk_loop *l;
	const char *const *argv;    /* as they came, the configuration's own words too */
	struct vk_api_queue *queue; /* calls to the scheduler, in order; from start on */
	struct vk_api_opts api;     /* who we are to the scheduler */
	void *self;                 /* set by open or start */
	struct vk_role_watch *watches;
};

/* What stays allowed besides the scheduler's socket. */
struct vk_role_rights {
	struct vk_strv read, write, exec; /* paths */
	bool any_file; /* no landlock: it would fence in little who holds the engine's socket */
	enum vk_seccomp seccomp;
	uint64_t keep_caps, limit_nofile; /* as in struct vk_sandbox */
};

struct vk_role_ops {
	const char *name; /* "dns": to the scheduler and in the log */
	void (*rights)(const struct vk_config *c, struct vk_role_rights *ret);
	int (*open)(struct vk_role *r, struct vk_err *err);  /* before the sandbox; may be NULL */
	int (*start)(struct vk_role *r, struct vk_err *err); /* within it */
	void (*free)(void *self);                            /* NULL and half-made are fine */
};

/* The whole of main(): its value is the exit status. */
int vk_role_main(const struct vk_role_ops *o, int argc, char **argv);
int vk_role_confine(const struct vk_role_ops *o, const struct vk_config *c,
	struct vk_sandbox_report *ret, struct vk_err *err);

/* Documents of the scheduler's stream at path, each to fn, until the process ends. The watch is the role's. */
struct vk_role_watch *vk_role_watch(
	struct vk_role *r, const char *path, vk_api_watch_line_fn *fn, void *arg);
/* From within fn: asks for the stream anew (vk_api_watch_anew). */
void vk_role_watch_anew(struct vk_role_watch *w);
/* POST; a refusal is logged. */
void vk_role_report(struct vk_role *r, const char *path, const json_t *body);

#endif
