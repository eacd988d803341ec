#include "pre_receive.h"

#include <dirent.h>
#include <errno.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/proc.h>
#include <viking/str.h>

#include "report.h"

#define STDIN_MAX    ((size_t)REF_UPDATES_MAX * (REF_NAME_MAX + 128))
#define DOC_MAX      (1u << 20)
#define CHECK_MS     60000 /* reading the tree */
#define CHECK_API_MS 30000

extern char **environ;

int pre_receive_read(int fd, struct ref_updates *u, struct vk_err *err)
{
	vk_autobuf in = VK_BUF_INIT(STDIN_MAX);
	int rc = vk_fs_read_fd(fd, &in, err);
	if (rc != 0)
		return rc;
	const char *p = vk_buf_str(&in), *end = p + in.len;
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		if (nl == NULL)
			return vk_err_set(err, VK_INVALID, "a ref update line without an end");
		rc = refs_add(u, p, (size_t)(nl - p), err);
		if (rc != 0)
			return rc;
		p = nl + 1;
	}
	return 0;
}

/* The monitor bounds the time until here by itself; from here on our own deadlines hold. */
static void tell_stage(void)
{
	const char *text = getenv("VIKING_STAGE_FD");
	uint64_t fd = 0;
	if (text == NULL || vk_parse_u64(text, 3, 1 << 20, &fd) != 0)
		return;
	(void)vk_write_all((int)fd, "P", 1, NULL);
	close((int)fd);
}

static void show_refusals(const struct ref_updates *u)
{
	for (size_t i = 0; i < u->n; i++) {
		const struct ref_verdict *v = &u->verdicts[i];
		if (v->kind != REF_REFUSED)
			continue;
		vk_autofree char *line = vk_asprintf("%s: %s", u->v[i].ref, v->reason);
		report_problem(line, "");
	}
}

/* A push from a shallow clone: receive-pack has written the clone's boundary to a temporary file
 * shallow_XXXXXX beside the repository's own `shallow`. git would refuse it as well, but only after us
 * and without saying what to do. */
static bool from_shallow_clone(void)
{
	DIR *d = opendir(".");
	bool found = false;
	if (d == NULL)
		return false;
	for (struct dirent *e; !found && (e = readdir(d)) != NULL;)
		found = vk_starts(e->d_name, "shallow_");
	closedir(d);
	return found;
}

static int check_disk(const struct hook *h, struct vk_err *err)
{
	int rc = vk_fs_room(".", h->config->free_bytes_min, err);
	return rc == VK_LIMIT ? vk_err_hint(err, VK_ROOM_HINT) : rc;
}

/* The child's error object, with its code and hint; without one, err stays as the child's end made it. */
static int refusal(const struct vk_buf *out, struct vk_err *err)
{
	vk_autojson *said = NULL;
	if (vk_json_parse(vk_buf_str(out), out->len, &said, NULL) != 0 ||
		vk_json_str(said, "message", NULL) == NULL)
		return VK_FAILED;
	int code = vk_err_from_name(vk_json_str(said, "error", "INTERNAL"));
	vk_err_set(err, code, "%s", vk_json_str(said, "message", ""));
	const char *hint = vk_json_str(said, "hint", "");
	if (hint[0] != '\0')
		vk_err_hint(err, "%s", hint);
	return code;
}

