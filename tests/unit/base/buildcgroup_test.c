#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <viking/buildcgroup.h>
#include <viking/fs.h>
#include <viking/mem.h>

static char tree[64];
static const struct vk_build_cgroup_limits limits = {
	.memory = 64 << 20, .cpu_weight = 200, .pids = 77};

static void make_tree(void)
{
	snprintf(tree, sizeof(tree), "/tmp/buildcgroup-XXXXXX");
	cr_assert_not_null(mkdtemp(tree));
}

static void drop_tree(void)
{
	vk_fs_remove_tree(tree, NULL);
}

static void put(const char *path, const char *text)
{
	vk_autofree char *full = vk_asprintf("%s/%s", tree, path);
	vk_autofree char *dir = vk_strndup(full, (size_t)(strrchr(full, '/') - full));
	cr_assert_eq(vk_fs_mkdir_p(dir, 0755, NULL), 0);
	cr_assert_eq(vk_fs_write_atomic(full, text, strlen(text), 0644, NULL), 0);
}

static void expect(const char *path, const char *text)
{
	vk_autofree char *full = vk_asprintf("%s/%s", tree, path);
	vk_autobuf b = VK_BUF_INIT(4096);
	cr_assert_eq(vk_fs_read(full, &b, NULL), 0, "%s is not there", path);
	cr_assert_str_eq(vk_buf_str(&b), text, "%s", path);
}

static void make_v1(void)
{
	put("memory/docker/buildkit/memory.limit_in_bytes", "9223372036854771712\n");
	put("memory/docker/buildkit/memory.memsw.limit_in_bytes", "9223372036854771712\n");
	put("memory/docker/buildkit/memory.max_usage_in_bytes", "4096\n");
	put("cpu/docker/buildkit/cpu.shares", "1024\n");
	put("pids/docker/buildkit/pids.max", "max\n");
}

static void make_v2(void)
{
	put("cgroup.controllers", "cpu memory pids\n");
	put("cgroup.subtree_control", "");
	put("docker/cgroup.subtree_control", "");
	put("docker/buildkit/memory.max", "max\n");
	put("docker/buildkit/memory.swap.max", "max\n");
	put("docker/buildkit/cpu.weight", "100\n");
	put("docker/buildkit/pids.max", "max\n");
	put("docker/buildkit/memory.events", "low 0\nhigh 1\nmax 70\noom 5\noom_kill 3\n");
}

TestSuite(buildcgroup, .init = make_tree, .fini = drop_tree);

Test(buildcgroup, v1_limits_the_class)
{
	struct vk_build_cgroup_report r;
	struct vk_err err = {0};
	make_v1();
	cr_assert_eq(vk_build_cgroup_apply(tree, &limits, &r, &err), 0, "%s", err.msg);
	cr_assert_eq(r.version, 1);
	cr_assert(r.memory && r.cpu && r.pids, "%s", r.why);
	cr_assert_str_eq(r.watch, "");
	expect("memory/docker/buildkit/memory.limit_in_bytes", "67108864");
	expect("memory/docker/buildkit/memory.memsw.limit_in_bytes", "67108864");
	expect("cpu/docker/buildkit/cpu.shares", "2048");
	expect("pids/docker/buildkit/pids.max", "77");
}

Test(buildcgroup, v1_makes_the_class_before_the_engine_does)
{
	struct vk_build_cgroup_report r;
	put("memory/tasks", "");
	put("cpu/tasks", "");
	put("pids/tasks", "");
	cr_assert_eq(vk_build_cgroup_apply(tree, &limits, &r, NULL), 0);
	vk_autofree char *dir = vk_asprintf("%s/pids/docker/buildkit", tree);
	cr_assert(vk_fs_exists(dir));
	/* in this tree no kernel fills the directory with files: that must be said */
	cr_assert(!r.memory && !r.pids);
	cr_assert_neq(r.why[0], '\0');
}

Test(buildcgroup, v1_without_a_controller_says_which)
{
	struct vk_build_cgroup_report r;
	make_v1();
	vk_autofree char *pids = vk_asprintf("%s/pids", tree);
	vk_fs_remove_tree(pids, NULL);
	cr_assert_eq(vk_build_cgroup_apply(tree, &limits, &r, NULL), 0);
	cr_assert(r.memory && !r.pids);
	cr_assert(strstr(r.why, "pids") != NULL, "%s", r.why);
}

