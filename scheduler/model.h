/*
 * What the scheduler knows, as structs, and the keys of the store they live under. One value is one
 * JSON object with a schema version "v"; each struct has a field table that decodes and encodes it. The name in the key is
 * not repeated in the value.
 *
 *	/leader, /epoch           who leads, and how often that changed (lead.h)
 *	/key/NAME                 struct key_row
 *	/stack/S                  struct stack_row (identity, network)
 *	/lock/S                   struct lock_row
 *	/node/S/NODE              struct node_row: what commands said about a node (scale, stopped, gen)
 *	/packs/S                  {"list": ["https://..."]}: buildpacks:set
 *	/config/S/K               struct config_row, the value sealed
 *	/domain/D                 struct domain_row: domains added by command
 *	/release/S/N              struct release
 *	/current/S                {"n"}: the release that serves
 *	/canary/S                 {"n", "percent", "nodes", "since_ms"}: a release on trial beside the serving one
 *	/pending/S                {"ref", "old", "new"}: a ref still to be moved
 *	/drain/S                  {"instances": [{.., "ms"}]}: old instances finishing their requests, how long
 *	/intent/S                 {"kind", "release", "stage", ...}: a deploy under way
 *	/build/ID                 struct build_row
 *	/images/S/BOAT/TAG        struct image_row
 *	/volume/NAME              struct volume_row
 *	/cert/S/ID                struct cert_row, the PEM sealed
 *	/acme/D                   struct acme_row: a domain's automatic certificate
 *	/account/ID               struct account_row at an authority, its key sealed
 *	/traffic/S                struct traffic_row: what commands said about a stack's requests
 *	/host/H                   struct host_row
 *	/assign/H                 struct assign_row: what is placed on the host; one key a host, however much runs there
 *	/gone/volume|network/NAME, /gone/logs/S   to be removed from hosts
 *	/gone/repo/ID             to be removed by the receiver
 *
 * Times are Unix milliseconds, 0 = never.
 */
#ifndef SCHEDULER_MODEL_H
#define SCHEDULER_MODEL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <viking/json.h>

#include "table.h"

#define MODEL_VERSION 1

bool model_of_leader(const char *key); /* of a scheduler, not of the state: in no backup */

struct key_row {
	char *name;
	char *line;        /* "type base64" */
	char *fingerprint; /* "SHA256:..." */
	char *role;        /* "admin" or "deploy" */
	json_t *stacks;    /* globs */
	int64_t created_ms, expires_ms, last_used_ms;
};
extern const struct vk_field key_fields[];

struct stack_row {
	char *id; /* hex; survives a rename, differs after destroy and create */
	char *who;
	char *renamed_from; /* in rows of older versions */
	uint64_t subnet;    /* which subnet of networks.range */
	int64_t created_ms;
	uint64_t next; /* the next release number is at least this */
};
extern const struct vk_field stack_fields[];

struct lock_row {
	char *reason, *who;
	int64_t when_ms;
};
extern const struct vk_field lock_fields[];

struct node_row {
	char *name;
	int64_t scale; /* -1: as the manifest says */
	uint64_t gen;
	bool stopped;
	unsigned top; /* highest version any release used; not stored here */
};
extern const struct vk_field node_fields[];

struct config_row {
	char *name;
	char *sealed;
};
extern const struct vk_field config_fields[];

struct domain_row {
	char *name;
	char *stack, *node;
};
extern const struct vk_field domain_fields[];

struct release {
	unsigned n;
	char *kind; /* push, config, rollback, redeploy, rebuild */
	char *commit, *tree;
	char *who, *why, *note;
	char *outcome; /* deploying, canary, ok, failed, cancelled, aborted */
	char *cause;   /* of a failure, one line */
	int64_t when_ms, ms;
	char *doc; /* text of the push document; NULL once the release is beyond keeping */
	json_t *boats; /* {"src": {"ref", "digest", "image", "expose", "launch"}}, and "other/boat" likewise */
	json_t *nodes;   /* {"web": entry}, see place.h */
	json_t *config;  /* {"K": sealed} */
	json_t *receipt; /* receipts.h, or NULL */
	json_t *defs;    /* {"web": definition}, made when needed, holds secrets; never stored */
	bool defs_used;  /* by the wanted state made last */
};
extern const struct vk_field release_fields[];

