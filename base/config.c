#include <viking/config.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/str.h>
#include <viking/yaml.h>

#include "config_table.h"

/* Unix socket paths end at 107 bytes; the longest name below the run directory has 20. */
#define RUN_DIR_MAX 86

/* What the header shows, and where each value came from. */
struct loaded {
	struct vk_config pub; /* first: one address for both */
	char *origin[SETTING_COUNT];
};

static void set_origin(struct loaded *l, const struct setting *s, const char *origin)
{
	free(l->origin[s - settings]);
	l->origin[s - settings] = vk_strdup(origin);
}

static int apply(struct loaded *l, const struct setting *s, const char *text, const char *origin,
	struct vk_err *err)
{
	int rc = setting_set(s, &l->pub, text, err);
	if (rc == 0)
		set_origin(l, s, origin);
	return rc;
}

/* ---- files ---- */

struct source {
	struct loaded *l;
	const char *file;
	struct vk_err *err;
};

/* Names that files of the first viking had. One host needs only the first. */
static const struct setting *old_name(const char *name)
{
	return strcmp(name, "network.hostname") == 0 ? setting_find("host.name") : NULL;
}

static int unknown_key(struct source *src, const struct vk_yaml *at, const char *name)
{
	if (vk_starts(name, "network."))
		return vk_yaml_error(src->err, src->file, at,
			"%s is a setting of several hosts, which this version does not have", name);
	vk_yaml_error(src->err, src->file, at, "unknown setting \"%s\"", name);
	const char *near = setting_suggest(name);
	if (near != NULL)
		vk_err_hint(src->err, "did you mean %s?", near);
	else
		vk_err_hint(src->err, "all settings: viking config --explain");
	return VK_INVALID;
}

/* A list of words stands for the words with commas between. */
static int value_text(struct source *src, const struct vk_yaml *y, struct vk_buf *text)
{
	if (y->type == VK_YAML_SCALAR)
		return vk_buf_adds(text, y->text);
	for (size_t i = 0; i < y->n; i++) {
		if (y->items[i]->type != VK_YAML_SCALAR || strchr(y->items[i]->text, ',') != NULL)
			return vk_yaml_error(
				src->err, src->file, y->items[i], "a word is wanted here");
		if (i > 0)
			vk_buf_addc(text, ',');
		vk_buf_adds(text, y->items[i]->text);
	}
	return 0;
}

static int take_value(struct source *src, const struct vk_yaml *map, size_t i, const char *name)
{
	const struct vk_yaml *y = map->items[i];
	struct vk_yaml at = {.line = map->keys[i].line, .col = map->keys[i].col};
	const struct setting *s = setting_find(name);
	if (s == NULL)
		s = old_name(name);
	if (s == NULL)
		return unknown_key(src, &at, name);
	if (y->type == VK_YAML_LIST && s->type != SETTING_TEXT)
		return vk_yaml_error(src->err, src->file, y, "%s is one value, not a list", name);
	vk_autobuf text = VK_BUF_INIT(VK_YAML_MAX_BYTES + 1);
	int rc = value_text(src, y, &text);
	if (rc != 0)
		return rc;
	vk_autofree char *origin = vk_asprintf("%s:%u", src->file, at.line);
	if (apply(src->l, s, vk_buf_str(&text), origin, src->err) != 0)
		return vk_err_wrap(src->err, "%s:%u:%u", src->file, y->line, y->col);
	return 0;
}

