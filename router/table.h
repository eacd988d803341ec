/*
 * The routing table as the scheduler sends it, checked value by value. A stack with one bad value
 * is at fault as a whole: its fault is listed and its last good entry stays, while all other
 * stacks go on. Pure: JSON in, structures out.
 */
#ifndef ROUTER_TABLE_H
#define ROUTER_TABLE_H

#include <jansson.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <viking/err.h>
#include <viking/id.h>

#include "policy.h"

struct table_server {
	char *id;
	char addr[INET6_ADDRSTRLEN]; /* canonical text */
	uint16_t port;
	enum { SERVER_READY, SERVER_CANARY, SERVER_DRAIN } state;
};

/* A backend: "web", "web:8080" for another port of the node than its first, "db@5432" for a TCP service on
 * that port of the host. */
struct table_node {
	char *name;
	bool h2;     /* HTTP/2 without TLS */
	char *pages; /* as in the model */
	bool site;   /* its domains show files; servers are of an app it was before, draining */
	struct table_server *servers;
	size_t n;
	unsigned canary;  /* of 100 requests those that its canary servers get; 0 = none */
	unsigned backend; /* its number, set by assign_update; 0 = it has none */
};

struct table_domain {
	char *key;             /* "a.com", or ".b.com" for "*.b.com" */
	char *path;            /* "/api" when only that and what is below is meant, else "" */
	size_t node;           /* index into nodes */
	struct policy *policy; /* or NULL */
	bool lost;             /* while domains are settled */
};

/* A certificate: its id, and the domains it is shown for, "a.com,*.b.com". */
struct table_cert {
	char id[POLICY_ID_SIZE];
	char *names;
};

struct table_stack {
	char *name;
	struct table_cert *certs;
	struct table_cert *held; /* of the table before, while one of certs is not to be had */
	size_t n_certs, n_held;
	struct table_node *nodes;
	size_t n_nodes;
	struct table_domain *domains;
	size_t n_domains;
	unsigned watch; /* the number of a release that is being watched, 0 = none */
	bool paths;     /* some domain has one */
	bool kept;      /* the entry of an earlier table */
};

/* A challenge of a certificate's order: what is asked for, "a.com/.well-known/acme-challenge/TOKEN", and the answer; and "a.com",
 * 1, once for the domain. */
struct table_challenge {
	char *key, *value;
};
#define ACME_PATH "/.well-known/acme-challenge/"

struct table {
	int64_t rev;
	struct table_stack *stacks; /* sorted by name */
	size_t n;
	struct table_challenge *challenges;
	size_t n_challenges;
	char files[VK_NAME_MAX +
		1]; /* another host that has the files of websites; "" = this one */
};

struct faults {
	struct fault {
		char *stack; /* "" = no stack can be named */
		char *message;
	} * v;
	size_t n;
};

#define TABLE_SERVERS_MAX 1024 /* of one node */
#define TABLE_PATH_MAX    200  /* bytes */

/* Where a host reaches a server: the object with its "addr" and "port", as they are there or as its own host gives them to others.
 * NULL: it does not. */
const json_t *table_place(const json_t *server, const char *host);
/* Parses one line of the watch, for this host. Stacks at fault are left out and listed. Only a document that is no
 * table at all is an error. */
int table_parse(const json_t *doc, const char *host, struct table **ret, struct faults *faults,
	struct vk_err *err);
/* Moves the entries of the stacks at fault from `old` (may be NULL) into t, and settles domains
 * that two stacks claim: the owner in `old` keeps it, the other is at fault. */
void table_settle(struct table *t, struct table *old, struct faults *faults);
/* One stack's entry is replaced by that of `old`, or removed if there is none. */
void table_revert(struct table *t, struct table *old, const char *stack);
/* "web", "web:8080" or "db@5432"; the forms a backend has in the table and in assign.json. */
int table_backend_name(const char *name, struct vk_err *err);
bool table_page_ok(const char *page);   /* "503:ID" */
uint16_t table_front(const char *name); /* 5432 of "db@5432", else 0 */
bool table_node_needs_backend(const struct table_node *node);
struct table_node *table_node(const struct table_stack *s, const char *name); /* or NULL */
void table_sort(struct table *t); /* its stacks, by name */
struct table_stack *table_find(const struct table *t, const char *stack);
void table_free(struct table *t);
/* One entry; on an error *ret may be half made, to be released as well. */
int table_stack_parse(const char *name, const json_t *entry, const char *host,
	struct table_stack *ret, struct vk_err *err);
void table_stack_release(struct table_stack *s);
void table_domain_release(struct table_domain *d);

void faults_add(struct faults *f, const char *stack, const char *message); /* one a stack */
bool faults_has(const struct faults *f, const char *stack);
void faults_release(struct faults *f);

#endif
