/*
 * The processes of this host. Roles (scheduler, receiver ...) are children that die with vikingd and are
 * restarted with back-off. Helpers (haproxy, docker-registry) have their own session, are recorded under RUN/helpers
 * with pid and start time, outlive vikingd and are adopted by the next one.
 */
#ifndef VIKINGD_SUPERVISOR_H
#define VIKINGD_SUPERVISOR_H

#include <viking/config.h>
#include <viking/err.h>
#include <viking/loop.h>

struct supervisor;

/* config_file is handed on to the children (may be NULL). Nothing is started yet. */
int supervisor_new(struct vk_loop *l, const struct vk_config *c, const char *config_file,
	struct supervisor **ret, struct vk_err *err);
/* Starts the scheduler and the helpers; the other roles follow when the scheduler is ready. */
void supervisor_start(struct supervisor *s);
/* Reads the settings anew (also before each start of the scheduler) and starts the etcd they may ask for now. Other
 * processes keep what they were started with. */
void supervisor_reload(struct supervisor *s);
/* Ends the roles (SIGTERM, after 10 s SIGKILL), leaves the helpers, then stops the loop with status 0. */
void supervisor_stop(struct supervisor *s);
void supervisor_free(struct supervisor *s);

#endif
