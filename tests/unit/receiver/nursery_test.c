#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <viking/sandbox.h>

#include "nursery.h"
#include "program.h"

Test(nursery, notes_carry_two_descriptors)
{
	int pair[2], more[2];
	struct nursery_note got;
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, more), 0);
	const struct nursery_note start = {
		.kind = NURSERY_START, .id = 0x01020304, .client = more[0], .monitor = more[1]};
	cr_assert_eq(nursery_send(pair[0], &start, NULL), 0);
	cr_assert_eq(nursery_recv(pair[1], &got, NULL), 0);
	cr_expect_eq(got.id, 0x01020304);
	cr_expect_geq(got.client, 0);
	cr_expect_geq(got.monitor, 0);
	const struct nursery_note ended = {
		.kind = NURSERY_ENDED, .id = 7, .value = 0x8b, .client = -1, .monitor = -1};
	cr_assert_eq(nursery_send(pair[1], &ended, NULL), 0);
	cr_assert_eq(nursery_recv(pair[0], &got, NULL), 0);
	cr_expect_eq(got.kind, NURSERY_ENDED);
	cr_expect_eq(got.value, 0x8b);
	cr_expect_eq(got.client, -1);
	cr_expect_eq(send(pair[0], "junk", 4, 0), 4);
	cr_expect_eq(nursery_recv(pair[1], &got, NULL), VK_INVALID);
	close(pair[0]);
	cr_expect_eq(nursery_recv(pair[1], &got, NULL), VK_UNAVAILABLE);
	close(pair[1]);
}

/* What a session may do once it is confined: talk on its sockets, nothing else. */
static int forbidden(void)
{
	const struct vk_sandbox box = {.no_files = true,
		.use_landlock = true,
		.seccomp = VK_SECCOMP_SESSION,
		.mode = "auto"};
	struct vk_sandbox_report report;
	int pair[2];
	char c = 0;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 ||
		vk_sandbox_enter(&box, &report, NULL) != 0)
		return 1;
	if (!report.seccomp)
		return 77; /* a kernel without */
	if (open("/etc/passwd", O_RDONLY) >= 0 || open("/tmp", O_RDONLY | O_DIRECTORY) >= 0)
		return 2;
	if (socket(AF_INET, SOCK_STREAM, 0) >= 0)
		return 3;
	if (send(pair[0], "x", 1, 0) != 1 || recv(pair[1], &c, 1, 0) != 1)
		return 4;
	return 0;
}

