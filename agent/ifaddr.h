/*
 * Variables "from_IFNAME" of an instance: the IPv4 address of that interface of this host, as it is when the container is made. An
 * interface that is not there refuses the instance if the variable is named ..._IP; else the value stays as it is.
 */
#ifndef AGENT_IFADDR_H
#define AGENT_IFADDR_H

#include <jansson.h>
#include <viking/err.h>

/* env: object of strings, or NULL. */
int ifaddr_check(
	const json_t *env, struct vk_err *err); /* VK_NOTFOUND names variable and interface */
json_t *ifaddr_env(json_t *env);                /* new reference; NULL for NULL */

#endif
