#include "options.h"

#include <viking/json.h>
#include <viking/str.h>

static int set_flag(bool *flag, const char *value)
{
	if (value != NULL)
		return VK_INVALID;
	*flag = true;
	return 0;
}

static int set_note(struct push_options *o, const char *value, struct vk_err *err)
{
	if (value == NULL || *value == '\0')
		return vk_err_set(err, VK_INVALID, "push option note needs a text: -o note=TEXT");
	if (strlen(value) > NOTE_MAX_BYTES)
		return vk_err_set(
			err, VK_LIMIT, "push option note is longer than %d bytes", NOTE_MAX_BYTES);
	if (o->note != NULL)
		return vk_err_set(err, VK_INVALID, "push option note is given twice");
	o->note = vk_strdup(value);
	return 0;
}

static int unknown(const char *name, struct vk_err *err)
{
	static const char *const words[] = {
		"dry-run", "no-cache", "wait", "supersede", "note", NULL};
	char clean[64];
	vk_str_printable(name, strlen(name), clean, sizeof(clean));
	vk_err_set(err, VK_INVALID, "unknown push option \"%s\"", clean);
	const char *near = vk_suggest(name, words);
	if (near != NULL)
		return vk_err_hint(err, "-o %s%s", near, vk_streq(near, "note") ? "=TEXT" : "");
	return vk_err_hint(err, "-o dry-run, no-cache, wait, supersede or note=TEXT");
}

static int set_option(
	struct push_options *o, const char *name, const char *value, struct vk_err *err)
{
	if (vk_streq(name, "note"))
		return set_note(o, value, err);
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {{"dry-run", &o->dry_run}, {"no-cache", &o->no_cache}, {"wait", &o->wait},
		{"supersede", &o->supersede}};
	for (size_t i = 0; i < VK_COUNT(flags); i++)
		if (vk_streq(name, flags[i].name)) {
			if (set_flag(flags[i].flag, value) == 0)
				return 0;
			return vk_err_set(err, VK_INVALID, "push option %s takes no value", name);
		}
	return unknown(name, err);
}

int push_options_add(struct push_options *o, const char *text, size_t n, struct vk_err *err)
{
	if (o->given.n == OPTIONS_MAX)
		return vk_err_set(err, VK_LIMIT, "more than %d push options", OPTIONS_MAX);
	if (n > OPTION_MAX_BYTES)
		return vk_err_set(
			err, VK_LIMIT, "a push option is longer than %d bytes", OPTION_MAX_BYTES);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return vk_err_set(err, VK_INVALID, "a push option has control bytes");
	vk_autofree char *name = vk_strndup(text, n);
	char *value = strchr(name, '=');
	if (value != NULL)
		*value++ = '\0';
	int rc = set_option(o, name, value, err);
	if (rc == 0 && o->wait && o->supersede)
		rc = vk_err_set(
			err, VK_INVALID, "push options wait and supersede contradict each other");
	if (rc == 0)
		vk_strv_addn(&o->given, text, n);
	return rc;
}

int push_options_from_env(struct push_options *o, struct vk_err *err)
{
	const char *count = getenv("GIT_PUSH_OPTION_COUNT");
	uint64_t n = 0;
	if (count == NULL)
		return 0;
	if (vk_parse_u64(count, 0, UINT64_MAX, &n) != 0 || n > OPTIONS_MAX)
		return vk_err_set(err, VK_LIMIT, "more than %d push options", OPTIONS_MAX);
	for (uint64_t i = 0; i < n; i++) {
		char name[40];
		snprintf(name, sizeof(name), "GIT_PUSH_OPTION_%llu", (unsigned long long)i);
		const char *text = getenv(name);
		if (text == NULL)
			return vk_err_set(err, VK_INVALID, "a push option is missing");
		int rc = push_options_add(o, text, strlen(text), err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

json_t *push_options_json(const struct push_options *o)
{
	json_t *list = json_array();
	for (size_t i = 0; i < o->given.n; i++)
		json_array_append_new(
			list, vk_json_safe_string(o->given.v[i], strlen(o->given.v[i])));
	return list;
}

void push_options_release(struct push_options *o)
{
	free(o->note);
	o->note = NULL;
	vk_strv_release(&o->given);
}
