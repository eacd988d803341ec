/*
 * Child programs: an argument vector, an absolute path, an explicit environment, their own process
 * group, close-on-exec everywhere else. No shell, ever.
 */
#ifndef VIKING_PROC_H
#define VIKING_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <viking/err.h>
#include <viking/mem.h>

#define VK_FD_NULL    (-1) /* /dev/null */
#define VK_FD_PIPE    (-2) /* make a pipe, the parent's end is returned */
#define VK_FD_INHERIT (-3) /* ours */

struct vk_proc_opts {
	const char *path;        /* absolute */
	const char *const *argv; /* NULL-terminated, argv[0] included */
	const char *const *env;  /* NULL-terminated "K=V"; NULL = only PATH and LANG=C.UTF-8 */
	const char *cwd;         /* NULL = / */
	int in, out, err;        /* a descriptor or VK_FD_* */
	const int *keep;  /* further descriptors to keep, same numbers; ends with -1; may be NULL */
	bool new_session; /* setsid instead of only a process group */
	int nice; /* with new_session: against other programs and, where the kernel groups by session (sched(7)),
		   * against other sessions; 0 = leave. A wish: less than 0 needs CAP_SYS_NICE */
	bool controlling_tty; /* with new_session: in is a terminal and becomes the session's */
	bool die_with_parent; /* PR_SET_PDEATHSIG SIGKILL */
	const char *user;     /* switch to this user (its groups), needs root; NULL = stay */
	bool no_groups;       /* with user: only its primary group */
	bool no_new_privs;    /* nothing it runs gains rights by set-id or file capabilities */
	uint64_t limit_as, limit_cpu_s, limit_fsize, limit_nofile, limit_nproc; /* 0 = leave */
	const int
		*ambient_caps; /* capabilities kept over a user switch, ends with -1; NULL = none */
};

struct vk_proc {
	pid_t pid;
	int in, out, err; /* parent's ends of VK_FD_PIPE, else -1 */
};

int vk_proc_start(const struct vk_proc_opts *o, struct vk_proc *ret, struct vk_err *err);
/* Signals the whole group; gone already is fine. */
void vk_proc_kill(pid_t pid, int signo);
/* Blocking wait with a deadline (ms, -1 none); VK_TIMEOUT kills the group and reaps. */
int vk_proc_wait(pid_t pid, int64_t timeout_ms, int *ret_status, struct vk_err *err);
/* Runs to the end with `input` as stdin (opts' in, out and err are ignored) and collects stdout and
 * stderr, either of which may be NULL = thrown away. More stdout than the buffer's max: killed,
 * VK_LIMIT; more stderr is dropped. Exit status other than 0 is VK_FAILED with the last line of stderr. */
int vk_proc_run(const struct vk_proc_opts *o, const void *input, size_t n, struct vk_buf *out,
	struct vk_buf *errout, int64_t timeout_ms, struct vk_err *err);
/* Start time of a pid in clock ticks since boot (/proc/PID/stat field 22), to know a pid is still the
 * same process. Gone or a zombie: VK_NOTFOUND. */
int vk_proc_start_time(pid_t pid, uint64_t *ret);
void vk_cloexec_from(int fd); /* marks every descriptor >= fd close-on-exec */

#endif
