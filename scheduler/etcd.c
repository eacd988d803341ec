/* The store in etcd, opened as the settings say. Only viking-scheduler-etcd has this: libcurl costs a scheduler half a MiB. */
#include "hub.h"
#include "sched.h"

int sched_open_etcd(struct sched *s, struct vk_err *err)
{
	const struct vk_store_etcd_opts o = {.endpoints = s->cfg->etcd_endpoints,
		.ca = s->cfg->etcd_ca,
		.cert = s->cfg->etcd_cert,
		.key = s->cfg->etcd_key,
		.prefix = s->cfg->etcd_prefix,
		.client = s->installation};
	return vk_store_etcd_open(s->loop, &o, &s->store, err);
}
