/*
 * The text of HAProxy's configuration and of its maps. Only names of ours, checked addresses and
 * checked domains are written; the comment before a backend has the checked stack and node. Pure.
 */
#ifndef ROUTER_RENDER_H
#define ROUTER_RENDER_H

#include <stdbool.h>
#include <viking/err.h>
#include <viking/mem.h>

#include "model.h"

struct render_settings {
	const char *address;   /* http.address */
	unsigned port;         /* http.port */
	unsigned https_port;   /* https.port; 0 = none */
	const char *nonce_key; /* base64: signs the nonces of digest logins */
	const char *route_dir; /* STATE/route */
	const char *run_dir;   /* RUN/route */
	const char *sites;     /* RUN/web/sites.sock, or RUN/hosts/H/sites.sock */
	unsigned maxconn;
};

/* Addresses and paths that can stand in the file without quoting; else VK_INVALID names the
 * setting. */
int render_check(const struct render_settings *s, struct vk_err *err);
/* Connections that the limit of descriptors allows: two a connection and some for all else. */
unsigned render_maxconn(unsigned long nofile_hard);

void render_head(const struct render_settings *s, struct vk_buf *out); /* all but the backends */
void render_backends(const struct render_settings *s, const struct model *m, struct vk_buf *out);
/* "\tbind ADDRESS:PORT", without a newline. */
void render_bind(const struct render_settings *s, unsigned port, struct vk_buf *out);
/* The line of a certificate's file with its names ("a.com,b.com") in certs.list. */
void render_cert(const char *path, const char *names, struct vk_buf *out);
void render_map(const struct routes *r, struct vk_buf *out);

/* The label ("stack/node") of the backend that line `line` (from 1) of the text belongs to, or
 * NULL. */
const char *render_owner(const struct model *m, const char *text, unsigned line);
/* The first line number that haproxy's messages name (file:LINE] or file:LINE'), 0 if none. */
unsigned render_fault_line(const char *messages, const char *file);

#endif
