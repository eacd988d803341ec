/*
 * What a session and its monitor say to each other over their socket pair (SOCK_SEQPACKET): typed
 * messages of fixed layout, one datagram each, with descriptors beside them. The session holds a
 * stranger's bytes and is believed nothing: a message of the wrong direction, before log-in where it
 * needs one, with a wrong length, NUL byte or descriptor count is an error and ends the connection.
 *
 * Datagram: kind (1 byte), channel (1 byte), the kind's numbers (4 bytes each, big-endian), its strings
 * (2 bytes length, big-endian, then bytes). Nothing may follow.
 */
#ifndef RECEIVER_MESSAGE_H
#define RECEIVER_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <viking/err.h>
#include <viking/mem.h>

#define MESSAGE_MAX     16384 /* bytes of a datagram */
#define MESSAGE_NUMBERS 3
#define MESSAGE_STRINGS 4
#define MESSAGE_FDS     3
#define CHANNELS_MAX    10 /* of one connection; channel numbers are 0..9 */

enum message_kind {
	/* session to monitor */
	MESSAGE_KEY_QUERY = 1, /* str: key line. Would it be let in? Answered by KEY_ANSWER */
	MESSAGE_KEY_LOGIN, /* str: key line, user. Its signature was right. Answered by KEY_ANSWER */
	MESSAGE_RUN,       /* str: command ("" = greeting), TERM, LANG, GIT_PROTOCOL;
	                        * num: pty (0, 1), columns, rows. Answered by STARTED or SAY */
	MESSAGE_RESIZE,    /* num: columns, rows */
	MESSAGE_SIGNAL,    /* str: name without SIG */
	MESSAGE_PROGRESS,  /* num: MiB received so far */
	MESSAGE_CLOSE,     /* the client is done with this channel: end what runs */
	/* monitor to session */
	MESSAGE_KEY_ANSWER, /* num: yes (1) or no (0); str: a line for the person, or "" */
	MESSAGE_STARTED,    /* num: window bytes wanted (0 = as it is); fds: stdin, stdout, stderr;
	                     * or two, a terminal's for writing and for reading. All non-blocking */
	MESSAGE_SAY,    /* num: stream (1, 2), exit status; str: text. The channel's whole answer */
	MESSAGE_EXITED, /* num: exit status; str: signal name or "" */
	MESSAGE_REVOKED, /* str: why. The session tells the client and ends */
	MESSAGE_KINDS,
};

struct message {
	enum message_kind kind;
	unsigned channel;
	uint32_t num[MESSAGE_NUMBERS];
	char *str
		[MESSAGE_STRINGS]; /* owned when received, borrowed when sent; NULL is sent as "" */
	int fd[MESSAGE_FDS];       /* -1 = none; when received: the caller's, closed by release */
};
#define MESSAGE_INIT(k, ch) \
	{ \
		.kind = (k), .channel = (ch), .fd = { -1, -1, -1 } \
	}

/* Who may have written a message that we read. */
enum message_from { FROM_SESSION, FROM_MONITOR };

int message_encode(const struct message *m, struct vk_buf *out, struct vk_err *err);
int message_decode(
	const void *p, size_t n, enum message_from from, struct message *ret, struct vk_err *err);
bool message_needs_login(enum message_kind kind);
void message_release(struct message *m); /* of a received message: strings and descriptors */

/* Blocking. */
int message_send(int sock, const struct message *m, struct vk_err *err);
/* One message; VK_UNAVAILABLE when the peer is gone. */
int message_recv(int sock, enum message_from from, struct message *ret, struct vk_err *err);

#endif
