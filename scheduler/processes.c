/* Process types as nodes, and their commands. */
#include "processes.h"

#include <ctype.h>
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>

#include "packs.h"

#define EXEC     "/opt/viking/bin/exec"
#define LAUNCHER "/cnb/lifecycle/launcher"
#define RELEASE  "release"

static const char *const kept[] = {"processes", "entrypoint", "packs", "stack_image"};

void launch_put(json_t *object, const json_t *launch)
{
	for (size_t i = 0; i < VK_COUNT(kept); i++)
		if (json_object_get(launch, kept[i]) != NULL)
			json_object_set(object, kept[i], json_object_get(launch, kept[i]));
}

json_t *launch_take(const json_t *done)
{
	const json_t *entry = json_object_get(done, "entrypoint");
	if (!json_is_true(entry) && !json_is_string(entry))
		return NULL; /* an image as any other */
	json_t *launch = json_object();
	launch_put(launch, done);
	return launch;
}

/* ---- nodes ---- */

/* Process types may have capitals, names of nodes not. */
static int node_name(const char *type, char name[static VK_NAME_MAX + 1], struct vk_err *err)
{
	size_t n = strlen(type);
	for (size_t i = 0; i <= n && i <= VK_NAME_MAX; i++)
		name[i] = (char)tolower((unsigned char)type[i]);
	name[VK_NAME_MAX] = '\0';
	int rc = n > VK_NAME_MAX ? VK_LIMIT : vk_node_name(name, NULL);
	if (rc == 0)
		return 0;
	vk_err_set(err, VK_INVALID,
		"process type %.64s: a name has a-z 0-9 _ - and begins with a letter or digit",
		type);
	vk_err_hint(err, "rename it in the Procfile");
	return VK_INVALID;
}

static int check_command(const char *type, const json_t *command, struct vk_err *err)
{
	const char *text = json_string_value(command);
	if (text != NULL && text[strspn(text, " \t")] != '\0')
		return 0;
	vk_err_set(err, VK_INVALID, "process type %.64s has no command", type);
	vk_err_hint(err, "write it behind the colon in the Procfile, %.64s: COMMAND", type);
	return VK_INVALID;
}

static int add_node(
	json_t *nodes, const json_t *template, const char *type, bool runs, struct vk_err *err)
{
	char name[VK_NAME_MAX + 1];
	int rc = node_name(type, name, err);
	if (rc != 0)
		return rc;
	if (json_object_get(nodes, name) != NULL)
		return vk_err_set(err, VK_INVALID, "process type %.64s is there twice", name);
	json_t *node = json_deep_copy(template);
	json_object_set_new(node, "process", json_string(type));
	if (!runs)
		json_object_set_new(node, "scale", json_integer(0));
	json_object_set_new(nodes, name, node);
	return 0;
}

static size_t count_running(const json_t *processes)
{
	return json_object_size(processes) - (json_object_get(processes, RELEASE) != NULL);
}

