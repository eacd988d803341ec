/* maintenance and hold: what is in force, on, off */
#include <viking/json.h>
#include <viking/str.h>

#include "groups.h"
#include "output.h"

static int maintenance(struct call *c, bool on, struct vk_err *err)
{
	const char *s, *text = on ? call_value(c, "--message") : NULL;
	int r = stack_word(c, 0, &s, err);
	if (r < 0)
		return r;
	vk_autojson *body = json_pack("{s:b}", "on", on);
	if (text != NULL)
		json_object_set_new(body, "message", vk_json_safe_string(text, strlen(text)));
	r = api_send(c, "POST", body, NULL, err, "/v1/stacks/%s/maintenance", s);
	if (r == 0)
		printf(on ? "%s answers 503 until: viking maintenance:off %s\n"
			  : "%s is served again%.0s\n",
			s, s);
	return r;
}

static int maintenance_on(struct call *c, struct vk_err *err)
{
	return maintenance(c, true, err);
}

static int maintenance_off(struct call *c, struct vk_err *err)
{
	return maintenance(c, false, err);
}

static int hold(struct call *c, int64_t ms, struct vk_err *err)
{
	const char *s;
	int r = stack_word(c, 0, &s, err);
	if (r < 0)
		return r;
	vk_autojson *body = json_pack("{s:I}", "ms", (json_int_t)ms);
	r = api_send(c, "POST", body, NULL, err, "/v1/stacks/%s/hold", s);
	if (r == 0 && ms > 0)
		printf("requests for %s wait, each for %.3g s at most, until: viking hold:off %s\n",
			s, (double)ms / 1000, s);
	else if (r == 0)
		printf("requests for %s go on\n", s);
	return r;
}

static int hold_on(struct call *c, struct vk_err *err)
{
	const char *text = call_value(c, "--for");
	int64_t ms = 30000;
	if (text != NULL && (vk_parse_duration_ms(text, &ms) != 0 || ms <= 0))
		return vk_err_set(err, VK_INVALID, "--for is a time like 30s, not \"%.40s\"", text);
	return hold(c, ms, err);
}

static int hold_off(struct call *c, struct vk_err *err)
{
	return hold(c, 0, err);
}

typedef void print_fn(const char *stack, const json_t *traffic);

/* What commands have set: {"maintenance": text or null, "hold_ms", "who", "since_ms"}, or null. */
static int show(struct call *c, print_fn *print, struct vk_err *err)
{
	const char *s;
	vk_autojson *answer = NULL;
	int r = stack_word(c, 0, &s, err);
	if (r == 0)
		r = api_get(c, &answer, err, "/v1/stacks/%s", s);
	if (r < 0)
		return r;
	const json_t *traffic = json_object_get(answer, "traffic");
	if (c->json)
		return print_json(traffic);
	print(s, traffic);
	return 0;
}

static void print_maintenance(const char *stack, const json_t *traffic)
{
	const char *message = vk_json_str(traffic, "maintenance", NULL);
	if (message == NULL)
		printf("%s is served\n", stack);
	else
		printf("%s answers 503: %s\n", stack, message);
}

static void print_hold(const char *stack, const json_t *traffic)
{
	int64_t ms = vk_json_int(traffic, "hold_ms", 0);
	if (ms == 0)
		printf("requests for %s are not held\n", stack);
	else
		printf("requests for %s wait, each for %.3g s at most\n", stack, (double)ms / 1000);
}

static int maintenance_show(struct call *c, struct vk_err *err)
{
	return show(c, print_maintenance, err);
}

static int hold_show(struct call *c, struct vk_err *err)
{
	return show(c, print_hold, err);
}

static const struct option hold_options[] = {
	{"--for", NULL, "TIME", "the longest a request waits (30s)"},
	{0},
};

static const struct option message_options[] = {
	{"--message", NULL, "TEXT", "what visitors read"},
	{0},
};

const struct command traffic_commands[] = {
	{"maintenance", "STACK", 1, 1, 0, true, maintenance_show, NULL,
		"does a stack answer 503, and what"},
	{"maintenance:on", "STACK [--message TEXT]", 1, 1, 0, false, maintenance_on,
		message_options, "answer 503 on all domains of a stack"},
	{"maintenance:off", "STACK", 1, 1, 0, false, maintenance_off, NULL, "serve a stack again"},
	{"hold", "STACK", 1, 1, 0, true, hold_show, NULL, "are requests of a stack held"},
	{"hold:on", "STACK [--for TIME]", 1, 1, 0, false, hold_on, hold_options,
		"let requests of a stack wait"},
	{"hold:off", "STACK", 1, 1, 0, false, hold_off, NULL, "let them go on"},
	{0},
};
