/*
 * The etcd that vikingd supervises (helpers.run_etcd): an authority of its own, whose certificates alone open it, and its
 * command line. It listens on loopback, which Dockerfiles reach, and at cluster.address for the other hosts: everywhere it
 * asks for certificates.
 */
#ifndef VIKINGD_ETCD_SETUP_H
#define VIKINGD_ETCD_SETUP_H

#include <stdbool.h>
#include <viking/config.h>
#include <viking/err.h>
#include <viking/mem.h>

/* Makes what is missing: STATE/sched/etcd-ca.{pem,key} (made once in a cluster; each host that joins gets them),
 * STATE/etcd/{ca,server}.pem, server.key and data/ (etcd's, where it runs), STATE/sched/etcd-cert.pem and etcd.key (the
 * scheduler's; last). */
int etcd_setup(const struct vk_config *c, struct vk_err *err);
/* Has the scheduler made this host a member of the cluster's etcd (scheduler/members.h)? */
bool etcd_is_member(const struct vk_config *c);
void etcd_argv(const struct vk_config *c, struct vk_strv *ret);

#endif
