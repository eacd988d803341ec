#include "backup.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/proc.h>
#include <viking/str.h>

#include "output.h"

#define TAR    "/bin/tar"
#define TAR_MS (6LL * 3600 * 1000)

/* Below STATE; what is missing is left out. */
static const struct {
	const char *path, *user, *group;
} parts[] = {
	{"repos", "viking", "viking"},
	{"ssh", "viking", "viking"},
	{"static", "viking", "viking-web"},
	{"registry/data", "viking-build", "viking-build"},
	{"sched/secret.key", "viking-sched", "viking-sched"},
	{"sched/audit.jsonl", "viking-sched", "viking-sched"},
};

static int run_tar(const struct vk_strv *argv, struct vk_err *err)
{
	struct vk_proc_opts o = {
		.path = TAR, .argv = (const char *const *)argv->v, .in = VK_FD_NULL};
	vk_autobuf errors = VK_BUF_INIT(65536);
	return vk_proc_run(&o, NULL, 0, NULL, &errors, TAR_MS, err);
}

struct dump {
	FILE *out;
	size_t keys;
	bool ended;
};

static int dump_line(void *arg, json_t *line, struct vk_err *err)
{
	struct dump *d = arg;
	if (json_object_get(line, "end") != NULL) {
		d->ended = true;
		return 0;
	}
	vk_autofree char *text = vk_json_text(line);
	d->keys++;
	if (fprintf(d->out, "%s\n", text) < 0)
		return vk_err_errno(err, errno, "state.jsonl");
	return 0;
}

static int dump_state(struct call *c, const char *dir, size_t *ret_keys, struct vk_err *err)
{
	vk_autofree char *path = vk_asprintf("%s/state.jsonl", dir);
	struct dump d = {.out = fopen(path, "wxe")};
	if (d.out == NULL)
		return vk_err_errno(err, errno, "%s", path);
	int r = api_lines(c, dump_line, &d, err, "/v1/backup");
	if (fclose(d.out) != 0 && r == 0)
		r = vk_err_errno(err, errno, "%s", path);
	if (r == 0 && !d.ended)
		r = vk_err_set(err, VK_UNAVAILABLE, "the state broke off in the middle");
	*ret_keys = d.keys;
	return r;
}

static int write_meta(const char *dir, size_t keys, struct vk_err *err)
{
	vk_autofree char *path = vk_asprintf("%s/meta.json", dir);
	vk_autojson *meta = json_pack("{s:i s:s s:I s:I}", "v", 1, "viking", VIKING_VERSION,
		"time_ms", (json_int_t)vk_now_ms(), "keys", (json_int_t)keys);
	vk_autofree char *text = vk_json_text(meta);
	return vk_fs_write_atomic(path, text, strlen(text), 0600, err);
}

/* --transform renames every member of a run, so each volume is appended by a run of its own. */
static int append_volume(const char *file, const char *name, const char *mount, struct vk_err *err)
{
	vk_autostrv argv = {0};
	vk_strv_add(&argv, TAR);
	vk_strv_add(&argv, "--append");
	vk_strv_add(&argv, "--numeric-owner");
	vk_strv_addf(&argv, "--file=%s", file);
	vk_strv_addf(&argv, "--transform=s,^\\.,volumes/%s,", name);
	vk_strv_add(&argv, "-C");
	vk_strv_add(&argv, mount);
	vk_strv_add(&argv, ".");
	return run_tar(&argv, err);
}

/* The engine knows where a volume's data lies; the same HTTP client speaks to its socket. Another host's are named. */
static int add_volumes(
	struct call *c, const struct vk_config *config, const char *file, struct vk_err *err)
{
	vk_autojson *answer = NULL;
	int r = api_get(c, &answer, err, "/v1/volumes");
	size_t i;
	json_t *v;
	json_array_foreach(json_object_get(answer, "volumes"), i, v)
	{
		const char *name = vk_json_str(v, "name", "");
		const char *host = vk_json_str(v, "host", config->host_name);
		vk_autofree char *path = vk_asprintf("/volumes/%s", name);
		vk_autojson *info = NULL;
		struct vk_api_opts o = {.socket = config->engine_socket, .token = ""};
		struct vk_err missing = {0};
		if (strcmp(host, config->host_name) != 0) {
			printf("not in it: volume %s, which is on %s\n", name, host);
			continue;
		}
		if (r < 0 || vk_api_call(&o, "GET", path, NULL, &info, &missing) < 0)
			continue; /* never started: no data */
		const char *mount = vk_json_str(info, "Mountpoint", "");
		if (vk_fs_exists(mount))
			r = append_volume(file, name, mount, err);
	}
	return r;
}

