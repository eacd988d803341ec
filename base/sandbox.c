#include <viking/sandbox.h>

#include <errno.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <viking/str.h>

#include "sandbox_layers.h"

#define CAP_COUNT_MAX 64

static bool kept(const int *keep, int fd)
{
	for (; *keep != -1; keep++)
		if (*keep == fd)
			return true;
	return false;
}

static int next_kept(const int *keep, int from)
{
	int next = -1;
	for (; *keep != -1; keep++)
		if (*keep >= from && (next < 0 || *keep < next))
			next = *keep;
	return next;
}

static int close_others(const int *keep, struct vk_err *err)
{
	int from = 3;
	if (keep == NULL)
		return 0;
	for (;;) {
		while (kept(keep, from))
			from++;
		int next = next_kept(keep, from);
		unsigned last = next < 0 ? ~0u : (unsigned)next - 1;
		if (close_range((unsigned)from, last, 0) != 0)
			return vk_err_errno(err, errno, "close descriptors");
		if (next < 0)
			return 0;
		from = next;
	}
}

static int limit(int resource, const char *what, uint64_t value, struct vk_err *err)
{
	struct rlimit now, wanted = {.rlim_cur = value, .rlim_max = value};
	if (getrlimit((__rlimit_resource_t)resource, &now) != 0)
		return vk_err_errno(err, errno, "limit of %s", what);
	if (wanted.rlim_max > now.rlim_max) { /* a stricter one is in force already */
		wanted = now;
		if (wanted.rlim_cur > value)
			wanted.rlim_cur = value;
	}
	if (setrlimit((__rlimit_resource_t)resource, &wanted) != 0)
		return vk_err_errno(err, errno, "limit of %s", what);
	return 0;
}

static int set_limits(const struct vk_sandbox *s, struct vk_err *err)
{
	int rc = limit(RLIMIT_CORE, "core files", 0, err);
	if (rc == 0 && s->limit_as != 0)
		rc = limit(RLIMIT_AS, "memory", s->limit_as, err);
	if (rc == 0 && s->limit_nofile != 0)
		rc = limit(RLIMIT_NOFILE, "descriptors", s->limit_nofile, err);
	if (rc == 0 && s->limit_cpu_s != 0)
		rc = limit(RLIMIT_CPU, "CPU time", s->limit_cpu_s, err);
	if (rc == 0 && s->limit_fsize != 0)
		rc = limit(RLIMIT_FSIZE, "file size", s->limit_fsize, err);
	return rc;
}

/* The bounding set can be emptied by those only who have CAP_SETPCAP; who has not can gain nothing
 * from it either, with no-new-privs set. */
static int drop_capabilities(uint64_t keep, struct vk_err *err)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	/* of what is there: a capability that a user without rights has not got cannot be kept */
	struct __user_cap_data_struct have[2] = {{0}, {0}};
	if (syscall(SYS_capget, &head, have) != 0)
		return vk_err_errno(err, errno, "capabilities");
	for (size_t i = 0; i < VK_COUNT(have); i++) {
		uint32_t left = have[i].permitted & (uint32_t)(keep >> (32 * i));
		have[i] = (struct __user_cap_data_struct){.effective = left, .permitted = left};
	}
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	for (unsigned long cap = 0; cap < CAP_COUNT_MAX; cap++)
		if ((keep >> cap & 1) == 0 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
			break;
	if (syscall(SYS_capset, &head, have) != 0)
		return vk_err_errno(err, errno, "drop capabilities");
	return 0;
}

static int harden(struct vk_sandbox_report *r, struct vk_err *err)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return vk_err_errno(err, errno, "no-new-privs");
	r->no_new_privs = true;
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return vk_err_errno(err, errno, "not dumpable");
	return 0;
}

static void why_off(char why[static 96], const char *reason)
{
	snprintf(why, 96, "%.95s", reason);
}

/* A layer that failed: an error with `require`, else its reason in the report. */
static int tolerate(const struct vk_sandbox *s, int rc, char why[static 96],
	const struct vk_err *reason, struct vk_err *err)
{
	why_off(why, reason->msg);
	if (!vk_streq(s->mode, "require"))
		return 0;
	vk_err_set(err, VK_UNAVAILABLE, "%s", reason->msg);
	vk_err_hint(err, "set sandbox: auto to run without");
	return rc;
}

static int enter_landlock(
	const struct vk_sandbox *s, struct vk_sandbox_report *r, struct vk_err *err)
{
	struct vk_err reason = {0};
	if (!s->use_landlock) {
		why_off(r->landlock_why, "not used by this process");
		return 0;
	}
	if (vk_streq(s->mode, "off") || vk_streq(s->mode, "no-landlock")) {
		why_off(r->landlock_why, "off by configuration");
		return 0;
	}
	r->landlock_abi = landlock_abi(r->landlock_why);
	int rc = r->landlock_abi > 0
		? landlock_enter(s, r->landlock_abi, &reason)
		: vk_err_set(&reason, VK_UNAVAILABLE, "landlock: %s", r->landlock_why);
	if (rc != 0)
		return tolerate(s, rc, r->landlock_why, &reason, err);
	r->landlock = true;
	return 0;
}

static int enter_seccomp(
	const struct vk_sandbox *s, struct vk_sandbox_report *r, struct vk_err *err)
{
	struct vk_err reason = {0};
	if (s->seccomp == VK_SECCOMP_NONE) {
		why_off(r->seccomp_why, "not used by this process");
		return 0;
	}
	if (vk_streq(s->mode, "off") || vk_streq(s->mode, "no-seccomp")) {
		why_off(r->seccomp_why, "off by configuration");
		return 0;
	}
	int rc = seccomp_available(r->seccomp_why)
		? seccomp_enter(s->seccomp, &reason)
		: vk_err_set(&reason, VK_UNAVAILABLE, "seccomp: %s", r->seccomp_why);
	if (rc != 0)
		return tolerate(s, rc, r->seccomp_why, &reason, err);
	r->seccomp = true;
	return 0;
}

int vk_sandbox_enter(const struct vk_sandbox *s, struct vk_sandbox_report *ret, struct vk_err *err)
{
	struct vk_sandbox_report r = {0};
	int rc = close_others(s->keep_fds, err);
	if (rc == 0)
		rc = set_limits(s, err);
	if (rc == 0)
		rc = harden(&r, err);
	if (rc == 0)
		rc = enter_landlock(s, &r, err);
	if (rc == 0)
		rc = drop_capabilities(s->keep_caps, err);
	if (rc == 0)
		rc = enter_seccomp(s, &r, err);
	if (rc == 0 && ret != NULL)
		*ret = r;
	return rc;
}

void vk_sandbox_probe(struct vk_sandbox_report *ret)
{
	*ret = (struct vk_sandbox_report){.no_new_privs = true};
	ret->landlock_abi = landlock_abi(ret->landlock_why);
	ret->landlock = ret->landlock_abi > 0;
	ret->seccomp = seccomp_available(ret->seccomp_why);
}

void vk_sandbox_describe(const struct vk_sandbox_report *r, char buf[static 320])
{
	int n = r->landlock ? snprintf(buf, 320, "landlock=on(abi %d) ", r->landlock_abi)
			    : snprintf(buf, 320, "landlock=off(%s) ", r->landlock_why);
	if (r->seccomp)
		snprintf(buf + n, 320 - (size_t)n, "seccomp=on");
	else
		snprintf(buf + n, 320 - (size_t)n, "seccomp=off(%s)", r->seccomp_why);
}
