/*
 * viking-firewall: holds one nftables table equal to the scheduler's network document. By libnftables, in this process: nothing is
 * executed. Other tables are neither read nor changed. The table outlives the process and viking itself.
 */
#ifndef FIREWALL_FIREWALL_H
#define FIREWALL_FIREWALL_H

#include <viking/role.h>

extern const struct vk_role_ops firewall_role;

#endif