static int pack(struct call *c, const struct vk_config *config, const char *dir, const char *file,
	bool volumes, struct vk_err *err)
{
	vk_autostrv argv = {0};
	vk_strv_add(&argv, TAR);
	vk_strv_add(&argv, "--create");
	vk_strv_add(&argv, "--numeric-owner");
	vk_strv_addf(&argv, "--file=%s", file);
	vk_strv_add(&argv, "-C");
	vk_strv_add(&argv, dir);
	vk_strv_add(&argv, "meta.json");
	vk_strv_add(&argv, "state.jsonl");
	vk_strv_add(&argv, "-C");
	vk_strv_add(&argv, config->state_dir);
	for (size_t i = 0; i < VK_COUNT(parts); i++) {
		vk_autofree char *path = vk_state_path(config, "%s", parts[i].path);
		if (vk_fs_exists(path))
			vk_strv_add(&argv, parts[i].path);
	}
	int r = run_tar(&argv, err);
	return r == 0 && volumes ? add_volumes(c, config, file, err) : r;
}

/* Programs that we start run in /. Caller frees. */
static char *absolute_path(const char *file)
{
	char cwd[4096];
	if (file[0] == '/' || getcwd(cwd, sizeof(cwd)) == NULL)
		return vk_strdup(file);
	return vk_asprintf("%s/%s", cwd, file);
}

/* Of a cluster, one host alone has repositories and images. */
static int whole(
	struct call *c, const struct vk_config *config, bool volumes, bool *ret, struct vk_err *err)
{
	vk_autojson *answer = NULL;
	int r = api_get(c, &answer, err, "/v1/cluster");
	const char *host = vk_json_str(answer, "registry", config->host_name);
	*ret = strcmp(host, config->host_name) == 0;
	if (r < 0 || *ret)
		return r;
	if (volumes) {
		printf("not in it: repositories and images, which are on %s\n", host);
		return 0;
	}
	vk_err_set(err, VK_CONFLICT, "repositories and images are on %s, not here", host);
	return vk_err_hint(err, "viking backup FILE, on %s; here, with --volumes: volumes", host);
}

static int write_in(struct call *c, const struct vk_config *config, const char *dir,
	const char *file, bool volumes, struct vk_err *err)
{
	size_t keys = 0;
	bool all = true;
	int r = whole(c, config, volumes, &all, err);
	if (r == 0)
		r = dump_state(c, dir, &keys, err);
	if (r == 0)
		r = write_meta(dir, keys, err);
	vk_autofree char *absolute = absolute_path(file);
	vk_autofree char *part = vk_asprintf("%s.part", absolute);
	mode_t before = umask(0077); /* it holds the key of the secrets */
	if (r == 0)
		r = pack(c, config, dir, part, volumes, err);
	umask(before);
	if (r == 0 && rename(part, absolute) < 0)
		r = vk_err_errno(err, errno, "%s", file);
	if (r < 0)
		unlink(part);
	else
		printf("%s: %zu keys%s%s\n", file, keys, all ? ", repositories, images" : "",
			volumes ? ", volumes" : "");
	return r;
}

int backup_write(struct call *c, const char *file, bool volumes, struct vk_err *err)
{
	struct vk_config *config = NULL;
	int r = vk_config_load(c->config_file, c->root, &config, err);
	if (r < 0)
		return r;
	vk_autofree char *dir = vk_run_path(config, "backup-XXXXXX");
	if (mkdtemp(dir) == NULL)
		r = vk_err_errno(err, errno, "%s", dir);
	else
		r = write_in(c, config, dir, file, volumes, err);
	vk_fs_remove_tree(dir, NULL);
	vk_config_free(config);
	return r;
}

static int give(const char *path, const char *user, const char *group, struct vk_err *err)
{
	const struct passwd *pw = getpwnam(user);
	const struct group *gr = getgrnam(group);
	if (pw == NULL || gr == NULL)
		return vk_err_set(err, VK_NOTFOUND, "the user %s or the group %s does not exist",
			user, group);
	char *roots[] = {vk_strdup(path), NULL};
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	int r = tree ? 0 : vk_err_errno(err, errno, "%s", path);
	for (FTSENT *e; r == 0 && (e = fts_read(tree)) != NULL;)
		if (e->fts_info != FTS_DP && lchown(e->fts_path, pw->pw_uid, gr->gr_gid) < 0)
			r = vk_err_errno(err, errno, "%s", e->fts_path);
	if (tree)
		fts_close(tree);
	free(roots[0]);
	return r;
}

static int must_be_empty(const struct vk_config *config, struct vk_err *err)
{
	vk_autofree char *db = vk_state_path(config, "sched/viking.db");
	if (!vk_fs_exists(db))
		return 0;
	vk_err_set(
		err, VK_CONFLICT, "%s is not empty: restore never overwrites", config->state_dir);
	return vk_err_hint(err, "stop vikingd, move %s away, try again", config->state_dir);
}

static int must_be_stopped(const struct vk_config *config, int *ret_lock, struct vk_err *err)
{
	vk_autofree char *path = vk_state_path(config, "vikingd.lock");
	int r = vk_fs_mkdir_p(config->state_dir, 0755, err);
	if (r == 0)
		r = vk_fs_lock(path, ret_lock, err);
	if (r == VK_CONFLICT) {
		vk_err_set(err, VK_CONFLICT, "vikingd runs on %s", config->state_dir);
		vk_err_hint(err,
			"sudo systemctl stop viking; viking restore FILE; sudo systemctl start "
			"viking");
	}
	return r;
}

