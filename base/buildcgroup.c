#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <viking/buildcgroup.h>
#include <viking/fs.h>
#include <viking/mem.h>
#include <viking/str.h>

#define CLASS "docker/buildkit"
#define STEP_PREFIX \
	"system.slice:docker:" /* what the systemd driver's form of the name comes out as */
#define V1_SHARES_DEFAULT 1024
#define V2_WEIGHT_DEFAULT 100
#define V1_NO_LIMIT       (1ULL << 62) /* v1 reports "none" as the largest page-aligned number */

/* Control files want one write(2) and report errors through it. */
static int write_file(const char *dir, const char *name, const char *value)
{
	vk_autofree char *path = vk_asprintf("%s/%s", dir, name);
	vk_autoclose int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t n = write(fd, value, strlen(value));
	return n < 0 ? -errno : 0;
}

static int write_number(const char *dir, const char *name, uint64_t value)
{
	char text[32];
	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return write_file(dir, name, text);
}

static bool has_file(const char *dir, const char *name)
{
	vk_autofree char *path = vk_asprintf("%s/%s", dir, name);
	return vk_fs_exists(path);
}

static int read_text(const char *dir, const char *name, char out[static 4096])
{
	vk_autofree char *path = vk_asprintf("%s/%s", dir, name);
	vk_autobuf b = VK_BUF_INIT(4095);
	if (vk_fs_read(path, &b, NULL) != 0)
		return -1;
	memcpy(out, vk_buf_str(&b), b.len + 1);
	if (b.len > 0 && out[b.len - 1] == '\n')
		out[b.len - 1] = '\0';
	return 0;
}

/* "no limit" reads as "max" or as a number beyond any memory. */
static bool is_limited(const char *dir, const char *name)
{
	char text[4096];
	uint64_t v;
	return read_text(dir, name, text) == 0 && vk_parse_u64(text, 0, UINT64_MAX, &v) == 0 &&
		v < V1_NO_LIMIT;
}

static void set_why(struct vk_build_cgroup_report *r, const char *what, int code)
{
	if (r->why[0] == '\0')
		snprintf(r->why, sizeof(r->why), "%s: %s", what, strerror(-code));
}

static int limit_one(
	const char *dir, const char *name, uint64_t value, struct vk_build_cgroup_report *r)
{
	int code = write_number(dir, name, value);
	if (code != 0)
		set_why(r, name, code);
	return code;
}

/* memsw may not be below memory at any moment: whichever way the limit moves, one of the orders fits. */
static bool v1_memory(const char *dir, uint64_t bytes, struct vk_build_cgroup_report *r)
{
	write_number(dir, "memory.memsw.limit_in_bytes", bytes);
	if (limit_one(dir, "memory.limit_in_bytes", bytes, r) != 0)
		return false;
	if (has_file(dir, "memory.memsw.limit_in_bytes"))
		return limit_one(dir, "memory.memsw.limit_in_bytes", bytes, r) == 0;
	return true;
}

static int v1_group(
	const char *root, const char *controller, char **ret, struct vk_build_cgroup_report *r)
{
	vk_autofree char *mount = vk_asprintf("%s/%s", root, controller);
	if (!vk_fs_exists(mount)) {
		set_why(r, controller, -ENOENT);
		return VK_NOTFOUND;
	}
	vk_autofree char *dir = vk_asprintf("%s/" CLASS, mount);
	struct vk_err err = {0};
	if (vk_fs_mkdir_p(dir, 0755, &err) != 0) {
		set_why(r, controller, err.code == VK_DENIED ? -EACCES : -EIO);
		return err.code;
	}
	*ret = VK_TAKE(dir);
	return 0;
}

static int v1_apply(
	const char *root, const struct vk_build_cgroup_limits *l, struct vk_build_cgroup_report *r)
{
	int code = 0, denied = 0;
	vk_autofree char *memory = NULL, *cpu = NULL, *pids = NULL;
	if (l->memory != 0 && (code = v1_group(root, "memory", &memory, r)) == 0)
		r->memory = v1_memory(memory, l->memory, r);
	else if (l->memory != 0 && code == VK_DENIED)
		denied = code;
	if (l->cpu_weight != 0 && v1_group(root, "cpu", &cpu, r) == 0)
		r->cpu = limit_one(cpu, "cpu.shares",
				 l->cpu_weight * V1_SHARES_DEFAULT / V2_WEIGHT_DEFAULT, r) == 0;
	if (l->pids != 0 && v1_group(root, "pids", &pids, r) == 0)
		r->pids = limit_one(pids, "pids.max", l->pids, r) == 0;
	return denied;
}

static void v2_limit(
	const char *dir, const struct vk_build_cgroup_limits *l, struct vk_build_cgroup_report *r)
{
	if (l->memory != 0) {
		r->memory = limit_one(dir, "memory.max", l->memory, r) == 0;
		write_number(dir, "memory.swap.max", 0);
	}
	if (l->cpu_weight != 0)
		r->cpu = limit_one(dir, "cpu.weight", l->cpu_weight, r) == 0;
	if (l->pids != 0)
		r->pids = limit_one(dir, "pids.max", l->pids, r) == 0;
}

/* The systemd driver's steps, each on its own. */
static void v2_steps(
	const char *slice, const struct vk_build_cgroup_limits *l, struct vk_build_cgroup_report *r)
{
	DIR *d = opendir(slice);
	if (d == NULL)
		return;
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (!vk_starts(e->d_name, STEP_PREFIX))
			continue;
		vk_autofree char *dir = vk_asprintf("%s/%s", slice, e->d_name);
		struct vk_build_cgroup_report one = {0};
		v2_limit(dir, l, &one); /* a step that ended meanwhile is no fault */
		r->steps += one.memory || one.cpu || one.pids;
	}
	closedir(d);
}

