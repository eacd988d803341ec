/*
 * pre-receive: the checks that cost little, while the pushed objects are still in quarantine. Exit status 0
 * lets the push go on to proc-receive; 1 drops the objects.
 */
#ifndef HOOKS_PRE_RECEIVE_H
#define HOOKS_PRE_RECEIVE_H

#include "hook.h"
#include "options.h"

/* Reads "OLD NEW REF" lines from fd until its end. */
int pre_receive_read(int fd, struct ref_updates *u, struct vk_err *err);
/* All checks; prints what the person should see. 0 = go on, 1 = refused. */
int pre_receive_run(struct hook *h, int fd);

#endif
