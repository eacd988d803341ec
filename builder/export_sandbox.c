/*
 * Limits, deadline, landlock and system call filter of the export child. To the filter of daemons
 * it adds that no socket can be made: the one it may have been started with is all it talks to.
 */
#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <unistd.h>
#include <viking/sandbox.h>

#include "export.h"

static volatile sig_atomic_t answered_at_deadline;
static const bool *answered;

static void on_deadline(int signo)
{
	static const char line[] =
		"{\"error\":\"TIMEOUT\",\"hint\":\"\",\"message\":\"reading the commit took too "
		"long\"}\n";
	static const char note[] = "reading the commit took too long\n";
	(void)signo;
	if (answered != NULL && !*answered && write(STDOUT_FILENO, line, sizeof(line) - 1) < 0)
		answered_at_deadline = 1;
	if (write(STDERR_FILENO, note, sizeof(note) - 1) < 0)
		answered_at_deadline = 1;
	_exit(vk_err_exit(VK_TIMEOUT));
}

int export_extend(unsigned seconds, struct vk_err *err)
{
	struct sigaction sa = {.sa_handler = on_deadline};
	struct itimerval in = {.it_value = {.tv_sec = seconds}};
	if (sigaction(SIGALRM, &sa, NULL) != 0 || setitimer(ITIMER_REAL, &in, NULL) != 0)
		return vk_err_errno(err, errno, "deadline");
	return 0;
}

/* Filters add up: this one, and then that of vk_sandbox_enter. */
static int deny_sockets(void)
{
	static const int calls[] = {SCMP_SYS(socket), SCMP_SYS(socketpair), SCMP_SYS(connect),
		SCMP_SYS(bind), SCMP_SYS(listen), SCMP_SYS(accept), SCMP_SYS(accept4),
		SCMP_SYS(sendmsg), SCMP_SYS(recvmsg)};
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int rc = ctx != NULL ? 0 : -ENOMEM;
	for (size_t i = 0; rc == 0 && i < VK_COUNT(calls); i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), calls[i], 0);
	if (rc == 0)
		rc = seccomp_load(ctx); /* sets no-new-privs as well */
	if (ctx != NULL)
		seccomp_release(ctx);
	return rc;
}

static bool filters_wanted(const char *mode)
{
	return strcmp(mode, "off") != 0 && strcmp(mode, "no-seccomp") != 0;
}

int export_confine(const struct export *x, const struct export_limits *l, const char *read_dir,
	const char *read_dir2, const char *write_dir, struct vk_err *err)
{
	const char *read_paths[3] = {
		read_dir != NULL ? read_dir : read_dir2, read_dir != NULL ? read_dir2 : NULL};
	const char *write_paths[2] = {write_dir};
	static const int keep[] = {-1};
	const char *mode = x->config->sandbox != NULL ? x->config->sandbox : "auto";
	struct vk_sandbox s = {
		.read_paths = read_paths,
		.write_paths = write_paths,
		.use_landlock = true,
		.seccomp = VK_SECCOMP_DAEMON,
		.keep_fds = keep,
		.limit_nofile = 256,
		.limit_cpu_s = l->cpu_s,
		.mode = mode,
	};
#if !defined(__SANITIZE_ADDRESS__)
	s.limit_as = l->memory; /* the sanitizer's shadow is larger than any limit */
#endif
	answered = &x->answered;
	int rc = export_extend(l->deadline_s, err);
	if (rc != 0)
		return rc;
	int denied = filters_wanted(mode) ? deny_sockets() : 0;
	if (denied != 0 && strcmp(mode, "require") == 0)
		return vk_err_set(err, VK_UNAVAILABLE, "seccomp: %s", strerror(-denied));
	return vk_sandbox_enter(&s, NULL, err);
}
