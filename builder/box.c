#include "box.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <viking/buildcgroup.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/proc.h>
#include <viking/str.h>

#include "relay.h"

#define PUT_MS                (10 * 60 * 1000)
#define COMMIT_MS             (15 * 60 * 1000)
#define SHARES_PER_WEIGHT_100 1024

int box_cancel_fd(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static char *name_prefix(const struct job *j)
{
	return vk_asprintf("viking-build-%.8s-", j->root_label);
}

/* -- network and volume ---------------------------------------------------------------------- */

static json_t *labels(const struct job *j)
{
	return json_pack("{s:s, s:s, s:s}", "viking.root", j->root_label, "viking.stack", j->stack,
		"viking.build", j->id);
}

static char *network_name(const struct job *j)
{
	return vk_asprintf("viking-build-%.8s", j->root_label);
}

int box_network(struct job *j, struct vk_err *err)
{
	vk_autofree char *name = network_name(j);
	vk_autofree char *path = vk_asprintf("/networks/%s", name);
	int code = vk_engine_call(j->engine, "GET", path, NULL, 0, NULL, err);
	if (code != VK_NOTFOUND)
		return code;
	vk_autojson *body = json_pack("{s:s, s:s, s:b, s:{s:s}, s:{s:s}}", "Name", name, "Driver",
		"bridge", "CheckDuplicate", 1, "Options", "com.docker.network.bridge.enable_icc",
		"false", "Labels", "viking.root", j->root_label);
	code = vk_engine_call(j->engine, "POST", "/networks/create", body, 0, NULL, err);
	return code == VK_CONFLICT ? 0 : code; /* another job was first */
}

int box_cache(struct job *j, const char *name, struct vk_err *err)
{
	vk_autofree char *path = vk_asprintf("/volumes/%s", name);
	int code = j->no_cache ? vk_engine_call(j->engine, "DELETE", path, NULL, 0, NULL, err) : 0;
	if (code != 0 && code != VK_NOTFOUND)
		return vk_err_wrap(err, "the cache could not be emptied");
	vk_autojson *body = json_pack("{s:s, s:{s:s, s:s, s:s}}", "Name", name, "Labels",
		"viking.root", j->root_label, "viking.stack", j->stack, "viking.cache", "1");
	return vk_engine_call(j->engine, "POST", "/volumes/create", body, 0, NULL, err);
}

/* -- create ---------------------------------------------------------------------------------- */

static void add_limits(const struct limits *l, json_t *host)
{
	if (l->memory > 0) {
		json_object_set_new(host, "Memory", json_integer((json_int_t)l->memory));
		json_object_set_new(host, "MemorySwap", json_integer((json_int_t)l->memory));
	}
	if (l->cpu_weight > 0)
		json_object_set_new(host, "CpuShares",
			json_integer((json_int_t)(l->cpu_weight * SHARES_PER_WEIGHT_100 / 100)));
	if (l->pids > 0)
		json_object_set_new(host, "PidsLimit", json_integer((json_int_t)l->pids));
	json_object_set_new(host, "OomScoreAdj", json_integer(500));
}

static json_t *host_config(const struct box *b, const struct box_opts *o, const char *network)
{
	json_t *host = json_pack("{s:s, s:b, s:{s:s}}", "NetworkMode", network, "Init", 1,
		"LogConfig", "Type", "none");
	add_limits(&b->limits, host);
	if (!o->trusted) {
		/* what box_entry needs before it gives them up, and box_disk to look into closed directories */
		json_object_set_new(host, "CapDrop", json_pack("[s]", "ALL"));
		json_object_set_new(host, "CapAdd",
			json_pack("[s,s,s,s,s,s]", "NET_ADMIN", "CHOWN", "SETUID", "SETGID",
				"SETPCAP", "DAC_READ_SEARCH"));
		json_object_set_new(host, "SecurityOpt", json_pack("[s]", "no-new-privileges"));
	}
	if (o->binds != NULL)
		json_object_set_new(host, "Binds", json_deep_copy(o->binds));
	return host;
}

static json_t *container(const struct box *b, const struct box_opts *o, const char *network)
{
	json_t *c = json_pack("{s:s, s:s, s:b, s:b, s:O, s:[]}", "Image", o->image, "User", "0",
		"AttachStdout", 1, "AttachStderr", 1, "Entrypoint", o->command, "Cmd");
	if (o->env != NULL)
		json_object_set_new(c, "Env", json_deep_copy(o->env));
	json_object_set_new(c, "Labels", labels(b->j));
	json_object_set_new(c, "HostConfig", host_config(b, o, network));
	return c;
}

int box_create(
	struct job *j, int cancel_fd, const struct box_opts *o, struct box *ret, struct vk_err *err)
{
	vk_autojson *answer = NULL;
	vk_autofree char *prefix = name_prefix(j);
	vk_autofree char *network = network_name(j);
	uint64_t start = 0;
	*ret = (struct box){.j = j,
		.cancel_fd = cancel_fd,
		.has_cache = o->binds != NULL && j->cache[0] != '\0'};
	limits_from_config(j->config, VK_CGROUP_ROOT, &ret->limits);
	int code = vk_proc_start_time(getpid(), &start);
	if (code != 0)
		return vk_err_set(err, VK_INTERNAL, "no start time of our own");
	vk_autojson *body = container(ret, o, network);
	vk_autofree char *path = vk_asprintf("/containers/create?name=%s%d-%llu", prefix,
		(int)getpid(), (unsigned long long)start);
	code = vk_engine_call(j->engine, "POST", path, body, 0, &answer, err);
	if (code == 0)
		snprintf(ret->id, sizeof(ret->id), "%s", vk_json_str(answer, "Id", ""));
	return code;
}

void box_remove(struct box *b)
{
	struct vk_err why = {0};
	vk_freep(&b->disk.root);
	if (b->id[0] == '\0')
		return;
	vk_autofree char *path = vk_asprintf("/containers/%s?force=1&v=1", b->id);
	if (vk_engine_call(b->j->engine, "DELETE", path, NULL, 60000, NULL, &why) != 0 &&
		why.code != VK_NOTFOUND)
		buildlog_linef(&b->j->log, " !     the build's container is left: %s", why.msg);
	b->id[0] = '\0';
}

/* "PREFIXpid-start": is that process there? */
static bool owner_lives(const char *name, const char *prefix)
{
	uint64_t pid, start, now;
	vk_autofree char *rest = vk_strdup(name + strlen(prefix));
	char *dash = strchr(rest, '-');
	if (dash == NULL)
		return false;
	*dash = '\0';
	return vk_parse_u64(rest, 1, INT32_MAX, &pid) == 0 &&
		vk_parse_u64(dash + 1, 0, UINT64_MAX, &start) == 0 &&
		vk_proc_start_time((pid_t)pid, &now) == 0 && now == start;
}

int box_sweep(struct job *j, struct vk_err *err)
{
	vk_autofree char *prefix = name_prefix(j);
	vk_autofree char *filters = vk_asprintf("{\"name\":[\"^/%s\"]}", prefix);
	vk_autofree char *escaped = vk_engine_escape(filters);
	vk_autofree char *path = vk_asprintf("/containers/json?all=1&filters=%s", escaped);
	vk_autojson *list = NULL;
	int code = vk_engine_call(j->engine, "GET", path, NULL, 0, &list, err);
	for (size_t i = 0; code == 0 && i < json_array_size(list); i++) {
		const json_t *c = json_array_get(list, i);
		const char *name =
			json_string_value(json_array_get(json_object_get(c, "Names"), 0));
		if (name == NULL || *name != '/' || !vk_starts(name + 1, prefix) ||
			owner_lives(name + 1, prefix))
			continue;
		struct box left = {.j = j};
		snprintf(left.id, sizeof(left.id), "%s", vk_json_str(c, "Id", ""));
		box_remove(&left);
	}
	return code;
}

/* -- files ----------------------------------------------------------------------------------- */

int box_put(struct box *b, const char *dir, int tar_fd, struct vk_err *err)
{
	vk_autofree char *escaped = vk_engine_escape(dir);
	vk_autofree char *path = vk_asprintf("/containers/%s/archive?path=%s", b->id, escaped);
	int code = vk_engine_upload(
		b->j->engine, "PUT", path, NULL, tar_fd, b->cancel_fd, NULL, NULL, PUT_MS, err);
	return code != 0 ? vk_err_wrap(err, "the source could not be put into the build") : 0;
}

int box_put_source(struct box *b, const char *dir, int *fd, struct vk_err *err)
{
	vk_autofree char *self = vk_libexec_path(b->j->config, "viking-job");
	struct relay relay;
	int code = relay_start(self, *fd, &relay, err);
	if (code != 0)
		return code;
	vk_closep(fd);
	*fd = -1;
	code = box_put(b, dir, relay.out, err);
	if (code == 0)
		return relay_end(&relay, err);
	relay_kill(&relay);
	return code;
}

int box_get(struct box *b, const char *path, struct vk_buf *out, struct vk_err *err)
{
	vk_autofree char *escaped = vk_engine_escape(path);
	vk_autofree char *url = vk_asprintf("/containers/%s/archive?path=%s", b->id, escaped);
	return vk_engine_download(b->j->engine, url, out, 0, err);
}

/* The engine adds the container's labels and variables to what it is given; the labels of a build
 * are not the application's. */
int box_commit(struct box *b, const char *repo, const char *tag, const json_t *config,
	char image[static 80], struct vk_err *err)
{
	vk_autojson *answer = NULL;
	vk_autofree char *escaped = vk_engine_escape(repo);
	vk_autofree char *path =
		vk_asprintf("/commit?container=%s&repo=%s&tag=%s&pause=0", b->id, escaped, tag);
	int code = vk_engine_call(b->j->engine, "POST", path, config, COMMIT_MS, &answer, err);
	if (code != 0)
		return vk_err_wrap(err, "the image could not be made of the build");
	snprintf(image, 80, "%s", vk_json_str(answer, "Id", ""));
	return 0;
}
