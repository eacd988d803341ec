/*
 * The etcd that vikingd supervises (helpers.run_etcd): an authority of its own, whose certificates alone open it, and its
 * command line. One member on loopback; Dockerfiles reach loopback, so it asks for certificates there as well.
 */
#ifndef VIKINGD_ETCD_SETUP_H
#define VIKINGD_ETCD_SETUP_H

#include <viking/config.h>
#include <viking/err.h>
#include <viking/mem.h>

/* STATE/cluster/etcd-ca.{pem,key} (root's own), STATE/etcd/{ca,server}.pem, server.key and data/ (etcd's),
 * STATE/sched/etcd-{ca,cert}.pem, etcd.key (the scheduler's); made once. */
int etcd_setup(const struct vk_config *c, struct vk_err *err);
void etcd_argv(const struct vk_config *c, struct vk_strv *ret);

#endif