struct build_row {
	char *name; /* "b12" */
	char *stack, *boat, *node, *commit, *who, *state, *cause;
	char *led; /* the host whose scheduler has the output */
	int64_t started_ms, ms;
	uint64_t bytes;
	bool cached;
};
extern const struct vk_field build_fields[];

struct image_row {
	char *name; /* "S/BOAT/TAG" */
	char *ref, *digest, *image, *commit, *key;
	json_t *expose;
	json_t *launch; /* processes.h; NULL for Dockerfiles */
	int64_t time_ms;
};
extern const struct vk_field image_fields[];

struct volume_row {
	char *name;
	char *stack, *node, *path, *host;
	int64_t created_ms;
};
extern const struct vk_field volume_fields[];

struct cert_row {
	char *name;   /* "S/ID" */
	char *sealed; /* chain and key */
	json_t *names;
	char *issuer, *who;
	char *ordered_for; /* the domain that acme.h ordered it for, or NULL */
	int64_t not_before_ms, not_after_ms, created_ms;
};
extern const struct vk_field cert_fields[];

struct acme_row {
	char *name; /* the domain */
	char *stack;
	bool on;           /* by certs:auto */
	char *order;       /* the one under way, or NULL */
	json_t *challenge; /* {TOKEN: ANSWER} of it, or NULL */
	int64_t order_ms;  /* when the last one began */
	int64_t next_ms;   /* not before */
	uint64_t failures; /* one after the other */
	char *error, *hint;
};
extern const struct vk_field acme_fields[];

struct account_row {
	char *name;      /* hash of the directory */
	char *directory; /* URL */
	char *sealed;    /* private key */
	int64_t created_ms, hour_ms;
	uint64_t hour_n; /* orders since hour_ms */
};
extern const struct vk_field account_fields[];

struct traffic_row {
	char *name;
	char *maintenance; /* the message while it is on, else NULL */
	uint64_t hold_ms;  /* requests wait that long, 0 = they do not */
	char *who;
	int64_t since_ms;
};
extern const struct vk_field traffic_fields[];

struct host_row {
	char *name;
	char *id; /* of the installation that goes by this name, as its agent told; NULL in the beginning */
	char *engine;                /* version of its Docker Engine */
	char *zone;                  /* NULL = none */
	json_t *roles;               /* given by hosts:label */
	json_t *told;                /* roles of the host's own configuration (host.roles) */
	uint64_t cpus, memory, disk; /* capacity: cores, bytes, bytes; 0 = not known yet */
	bool draining;               /* takes nothing new, gives away what can go */
	char *addr;    /* where viking-front of it is reached; NULL: not in a cluster */
	uint64_t port; /* of that address */
	bool registry; /* the images of all hosts are here */
	char *key;     /* hex SHA-256 of its public key (vk_tls_info); NULL = any of its name */
	int64_t created_ms;
};
extern const struct vk_field host_fields[];

struct invite_row {
	char *name;    /* hex SHA-256 of its secret */
	char *who;     /* made it */
	json_t *roles; /* that the host gets */
	int64_t created_ms, expires_ms;
	char *host, *key; /* that used it, as in host_row; NULL = nobody yet */
};
extern const struct vk_field invite_fields[];

struct assign_row {
	char *name;     /* of the host */
	json_t *stacks; /* {"ragnar": ["ragnar-web-3-1"]} */
};
extern const struct vk_field assign_fields[];

/* Both by table; decode leaves *row as far as it came on failure. encode adds "v". */
int model_decode(const struct vk_field *fields, const json_t *value, void *row, struct vk_err *err);
json_t *model_encode(const struct vk_field *fields, const void *row);

void key_row_free(void *row);
void node_row_free(void *row);
void config_row_free(void *row);
void domain_row_free(void *row);
void build_row_free(void *row);
void image_row_free(void *row);
void volume_row_free(void *row);
void cert_row_free(void *row);
void acme_row_free(void *row);
void account_row_free(void *row);
void traffic_row_free(void *row);
void host_row_free(void *row);
void invite_row_free(void *row);
void assign_row_free(void *row);
void release_free(struct release *r);

#endif
