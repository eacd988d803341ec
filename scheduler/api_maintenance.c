/*
 * Maintenance of a stack: its domains answer 503 with a message, and nothing reaches its nodes. Hold: requests wait, up to
 * a time, and go on when it ends.
 */
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "api.h"

#define MESSAGE_MAX     300
#define HOLD_MAX        300000
#define MESSAGE_DEFAULT "back soon"

static int check_message(const char *text, struct vk_err *err)
{
	if (strlen(text) > MESSAGE_MAX)
		return vk_err_set(err, VK_LIMIT, "the message has more than %d bytes", MESSAGE_MAX);
	for (const char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return vk_err_set(err, VK_INVALID, "the message is one line of text");
	return 0;
}

static const struct traffic_row *row_of(const struct call *c)
{
	return table_get(&c->s->st.traffic, c->stack);
}

static uint64_t kept_hold(const struct call *c)
{
	return row_of(c) != NULL ? row_of(c)->hold_ms : 0;
}

static const char *kept_message(const struct call *c)
{
	return row_of(c) != NULL ? row_of(c)->maintenance : NULL;
}

static void change(
	struct call *c, const char *message, uint64_t hold_ms, const char *what, const char *event)
{
	struct traffic_row row = {.maintenance = (char *)(uintptr_t)message,
		.hold_ms = hold_ms,
		.who = c->who.name,
		.since_ms = vk_now_ms()};
	struct txn *t = txn_new(c->s);
	txn_put_row(t, traffic_fields, &row, "/traffic/%s", c->stack);
	hub_event(c->s, event, c->stack, what, c->who.name);
	call_commit_routed(c, t, call_served);
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
	vk_autofree char *message = on ? vk_strdup(text) : NULL;
	change(c, message, kept_hold(c), on ? message : "off", "maintenance");
}

void api_hold(struct call *c)
{
	struct vk_err err = {0};
	const struct stack *sk = call_stack(c, &err);
	int64_t ms = vk_json_int(c->body, "ms", 0);
	if (sk != NULL && (ms < 0 || ms > HOLD_MAX))
		vk_err_set(&err, VK_INVALID, "ms is 0 (off) to %d: requests wait %d s at most",
			HOLD_MAX, HOLD_MAX / 1000);
	if (err.code != 0) {
		call_error(c, &err);
		return;
	}
	change(c, kept_message(c), (uint64_t)ms, ms > 0 ? "on" : "off", "hold");
}
