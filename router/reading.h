/*
 * What is asked of HAProxy's runtime socket to know its state, and how the answers go into the model of it. Pure.
 */
#ifndef ROUTER_READING_H
#define ROUTER_READING_H

#include "files.h"
#include "plan.h"

/* Bits: several of READ_FIRST go in one exchange, all others are one each. */
enum {
	READ_PID = 1,
	READ_TOUCHED = 2,
	READ_SERVERS = 4,
	READ_CERTS = 8,
	READ_KEYS = 16,
	READ_MAP = 32,                                    /* the first of MAPS bits */
	READ_FIRST = READ_PID | READ_TOUCHED | READ_KEYS, /* go in one exchange */
	READ_ALL = READ_PID | READ_SERVERS | ((1 << MAPS) - 1) * READ_MAP
};

struct reading {
	const struct files *files;
	const struct plan *plan;     /* its touched backends are READ_TOUCHED */
	const struct change *change; /* its keys are READ_KEYS */
};

unsigned reading_next(unsigned reads);                          /* those of the next exchange */
char *reading_command(const struct reading *in, unsigned what); /* the caller frees */
void reading_take(const struct reading *in, unsigned what, const char *text, struct model *live);

#endif
