/* logs, events */
#include <viking/id.h>
#include <viking/json.h>
#include <viking/str.h>

#include "groups.h"
#include "output.h"

static int log_line(void *arg, json_t *line, struct vk_err *err)
{
	const struct call *c = arg;
	(void)err;
	const json_t *text = json_object_get(line, "l"), *away = json_object_get(line, "away");
	if (away != NULL && !c->json)
		fprintf(stderr, " !     without the lines of host %s: it does not answer\n",
			json_string_value(away));
	if (text == NULL)
		return 0;
	if (c->json) {
		vk_autofree char *raw = vk_json_text(line);
		puts(raw);
	} else {
		char clean[16384], when[32];
		const char *l = json_string_value(text);
		vk_str_printable(l ? l : "", l ? strlen(l) : 0, clean, sizeof(clean));
		vk_format_time(vk_json_int(line, "t", 0), when);
		printf("%s %s: %s\n", when, vk_json_str(line, "i", "-"), clean);
	}
	fflush(stdout);
	return 0;
}

static int logs(struct call *c, struct vk_err *err)
{
	const char *s, *node = call_value(c, "--process"), *lines = call_value(c, "--num");
	uint64_t n = 100;
	int r = stack_word(c, 0, &s, err);
	if (r == 0 && node != NULL)
		r = vk_node_name(node, err);
	if (r < 0)
		return r;
	if (lines != NULL && vk_parse_u64(lines, 0, 10000, &n) < 0) {
		vk_err_set(err, VK_USAGE, "-n takes a number up to 10000");
		return vk_err_hint(err, "viking logs %s -n 200", s);
	}
	return api_lines(c, log_line, c, err, "/v1/stacks/%s/logs?n=%llu%s%s%s", s,
		(unsigned long long)n,
		call_flag(c, "--follow") || call_flag(c, "--tail") ? "&follow=1" : "",
		node ? "&node=" : "", node ? node : "");
}

/* What begins at each stage of a deploy, for people (docs/protocol.md 8). */
static const char *stage_words(const char *stage)
{
	static const char *const words[] = {"authenticating", "advertising", "receiving",
		"checking the push", "moving the branch", "exporting the source", "building",
		"pushing to the registry", "writing the release", "starting",
		"waiting until healthy", "switching routes", "draining the old release",
		"collecting garbage"};
	uint64_t n;
	if (stage[0] != 's' || vk_parse_u64(stage + 1, 0, VK_COUNT(words) - 1, &n) != 0)
		return stage;
	return words[n];
}

static int event_line(void *arg, json_t *e, struct vk_err *err)
{
	const struct call *c = arg;
	(void)err;
	if (json_object_get(e, "type") == NULL)
		return 0;
	if (c->json) {
		vk_autofree char *raw = vk_json_text(e);
		puts(raw);
	} else {
		char when[32], what[1024];
		const char *type = vk_json_str(e, "type", ""), *w = vk_json_str(e, "what", ""),
			   *instance = vk_json_str(e, "instance", "");
		if (vk_streq(type, "stage"))
			w = stage_words(w);
		vk_format_time(vk_json_int(e, "t", 0), when);
		vk_str_printable(w, strlen(w), what, sizeof(what));
		const char *stack = vk_json_str(e, "stack", "");
		printf("%s %-12s %s %s\n", when, type, instance[0] ? instance : stack, what);
	}
	fflush(stdout);
	return 0;
}

static int events(struct call *c, struct vk_err *err)
{
	const char *s = NULL, *since = call_value(c, "--since");
	uint64_t seq = 0;
	int r = c->words.n ? stack_word(c, 0, &s, err) : 0;
	if (r < 0)
		return r;
	if (since != NULL && vk_parse_u64(since, 0, UINT64_MAX, &seq) < 0)
		return vk_err_set(err, VK_USAGE, "--since takes an event's number");
	return api_lines(c, event_line, c, err, "/v1/events?since=%llu%s%s%s",
		(unsigned long long)seq, call_flag(c, "--follow") ? "&follow=1" : "",
		s ? "&stack=" : "", s ? s : "");
}

static const struct option log_options[] = {
	{"--follow", "-f", NULL, "go on with what comes (also -t, --tail)"},
	{"--tail", "-t", NULL, "the same as --follow"},
	{"--num", "-n", "N", "the last N lines (of each host) first; default 100"},
	{"--process", "-p", "NODE", "only this node"},
	{0},
};
static const struct option event_options[] = {
	{"--follow", "-f", NULL, "go on with what comes"},
	{"--since", NULL, "SEQ", "from this event's number on"},
	{0},
};

const struct command watch_commands[] = {
	{"logs", "STACK [-f] [-n N] [-p NODE]", 1, 1, 0, true, logs, log_options,
		"log lines of all instances, kept over deploys"},
	{"events", "[STACK] [-f]", 0, 1, 0, true, events, event_options, "what happened"},
	{0},
};
