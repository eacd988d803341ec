/* builds:list, builds:output, builds:cancel */
#include <viking/json.h>
#include <viking/str.h>

#include "groups.h"
#include "output.h"

static int builds_list(struct call *c, struct vk_err *err)
{
	const char *s = NULL;
	vk_autojson *answer = NULL;
	int r = c->words.n ? stack_word(c, 0, &s, err) : 0;
	if (r == 0)
		r = api_get(c, &answer, err, "/v1/builds%s%s", s ? "?stack=" : "", s ? s : "");
	if (r < 0)
		return r;
	if (c->json)
		return print_json(answer);
	struct table t;
	table_init(&t, "BUILD|STACK|BOAT|COMMIT|STATE|WHO|STARTED|TOOK");
	size_t i;
	json_t *b;
	json_array_foreach(json_object_get(answer, "builds"), i, b)
	{
		char age[32], took[24];
		format_age(vk_json_int(b, "started_ms", 0), age);
		vk_format_duration_ms(vk_json_int(b, "ms", 0), took);
		int64_t position = vk_json_int(b, "position", 0);
		table_add(&t, vk_json_str(b, "id", NULL));
		table_add(&t, vk_json_str(b, "stack", NULL));
		table_add(&t, vk_json_str(b, "boat", NULL));
		table_addf(&t, "%.12s", vk_json_str(b, "commit", "-"));
		if (position > 0)
			table_addf(&t, "queued (%lld)", (long long)position);
		else
			table_add(&t, vk_json_str(b, "state", NULL));
		table_add(&t, vk_json_str(b, "who", NULL));
		table_add(&t, age);
		table_add(&t, took);
	}
	table_print(&t, stdout);
	return 0;
}

static int build_word(const struct call *c, const char **ret, struct vk_err *err)
{
	const char *w = c->words.v[0];
	if (strlen(w) > 32 || w[strspn(w, "abcdefghijklmnopqrstuvwxyz0123456789-")] != '\0') {
		vk_err_set(err, VK_USAGE, "%.32s is not a build", w);
		return vk_err_hint(err, "viking builds");
	}
	*ret = w;
	return 0;
}

static int output_line(void *arg, json_t *line, struct vk_err *err)
{
	const struct call *c = arg;
	(void)err;
	if (c->json) {
		vk_autofree char *raw = vk_json_text(line);
		puts(raw);
		return fflush(stdout);
	}
	const char *out = vk_json_str(line, "out", NULL);
	if (out == NULL)
		return 0;
	char clean[16384];
	vk_str_printable(out, strlen(out), clean, sizeof(clean));
	puts(clean);
	fflush(stdout);
	return 0;
}

static int builds_output(struct call *c, struct vk_err *err)
{
	const char *id;
	int r = build_word(c, &id, err);
	return r < 0 ? r
		     : api_lines(c, output_line, c, err, "/v1/builds/%s/output%s", id,
			       call_flag(c, "--follow") ? "?follow=1" : "");
}

static int builds_cancel(struct call *c, struct vk_err *err)
{
	const char *id;
	int r = build_word(c, &id, err);
	if (r == 0)
		r = api_send(c, "POST", NULL, NULL, err, "/v1/builds/%s/cancel", id);
	if (r == 0)
		printf("%s cancelled\n", id);
	return r;
}

static const struct option output_options[] = {
	{"--follow", "-f", NULL, "go on until the build ends"},
	{0},
};

const struct command builds_commands[] = {
	{"builds:list", "[STACK]", 0, 1, 0, true, builds_list, NULL, "builds, running and past"},
	{"builds:output", "BUILD [-f]", 1, 1, 0, true, builds_output, output_options,
		"what a build printed; `current` is the running one"},
	{"builds:cancel", "BUILD", 1, 1, 0, false, builds_cancel, NULL, "end a build"},
	{0},
};
