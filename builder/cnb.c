#include "cnb.h"

#include <stdio.h>
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "procfile.h"

#define LABEL_MAX (4u << 20) /* build metadata lists every dependency */

static const json_t *config_of(const json_t *image)
{
	return json_object_get(image, "Config");
}

static int read_label(const json_t *image, const char *name, json_t **ret, struct vk_err *err)
{
	const char *text = vk_json_str(json_object_get(config_of(image), "Labels"), name, NULL);
	if (text == NULL)
		return vk_err_set(err, VK_NOTFOUND, "it has no label %s", name);
	if (vk_json_parse_max(text, strlen(text), LABEL_MAX, ret, NULL) != 0)
		return vk_err_set(err, VK_INVALID, "its label %s is no JSON", name);
	return 0;
}

static int read_id(const json_t *image, const char *name, unsigned *ret, struct vk_err *err)
{
	const json_t *env = json_object_get(config_of(image), "Env");
	size_t n = strlen(name);
	uint64_t id;
	for (size_t i = 0; i < json_array_size(env); i++) {
		const char *text = json_string_value(json_array_get(env, i));
		if (text == NULL || strncmp(text, name, n) != 0 || text[n] != '=')
			continue;
		if (vk_parse_u64(text + n + 1, 1, 65535, &id) != 0)
			break;
		*ret = (unsigned)id;
		return 0;
	}
	return vk_err_set(err, VK_INVALID, "it has no proper %s", name);
}

/* "0.12" -> 12; 0 for what we do not speak. */
static unsigned known_api(const char *text)
{
	uint64_t minor;
	if (text == NULL || !vk_starts(text, "0.") ||
		vk_parse_u64(text + 2, CNB_API_MIN, CNB_API_MAX, &minor) != 0)
		return 0;
	return (unsigned)minor;
}

static int choose_api(const json_t *metadata, char api[static 16], struct vk_err *err)
{
	const json_t *lifecycle = json_object_get(metadata, "lifecycle");
	const json_t *list = json_object_get(
		json_object_get(json_object_get(lifecycle, "apis"), "platform"), "supported");
	unsigned best = 0;
	for (size_t i = 0; i < json_array_size(list); i++) {
		unsigned one = known_api(json_string_value(json_array_get(list, i)));
		best = one > best ? one : best;
	}
	if (best == 0)
		return vk_err_set(err, VK_INVALID,
			"it speaks none of the platform APIs 0.%d to 0.%d", CNB_API_MIN,
			CNB_API_MAX);
	snprintf(api, 16, "0.%u", best);
	return 0;
}

/* Of the stack, or, in newer builders, the first of a list. */
static const char *run_image(const json_t *metadata)
{
	const json_t *stack = json_object_get(json_object_get(metadata, "stack"), "runImage");
	const json_t *first = json_array_get(json_object_get(metadata, "images"), 0);
	const char *name = vk_json_str(stack, "image", NULL);
	return name != NULL ? name : vk_json_str(first, "image", "");
}

int cnb_builder_read(const json_t *image, struct cnb_builder *ret, struct vk_err *err)
{
	vk_autojson *metadata = NULL;
	struct cnb_builder b = {0};
	if (read_label(image, "io.buildpacks.builder.metadata", &metadata, err) != 0)
		return vk_err_wrap(err, "this is no builder image");
	int code = choose_api(metadata, b.api, err);
	if (code == 0)
		code = read_id(image, "CNB_USER_ID", &b.uid, err);
	if (code == 0)
		code = read_id(image, "CNB_GROUP_ID", &b.gid, err);
	const char *run = run_image(metadata);
	if (code == 0 && (*run == '\0' || strlen(run) >= sizeof(b.run_image)))
		code = vk_err_set(err, VK_INVALID, "it names no run image");
	if (code != 0)
		return code;
	snprintf(b.run_image, sizeof(b.run_image), "%s", run);
	*ret = b;
	return 0;
}

int cnb_explain(int status, struct vk_err *err)
{
	static const struct {
		int status;
		const char *what, *hint;
	} table[] = {
		{3, "the lifecycle did not understand how it was called",
			"use a newer builder image"},
		{11, "builder and lifecycle speak different platform APIs",
			"use a newer builder image"},
		{12, "a buildpack speaks an API that the builder's lifecycle does not",
			"use a newer builder image"},
		{20, "none of the builder's buildpacks takes this application",
			"look at the names above, or choose another builder"},
		{21, "a buildpack's detect step failed", "see the lines above"},
		{22, "no group of buildpacks fits and one failed at detect", "see the lines above"},
		{32, "the earlier image could not be analyzed", "is the run image on this host?"},
		{42, "the layers of the cache could not be restored",
			"empty the cache: git push -o no-cache"},
		{51, "a buildpack failed", "see the lines above"},
		{52, "the build step failed", "see the lines above"},
		{62, "the image could not be exported",
			"see the lines above; is the run image on this host?"},
		{137, "it was killed, most likely out of memory",
			"raise builds.memory in /etc/viking/viking.conf"},
	};
	for (size_t i = 0; i < VK_COUNT(table); i++) {
		if (table[i].status != status)
			continue;
		vk_err_set(err, VK_FAILED, "build failed: %s (lifecycle status %d)", table[i].what,
			status);
		return vk_err_hint(err, "%s", table[i].hint);
	}
	vk_err_set(err, VK_FAILED, "build failed: the lifecycle ended with status %d", status);
	return vk_err_hint(err, "see the lines above");
}

/* "command" is a word, or since platform API 0.10 a list; "args" follow. */
static void command_text(const json_t *process, struct vk_buf *out)
{
	const json_t *command = json_object_get(process, "command"),
		     *args = json_object_get(process, "args");
	if (json_is_string(command))
		vk_buf_adds(out, json_string_value(command));
	for (size_t i = 0; i < json_array_size(command); i++)
		if (json_is_string(json_array_get(command, i)))
			vk_buf_addf(out, "%s%s", i > 0 ? " " : "",
				json_string_value(json_array_get(command, i)));
	for (size_t i = 0; i < json_array_size(args); i++)
		if (json_is_string(json_array_get(args, i)))
			vk_buf_addf(out, " %s", json_string_value(json_array_get(args, i)));
}

json_t *cnb_processes(const json_t *image)
{
	json_t *processes = json_object();
	vk_autojson *metadata = NULL;
	if (read_label(image, "io.buildpacks.build.metadata", &metadata, NULL) != 0)
		return processes;
	const json_t *list = json_object_get(metadata, "processes");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *one = json_array_get(list, i);
		vk_autobuf text = VK_BUF_INIT(PROCESS_CMD_MAX);
		command_text(one, &text);
		/* what cannot be a process type of ours is left out: the image is the builder's */
		process_add(processes, vk_json_str(one, "type", ""), vk_buf_str(&text), NULL);
	}
	return processes;
}
