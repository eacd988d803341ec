/*
 * viking-firewall: holds one nftables table equal to the scheduler's network document. By libnftables, in this process: nothing is
 * executed. Other tables are neither read nor changed. The table outlives the process and viking itself.
 */
#ifndef FIREWALL_FIREWALL_H
#define FIREWALL_FIREWALL_H

#include <viking/config.h>
#include <viking/loop.h>
#include <viking/sandbox.h>

struct firewall;
int firewall_new(
	struct vk_loop *l, const struct vk_config *c, struct firewall **ret, struct vk_err *err);
/* Keeps CAP_NET_ADMIN and no other. */
int firewall_confine(const struct vk_config *c, struct vk_sandbox_report *ret, struct vk_err *err);
void firewall_start(struct firewall *f);
void firewall_free(struct firewall *f);

#endif
