/*
 * System call filters through libseccomp. PURE and SESSION list what is allowed. The rest fails with EPERM, as
 * libraries ask about files and identity now and then and live with a no; what no library asks for by
 * itself (programs, tracing, mounts, modules ...) ends the process. DAEMON and SPAWN run large libraries and
 * foreign programs, whose calls change with their versions: they list what is dangerous and never needed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox_layers.h"

#define CALL(name) SCMP_SYS(name)

static const int pure_calls[] = {
	CALL(read),
	CALL(readv),
	CALL(write),
	CALL(writev),
	CALL(lseek),
	CALL(close),
	CALL(fstat),
	CALL(munmap),
	CALL(mremap),
	CALL(brk),
	CALL(madvise),
	CALL(futex),
	CALL(poll),
	CALL(ppoll),
	CALL(select),
	CALL(pselect6),
	CALL(exit),
	CALL(exit_group),
	CALL(restart_syscall),
	CALL(rt_sigreturn),
	CALL(rt_sigaction),
	CALL(rt_sigprocmask),
	CALL(sigaltstack),
	CALL(clock_gettime),
	CALL(clock_getres),
	CALL(gettimeofday),
	CALL(time),
	CALL(clock_nanosleep),
	CALL(nanosleep),
	CALL(getpid),
	CALL(gettid),
	CALL(getrandom),
	CALL(getrusage),
	CALL(sched_yield),
	CALL(membarrier),
	CALL(rseq),
	CALL(epoll_wait),
	CALL(epoll_pwait),
	CALL(epoll_ctl),
	CALL(timerfd_settime),
	CALL(timerfd_gettime),
};

static const int session_calls[] = {
	CALL(recvfrom),
	CALL(recvmsg),
	CALL(sendto),
	CALL(sendmsg),
	CALL(shutdown),
	CALL(getsockopt),
	CALL(setsockopt),
	CALL(getpeername),
	CALL(getsockname),
	CALL(dup),
	CALL(epoll_create1),
	CALL(timerfd_create),
	CALL(eventfd2),
	CALL(mlock),
	CALL(munlock),
	CALL(sched_getaffinity),
};

/* never needed by any part of viking after its start, nor by git and the commands it starts */
static const int denied_calls[] = {
	CALL(ptrace),
	CALL(process_vm_readv),
	CALL(process_vm_writev),
	CALL(pidfd_getfd),
	CALL(kcmp),
	CALL(mount),
	CALL(umount),
	CALL(umount2),
	CALL(pivot_root),
	CALL(chroot),
	CALL(open_tree),
	CALL(move_mount),
	CALL(fsopen),
	CALL(fsconfig),
	CALL(fsmount),
	CALL(fspick),
	CALL(mount_setattr),
	CALL(unshare),
	CALL(setns),
	CALL(init_module),
	CALL(finit_module),
	CALL(delete_module),
	CALL(create_module),
	CALL(kexec_load),
	CALL(kexec_file_load),
	CALL(reboot),
	CALL(swapon),
	CALL(swapoff),
	CALL(acct),
	CALL(quotactl),
	CALL(quotactl_fd),
	CALL(settimeofday),
	CALL(clock_settime),
	CALL(clock_adjtime),
	CALL(adjtimex),
	CALL(sethostname),
	CALL(setdomainname),
	CALL(iopl),
	CALL(ioperm),
	CALL(bpf),
	CALL(perf_event_open),
	CALL(userfaultfd),
	CALL(add_key),
	CALL(request_key),
	CALL(keyctl),
	CALL(open_by_handle_at),
	CALL(name_to_handle_at),
	CALL(mknod),
	CALL(mknodat),
	CALL(syslog),
	CALL(uselib),
	CALL(personality),
	CALL(io_uring_setup),
	CALL(io_uring_enter),
	CALL(io_uring_register),
	CALL(vhangup),
	CALL(lookup_dcookie),
	CALL(nfsservctl),
	CALL(modify_ldt),
	CALL(fanotify_init),
	CALL(mbind),
	CALL(migrate_pages),
	CALL(move_pages),
};

static const int exec_calls[] = {CALL(execve), CALL(execveat), CALL(fork), CALL(vfork)};

static const int new_namespaces[] = {CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
	CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET};

/* Remembers the first failure, so that the lists below read as lists. */
struct filter {
	scmp_filter_ctx ctx;
	int rc;
};

static void add(
	struct filter *f, uint32_t action, int call, unsigned n, const struct scmp_arg_cmp *args)
{
	if (f->rc != 0)
		return;
	int rc = seccomp_rule_add_array(f->ctx, action, call, n, args);
	if (rc != 0 && rc != -EDOM && rc != -EEXIST) /* not on this machine; there already */
		f->rc = rc;
}

static void add_all(struct filter *f, uint32_t action, const int *calls, size_t n)
{
	for (size_t i = 0; i < n; i++)
		add(f, action, calls[i], 0, NULL);
}

static void add_if(struct filter *f, uint32_t action, int call, struct scmp_arg_cmp arg)
{
	add(f, action, call, 1, &arg);
}

static struct scmp_arg_cmp compare(
	unsigned arg, enum scmp_compare op, scmp_datum_t a, scmp_datum_t b)
{
	return (struct scmp_arg_cmp){.arg = arg, .op = op, .datum_a = a, .datum_b = b};
}

static struct scmp_arg_cmp equals(unsigned arg, scmp_datum_t value)
{
	return compare(arg, SCMP_CMP_EQ, value, 0);
}

