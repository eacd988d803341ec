/*
 * The nursery is `viking-session` before it has a connection: it has loaded libssh and the host keys (2-3
 * ms each time, measured) and forks one session for every socket the listener hands it. It never reads a
 * network byte itself. Sessions forked from one nursery share its address layout, so the listener starts a
 * new nursery as soon as a session has died of a signal: nobody can probe by crashing.
 *
 * Between listener and nursery: a socket pair (SOCK_SEQPACKET), datagrams of kind (1 byte), connection
 * number and value (4 bytes each, big-endian), with two descriptors beside a START.
 */
#ifndef RECEIVER_NURSERY_H
#define RECEIVER_NURSERY_H

#include <stdint.h>
#include <viking/config.h>
#include <viking/err.h>

enum nursery_kind {
	NURSERY_START = 'S', /* to it: connection; descriptors: client, socket of the monitor */
	NURSERY_KILL = 'K',  /* to it: end that session at once */
	NURSERY_READY = 'R', /* from it: keys are loaded */
	NURSERY_ENDED = 'E', /* from it: value = wait status */
};

struct nursery_note {
	enum nursery_kind kind;
	uint32_t id, value;
	int client, monitor; /* START; -1 else */
};

/* Blocking unless the socket is not; a send never waits long, the notes are few. */
int nursery_send(int sock, const struct nursery_note *n, struct vk_err *err);
/* VK_UNAVAILABLE: the other side is gone. */
int nursery_recv(int sock, struct nursery_note *ret, struct vk_err *err);

/* Exit statuses of a session: how the listener knows what became of it. */
enum session_exit {
	SESSION_LOGGED_IN = 0,
	SESSION_NO_KEY = 10,  /* no key was tried */
	SESSION_DENIED = 11,  /* keys were tried, none was let in */
	SESSION_GARBAGE = 12, /* no key exchange came about */
	SESSION_SANDBOX = 13, /* it could not be confined and sandbox = require */
};

/* The nursery's own program after its start-up: until control ends. */
struct hostkeys;
int nursery_serve(
	int control, const struct vk_config *c, struct hostkeys *keys, struct vk_err *err);

#endif
