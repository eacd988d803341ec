/*
 * check: a manifest, a Dockerfile or a build context of the work tree, explained. The files are parsed by
 * viking-export, the program that parses pushed ones, so that both say the same. plan: the planner alone, by viking-plan.
 * Backup and restore are in backup.c.
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>
#include <viking/json.h>
#include <viking/proc.h>
#include <viking/str.h>

#include "backup.h"
#include "groups.h"
#include "output.h"

#define PROGRAM_MS 180000

static int local_only(const struct call *c, struct vk_err *err)
{
	if (getenv("VIKING_SSH") == NULL)
		return 0;
	vk_err_set(err, VK_DENIED,
		"%s reads files of the machine it runs on, so it does not work over SSH",
		c->command->name);
	return vk_err_hint(
		err, "viking %s on your own machine, or git push -o dry-run", c->command->name);
}

static const char *default_file(void)
{
	static const char *const names[] = {
		"vikingfile", "vikingfile.yml", "viking.yml", "viking.yaml"};
	for (size_t i = 0; i < VK_COUNT(names); i++)
		if (access(names[i], R_OK) == 0)
			return names[i];
	return NULL;
}

static int program(struct call *c, const char *name, char **ret, struct vk_err *err)
{
	struct vk_config *config = NULL;
	int r = vk_config_load(c->config_file, c->root, &config, err);
	if (r < 0)
		return r;
	*ret = vk_libexec_path(config, name);
	vk_config_free(config);
	return 0;
}

static int check_words(const struct call *c, struct vk_strv *argv, struct vk_err *err)
{
	const char *dockerfile = call_value(c, "--dockerfile");
	const char *file = c->words.n ? c->words.v[0] : NULL;
	if (call_flag(c, "--context")) {
		vk_strv_add(argv, "context");
		vk_strv_add(argv, file ? file : ".");
	} else if (dockerfile != NULL) {
		vk_strv_add(argv, "dockerfile");
		vk_strv_add(argv, dockerfile);
		if (call_flag(c, "--rewrite"))
			vk_strv_add(argv, "--rewrite");
	} else {
		if (file == NULL)
			file = default_file();
		if (file == NULL) {
			vk_err_set(err, VK_NOTFOUND,
				"no vikingfile, vikingfile.yml, viking.yml or viking.yaml here");
			return vk_err_hint(err, "viking check FILE");
		}
		vk_strv_add(argv, "file");
		vk_strv_add(argv, file);
		if (call_flag(c, "--print"))
			vk_strv_add(argv, "--print");
	}
	if (c->json)
		vk_strv_add(argv, "--json");
	return 0;
}

/* Its output, errors included, is meant for the person: it goes straight through. argv[0] is set here. */
static int run_program(
	struct call *c, const char *name, struct vk_strv *words, int in, struct vk_err *err)
{
	vk_autofree char *path = NULL;
	vk_autostrv argv = {0};
	char cwd[4096];
	int status = 0;
	int r = program(c, name, &path, err);
	if (r < 0)
		return r;
	vk_strv_add(&argv, path);
	for (size_t i = 0; i < words->n; i++)
		vk_strv_add(&argv, words->v[i]);
	if (getcwd(cwd, sizeof(cwd)) == NULL)
		return vk_err_errno(err, errno, "current directory");
	struct vk_proc_opts o = {.path = path,
		.argv = (const char *const *)argv.v,
		.cwd = cwd,
		.in = in,
		.out = VK_FD_INHERIT,
		.err = VK_FD_INHERIT};
	struct vk_proc p;
	r = vk_proc_start(&o, &p, err);
	if (r == 0)
		r = vk_proc_wait(p.pid, PROGRAM_MS, &status, err);
	if (r == 0)
		c->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
	return r;
}

static int check(struct call *c, struct vk_err *err)
{
	vk_autostrv words = {0};
	int r = local_only(c, err);
	if (r == 0)
		r = check_words(c, &words, err);
	return r < 0 ? r : run_program(c, "viking-export", &words, VK_FD_NULL, err);
}

