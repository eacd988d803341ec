/* A client of an authority, in its own small world. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <viking/sandbox.h>
#include <viking/str.h>

#include "job.h"

#define MEMORY_MAX  (512ull << 20) /* address space: an answer without end ends here */
#define FILE_MAX    (1ull << 20)
#define SECONDS_MAX 60 /* of processor time */

int confined_main(int argc, char **argv)
{
	static const char *const reads[] = {"/etc/ssl", "/etc/ca-certificates", "/etc/resolv.conf",
		"/run/systemd/resolve", "/run/resolvconf", "/etc/hosts", "/etc/host.conf",
		"/etc/nsswitch.conf", "/etc/gai.conf", "/etc/gnutls", "/etc/ld.so.cache",
		"/usr/share/zoneinfo", NULL};
	const char *own = argc > 4 ? getenv(HOOK_FD "_PROGRAM") : NULL;
	struct vk_err err = {0};
	if (own == NULL)
		return 2;
	const char *const writes[] = {argv[3], "/dev/null", NULL};
	const char *const execs[] = {"/usr/lib", "/lib", "/lib64", argv[4], own, NULL};
	struct vk_sandbox box = {.read_paths = reads,
		.write_paths = writes,
		.exec_paths = execs,
		.use_landlock = true,
		.seccomp = VK_SECCOMP_CLIENT,
		.limit_as = MEMORY_MAX,
		.limit_cpu_s = SECONDS_MAX,
		.limit_fsize = FILE_MAX,
		.limit_nofile = 64,
		.mode = argv[2]};
	if (vk_sandbox_enter(&box, NULL, &err) == 0) {
		execv(argv[4], argv + 4);
		vk_err_set(&err, VK_NOTFOUND, "%s cannot be run (Debian's package uacme)", argv[4]);
	}
	fprintf(stderr, "%s\n", err.msg);
	return 2;
}
