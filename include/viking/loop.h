/*
 * The event loop of every daemon: libevent, wrapped so that programs see descriptors, timers, children
 * and signals and nothing else. One loop per process, one thread. Handles are owned by the loop's user
 * and freed with the _free functions, also from inside their own callback.
 */
#ifndef VIKING_LOOP_H
#define VIKING_LOOP_H

#include <stdint.h>
#include <sys/types.h>
#include <viking/err.h>

struct vk_loop;
struct vk_io;
struct vk_timer;
struct vk_child;
struct vk_signal;

#define VK_READ   1
#define VK_WRITE  2
#define VK_CLOSED 4 /* the peer closed its end (EPOLLRDHUP), reported without reading */

int vk_loop_new(struct vk_loop **ret, struct vk_err *err);
void vk_loop_free(struct vk_loop *l);
int vk_loop_run(struct vk_loop *l); /* until vk_loop_stop; returns the value given there */
void vk_loop_stop(struct vk_loop *l, int status);
/* One pass: waits up to timeout_ms (-1 for ever) for something, handles it, returns. For tests. */
void vk_loop_once(struct vk_loop *l, int timeout_ms);

typedef void vk_io_fn(void *arg, int fd, int what);
/* Level-triggered, persistent. The descriptor stays the caller's. */
struct vk_io *vk_io_new(struct vk_loop *l, int fd, int what, vk_io_fn *fn, void *arg);
void vk_io_set(struct vk_io *io, int what); /* 0 pauses */
void vk_io_free(struct vk_io *io);

typedef void vk_timer_fn(void *arg);
struct vk_timer *vk_timer_new(struct vk_loop *l, vk_timer_fn *fn, void *arg); /* not armed */
void vk_timer_set(struct vk_timer *t, int64_t ms); /* once, from now; re-arms; < 0 disarms */
void vk_timer_free(struct vk_timer *t);

/* Calls fn once with the waitpid status; by pidfd, so a recycled pid cannot be meant. A process that is
 * not our child (an adopted helper) can be watched too: its status is VK_CHILD_UNKNOWN. */
#define VK_CHILD_UNKNOWN (-1)
typedef void vk_child_fn(void *arg, pid_t pid, int status);
struct vk_child *vk_child_new(struct vk_loop *l, pid_t pid, vk_child_fn *fn, void *arg);
void vk_child_free(struct vk_child *c); /* stops watching, does not kill */

typedef void vk_signal_fn(void *arg, int signo);
struct vk_signal *vk_signal_new(struct vk_loop *l, int signo, vk_signal_fn *fn, void *arg);
void vk_signal_free(struct vk_signal *s);

struct event_base *vk_loop_base(struct vk_loop *l); /* for wrappers in base only */

#endif
