/* The network document to its followers. */
#include "netfeed.h"

#include <viking/json.h>
#include <viking/mem.h>

#include "feed.h"
#include "holder.h"
#include "hosts.h"
#include "net.h"

struct netfeed {
	struct sched *s;
	struct feed *feed;
	json_t *acks; /* {host: {"dns": body}} */
};

struct netfeed *netfeed_new(struct sched *s)
{
	struct netfeed *n = vk_alloc(sizeof(*n));
	*n = (struct netfeed){
		.s = s, .feed = feed_new(s->st.epoch, NULL, NULL), .acks = json_object()};
	return n;
}

void netfeed_free(struct netfeed *n)
{
	if (n == NULL)
		return;
	feed_free(n->feed);
	json_decref(n->acks);
	free(n);
}

static const json_t *wanted_def(void *arg, const struct stack *sk, unsigned born, const char *node)
{
	return hub_def(arg, sk, born, node);
}

/* Of a cluster: its hosts, and which of them has the registry. */
static void add_hosts(const struct sched *s, json_t *doc)
{
	const char *registry = holder_of(&s->st, s->cfg->host_name);
	const struct host_row *row, *own = table_get(&s->st.hosts, s->cfg->host_name);
	if (registry != NULL)
		json_object_set_new(doc, "registry",
			json_pack("{s:s,s:s,s:I}", "host", registry, "addr",
				s->cfg->registry_address, "port",
				(json_int_t)s->cfg->registry_port));
	if (own == NULL || own->addr == NULL)
		return;
	json_t *hosts = json_object();
	table_each(&s->st.hosts, i, row) if (row->addr != NULL)
		json_object_set_new(hosts, row->name, json_string(row->addr));
	json_object_set_new(doc, "hosts", hosts);
}

void netfeed_refresh(struct sched *s)
{
	const struct net_in in = {.st = &s->st,
		.range = s->range,
		.def = wanted_def,
		.address = hosts_address,
		.arg = s};
	if (!hosts_synced(s))
		return;
	json_t *doc = net_build(&in);
	add_hosts(s, doc);
	feed_set(s->netfeed->feed, doc);
}

void netfeed_watch(struct sched *s, struct vk_req *r)
{
	feed_attach(s->netfeed->feed, r);
}

const json_t *netfeed_doc(const struct sched *s)
{
	return feed_doc(s->netfeed->feed);
}

static const char *named(const struct sched *s, const char *host)
{
	return host[0] != '\0' ? host : s->cfg->host_name;
}

int netfeed_ack(
	struct sched *s, const char *host, const char *who, const json_t *body, struct vk_err *err)
{
	json_t *acks = json_object_get(s->netfeed->acks, named(s, host));
	if (vk_json_int(body, "rev", -1) < 0)
		return vk_err_set(err, VK_INVALID, "rev is missing");
	if (acks == NULL) {
		acks = json_object();
		json_object_set_new(s->netfeed->acks, named(s, host), acks);
	}
	json_object_set(acks, who, (json_t *)(uintptr_t)body);
	return 0;
}

const json_t *netfeed_acked(const struct sched *s, const char *host, const char *who)
{
	return json_object_get(json_object_get(s->netfeed->acks, named(s, host)), who);
}
