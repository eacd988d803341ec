/*
 * What HAProxy shall do, or does: backends with server slots, and the maps from host names to
 * backends and to what else is to be done with a request. The same structure holds the wanted state (made from the table), the rendered file and
 * the state read back from the runtime socket, so that "equal" means one thing. Pure: no I/O, no
 * clock.
 *
 * Backends are numbered from 1 and named b0001, b0002 ...; slots are s1, s2 ...; nothing a tenant
 * can choose is in these names. `sites` is the backend of websites (the web process).
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
	SLOT_DRAIN, /* finishes what it has, or gets what a rule names it for: a lot, a cookie */
};

struct slot {
	enum slot_state state;
	uint16_t port;
	char addr[INET6_ADDRSTRLEN];
};

struct backend {
	struct slot *slots;
	unsigned n;
	char *label;    /* "stack/node" of names that were checked; NULL for a spare one */
	uint16_t front; /* it is a TCP service on this port; 0 = it gets HTTP from the frontend */
	bool h2;        /* its servers speak HTTP/2 from the first byte */
	char *pages;    /* "502:ID 503:ID": pages of its own, files pages/ID.http; NULL = none */
};

/* The maps. A route is "b0012", "sites", or with more: BACKEND|POLICY|GROUP - a policy's id or
 * "0", and the group of paths of this host or "0"; BACKEND is "0" when only paths below the host are
 * served. */
enum map_id {
	MAP_HOSTS,    /* "a.com" -> route */
	MAP_SUFFIXES, /* ".b.com" -> route; longest first */
	MAP_PATHS,    /* "GROUP/api/" -> route; the longest that fits is found by haproxy */
	MAP_POLICIES, /* id -> what policy_value() makes */
	MAP_ACCESS,   /* "POLICY:user" -> HA1s, "10.0.0.0@POLICY" -> 1 */
	MAP_STICKY,   /* "b0012/TOKEN" -> "s1", "b0012:s1" -> TOKEN: servers of sticky routes;
	               * "b0012@7" -> "s3": of a hundred lots those that are drawn for a canary */
	MAP_ACME, /* "a.com/.well-known/acme-challenge/TOKEN" -> the answer, "a.com" -> 1: orders under way */
	MAPS
};

struct route {
	char *key, *value;
};

struct routes {
	struct route *v;
	size_t n, cap;
};

struct model {
	struct backend *backends; /* backends[i] is number i + 1 */
	unsigned n;
	/* Sorted by key, but the suffixes: longest first, as haproxy's map_end takes the first that
	 * fits. */
	struct routes maps[MAPS];
	struct routes certs; /* id -> "a.com,*.b.com": the names a certificate is shown for */
};

#define CERT_NAMES_MAX 32    /* of one certificate */
#define CERT_PEM_MAX   14000 /* bytes: haproxy takes it as one command of at most 16 KiB */

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

extern const char *const map_names[MAPS]; /* "hosts.map" .. */

void routes_add(struct routes *r, const char *key, const char *value); /* at the end */
void routes_sort(struct routes *r, enum map_id id);
void routes_unique(struct routes *r); /* drops what has the key of the one before it */
bool routes_equal(const struct routes *a, const struct routes *b); /* order counts */
/* Two lines in the order of a map: <, =, > 0. */
int routes_order(enum map_id id, const struct route *a, const struct route *b);
const struct route *routes_get(const struct routes *sorted, enum map_id id, const char *key);
/* Of all but the suffixes. */
const struct route *routes_find(const struct routes *sorted, const char *key);
/* Of sorted ones: gives the key this value, NULL = takes it out. */
void routes_set(struct routes *sorted, enum map_id id, const char *key, const char *value);
void routes_release(struct routes *r);
/* The backend a route leads to; false: none. Only for the first three maps. */
bool route_backend(const char *value, unsigned *ret);

/* "b0012" -> 12, "sites" -> 0; else false. */
bool backend_number(const char *name, size_t n, unsigned *ret);
bool slot_number(const char *name, size_t n, unsigned *ret); /* "s3" -> 3 */
#define BACKEND_NAME_SIZE 16
void backend_name(unsigned number, char out[static BACKEND_NAME_SIZE]);

#endif
