/*
 * Names that reach paths, image tags, container names or HAProxy: each is checked here, character by
 * character, before use. Limits are SECURITY.md 5d.
 */
#ifndef VIKING_ID_H
#define VIKING_ID_H

#include <stdbool.h>
#include <stdint.h>
#include <viking/err.h>

#define VK_NAME_MAX   63
#define VK_DOMAIN_MAX 253

/* [a-z0-9][a-z0-9-]{0,62}, not all digits, not reserved (viking, core, system, shared-registry ...). */
int vk_stack_name(const char *s, struct vk_err *err);
/* The same for one that is to be made: its default domain needs a label that does not end in '-'. */
int vk_stack_name_new(const char *s, struct vk_err *err);
/* Nodes and boats: [a-z0-9][a-z0-9_-]{0,62}. */
int vk_node_name(const char *s, struct vk_err *err);
int vk_key_name(const char *s, struct vk_err *err); /* [A-Za-z0-9][A-Za-z0-9_.@-]{0,62} */
int vk_env_name(const char *s, struct vk_err *err); /* [A-Za-z_][A-Za-z0-9_]{0,127} */
/* Lower-cases, cuts one trailing dot, checks LDH labels, >= 1 dot unless it ends in "localhost", not
 * an IP address. With wildcard, a leading "*." is allowed. out holds VK_DOMAIN_MAX + 1. */
int vk_domain(const char *s, bool wildcard, char *out, struct vk_err *err);
bool vk_is_host(const char *s);   /* a host's name, without domain: [a-z0-9][a-z0-9-]{0,62} */
bool vk_is_commit(const char *s); /* exactly 40 lower-case hex digits */
/* n random bytes as 2n hex digits; out holds 2n + 1. */
void vk_random_hex(size_t n, char *out);
/* "<stack>-<node>-<version>-<n>"; out holds 160. */
void vk_instance_name(const char *stack, const char *node, unsigned version, unsigned n, char *out);
/* The DNS alias of a node: '_' becomes '-'. out holds VK_NAME_MAX + 1. */
void vk_dns_alias(const char *node, char *out);

#endif
