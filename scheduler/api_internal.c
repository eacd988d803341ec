/* Routes of our own processes: builder, agent, router, web. */
#include <string.h>
#include <viking/json.h>
#include <viking/str.h>

#include "api.h"
#include "builds.h"
#include "copies.h"
#include "drain.h"
#include "feed.h"
#include "holder.h"
#include "hosts.h"
#include "netfeed.h"
#include "router.h"
#include "stackpacks.h"

void api_ping(struct call *c)
{
	call_json(c, 200, json_pack("{s:b}", "pong", 1));
}

void api_version(struct call *c)
{
	call_json(c, 200, json_pack("{s:s,s:i}", "version", VIKING_VERSION, "api", 1));
}

static void answer(struct call *c, int rc, const struct vk_err *err)
{
	if (rc == 0)
		call_ok(c);
	else
		call_error(c, err);
}

void api_builder_watch(struct call *c)
{
	builds_watch(c->s, c->host, c->r);
	(void)call_take(c);
}

void api_builder_job(struct call *c)
{
	struct vk_err err = {0};
	if (copies_is_job(c->part[0])) {
		copies_report(c->s, c->host, c->part[0], c->body);
		call_ok(c);
		return;
	}
	int rc = holder_check(c->s, c->host, &err);
	answer(c, rc == 0 ? builds_report(c->s, c->part[0], c->body, &err) : rc, &err);
}

/* What packs build on now: stacks on another image are offered a rebuild. */
void api_builder_facts(struct call *c)
{
	const char *image = vk_json_str(c->body, "stack_image", "");
	bool news = strcmp(image, c->s->stack_image) != 0;
	struct stack *sk;
	if (!builds_here(c->s, c->host)) {
		call_ok(c);
		return;
	}
	snprintf(c->s->stack_image, sizeof(c->s->stack_image), "%s", image);
	table_each(&c->s->st.stacks, i,
		sk) if (news && sk->exists && stackpacks_outdated(c->s, sk) > 0)
		hub_event(c->s, "stack", sk->name, "rebuild offered: newer stack image", "viking");
	call_ok(c);
}

void api_front_watch(struct call *c)
{
	struct sched *s = c->s;
	feed_attach(s->front, call_take(c));
}

/* May the caller speak for the host? From another host only for that one. */
static int speaks_for(const struct call *c, const char *host, struct vk_err *err)
{
	if (c->host[0] == '\0' || vk_streq(host, c->host))
		return 0;
	return vk_err_set(err, VK_DENIED, "host %s may not speak for host %.64s", c->host,
		host != NULL ? host : c->s->cfg->host_name);
}

void api_agent_watch(struct call *c)
{
	struct sched *s = c->s;
	struct vk_req *r = c->r;
	struct vk_err err = {0};
	if (speaks_for(c, vk_req_query(r, "host"), &err) != 0 ||
		hosts_watch(s, vk_req_query(r, "host"), vk_req_query(r, "id"), r, &err) != 0)
		call_error(c, &err);
	else
		(void)call_take(c);
}

void api_agent_status(struct call *c)
{
	struct vk_err err = {0};
	int rc = speaks_for(c, call_text(c, "host"), &err);
	answer(c, rc == 0 ? hosts_status(c->s, c->body, &err) : rc, &err);
}

void api_agent_host(struct call *c)
{
	struct vk_err err = {0};
	int rc = speaks_for(c, call_text(c, "host"), &err);
	if (rc == 0)
		hosts_facts_set(c->s, c->body);
	answer(c, rc, &err);
}

void api_router_watch(struct call *c)
{
	router_watch(c->s, c->host, c->r);
	(void)call_take(c);
}

void api_router_ack(struct call *c)
{
	struct vk_err err = {0};
	answer(c, router_ack(c->s, c->host, c->body, &err), &err);
}

void api_router_drained(struct call *c)
{
	const char *id = call_text(c, "id");
	struct vk_err err = {0};
	if (id == NULL) {
		vk_err_set(&err, VK_INVALID, "id is missing");
		call_error(c, &err);
		return;
	}
	drain_drained(c->s, c->host, id);
	call_ok(c);
}

void api_web_watch(struct call *c)
{
	web_watch(c->s, c->host, c->r);
	(void)call_take(c);
}

void api_web_ack(struct call *c)
{
	struct vk_err err = {0};
	answer(c, web_ack(c->s, c->host, c->body, &err), &err);
}

void api_net_watch(struct call *c)
{
	struct sched *s = c->s;
	netfeed_watch(s, call_take(c));
}

static void net_ack(struct call *c, const char *who)
{
	struct vk_err err = {0};
	answer(c, netfeed_ack(c->s, c->host, who, c->body, &err), &err);
}

void api_dns_ack(struct call *c)
{
	net_ack(c, "dns");
}

void api_firewall_ack(struct call *c)
{
	net_ack(c, "firewall");
}

void api_firewall(struct call *c)
{
	const json_t *acked = netfeed_acked(c->s, c->host, "firewall");
	struct vk_err err = {0};
	if (acked == NULL) {
		vk_err_set(&err, VK_UNAVAILABLE, "the firewall has not answered yet");
		vk_err_hint(&err, "viking doctor");
		call_error(c, &err);
		return;
	}
	call_json(c, 200,
		json_pack("{s:s,s:b,s:b,s:s,s:s}", "table", vk_json_str(acked, "table", ""),
			"enabled", c->s->cfg->firewall_enabled, "applied",
			vk_json_bool(acked, "applied", false), "error",
			vk_json_str(acked, "error", ""), "rules", vk_json_str(acked, "rules", "")));
}

void api_links_ack(struct call *c)
{
	net_ack(c, "links");
}
