/*
 * Confinement of the calling process, in the order of SECURITY.md 5b: close descriptors, rlimits,
 * no-new-privs, not dumpable, landlock, drop user, drop capabilities, seccomp. Each layer reports on or
 * off with the reason; with `require` a layer that cannot be had is an error.
 */
#ifndef VIKING_SANDBOX_H
#define VIKING_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <viking/err.h>
#include <viking/mem.h>

enum vk_seccomp {
	VK_SECCOMP_NONE,
	VK_SECCOMP_DAEMON, /* no exec, no ptrace, no mount, no module, no namespaces; sockets allowed */
	VK_SECCOMP_SPAWN, /* as DAEMON but exec and fork allowed */
	VK_SECCOMP_CLIENT, /* as SPAWN, but no unix sockets are made: nothing of this host is reached */
	VK_SECCOMP_PURE, /* read, write, memory, poll, exit: no open, no socket, no exec */
	VK_SECCOMP_SESSION, /* PURE plus what libssh needs on open sockets (recv, send, getrandom ...) */
};

struct vk_sandbox {
	const char *const *read_paths;  /* NULL-terminated; landlock: everything else is refused */
	const char *const *write_paths; /* read and write below */
	const char *const *exec_paths;
	bool no_files; /* landlock with no path at all */
	bool use_landlock;
	enum vk_seccomp seccomp;
	const int *keep_fds; /* close all above 2 but these (ends with -1); NULL = keep all */
	uint64_t limit_as, limit_nofile, limit_cpu_s, limit_fsize; /* 0 = leave */
	uint64_t keep_caps; /* bits of capabilities that stay; the rest goes */
	const char *mode;   /* "auto", "require", "off" from the configuration */
};

struct vk_sandbox_report {
	bool no_new_privs, landlock, seccomp;
	int landlock_abi;
	char landlock_why[96], seccomp_why[96]; /* reason when off, else "" */
};

int vk_sandbox_enter(const struct vk_sandbox *s, struct vk_sandbox_report *ret, struct vk_err *err);
/* What this kernel could do, without doing it. For doctor. */
void vk_sandbox_probe(struct vk_sandbox_report *ret);
/* Shell-visible one-liner: "landlock=on(abi 7) seccomp=off(reason)". */
void vk_sandbox_describe(const struct vk_sandbox_report *r, char buf[static 320]);

#endif
