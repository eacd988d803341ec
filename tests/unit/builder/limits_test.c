#include <criterion/criterion.h>
#include <string.h>
#include <viking/fs.h>
#include <viking/mem.h>

#include "failure.h"
#include "limits.h"

static const struct limits limits = {.memory = 256 << 20, .cpu_weight = 50, .pids = 99};

static void drop(void *arg, const char *line, size_t n)
{
	(void)arg;
	(void)line;
	(void)n;
}

static struct vk_err explain(int status, bool hit, const char *message, const char *last_line)
{
	struct buildlog log;
	struct vk_err err = {0};
	buildlog_init(&log, drop, NULL);
	buildlog_linef(&log, "%s", last_line);
	vk_err_set(&err, VK_FAILED, "build failed");
	limits_explain(&limits,
		&(struct limit_signs){
			.exit_code = status, .memory_hit = hit, .message = message, .log = &log},
		&err);
	buildlog_release(&log);
	return err;
}

static void expect(struct vk_err err, const char *message, const char *setting)
{
	cr_assert_str_eq(err.msg, message);
	cr_assert(strstr(err.hint, setting) != NULL, "%s", err.hint);
}

Test(limits, memory)
{
	expect(explain(137, true, "exit code: 137", ""),
		"build failed: out of memory (builds.memory is 256.0 MiB)", "builds.memory");
	expect(explain(137, false, "exit code: 137", ""),
		"build failed: killed, most likely out of memory (builds.memory is 256.0 MiB)",
		"builds.memory");
	expect(explain(2, true, "exit code: 2", "make: *** [all] Killed"),
		"build failed: out of memory (builds.memory is 256.0 MiB)", "builds.memory");
}

Test(limits, a_word_alone_is_no_proof)
{
	cr_assert_str_eq(explain(2, false, "exit code: 2", "Killed").msg, "build failed");
	cr_assert_str_eq(explain(1, true, "exit code: 1", "npm ERR!").msg, "build failed");
}

Test(limits, processes)
{
	expect(explain(2, false, "exit code: 2",
		       "/bin/sh: can't fork: Resource temporarily unavailable"),
		"build failed: too many processes (builds.pids is 99)", "builds.pids");
}

Test(limits, disk)
{
	expect(explain(-1, false, "write /x: no space left on device", ""),
		"build failed: the disk of the host is full", "images.budget");
}

Test(limits, parameters_of_the_classic_builder)
{
	vk_autobuf q = VK_BUF_INIT(1024);
	struct limits l = limits;
	limits_query(&l, &q);
	cr_assert_str_eq(vk_buf_str(&q), "&memory=268435456&memswap=268435456&cpushares=512");
	vk_buf_clear(&q);
	l.class_there = true;
	limits_query(&l, &q);
	cr_assert_str_eq(vk_buf_str(&q),
		"&memory=268435456&memswap=268435456&cpushares=512&cgroupparent=/docker/buildkit");
	vk_buf_clear(&q);
	limits_query(&(struct limits){0}, &q);
	cr_assert_str_eq(vk_buf_str(&q), "");
}

Test(limits, the_class_is_used_only_where_it_is_limited)
{
	char tree[] = "/tmp/limits-XXXXXX";
	cr_assert_not_null(mkdtemp(tree));
	struct vk_config c = {.build_memory = 1, .build_cpu_weight = 2, .build_pids = 3};
	struct limits l;
	vk_autofree char *dir = vk_asprintf("%s/pids/docker/buildkit", tree);
	vk_autofree char *memory = vk_asprintf("%s/memory", tree);
	vk_autofree char *file = vk_asprintf("%s/pids.max", dir);
	vk_fs_mkdir_p(dir, 0755, NULL);
	vk_fs_mkdir_p(memory, 0755, NULL);
	vk_fs_write_atomic(file, "max\n", 4, 0644, NULL);
	limits_from_config(&c, tree, &l);
	cr_assert(!l.class_there);
	cr_assert_eq(l.pids, 3);
	vk_fs_write_atomic(file, "99\n", 3, 0644, NULL);
	limits_from_config(&c, tree, &l);
	cr_assert(l.class_there);
	vk_fs_remove_tree(tree, NULL);
}

Test(limits, exit_codes_in_the_engines_messages)
{
	cr_assert_eq(
		failure_exit_code("executor failed running [/bin/sh -c exit 3]: exit code: 3"), 3);
	cr_assert_eq(
		failure_exit_code("The command '/bin/sh -c exit 3' returned a non-zero code: 3"),
		3);
	cr_assert_eq(failure_exit_code(
			     "running [sh -c echo exit code: 7]: exit code: 12: context canceled"),
		12);
	cr_assert_eq(failure_exit_code("\"/nofile\" not found"), -1);
	cr_assert_eq(failure_exit_code("exit code: x"), -1);
}
