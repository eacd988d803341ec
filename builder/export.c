#include "export.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/str.h>

static const struct mode {
	const char *name;
	int (*run)(struct export *x, struct vk_err *err);
	bool for_programs; /* JSON, always */
} modes[] = {
	{"check", export_check, true},
	{"serve", export_serve, true},
	{"file", export_file, false},
	{"context", export_context, false},
	{"dockerfile", export_dockerfile, false},
};

static const struct mode *find_mode(const char *name)
{
	for (size_t i = 0; name != NULL && i < VK_COUNT(modes); i++)
		if (strcmp(modes[i].name, name) == 0)
			return &modes[i];
	return NULL;
}

static int usage(struct vk_err *err, const char *what, const char *word)
{
	vk_err_set(err, VK_USAGE, "%s \"%.60s\"", what, word);
	return vk_err_hint(err, "viking-export check|serve|file|context|dockerfile ...");
}

static const char **value_of(struct export *x, const char *option)
{
	const struct {
		const char *name;
		const char **value;
	} options[] = {{"--repo", &x->repo}, {"--quarantine", &x->quarantine},
		{"--commit", &x->commit}, {"--stack", &x->stack}, {"--static", &x->static_dir},
		{"--refs", &x->refs}, {"--args", &x->args}};
	for (size_t i = 0; i < VK_COUNT(options); i++)
		if (strcmp(options[i].name, option) == 0)
			return options[i].value;
	return NULL;
}

static bool set_flag(struct export *x, const char *option)
{
	bool *flag = strcmp(option, "--json") == 0 ? &x->json
		: strcmp(option, "--print") == 0   ? &x->print
		: strcmp(option, "--rewrite") == 0 ? &x->rewrite
						   : NULL;
	if (flag == NULL)
		return false;
	*flag = true;
	return true;
}

/* What git tells its hooks stands in for options that are not given. */
static void from_environment(struct export *x)
{
	if (x->quarantine == NULL)
		x->quarantine = getenv("GIT_QUARANTINE_PATH");
	if (x->stack == NULL)
		x->stack = getenv("VIKING_STACK");
	if (x->stack == NULL)
		x->stack = "";
}

int export_parse(struct export *x, int argc, char **argv, struct vk_err *err)
{
	int rc = vk_config_from_argv(&argc, argv, &x->config, err);
	for (int i = 1; rc == 0 && i < argc; i++) {
		const char **value = value_of(x, argv[i]);
		if (value != NULL && argv[i + 1] == NULL)
			rc = usage(err, "no value behind", argv[i]);
		else if (value != NULL)
			*value = argv[++i];
		else if (argv[i][0] == '-' && argv[i][1] != '\0')
			rc = set_flag(x, argv[i]) ? 0 : usage(err, "unknown option", argv[i]);
		else if (x->mode == NULL)
			x->mode = argv[i];
		else if (x->path == NULL)
			x->path = argv[i];
		else
			rc = usage(err, "one word too many:", argv[i]);
	}
	if (rc != 0)
		return rc;
	if (find_mode(x->mode) == NULL)
		return usage(err, "unknown mode", x->mode != NULL ? x->mode : "");
	from_environment(x);
	x->registry = vk_asprintf("%s:%llu", x->config->registry_address,
		(unsigned long long)x->config->registry_port);
	x->cwd = getcwd(NULL, 0);
	return 0;
}

int export_run(struct export *x, struct vk_err *err)
{
	const struct mode *m = find_mode(x->mode);
	return m != NULL ? m->run(x, err) : usage(err, "unknown mode", "");
}

void export_release(struct export *x)
{
	vk_config_free(x->config);
	free(x->registry);
	free(x->cwd);
}

int export_print_json(const json_t *j, struct vk_err *err)
{
	vk_autofree char *text = vk_json_text(j);
	vk_autofree char *line = vk_asprintf("%s\n", text);
	return vk_write_all(STDOUT_FILENO, line, strlen(line), err);
}

int export_report(const struct export *x, const struct vk_err *err)
{
	const struct mode *m = find_mode(x->mode);
	if ((m == NULL || m->for_programs || x->json) && !x->answered) {
		vk_autojson *j = json_object();
		json_object_set_new(j, "error", json_string(vk_err_name(err->code)));
		json_object_set_new(j, "message", vk_json_safe_string(err->msg, strlen(err->msg)));
		json_object_set_new(j, "hint", vk_json_safe_string(err->hint, strlen(err->hint)));
		export_print_json(j, NULL);
	}
	bool person = m != NULL && !m->for_programs;
	if (!person || !x->json)
		fprintf(stderr, "%s%s\n", person ? " !     " : "", err->msg);
	if (person && !x->json && err->hint[0] != '\0')
		fprintf(stderr, " !     try: %s\n", err->hint);
	return vk_err_exit(err->code);
}
