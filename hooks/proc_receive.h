/*
 * proc-receive (githooks(5)): git hands it the updates of all refs after the objects have left
 * quarantine and before any ref has moved. It asks for the release, shows its output, moves the ref by
 * compare-and-swap, and answers ok or ng with the reason for each ref; tags are left to git.
 */
#ifndef HOOKS_PROC_RECEIVE_H
#define HOOKS_PROC_RECEIVE_H

#include "hook.h"
#include "options.h"
#include "pktline.h"

/* The conversation up to the answers, fed with bytes split anywhere. Pure. */
enum proc_phase { PROC_VERSION, PROC_COMMANDS, PROC_OPTIONS, PROC_READY };
struct proc_request {
	enum proc_phase phase;
	struct pktline lines;
	bool wants_options;
	struct ref_updates updates;
	struct push_options options;
};

void proc_request_init(struct proc_request *q);
void proc_request_release(struct proc_request *q);
/* Adds what is to be sent to git to out. phase is READY when all has come. */
int proc_request_feed(
	struct proc_request *q, const void *p, size_t n, struct vk_buf *out, struct vk_err *err);
/* "ng REF REASON": one printable line, at most REASON_MAX bytes. */
void proc_answer_ng(struct vk_buf *out, const char *ref, const char *reason);

/* The whole hook on two descriptors. */
int proc_receive_run(struct hook *h, int in, int out);

#endif