static int v2_apply(
	const char *root, const struct vk_build_cgroup_limits *l, struct vk_build_cgroup_report *r)
{
	static const char *const controllers[] = {"+memory", "+cpu", "+pids"};
	vk_autofree char *docker = vk_asprintf("%s/docker", root);
	vk_autofree char *dir = vk_asprintf("%s/" CLASS, root);
	vk_autofree char *slice = vk_asprintf("%s/system.slice", root);
	struct vk_err err = {0};
	if (vk_fs_mkdir_p(dir, 0755, &err) != 0) {
		set_why(r, CLASS, err.code == VK_DENIED ? -EACCES : -EIO);
		return err.code == VK_DENIED ? VK_DENIED : 0;
	}
	/* one by one: a kernel without one of them refuses the whole line */
	for (size_t i = 0; i < VK_COUNT(controllers); i++) {
		write_file(root, "cgroup.subtree_control", controllers[i]);
		write_file(docker, "cgroup.subtree_control", controllers[i]);
	}
	v2_limit(dir, l, r);
	if (vk_fs_exists(slice)) {
		snprintf(r->watch, sizeof(r->watch), "%s", slice);
		v2_steps(slice, l, r);
	}
	return 0;
}

static int find_version(const char *root, int *ret, struct vk_err *err)
{
	vk_autofree char *v1 = vk_asprintf("%s/memory", root);
	if (has_file(root, "cgroup.controllers"))
		*ret = 2;
	else if (vk_fs_exists(v1))
		*ret = 1;
	else
		return vk_err_set(
			err, VK_NOTFOUND, "%s: no control groups are mounted there", root);
	return 0;
}

int vk_build_cgroup_apply(const char *sysfs_root, const struct vk_build_cgroup_limits *limits,
	struct vk_build_cgroup_report *ret, struct vk_err *err)
{
	struct vk_build_cgroup_report r = {0};
	int code = find_version(sysfs_root, &r.version, err);
	if (code != 0)
		return code;
	code = r.version == 2 ? v2_apply(sysfs_root, limits, &r) : v1_apply(sysfs_root, limits, &r);
	if (code == VK_DENIED)
		return vk_err_set(err, VK_DENIED,
			"the build limits under %s can be set by root only", sysfs_root);
	*ret = r;
	return 0;
}

int vk_build_cgroup_check(
	const char *sysfs_root, struct vk_build_cgroup_report *ret, struct vk_err *err)
{
	struct vk_build_cgroup_report r = {0};
	int code = find_version(sysfs_root, &r.version, err);
	if (code != 0)
		return code;
	const char *sub[3] = {"/memory", "/cpu", "/pids"};
	if (r.version == 2)
		sub[0] = sub[1] = sub[2] = "";
	vk_autofree char *memory = vk_asprintf("%s%s/" CLASS, sysfs_root, sub[0]);
	vk_autofree char *cpu = vk_asprintf("%s%s/" CLASS, sysfs_root, sub[1]);
	vk_autofree char *pids = vk_asprintf("%s%s/" CLASS, sysfs_root, sub[2]);
	r.memory = is_limited(memory, r.version == 2 ? "memory.max" : "memory.limit_in_bytes");
	r.cpu = is_limited(cpu, r.version == 2 ? "cpu.weight" : "cpu.shares");
	r.pids = is_limited(pids, "pids.max");
	if (!r.memory || !r.pids)
		snprintf(r.why, sizeof(r.why), "no limit stands on %s", r.memory ? pids : memory);
	*ret = r;
	return 0;
}

/* The number behind "name " at the start of a line. */
static uint64_t named_number(const char *text, const char *name)
{
	size_t n = strlen(name);
	for (const char *p = text; p != NULL; p = strchr(p, '\n')) {
		while (*p == '\n')
			p++;
		uint64_t v;
		if (strncmp(p, name, n) != 0 || p[n] != ' ')
			continue;
		vk_autofree char *number = vk_strndup(p + n + 1, strcspn(p + n + 1, "\n"));
		return vk_parse_u64(number, 0, UINT64_MAX, &v) == 0 ? v : 0;
	}
	return 0;
}

static uint64_t read_number(const char *dir, const char *name)
{
	char text[4096];
	uint64_t v;
	return read_text(dir, name, text) == 0 && vk_parse_u64(text, 0, UINT64_MAX, &v) == 0 ? v
											     : 0;
}

/* v1 counts kills in the killed step's own group, which is gone by then, and newer kernels do not count
 * refusals (failcnt) of a parent. Left are: the class has been at its limit, and somebody was killed. */
static uint64_t v1_memory_hits(const char *dir)
{
	vk_autobuf vmstat = VK_BUF_INIT(256u << 10);
	uint64_t limit = read_number(dir, "memory.limit_in_bytes");
	if (limit == 0 || read_number(dir, "memory.max_usage_in_bytes") < limit)
		return 0;
	return vk_fs_read("/proc/vmstat", &vmstat, NULL) == 0
		? 1 + named_number(vk_buf_str(&vmstat), "oom_kill")
		: 1;
}

uint64_t vk_build_cgroup_memory_hits(const char *sysfs_root)
{
	char text[4096];
	vk_autofree char *v2 = vk_asprintf("%s/" CLASS, sysfs_root);
	if (read_text(v2, "memory.events", text) == 0)
		return named_number(text, "oom_kill");
	vk_autofree char *v1 = vk_asprintf("%s/memory/" CLASS, sysfs_root);
	return v1_memory_hits(v1);
}