static int make_nodes(
	const json_t *template, const json_t *processes, json_t *nodes, struct vk_err *err)
{
	bool web = json_object_get(processes, "web") != NULL;
	const char *type;
	json_t *command;
	if (json_object_size(processes) > PROCESSES_MAX)
		return vk_err_set(err, VK_LIMIT, "at most %d process types", PROCESSES_MAX);
	json_object_foreach((json_t *)(uintptr_t)processes, type, command)
	{
		bool runs = strcmp(type, "web") == 0 || (!web && count_running(processes) == 1);
		int rc = check_command(type, command, err);
		if (rc == 0 && strcmp(type, RELEASE) != 0)
			rc = add_node(nodes, template, type, runs, err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int nothing_to_run(const json_t *processes, struct vk_err *err)
{
	vk_err_set(err, VK_INVALID,
		json_object_size(processes) > 0
			? "the only process type is release: nothing would run"
			: "neither a Procfile nor the pack names a process type");
	vk_err_hint(err, "add a Procfile with: web: COMMAND");
	return VK_INVALID;
}

int processes_expand(json_t *doc, const json_t *boats, struct vk_err *err)
{
	if (!packs_implied(doc))
		return 0;
	const json_t *made = json_object_get(doc, "template");
	vk_autojson *template = json_incref((json_t *)(uintptr_t)(made != NULL
			? made
			: json_object_get(json_object_get(doc, "nodes"), "web")));
	const json_t *launch = json_object_get(
		json_object_get(boats, vk_json_str(template, "boat", "")), "launch");
	const json_t *processes = json_object_get(launch, "processes");
	vk_autojson *nodes = json_object();
	if (template == NULL)
		return 0;
	if (launch == NULL) { /* a Dockerfile, perhaps after packs */
		json_object_set(nodes, "web", template);
		json_object_set(doc, "nodes", nodes);
		json_object_del(doc, "template");
		return 0;
	}
	if (count_running(processes) == 0)
		return nothing_to_run(processes, err);
	int rc = make_nodes(template, processes, nodes, err);
	if (rc != 0)
		return rc;
	json_object_set(doc, "template", template);
	json_object_set(doc, "nodes", nodes);
	return 0;
}

/* ---- commands ---- */

void process_release(struct process *p)
{
	json_decref(p->cmd);
	json_decref(p->entrypoint);
	json_decref(p->enter);
	json_decref(p->release);
	json_decref(p->release_entrypoint);
	*p = (struct process){0};
}

static int missing(const char *name, const json_t *processes, struct vk_err *err)
{
	vk_autobuf b = VK_BUF_INIT(400);
	const char *type;
	json_t *command;
	json_object_foreach((json_t *)(uintptr_t)processes, type, command)(void)
		vk_buf_addf(&b, "%s%s", b.len > 0 ? ", " : "", type);
	vk_err_set(err, VK_NOTFOUND, "node %s: its image has no process type %s and no web (%s%s)",
		name, name, b.len > 0 ? "there is " : "there is none", vk_buf_str(&b));
	vk_err_hint(err, "add \"%s: COMMAND\" to the Procfile, or run: to the node", name);
	return VK_NOTFOUND;
}

/* The types of a Cloud Native image are programs of their own; else the image's entrypoint takes a command string. */
static void take(
	bool cnb, const char *type, const char *command, json_t **ret_cmd, json_t **ret_entrypoint)
{
	if (cnb) {
		*ret_cmd = json_array();
		*ret_entrypoint = json_pack("[s+]", "/cnb/process/", type);
	} else {
		*ret_cmd = json_pack("[s,s]", "-c", command);
	}
}

static int take_run(const json_t *processes, bool cnb, const char *name, const json_t *node,
	struct process *p, struct vk_err *err)
{
	const char *type = vk_json_str(node, "process", name);
	if (json_object_get(processes, type) == NULL && json_object_get(node, "process") == NULL)
		type = "web";
	const json_t *command = json_object_get(processes, type);
	if (command == NULL)
		return missing(name, processes, err);
	int rc = check_command(type, command, err);
	if (rc != 0) {
		vk_err_wrap(err, "node %s", name);
		return rc;
	}
	take(cnb, type, json_string_value(command), &p->cmd, &p->entrypoint);
	return 0;
}

int process_of(const json_t *launch, const char *name, const json_t *node, bool leads,
	struct process *ret, struct vk_err *err)
{
	struct process p = {0};
	if (launch == NULL) {
		*ret = p;
		return 0;
	}
	const json_t *processes = json_object_get(launch, "processes");
	const json_t *release = json_object_get(processes, RELEASE);
	bool cnb = json_is_string(json_object_get(launch, "entrypoint"));
	int rc = json_is_array(json_object_get(node, "run"))
		? 0
		: take_run(processes, cnb, name, node, &p, err);
	if (rc == 0 && leads && json_is_string(release) &&
		!json_is_array(json_object_get(node, "release")))
		take(cnb, RELEASE, json_string_value(release), &p.release, &p.release_entrypoint);
	if (rc != 0) {
		process_release(&p);
		return rc;
	}
	p.enter = json_pack("[s]", cnb ? LAUNCHER : EXEC);
	/* commands of the manifest would be arguments of the image's web process */
	if (cnb && p.entrypoint == NULL)
		p.entrypoint = json_incref(p.enter);
	if (cnb && p.release == NULL && json_is_array(json_object_get(node, "release")))
		p.release_entrypoint = json_incref(p.enter);
	*ret = p;
	return 0;
}
