/*
 * Who may start a connection: how many unauthenticated ones in all and per source (/32 of IPv4, /64 of
 * IPv6), and penalties for sources whose connections failed, crashed or had to be ended. Pure: no clock
 * (times come in as milliseconds) and no sockets; memory is bounded.
 *
 * Penalties add up in milliseconds of refusal and are in force from PENALTY_MIN_MS on, never longer than
 * PENALTY_MAX_MS. The two loopback addresses 127.0.0.1 and ::1 are where proxies and tunnels of the host
 * come from, so one bad client there would shut out all: they collect no penalties.
 */
#ifndef RECEIVER_SOURCES_H
#define RECEIVER_SOURCES_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define SOURCES_MAX    4096
#define PENALTY_MIN_MS 15000
#define PENALTY_MAX_MS 600000

/* Why a connection ended. */
enum ending {
	ENDING_FINE,     /* it logged in */
	ENDING_NO_LOGIN, /* left without trying a key: a scan */
	ENDING_FAILED,   /* tried keys, none was let in */
	ENDING_GARBAGE,  /* did not speak SSH, or wrongly */
	ENDING_GRACE,    /* had to be ended at the grace time */
	ENDING_CRASHED,  /* its session died of a signal */
};

enum verdict {
	VERDICT_GO,     /* counted as a start; give it back with sources_login or sources_end */
	VERDICT_WAIT,   /* all of its source's places are taken: later */
	VERDICT_REFUSE, /* under a penalty */
};

struct source_id {
	uint8_t bytes[8];
	bool v6;
};

struct sources;
struct sources *sources_new(unsigned total_max, unsigned per_source_max);
void sources_free(struct sources *s);
/* Address of an accepted peer; IPv4 mapped into IPv6 counts as IPv4. */
struct source_id source_of(const struct sockaddr_storage *a);
enum verdict sources_start(struct sources *s, const struct source_id *id, int64_t now_ms);
void sources_login(struct sources *s, const struct source_id *id); /* no longer unauthenticated */
/* The connection's end; logged_in: sources_login was called before. */
void sources_end(struct sources *s, const struct source_id *id, enum ending how, bool logged_in,
	int64_t now_ms);
unsigned sources_starting(const struct sources *s); /* unauthenticated now */

#endif