static int take_map(struct source *src, const struct vk_yaml *map, const char *prefix)
{
	for (size_t i = 0; i < map->n; i++) {
		vk_autofree char *name = vk_asprintf(
			"%s%s%s", prefix, *prefix != '\0' ? "." : "", map->keys[i].name);
		bool down = map->items[i]->type == VK_YAML_MAP && setting_find(name) == NULL;
		if (map->items[i]->type == VK_YAML_MAP && !down)
			return vk_yaml_error(src->err, src->file, map->items[i],
				"%s is one value, not a map", name);
		int rc = down ? take_map(src, map->items[i], name) : take_value(src, map, i, name);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int load_file(struct loaded *l, const char *file, bool optional, struct vk_err *err)
{
	vk_autobuf text = VK_BUF_INIT(VK_YAML_MAX_BYTES);
	struct vk_yaml *doc = NULL;
	int rc = vk_fs_read(file, &text, err);
	if (rc == VK_NOTFOUND && optional)
		return 0;
	if (rc == 0)
		rc = vk_yaml_parse(vk_buf_str(&text), text.len, file, &doc, err);
	if (rc != 0)
		return rc;
	struct source src = {.l = l, .file = file, .err = err};
	if (doc->type == VK_YAML_MAP)
		rc = take_map(&src, doc, "");
	else
		rc = vk_yaml_error(
			err, file, doc, "a map of settings is wanted, like \"ssh: {port: 2222}\"");
	vk_yaml_free(doc);
	return rc;
}

static int load_dir(struct loaded *l, const char *dir, struct vk_err *err)
{
	vk_autostrv files = {0};
	DIR *d = opendir(dir);
	if (d == NULL)
		return errno == ENOENT ? 0 : vk_err_errno(err, errno, "%s", dir);
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		if (e->d_name[0] != '.' && vk_ends(e->d_name, ".yml"))
			vk_strv_addf(&files, "%s/%s", dir, e->d_name);
	closedir(d);
	vk_strv_sort(&files);
	for (size_t i = 0; i < files.n; i++) {
		int rc = load_file(l, files.v[i], false, err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* ---- the other layers ---- */

static int load_defaults(struct loaded *l, struct vk_err *err)
{
	for (const struct setting *s = settings; s->name != NULL; s++) {
		int rc = apply(l, s, s->dflt, "default", err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int load_variable(
	struct loaded *l, const struct setting *s, const char *name, struct vk_err *err)
{
	const char *value = getenv(name);
	if (value == NULL)
		return 0;
	int rc = apply(l, s, value, name, err);
	return rc != 0 ? vk_err_wrap(err, "%s", name) : 0;
}

static int load_environment(struct loaded *l, struct vk_err *err)
{
	int rc = load_variable(l, setting_find("host.name"), "VIKING_NETWORK_HOSTNAME", err);
	for (const struct setting *s = settings; s->name != NULL && rc == 0; s++) {
		vk_autofree char *name = setting_env_name(s);
		rc = load_variable(l, s, name, err);
	}
	return rc;
}

static char *absolute(const struct vk_config *c, const char *path)
{
	if (path[0] == '/')
		return vk_strdup(path);
	return vk_asprintf("%s/%s", c->root != NULL ? c->root : "", path);
}

static void resolve_paths(struct loaded *l)
{
	for (const struct setting *s = settings; s->name != NULL; s++) {
		if (s->type != SETTING_PATH)
			continue;
		char **field = (char **)(void *)((char *)&l->pub + s->offset);
		char *path = absolute(&l->pub, *field);
		free(*field);
		*field = path;
		if (l->pub.root != NULL && vk_starts(path, l->pub.root) &&
			vk_streq(l->origin[s - settings], "default"))
			set_origin(l, s, "--root");
	}
}

/* The system may say anything; what does not fit becomes a '-'. */
static void ask_host_name(struct loaded *l)
{
	char name[64] = "";
	if (l->pub.host_name[0] != '\0')
		return;
	gethostname(name, sizeof(name) - 1);
	name[strcspn(name, ".")] = '\0';
	for (char *p = name; *p != '\0'; p++)
		*p = isalnum((unsigned char)*p) ? (char)tolower((unsigned char)*p) : '-';
	free(l->pub.host_name);
	l->pub.host_name = vk_strdup(name[0] != '\0' && name[0] != '-' ? name : "localhost");
	set_origin(l, setting_find("host.name"), "system");
}

/* Root, or one of the users that vikingd gives to its processes. */
static bool is_of_the_package(uid_t uid)
{
	const struct passwd *pw = getpwuid(uid);
	return uid == 0 ||
		(pw != NULL &&
			(vk_streq(pw->pw_name, "viking") || vk_starts(pw->pw_name, "viking-")));
}

static bool is_single_uid(const struct vk_config *c)
{
	if (c->root == NULL)
		return false;
	return !is_of_the_package(geteuid()) || getpwnam("viking") == NULL ||
		vk_streq(getenv("VIKING_SINGLE_UID"), "1");
}

static int set_root(struct vk_config *c, const char *root, struct vk_err *err)
{
	if (root == NULL)
		return 0;
	if (root[0] == '/') {
		c->root = vk_strdup(root);
	} else {
		vk_autofree char *cwd = getcwd(NULL, 0);
		if (cwd == NULL)
			return vk_err_errno(err, errno, "current directory");
		c->root = vk_asprintf("%s/%s", cwd, root);
	}
	for (size_t n = strlen(c->root); n > 0 && c->root[n - 1] == '/';)
		c->root[--n] = '\0';
	if (c->root[0] == '\0') {
		free(c->root);
		c->root = NULL; /* --root / is no root */
	}
	return 0;
}

static int load_files(struct loaded *l, const char *file, struct vk_err *err)
{
	const char *etc = getenv("VIKING_PATHS_ETC");
	vk_autofree char *dir =
		absolute(&l->pub, etc != NULL && *etc != '\0' ? etc : l->pub.etc_dir);
	vk_autofree char *automatic = vk_asprintf("%s/auto.conf", dir);
	vk_autofree char *by_hand = vk_asprintf("%s/viking.conf", dir);
	vk_autofree char *more = vk_asprintf("%s/conf.d", dir);
	int rc = load_file(l, automatic, true, err);
	if (rc == 0)
		rc = load_file(l, file != NULL ? file : by_hand, file == NULL, err);
	if (rc == 0)
		rc = load_dir(l, more, err);
	return rc;
}

static int load_all(struct loaded *l, const char *file, const char *root, struct vk_err *err)
{
	int rc = set_root(&l->pub, root, err);
	if (rc == 0)
		rc = load_defaults(l, err);
	if (rc == 0)
		rc = load_files(l, file, err);
	if (rc == 0)
		rc = load_environment(l, err);
	if (rc != 0)
		return rc;
	resolve_paths(l);
	ask_host_name(l);
	l->pub.single_uid = is_single_uid(&l->pub);
	if (strlen(l->pub.run_dir) > RUN_DIR_MAX)
		return vk_err_set(err, VK_INVALID,
			"paths.run: %s is too long for unix sockets (at most %d)", l->pub.run_dir,
			RUN_DIR_MAX);
	return 0;
}

int vk_config_load(const char *file, const char *root, struct vk_config **ret, struct vk_err *err)
{
	struct loaded *l = vk_alloc(sizeof(*l));
	struct vk_err own = {0};
	if (file != NULL && *file == '\0') /* as the environment hands on what was not given */
		file = NULL;
	int rc = load_all(l, file, root, err != NULL ? err : &own);
	if (rc != 0) {
		vk_config_free(&l->pub);
		return rc;
	}
	*ret = &l->pub;
	return 0;
}

void vk_config_free(struct vk_config *c)
{
	if (c == NULL)
		return;
	struct loaded *l = (struct loaded *)c;
	for (const struct setting *s = settings; s->name != NULL; s++) {
		setting_release(s, c);
		free(l->origin[s - settings]);
	}
	free(c->root);
	free(l);
}

/* ---- printing: YAML that loads again ---- */

static char *yaml_text(const struct setting *s, const struct vk_config *c)
{
	vk_autofree char *text = setting_text(s, c);
	if (s->type != SETTING_TEXT && s->type != SETTING_PATH)
		return VK_TAKE(text);
	vk_autobuf b = VK_BUF_INIT(2 * strlen(text) + 2);
	vk_buf_addc(&b, '"');
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '"' || *p == '\\')
			vk_buf_addc(&b, '\\');
		vk_buf_addc(&b, *p);
	}
	vk_buf_addc(&b, '"');
	return vk_buf_take(&b);
}

void vk_config_print(const struct vk_config *c, bool explain, FILE *out)
{
	const struct loaded *l = (const struct loaded *)c;
	for (const struct setting *s = settings; s->name != NULL; s++) {
		vk_autofree char *value = yaml_text(s, c);
		if (explain)
			fprintf(out, "%s# %s\n", s != settings ? "\n" : "", s->help);
		fprintf(out, "%s: %-*s # %s\n", s->name, 44 - (int)strlen(s->name), value,
			l->origin[s - settings]);
	}
}

json_t *vk_config_json(const struct vk_config *c)
{
	const struct loaded *l = (const struct loaded *)c;
	json_t *list = json_array();
	for (const struct setting *s = settings; s->name != NULL; s++) {
		vk_autofree char *value = setting_text(s, c);
		json_array_append_new(list,
			json_pack("{s:s,s:s,s:s,s:s}", "name", s->name, "value", value, "from",
				l->origin[s - settings], "help", s->help));
	}
	return json_pack("{s:o}", "settings", list);
}

/* ---- the command line ---- */

/* Is argv[i] the option? Then *value is what it is set to and *used how many words it takes. */
static int match_option(char **argv, int i, int argc, const char *option, const char **value,
	int *used, struct vk_err *err)
{
	size_t n = strlen(option);
	*used = 0;
	if (strncmp(argv[i], option, n) != 0)
		return 0;
	if (argv[i][n] == '=') {
		*value = argv[i] + n + 1;
		*used = 1;
	} else if (argv[i][n] == '\0' && i + 1 < argc) {
		*value = argv[i + 1];
		*used = 2;
	} else if (argv[i][n] == '\0') {
		return vk_err_set(err, VK_USAGE, "%s needs a value", option);
	}
	if (*used > 0 && **value == '\0')
		return vk_err_set(err, VK_USAGE, "%s needs a value", option);
	return 0;
}

int vk_config_from_argv(int *argc, char **argv, struct vk_config **ret, struct vk_err *err)
{
	const char *file = getenv("VIKING_CONFIG_FILE"), *root = getenv("VIKING_ROOT");
	int kept = 1, i = 1;
	while (i < *argc && argv[i][0] == '-' && strcmp(argv[i], "--") != 0) {
		int used = 0;
		int rc = match_option(argv, i, *argc, "--config", &file, &used, err);
		if (rc == 0 && used == 0)
			rc = match_option(argv, i, *argc, "--root", &root, &used, err);
		if (rc != 0)
			return rc;
		if (used == 0)
			argv[kept++] = argv[i++];
		i += used;
	}
	while (i < *argc)
		argv[kept++] = argv[i++];
	argv[kept] = NULL;
	*argc = kept;
	return vk_config_load(file != NULL && *file != '\0' ? file : NULL,
		root != NULL && *root != '\0' ? root : NULL, ret, err);
}

/* ---- the fixed layout ---- */

static char *path_below(const char *dir, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));

static char *path_below(const char *dir, const char *fmt, va_list ap)
{
	vk_autofree char *rest = vk_vasprintf(fmt, ap);
	return vk_asprintf("%s/%s", dir, rest);
}

char *vk_state_path(const struct vk_config *c, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	char *path = path_below(c->state_dir, fmt, ap);
	va_end(ap);
	return path;
}

char *vk_run_path(const struct vk_config *c, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	char *path = path_below(c->run_dir, fmt, ap);
	va_end(ap);
	return path;
}

char *vk_libexec_path(const struct vk_config *c, const char *program)
{
	return vk_asprintf("%s/%s", c->libexec_dir, program);
}

const char *vk_config_cluster_address(const struct vk_config *c)
{
	const char *a = c->cluster_address;
	bool none =
		a[0] == '\0' || vk_streq(a, "0.0.0.0") || vk_streq(a, "::") || vk_starts(a, "127.");
	return none ? NULL : a;
}

const char *vk_config_own_port(const struct vk_config *c, uint64_t port)
{
	/* a host of a cluster may be chosen to run a member */
	bool etcd = c->run_etcd || vk_streq(c->store, "etcd");
	uint16_t first, last;
	const struct {
		uint64_t port;
		const char *setting;
	} own[] = {
		{c->ssh_port, "ssh.port"},
		{c->http_port, "http.port"},
		{c->https_port, "https.port"},
		{c->web_port, "web.port"},
		{c->cluster_port, "cluster.port"},
		{c->registry_port, "registry.port"},
		{etcd ? c->etcd_port : 0, "etcd.port"},
		{etcd ? c->etcd_peer_port : 0, "etcd.peer_port"},
	};
	for (size_t i = 0; port != 0 && i < VK_COUNT(own); i++)
		if (own[i].port == port)
			return own[i].setting;
	if (!etcd || vk_config_cluster_address(c) == NULL)
		return NULL;
	vk_config_cluster_ports(c, &first, &last);
	return port >= first && port <= last ? "cluster.ports" : NULL;
}

void vk_config_cluster_ports(const struct vk_config *c, uint16_t *ret_first, uint16_t *ret_last)
{
	uint64_t first = 0, last = 0;
	vk_autofree char *ports = vk_strdup(c->cluster_ports);
	char *dash = strchr(ports, '-'); /* the form was checked when it was read */
	*dash = '\0';
	(void)vk_parse_u64(ports, 1, 65535, &first);
	(void)vk_parse_u64(dash + 1, first, 65535, &last);
	*ret_first = (uint16_t)first;
	*ret_last = (uint16_t)last;
}
