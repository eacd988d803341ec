/*
 * What HAProxy shall do, or does: backends with server slots, and the two maps from host names to
 * backends. The same structure holds the wanted state (made from the table), the rendered file and
 * the state read back from the runtime socket, so that "equal" means one thing. Pure: no I/O, no
 * clock.
 *
 * Backends are numbered from 1 and named b0001, b0002 ...; slots are s1, s2 ...; nothing a tenant
 * can choose is in these names. Number 0 in a route is the backend `sites` (the web process).
 */
#ifndef ROUTER_MODEL_H
#define ROUTER_MODEL_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <viking/mem.h>

enum slot_state {
	SLOT_NONE,  /* only in a state that was read: haproxy has no such server */
	SLOT_FREE,  /* maintenance; wanted free slots have the address 127.0.0.1:1 */
	SLOT_READY, /* gets requests */
	SLOT_DRAIN, /* finishes what it has */
};

struct slot {
	enum slot_state state;
	uint16_t port;
	char addr[INET6_ADDRSTRLEN];
};

struct backend {
	struct slot *slots;
	unsigned n;
	char *label; /* "stack/node" of names that were checked; NULL for a spare one */
};

struct route {
	char *key;        /* "a.com" in hosts, ".b.com" in suffixes */
	unsigned backend; /* number, 0 = sites */
};

struct routes {
	struct route *v;
	size_t n, cap;
};

struct model {
	struct backend *backends; /* backends[i] is number i + 1 */
	unsigned n;
	struct routes hosts;    /* sorted by key */
	struct routes suffixes; /* longest key first: haproxy's map_end takes the first that fits */
};

#define MODEL_SLOTS_MAX    4096
#define MODEL_BACKENDS_MAX 1000000
#define MODEL_CLOSED_ADDR  "127.0.0.1"
#define MODEL_CLOSED_PORT  1

void model_init(struct model *m, unsigned backends, unsigned slots); /* all slots SLOT_FREE */
void model_release(struct model *m);
/* Grows the model or the backend so that the slot exists (new ones SLOT_NONE); numbers from 1. */
struct slot *model_slot(struct model *m, unsigned backend, unsigned slot);
void slot_close(struct slot *s); /* SLOT_FREE with the closed address */
bool slot_equal(const struct slot *a, const struct slot *b);

void routes_add(struct routes *r, const char *key, unsigned backend); /* at the end */
void routes_sort_hosts(struct routes *r);
void routes_sort_suffixes(struct routes *r);
bool routes_equal(const struct routes *a, const struct routes *b); /* order counts */
const struct route *routes_find(const struct routes *sorted, const char *key);
void routes_release(struct routes *r);

/* "b0012" -> 12, "sites" -> 0; else false. */
bool backend_number(const char *name, size_t n, unsigned *ret);
bool slot_number(const char *name, size_t n, unsigned *ret); /* "s3" -> 3 */
#define BACKEND_NAME_SIZE 16
void backend_name(unsigned number, char out[static BACKEND_NAME_SIZE]);

#endif
