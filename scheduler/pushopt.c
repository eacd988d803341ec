/* Push options by table. */
#include "pushopt.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <viking/mem.h>
#include <viking/str.h>

static const struct {
	const char *name;
	size_t offset;
} flags[] = {
	{"dry-run", offsetof(struct pushopt, dry_run)},
	{"no-cache", offsetof(struct pushopt, no_cache)},
	{"wait", offsetof(struct pushopt, wait)},
	{"supersede", offsetof(struct pushopt, supersede)},
};
static const char *const known[] = {"dry-run", "no-cache", "wait", "supersede", "note=", NULL};

static int parse_one(const char *text, struct pushopt *o, struct vk_err *err)
{
	for (size_t i = 0; i < VK_COUNT(flags); i++) {
		if (strcmp(flags[i].name, text) == 0) {
			*(bool *)((char *)o + flags[i].offset) = true;
			return 0;
		}
	}
	if (vk_starts(text, "note=")) {
		vk_str_printable(text + 5, strlen(text + 5), o->note, NOTE_MAX);
		return 0;
	}
	char shown[64];
	vk_str_printable(text, strlen(text), shown, sizeof(shown) - 1);
	vk_err_set(err, VK_INVALID, "push option \"%s\" is unknown", shown);
	const char *near = vk_suggest(shown, known);
	if (near != NULL)
		vk_err_hint(err, "git push -o %s", near);
	else
		vk_err_hint(err, "known are dry-run, no-cache, wait, supersede and note=TEXT");
	return VK_INVALID;
}

int pushopt_parse(const json_t *list, struct pushopt *ret, struct vk_err *err)
{
	struct pushopt o = {0};
	size_t i;
	json_t *text;
	json_array_foreach(list, i, text)
	{
		if (!json_is_string(text))
			return vk_err_set(err, VK_INVALID, "push options are texts");
		int rc = parse_one(json_string_value(text), &o, err);
		if (rc != 0)
			return rc;
	}
	if (o.wait && o.supersede)
		return vk_err_set(
			err, VK_INVALID, "push options wait and supersede exclude each other");
	*ret = o;
	return 0;
}
