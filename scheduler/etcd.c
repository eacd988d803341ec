/* The store in etcd, opened as the settings say. Only viking-scheduler-etcd has this: libcurl costs a scheduler half a MiB. */
#include <viking/fs.h>
#include <viking/log.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "classic.h"
#include "hub.h"
#include "sched.h"

#define ENDPOINTS_MAX 8192

static void know(struct sched *s, const char *endpoints)
{
	vk_store_etcd_know(s->store, endpoints);
	if (s->classic_store != NULL)
		vk_store_etcd_know(s->classic_store, endpoints);
}

static int open_classic(struct sched *s, const struct vk_store_etcd_opts *o, struct vk_err *err)
{
	if (vk_streq(s->cfg->etcd_classic, "off"))
		return 0;
	if (!classic_apart(s->cfg->etcd_classic, s->cfg->etcd_prefix)) {
		vk_log(VK_WARN, "classic-keys",
			"why=\"etcd.classic lies below etcd.prefix\" action=off");
		return 0;
	}
	vk_autofree char *client = vk_asprintf("%s-classic", s->installation);
	struct vk_store_etcd_opts all = *o;
	all.prefix = "";
	all.client = client;
	return vk_store_etcd_open(s->loop, &all, &s->classic_store, err);
}

int sched_open_etcd(struct sched *s, struct vk_err *err)
{
	const struct vk_store_etcd_opts o = {.endpoints = s->cfg->etcd_endpoints,
		.ca = s->cfg->etcd_ca,
		.cert = s->cfg->etcd_cert,
		.key = s->cfg->etcd_key,
		.prefix = s->cfg->etcd_prefix,
		.client = s->installation};
	vk_autofree char *path = vk_state_path(s->cfg, "sched/etcd-endpoints");
	vk_autobuf more = VK_BUF_INIT(ENDPOINTS_MAX);
	int rc = vk_store_etcd_open(s->loop, &o, &s->store, err);
	if (rc == 0)
		rc = open_classic(s, &o, err);
	if (rc != 0)
		return rc;
	s->etcd_call = vk_store_etcd_call;
	s->etcd_know = know;
	if (vk_fs_read(path, &more, NULL) == 0)
		know(s, vk_buf_str(&more));
	return 0;
}
