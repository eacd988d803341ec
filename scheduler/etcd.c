/* The store in etcd, opened as the settings say. Only viking-scheduler-etcd has this: libcurl costs a scheduler half a MiB. */
#include <viking/log.h>
#include <viking/str.h>

#include "classic.h"
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
	int rc = vk_store_etcd_open(s->loop, &o, &s->store, err);
	if (rc != 0 || vk_streq(s->cfg->etcd_classic, "off"))
		return rc;
	if (!classic_apart(s->cfg->etcd_classic, s->cfg->etcd_prefix)) {
		vk_log(VK_WARN, "classic-keys",
			"why=\"etcd.classic lies below etcd.prefix\" action=off");
		return 0;
	}
	vk_autofree char *client = vk_asprintf("%s-classic", s->installation);
	struct vk_store_etcd_opts all = o;
	all.prefix = "";
	all.client = client;
	return vk_store_etcd_open(s->loop, &all, &s->classic_store, err);
}
