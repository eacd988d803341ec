/*
 * Where the host of a URL or an image name leads: this machine, its links, the local network. For names as tenants write
 * them: also in the forms that only inet_aton(3) reads (127.1, 0x7f000001), and as IPv4 inside IPv6. A host is a name or
 * an address, without port or brackets. Pure: nothing is resolved.
 */
#ifndef VIKING_HOST_NAME_H
#define VIKING_HOST_NAME_H

#include <stdbool.h>
#include <stdint.h>

bool vk_host_is_loopback(const char *host); /* also the unspecified address */
bool vk_host_is_link_local(const char *host);
/* Loopback, link-local, the private ranges, multicast, a name without a dot. */
bool vk_host_is_private(const char *host);

/* "https://10.0.0.1:2379", "https://[fd00::1]:2379". The caller's. */
char *vk_https_url(const char *address, uint64_t port);

#endif