/* Of a stack as it stands. */
static int plan_stack(struct call *c, struct vk_err *err)
{
	const char *s;
	vk_autojson *answer = NULL;
	size_t i;
	json_t *v;
	int r = stack_word(c, 0, &s, err);
	if (r == 0)
		r = api_get(c, &answer, err, "/v1/plan/%s", s);
	if (r < 0)
		return r;
	if (c->json)
		return print_json(answer);
	json_array_foreach(json_object_get(answer, "placements"), i, v)
		printf("%s/%s.%lld %s\n", s, vk_json_str(v, "node", "?"),
			(long long)vk_json_int(v, "n", 0), vk_json_str(v, "host", "?"));
	json_array_foreach(json_object_get(answer, "lines"), i, v) puts(json_string_value(v));
	return 0;
}

static int plan(struct call *c, struct vk_err *err)
{
	vk_autostrv words = {0};
	if (c->words.n > 0)
		return plan_stack(c, err);
	int r = local_only(c, err);
	if (r < 0)
		return r;
	if (call_value(c, "--from") == NULL) {
		vk_err_set(err, VK_USAGE, "plan: which stack, or which described cluster?");
		return vk_err_hint(err, "viking plan STACK, or viking plan --from FILE");
	}
	vk_strv_add(&words, call_value(c, "--from"));
	if (call_value(c, "--explain") != NULL) {
		vk_strv_add(&words, "--explain");
		vk_strv_add(&words, call_value(c, "--explain"));
	}
	if (c->json)
		vk_strv_add(&words, "--json");
	return run_program(c, "viking-plan", &words, VK_FD_INHERIT, err);
}

/* A program of root's, with our own options and words. */
static int root_program(struct call *c, const char *name, struct vk_err *err)
{
	vk_autostrv words = {0};
	int r = local_only(c, err);
	if (r < 0)
		return r;
	if (c->config_file != NULL) {
		vk_strv_add(&words, "--config");
		vk_strv_add(&words, c->config_file);
	}
	if (c->root != NULL) {
		vk_strv_add(&words, "--root");
		vk_strv_add(&words, c->root);
	}
	for (size_t i = 0; i < c->words.n; i++)
		vk_strv_add(&words, c->words.v[i]);
	return run_program(c, name, &words, VK_FD_NULL, err);
}

static int cluster_init(struct call *c, struct vk_err *err)
{
	return root_program(c, "viking-cluster-init", err);
}

static int join(struct call *c, struct vk_err *err)
{
	return root_program(c, "viking-join", err);
}

static int backup(struct call *c, struct vk_err *err)
{
	int r = local_only(c, err);
	return r < 0 ? r : backup_write(c, c->words.v[0], call_flag(c, "--volumes"), err);
}

static int restore(struct call *c, struct vk_err *err)
{
	int r = local_only(c, err);
	return r < 0 ? r : backup_read(c, c->words.v[0], err);
}

static const struct option check_options[] = {
	{"--print", NULL, NULL,
		"the resolved manifest, all defaults filled in; parses to the same thing"},
	{"--context", NULL, NULL, "the paths that a build would get (FILE is a directory)"},
	{"--dockerfile", NULL, "FILE", "a Dockerfile"},
	{"--rewrite", NULL, NULL, "with --dockerfile: as it would be built"},
	{0},
};
static const struct option plan_options[] = {
	{"--from", NULL, "FILE", "hosts, services and placements as JSON; - is standard input"},
	{"--explain", NULL, "SERVICE", "which hosts could take one more of it, and why not"},
	{0},
};
static const struct option backup_options[] = {
	{"--volumes", NULL, NULL, "with the data of the volumes"},
	{0},
};

const struct command file_commands[] = {
	{"check", "[FILE] [--print|--context|--dockerfile F --rewrite]", 0, 1, 0, true, check,
		check_options, "explain a manifest, a build context or a Dockerfile"},
	{"plan", "STACK | --from FILE [--explain SERVICE]", 0, 1, 0, true, plan, plan_options,
		"where a stack's instances are and could be; or those of a described cluster"},
	{"cluster:init", "", 0, 0, 0, false, cluster_init, NULL,
		"move the state of this host to an etcd of its own, while all runs on"},
	{"join", "TOKEN", 1, 1, 0, false, join, NULL,
		"make this new, empty host one of the cluster that printed the line "
		"(hosts:invite)"},
	{"backup", "FILE [--volumes]", 1, 1, 0, false, backup, backup_options,
		"state, keys, repositories and images into one file"},
	{"restore", "FILE", 1, 1, 0, false, restore, NULL, "a backup onto an empty installation"},
	{0},
};
