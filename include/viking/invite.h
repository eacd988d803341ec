/*
 * The word behind `viking join`: ADDRESS/PORT/PIN/SECRET, made by `viking hosts:invite`. PIN is the hex SHA-256 of the public
 * key (SubjectPublicKeyInfo) that the host at ADDRESS shows; SECRET is 32 hex digits, good for one host. Nothing in it is
 * special to a shell.
 */
#ifndef VIKING_INVITE_H
#define VIKING_INVITE_H

#include <netinet/in.h>
#include <stdint.h>
#include <viking/err.h>

#define VK_INVITE_SECRET 32 /* hex digits */

struct vk_invite {
	char addr[INET6_ADDRSTRLEN]; /* an IP address */
	uint16_t port;
	char pin[65];
	char secret[VK_INVITE_SECRET + 1];
};

/* VK_INVALID says which part is wrong, never what the secret is. */
int vk_invite_parse(const char *text, struct vk_invite *ret, struct vk_err *err);
char *vk_invite_format(const struct vk_invite *i); /* the caller's */

#endif
