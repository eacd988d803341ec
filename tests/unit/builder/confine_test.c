/* The export child after it has confined itself: what it may, and what it may not. Each layer
 * by itself. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/sandbox.h>

#include "export.h"

enum { OPEN_OUTSIDE = 1, OPEN_INSIDE = 2, WRITE_INSIDE = 4, SOCKET = 8, EXEC = 16, MORE_CPU = 32 };

static int try_all(const char *dir)
{
	int could = 0;
	vk_autofree char *file = vk_asprintf("%s/file", dir), *new = vk_asprintf("%s/new", dir);
	char *argv[] = {NULL, NULL};
	struct rlimit cpu;
	could |= open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0 ? OPEN_OUTSIDE : 0;
	could |= open(file, O_RDONLY | O_CLOEXEC) >= 0 ? OPEN_INSIDE : 0;
	could |= open(new, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0 ? WRITE_INSIDE : 0;
	could |= socket(AF_UNIX, SOCK_STREAM, 0) >= 0 || socket(AF_INET, SOCK_STREAM, 0) >= 0
		? SOCKET
		: 0;
	could |= getrlimit(RLIMIT_CPU, &cpu) == 0 && cpu.rlim_max > 5 ? MORE_CPU : 0;
	execv("/bin/false", argv); /* only returns when it is refused */
	return could;
}

/* What a child confined with this setting could do, as bits; 256 + status if it died. */
static int confined(const char *sandbox, const char *dir)
{
	static const struct export_limits limits = {
		.deadline_s = 20, .cpu_s = 5, .memory = 1ull << 30};
	pid_t pid = fork();
	if (pid == 0) {
		vk_autofree char *mode = vk_strdup(sandbox);
		struct vk_config config = {.sandbox = mode};
		struct export x = {.config = &config};
		struct vk_err err = {0};
		_exit(export_confine(&x, &limits, dir, NULL, NULL, &err) == 0 ? try_all(dir) : 128);
	}
	int status;
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + status;
}

Test(confine, every_layer_holds_alone)
{
	char dir[] = "/tmp/viking-confine-XXXXXX";
	cr_assert_not_null(mkdtemp(dir));
	vk_autofree char *file = vk_asprintf("%s/file", dir);
	cr_assert_eq(vk_fs_write_atomic(file, "x", 1, 0644, NULL), 0);
	struct vk_sandbox_report can;
	vk_sandbox_probe(&can);
	int outside = can.landlock ? 0 : OPEN_OUTSIDE | WRITE_INSIDE;
	if (can.seccomp) { /* without, execv succeeds and /bin/false says 1 */
		cr_expect_eq(confined("auto", dir), OPEN_INSIDE | outside);
		cr_expect_eq(
			confined("no-landlock", dir), OPEN_INSIDE | OPEN_OUTSIDE | WRITE_INSIDE);
	}
	if (can.seccomp && can.landlock)
		cr_expect_eq(confined("require", dir), OPEN_INSIDE);
	/* without the filter the program is refused by landlock, which names nothing to run */
	if (can.landlock)
		cr_expect_eq(confined("no-seccomp", dir), OPEN_INSIDE | SOCKET);
	vk_fs_remove_tree(dir, NULL);
}

/* The deadline ends the process with an error line that a program can read. */
Test(confine, deadline)
{
	static const struct export_limits limits = {
		.deadline_s = 1, .cpu_s = 5, .memory = 1ull << 30};
	int out[2];
	cr_assert_eq(pipe(out), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct vk_config config = {0};
		struct export x = {.config = &config};
		dup2(out[1], STDOUT_FILENO);
		if (export_confine(&x, &limits, "/tmp", NULL, NULL, NULL) == 0)
			for (;;)
				pause();
		_exit(99);
	}
	close(out[1]);
	int status;
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	vk_autobuf line = VK_BUF_INIT(4096);
	cr_expect_eq(vk_fs_read_fd(out[0], &line, NULL), 0);
	cr_expect(strstr(vk_buf_str(&line), "\"error\":\"TIMEOUT\"") != NULL, "%s",
		vk_buf_str(&line));
	close(out[0]);
}
