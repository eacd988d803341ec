/* Maintenance of a stack: its domains answer 503 with a message, and nothing reaches its nodes. */
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "api.h"
#include "router.h"

#define MESSAGE_MAX     300
#define MESSAGE_DEFAULT "back soon"

/* It stands in a page as it is (router/policy.c). */
static int check_message(const char *text, struct vk_err *err)
{
	if (strlen(text) > MESSAGE_MAX)
		return vk_err_set(err, VK_LIMIT, "the message has more than %d bytes", MESSAGE_MAX);
	for (const char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f || strchr("<>&", *p) != NULL)
			return vk_err_set(err, VK_INVALID,
				"the message is one line of text without <, > and &");
	return 0;
}

static void routed(void *arg, bool reached)
{
	struct call *c = arg;
	call_json(c, 200, json_pack("{s:b}", "served", reached));
}

static void written(void *arg, const struct vk_err *err)
{
	struct call *c = arg;
	if (err != NULL) {
		call_error(c, err);
		return;
	}
	hub_refresh(c->s);
	router_wait(c->s, (int64_t)c->s->cfg->route_ack_ms, routed, c);
}

static void client_gone(void *arg, struct vk_req *r)
{
	struct call *c = arg;
	(void)r;
	c->r = NULL;
}

void api_maintenance(struct call *c)
{
	struct vk_err err = {0};
	const struct stack *sk = call_stack(c, &err);
	const char *text = call_text(c, "message");
	bool on = vk_json_bool(c->body, "on", true);
	if (text == NULL || text[0] == '\0')
		text = MESSAGE_DEFAULT;
	if (sk != NULL && on)
		check_message(text, &err);
	if (err.code != 0) {
		call_error(c, &err);
		return;
	}
	struct traffic_row row = {.maintenance = on ? (char *)(uintptr_t)text : NULL,
		.who = c->who.name,
		.since_ms = vk_now_ms()};
	struct txn *t = txn_new(c->s);
	txn_put_row(t, traffic_fields, &row, "/traffic/%s", c->stack);
	hub_event(c->s, "maintenance", c->stack, on ? text : "off", c->who.name);
	vk_req_on_closed(c->r, client_gone, c);
	txn_commit(t, written, c);
}