static int status_of(int (*fn)(void))
{
	int status = 0;
	pid_t pid = fork();
	if (pid == 0)
		_exit(fn());
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static int run_program(void)
{
	static char name[] = "true";
	static char *const argv[] = {name, NULL};
	int rc = forbidden();
	if (rc != 0)
		return rc;
	execve("/bin/true", argv, argv + 1);
	return 5;
}

Test(session, is_refused_files_sockets_and_programs)
{
	int status = status_of(forbidden);
	cr_assert(WIFEXITED(status));
	cr_expect_eq(WEXITSTATUS(status), 0, "%d", WEXITSTATUS(status));
	status = status_of(run_program);
	cr_expect(WIFSIGNALED(status) || WEXITSTATUS(status) == 5, "%d", status);
}

static bool has(const struct vk_strv *l, const char *word)
{
	return vk_strv_has(l, word);
}

/* The configuration owns its strings and never changes them here. */
static char git_path[] = "/usr/bin/git", libexec[] = "/opt/vk", root[] = "/r";

Test(program, git_gets_fixed_words_and_a_fixed_environment)
{
	struct vk_config c = {.git_path = git_path,
		.libexec_dir = libexec,
		.pack_max = 512u << 20,
		.object_max = 100u << 20};
	const struct command cmd = {.kind = COMMAND_RECEIVE, .stack = "shop"};
	const struct program_context x = {.config = &c,
		.config_file = "/etc/v.conf",
		.token = "t0k3n",
		.key = "me",
		.api = "/run/api.sock",
		.term = "xterm",
		.lang = "",
		.git_protocol = "version=2",
		.stage_fd = 9};
	struct program p;
	program_git(&x, &cmd, "/repos/shop.git", &p);
	cr_expect_str_eq(p.argv.v[0], "git");
	cr_expect_str_eq(p.argv.v[p.argv.n - 1], "/repos/shop.git");
	cr_expect_str_eq(p.argv.v[p.argv.n - 2], "receive-pack");
	cr_expect(has(&p.argv, "core.hooksPath=/opt/vk/git-hooks"));
	cr_expect(has(&p.argv, "receive.fsckObjects=true"));
	cr_expect(has(&p.argv, "receive.procReceiveRefs=refs"));
	cr_expect(has(&p.argv, "receive.unpackLimit=1"));
	cr_expect(has(&p.argv, "receive.maxInputSize=536870912"));
	cr_expect(has(&p.env, "VIKING_TOKEN=t0k3n"));
	cr_expect(has(&p.env, "VIKING_STAGE_FD=9"));
	cr_expect(has(&p.env, "GIT_PROTOCOL=version=2"));
	cr_expect(has(&p.env, "GIT_CONFIG_NOSYSTEM=1"));
	cr_expect_gt(p.limit_cpu_s, 0);
	cr_expect_gt(p.limit_fsize, 0);
	for (size_t i = 0; i < p.argv.n; i++)
		cr_expect_null(strstr(p.argv.v[i], "t0k3n"), "a secret in the words");
	program_release(&p);
}

Test(program, a_copy_runs_no_hooks_and_takes_all_branches_and_tags)
{
	struct vk_config c = {.git_path = git_path, .libexec_dir = libexec, .root = root};
	const struct command cmd = {.kind = COMMAND_RECEIVE, .stack = "shop"};
	const struct program_context x = {.config = &c,
		.config_file = "",
		.token = "t0k3n",
		.key = "me",
		.api = "/run/api.sock",
		.git_protocol = "",
		.copy = true,
		.stage_fd = -1};
	struct program taken, brought;
	program_git(&x, &cmd, "/repos/shop.git", &taken);
	cr_expect(has(&taken.argv, "core.hooksPath=/dev/null"));
	cr_expect(!has(&taken.argv, "receive.procReceiveRefs=refs"));
	program_copy(&x, "h2", "shop", "/repos/shop.git", &brought);
	cr_expect(has(&brought.argv, "core.hooksPath=/dev/null"));
	cr_expect(has(&brought.argv, "--git-dir=/repos/shop.git"));
	cr_expect_str_eq(brought.argv.v[brought.argv.n - 3], "h2:shop");
	cr_expect_str_eq(brought.argv.v[brought.argv.n - 2], "+refs/heads/*:refs/heads/*");
	cr_expect(has(&brought.env, "GIT_SSH=/opt/vk/viking-remote"));
	cr_expect(has(&brought.env, "VIKING_TOKEN=t0k3n"));
	for (size_t i = 0; i < brought.argv.n; i++)
		cr_expect_null(strstr(brought.argv.v[i], "t0k3n"), "a secret in the words");
	program_release(&taken);
	program_release(&brought);
}

Test(program, viking_gets_the_words_and_knows_it_is_ssh)
{
	struct vk_config c = {.libexec_dir = libexec, .root = root};
	struct command cmd;
	cr_assert_eq(command_parse("ps shop", 7, &cmd, NULL), 0);
	const struct program_context x = {.config = &c,
		.config_file = "",
		.token = "t",
		.key = "me",
		.api = "/run/api.sock",
		.term = "xterm",
		.lang = "",
		.git_protocol = "",
		.stage_fd = -1};
	struct program p;
	program_viking(&x, &cmd, &p);
	cr_expect_str_eq(p.path, "/opt/vk/viking");
	cr_expect_eq(p.argv.n, 3);
	cr_expect_str_eq(p.argv.v[2], "shop");
	cr_expect(has(&p.env, "VIKING_SSH=1"));
	cr_expect(has(&p.env, "TERM=xterm"));
	cr_expect(has(&p.env, "LANG=C.UTF-8"));
	cr_expect(has(&p.env, "VIKING_ROOT=/r"));
	program_release(&p);
	command_release(&cmd);
}