/* Volumes go back through the engine: it makes the volume, we fill its directory. */
static int restore_volume(
	const struct vk_config *config, const char *dir, const char *name, struct vk_err *err)
{
	vk_autojson *body =
		json_pack("{s:s s:{s:s}}", "Name", name, "Labels", "viking.restored", "1");
	vk_autojson *info = NULL;
	struct vk_api_opts o = {.socket = config->engine_socket, .token = ""};
	int r = vk_api_call(&o, "POST", "/volumes/create", body, &info, err);
	if (r < 0)
		return r;
	vk_autofree char *from = vk_asprintf("%s/volumes/%s/.", dir, name);
	vk_autofree char *to = vk_asprintf("%s/", vk_json_str(info, "Mountpoint", "/nonexistent"));
	const char *argv[] = {"/bin/cp", "-a", from, to, NULL};
	struct vk_proc_opts p = {.path = "/bin/cp", .argv = argv, .in = VK_FD_NULL};
	vk_autobuf errors = VK_BUF_INIT(65536);
	return vk_proc_run(&p, NULL, 0, NULL, &errors, TAR_MS, err);
}

static int restore_volumes(const struct vk_config *config, const char *dir, struct vk_err *err)
{
	vk_autofree char *path = vk_asprintf("%s/volumes", dir);
	if (!vk_fs_exists(path))
		return 0;
	char *roots[] = {path, NULL};
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	int r = tree ? 0 : vk_err_errno(err, errno, "%s", path);
	for (FTSENT *e; r == 0 && (e = fts_read(tree)) != NULL;) {
		if (e->fts_level != 1 || e->fts_info != FTS_D)
			continue;
		r = restore_volume(config, dir, e->fts_name, err);
		fts_set(tree, e, FTS_SKIP);
	}
	if (tree)
		fts_close(tree);
	return r;
}

static int put(const struct vk_config *config, const char *dir, const char *from, const char *to,
	const char *user, const char *group, struct vk_err *err)
{
	vk_autofree char *source = vk_asprintf("%s/%s", dir, from);
	vk_autofree char *target = vk_state_path(config, "%s", to);
	if (!vk_fs_exists(source))
		return 0;
	vk_autofree char *parent = vk_strndup(target, (size_t)(strrchr(target, '/') - target));
	int r = vk_fs_mkdir_p(parent, 0755, err);
	if (r == 0 && !config->single_uid)
		r = give(source, user, group, err);
	if (r == 0 && vk_fs_exists(target))
		r = vk_fs_remove_tree(target, err);
	if (r == 0 && rename(source, target) < 0)
		r = vk_err_errno(err, errno, "%s", target);
	return r;
}

static int unpack(
	const struct vk_config *config, const char *dir, const char *file, struct vk_err *err)
{
	vk_autostrv argv = {0};
	vk_strv_add(&argv, TAR);
	vk_strv_add(&argv, "--extract");
	vk_strv_add(&argv, "--numeric-owner");
	vk_strv_addf(&argv, "--file=%s", file);
	vk_strv_add(&argv, "-C");
	vk_strv_add(&argv, dir);
	int r = run_tar(&argv, err);
	vk_autofree char *state = vk_asprintf("%s/state.jsonl", dir);
	if (r == 0 && !vk_fs_exists(state))
		r = vk_err_set(
			err, VK_INVALID, "%s is not a viking backup: it has no state.jsonl", file);
	for (size_t i = 0; r == 0 && i < VK_COUNT(parts); i++)
		r = put(config, dir, parts[i].path, parts[i].path, parts[i].user, parts[i].group,
			err);
	if (r == 0)
		r = restore_volumes(config, dir, err);
	if (r == 0) /* last: with it the scheduler begins */
		r = put(config, dir, "state.jsonl", "sched/restore.jsonl", "viking-sched",
			"viking-sched", err);
	return r;
}

int backup_read(struct call *c, const char *file, struct vk_err *err)
{
	struct vk_config *config = NULL;
	vk_autoclose int lock = -1;
	int r = vk_config_load(c->config_file, c->root, &config, err);
	if (r == 0)
		r = must_be_stopped(config, &lock, err);
	if (r == 0)
		r = must_be_empty(config, err);
	vk_autofree char *dir = r == 0 ? vk_state_path(config, "restore-XXXXXX") : NULL;
	if (r == 0 && mkdtemp(dir) == NULL)
		r = vk_err_errno(err, errno, "%s", dir);
	vk_autofree char *absolute = absolute_path(file);
	if (r == 0)
		r = unpack(config, dir, absolute, err);
	if (dir != NULL)
		vk_fs_remove_tree(dir, NULL);
	if (r == 0)
		printf("%s restored into %s; start vikingd to serve it again\n", file,
			config->state_dir);
	vk_config_free(config);
	return r;
}