Test(buildcgroup, v2_limits_the_class_and_delegates_controllers)
{
	struct vk_build_cgroup_report r;
	make_v2();
	cr_assert_eq(vk_build_cgroup_apply(tree, &limits, &r, NULL), 0);
	cr_assert_eq(r.version, 2);
	cr_assert(r.memory && r.cpu && r.pids, "%s", r.why);
	expect("docker/buildkit/memory.max", "67108864");
	expect("docker/buildkit/memory.swap.max", "0");
	expect("docker/buildkit/cpu.weight", "200");
	expect("docker/buildkit/pids.max", "77");
	expect("docker/cgroup.subtree_control", "+pids"); /* the last of the three writes */
	cr_assert_str_eq(r.watch, "");
}

Test(buildcgroup, v2_systemd_steps_are_limited_one_by_one)
{
	struct vk_build_cgroup_report r;
	make_v2();
	put("system.slice/system.slice:docker:abc/memory.max", "max\n");
	put("system.slice/system.slice:docker:abc/pids.max", "max\n");
	put("system.slice/docker-0123.scope/memory.max", "max\n");
	cr_assert_eq(vk_build_cgroup_apply(tree, &limits, &r, NULL), 0);
	cr_assert_eq(r.steps, 1);
	vk_autofree char *slice = vk_asprintf("%s/system.slice", tree);
	cr_assert_str_eq(r.watch, slice);
	expect("system.slice/system.slice:docker:abc/memory.max", "67108864");
	expect("system.slice/system.slice:docker:abc/pids.max", "77");
	expect("system.slice/docker-0123.scope/memory.max",
		"max\n"); /* an app's container: not ours to touch */
}

Test(buildcgroup, zero_leaves_a_limit_alone)
{
	struct vk_build_cgroup_limits some = {.pids = 9};
	struct vk_build_cgroup_report r;
	make_v2();
	cr_assert_eq(vk_build_cgroup_apply(tree, &some, &r, NULL), 0);
	expect("docker/buildkit/memory.max", "max\n");
	expect("docker/buildkit/pids.max", "9");
}

Test(buildcgroup, check_tells_what_stands)
{
	struct vk_build_cgroup_report r;
	make_v1();
	cr_assert_eq(vk_build_cgroup_check(tree, &r, NULL), 0);
	cr_assert(!r.memory && !r.pids);
	cr_assert(strstr(r.why, "memory/docker/buildkit") != NULL, "%s", r.why);
	cr_assert_eq(vk_build_cgroup_apply(tree, &limits, &r, NULL), 0);
	cr_assert_eq(vk_build_cgroup_check(tree, &r, NULL), 0);
	cr_assert(r.memory && r.cpu && r.pids);
	cr_assert_str_eq(r.why, "");
}

Test(buildcgroup, check_reads_v2)
{
	struct vk_build_cgroup_report r;
	make_v2();
	cr_assert_eq(vk_build_cgroup_check(tree, &r, NULL), 0);
	cr_assert(!r.memory && !r.pids);
	put("docker/buildkit/memory.max", "1048576\n");
	put("docker/buildkit/pids.max", "100\n");
	cr_assert_eq(vk_build_cgroup_check(tree, &r, NULL), 0);
	cr_assert(r.memory && r.pids);
}

Test(buildcgroup, memory_hits_of_both_versions)
{
	cr_assert_eq(vk_build_cgroup_memory_hits(tree), 0);
	make_v1();
	cr_assert_eq(vk_build_cgroup_memory_hits(tree), 0, "never at the limit");
	put("memory/docker/buildkit/memory.limit_in_bytes", "4096\n");
	cr_assert(vk_build_cgroup_memory_hits(tree) >= 1);
	make_v2();
	cr_assert_eq(vk_build_cgroup_memory_hits(tree), 3);
}

Test(buildcgroup, no_control_groups_at_all)
{
	struct vk_build_cgroup_report r;
	struct vk_err err = {0};
	cr_assert_eq(vk_build_cgroup_apply(tree, &limits, &r, &err), VK_NOTFOUND);
	cr_assert(strstr(err.msg, tree) != NULL);
}