/* The manifest and the tree, read by a confined child. */
static int read_doc(const struct hook *h, const char *commit, json_t **ret, struct vk_err *err)
{
	char cwd[4096];
	if (getcwd(cwd, sizeof(cwd)) == NULL)
		return vk_err_errno(err, errno, "the repository");
	vk_autofree char *path = vk_libexec_path(h->config, "viking-export");
	const char *file = getenv("VIKING_CONFIG_FILE"), *root = getenv("VIKING_ROOT");
	const char *argv[8] = {"viking-export"};
	size_t n = 1;
	if (file != NULL && *file != '\0') {
		argv[n++] = "--config";
		argv[n++] = file;
	}
	if (root != NULL && *root != '\0') {
		argv[n++] = "--root";
		argv[n++] = root;
	}
	argv[n++] = "check";
	argv[n++] = commit;
	const struct vk_proc_opts o = {.path = path,
		.argv = argv,
		.env = (const char *const *)environ,
		.cwd = cwd,
		.die_with_parent = true};
	vk_autobuf out = VK_BUF_INIT(DOC_MAX);
	int rc = vk_proc_run(&o, NULL, 0, &out, NULL, CHECK_MS, err);
	if (rc == VK_FAILED)
		return refusal(&out, err);
	return rc != 0 ? rc : vk_json_parse(vk_buf_str(&out), out.len, ret, err);
}

static void show_lines(const json_t *answer)
{
	size_t i;
	json_t *line;
	json_array_foreach(json_object_get(answer, "out"), i, line) if (json_is_string(line))
		report_line(json_string_value(line), json_string_length(line));
}

/* What the manifest means but may not say. */
static void show_notices(const json_t *doc)
{
	size_t i;
	json_t *notice;
	json_array_foreach(json_object_get(doc, "notices"), i, notice)
		report_problem(json_string_value(notice), NULL);
}

/* Asks the scheduler; shows its lines. */
static int ask(struct hook *h, const struct ref_update *r, const struct push_options *o,
	json_t *doc, bool *ret_dry, struct vk_err *err)
{
	vk_autojson *body = hook_push_body(r, push_options_json(o));
	json_object_set(body, "doc", doc);
	vk_autofree char *path = hook_stack_path(h, "push/check");
	vk_autojson *answer = NULL;
	h->api.timeout_ms = CHECK_API_MS;
	int rc = vk_api_call(&h->api, "POST", path, body, &answer, err);
	if (rc != 0)
		return rc;
	show_lines(answer);
	*ret_dry = o->dry_run || vk_json_bool(answer, "dry_run", false);
	return 0;
}

static int check_deploy(struct hook *h, const struct ref_update *r, const struct push_options *o,
	bool *ret_dry, struct vk_err *err)
{
	if (from_shallow_clone()) {
		vk_err_set(err, VK_INVALID, "this is a shallow clone, its history is not complete");
		return vk_err_hint(err, "git fetch --unshallow");
	}
	int rc = check_disk(h, err);
	if (rc != 0 || h->config->bench_skip_release)
		return rc;
	vk_autojson *doc = NULL;
	rc = read_doc(h, r->new, &doc, err);
	if (rc != 0)
		return rc;
	show_notices(doc);
	return ask(h, r, o, doc, ret_dry, err);
}

static int judge(
	struct hook *h, int fd, struct ref_updates *u, struct push_options *o, struct vk_err *err)
{
	char preferred[REF_NAME_MAX + 1];
	int rc = pre_receive_read(fd, u, err);
	if (rc == 0)
		rc = push_options_from_env(o, err);
	if (rc != 0)
		return rc;
	hook_preferred_branch(h, preferred);
	refs_judge(u, h->config->deploy_branches, preferred);
	show_refusals(u);
	return 0;
}

int pre_receive_run(struct hook *h, int fd)
{
	struct ref_updates u = {0};
	struct push_options o = {0};
	struct vk_err err = {0};
	bool dry = false;
	tell_stage();
	int rc = judge(h, fd, &u, &o, &err);
	bool all_refused = rc == 0 && refs_all_refused(&u);
	const struct ref_update *deploy = rc == 0 ? refs_deploying(&u) : NULL;
	if (deploy != NULL)
		rc = check_deploy(h, deploy, &o, &dry, &err);
	if (rc != 0)
		report_err(&err);
	else if (dry || o.dry_run)
		report_problem("dry run: nothing was changed", NULL);
	refs_release(&u);
	push_options_release(&o);
	return rc != 0 || all_refused || dry || o.dry_run;
}