/* the argument's bits of the mask are exactly `value` */
static struct scmp_arg_cmp bits(unsigned arg, scmp_datum_t mask, scmp_datum_t value)
{
	return compare(arg, SCMP_CMP_MASKED_EQ, mask, value);
}

/* Memory that is not to be run: anonymous maps and protection changes without PROT_EXEC. */
static void allow_memory(struct filter *f)
{
	add_if(f, SCMP_ACT_ALLOW, CALL(mmap), bits(2, PROT_EXEC, 0));
	add_if(f, SCMP_ACT_ALLOW, CALL(mprotect), bits(2, PROT_EXEC, 0));
}

static void fill_closed(struct filter *f, bool session)
{
	const scmp_datum_t self = (scmp_datum_t)getpid();
	add_all(f, SCMP_ACT_KILL_PROCESS, exec_calls, VK_COUNT(exec_calls));
	add_all(f, SCMP_ACT_KILL_PROCESS, denied_calls, VK_COUNT(denied_calls));
	add_all(f, SCMP_ACT_ALLOW, pure_calls, VK_COUNT(pure_calls));
	if (session)
		add_all(f, SCMP_ACT_ALLOW, session_calls, VK_COUNT(session_calls));
	allow_memory(f);
	/* fstat() of the C library; the path it could name is landlock's business and gives no content */
	add_if(f, SCMP_ACT_ALLOW, CALL(newfstatat), equals(3, AT_EMPTY_PATH));
	add_if(f, SCMP_ACT_ALLOW, CALL(fcntl), equals(1, F_GETFL));
	add_if(f, SCMP_ACT_ALLOW, CALL(fcntl), equals(1, F_SETFL));
	add_if(f, SCMP_ACT_ALLOW, CALL(fcntl), equals(1, F_GETFD));
	add_if(f, SCMP_ACT_ALLOW, CALL(fcntl), equals(1, F_SETFD));
	if (session) {
		add_if(f, SCMP_ACT_ALLOW, CALL(ioctl), equals(1, FIONREAD));
		add_if(f, SCMP_ACT_ALLOW, CALL(ioctl), equals(1, FIONBIO));
	}
	add_if(f, SCMP_ACT_ALLOW, CALL(tgkill), equals(0, self)); /* abort() */
}

static void fill_open(struct filter *f, bool spawn, bool local)
{
	const uint32_t no = SCMP_ACT_ERRNO(EPERM);
	add_all(f, no, denied_calls, VK_COUNT(denied_calls));
	/* its flags lie in memory, where no filter sees them; all callers fall back to clone */
	add(f, SCMP_ACT_ERRNO(ENOSYS), CALL(clone3), 0, NULL);
	if (spawn) {
		for (size_t i = 0; i < VK_COUNT(new_namespaces); i++) {
			scmp_datum_t flag = (scmp_datum_t)new_namespaces[i];
			add_if(f, no, CALL(clone), bits(0, flag, flag));
		}
	} else {
		add_all(f, no, exec_calls, VK_COUNT(exec_calls));
		add_if(f, no, CALL(clone), bits(0, CLONE_THREAD, 0));
	}
	add_if(f, no, CALL(ioctl), bits(1, 0xffffffff, TIOCSTI));
	add_if(f, no, CALL(ioctl), bits(1, 0xffffffff, TIOCLINUX));
	/* sockets: unix, IPv4, IPv6, and netlink for the resolver */
	add_if(f, no, CALL(socket), compare(0, SCMP_CMP_GT, AF_NETLINK, 0));
	for (scmp_datum_t family = 0; family < AF_NETLINK; family++)
		if ((family != AF_UNIX || !local) && family != AF_INET && family != AF_INET6)
			add_if(f, no, CALL(socket), equals(0, family));
}

static void fill(struct filter *f, enum vk_seccomp profile)
{
	switch (profile) {
	case VK_SECCOMP_DAEMON:
		fill_open(f, false, true);
		break;
	case VK_SECCOMP_SPAWN:
		fill_open(f, true, true);
		break;
	case VK_SECCOMP_CLIENT:
		fill_open(f, true, false);
		break;
	case VK_SECCOMP_PURE:
		fill_closed(f, false);
		break;
	default:
		fill_closed(f, true);
		break;
	}
}

bool seccomp_available(char why[static 96])
{
	uint32_t action = SECCOMP_RET_KILL_PROCESS;
	why[0] = '\0';
	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0)
		return true;
	snprintf(why, 96, "%s", errno == ENOSYS ? "not in this kernel" : strerror(errno));
	return false;
}

int seccomp_enter(enum vk_seccomp profile, struct vk_err *err)
{
	bool closed = profile == VK_SECCOMP_PURE || profile == VK_SECCOMP_SESSION;
	struct filter f = {.ctx = seccomp_init(closed ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_ALLOW)};
	if (f.ctx == NULL)
		return vk_err_set(err, VK_UNAVAILABLE, "seccomp: no filter could be made");
	/* no-new-privs is set by the caller already */
	f.rc = seccomp_attr_set(f.ctx, SCMP_FLTATR_CTL_NNP, 0);
	fill(&f, profile);
	if (f.rc == 0)
		f.rc = seccomp_load(f.ctx);
	seccomp_release(f.ctx);
	if (f.rc != 0)
		return vk_err_set(err, VK_UNAVAILABLE, "seccomp: %s", strerror(-f.rc));
	return 0;
}
