/*
 * Landlock by its three system calls (landlock(7), Documentation/userspace-api/landlock.rst): what is handled
 * is what the running kernel knows, so the constants that Debian 12's header lacks stand here.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox_layers.h"

#define FS_TRUNCATE     (1ull << 14) /* ABI 3 */
#define FS_IOCTL_DEV    (1ull << 15) /* ABI 5 */
#define NET_BIND_TCP    (1ull << 0)  /* ABI 4 */
#define NET_CONNECT_TCP (1ull << 1)
#define SCOPE_ABSTRACT  (1ull << 0) /* ABI 6: abstract unix sockets outside */
#define SCOPE_SIGNAL    (1ull << 1)

/* The kernel's struct as of ABI 6; older ones are told its shorter size. */
struct ruleset {
	uint64_t fs, net, scoped;
};

#define FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_EXEC (FS_READ | LANDLOCK_ACCESS_FS_EXECUTE)
/* no devices: nothing of viking makes one */
#define FS_WRITE \
	(FS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | \
		LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR | \
		LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | \
		LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM | \
		LANDLOCK_ACCESS_FS_REFER | FS_TRUNCATE | FS_IOCTL_DEV)
/* what a rule on a file may name; the rest is for directories */
#define FS_OF_FILE \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | \
		LANDLOCK_ACCESS_FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)

int landlock_abi(char why[static 96])
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	why[0] = '\0';
	if (abi > 0)
		return (int)abi;
	snprintf(why, 96, "%s",
		errno == EOPNOTSUPP       ? "switched off at boot"
			: errno == ENOSYS ? "not in this kernel"
					  : strerror(errno));
	return 0;
}

static uint64_t handled_fs(int abi)
{
	uint64_t rights = LANDLOCK_ACCESS_FS_REFER - 1; /* the thirteen of ABI 1 */
	if (abi >= 2)
		rights |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		rights |= FS_TRUNCATE;
	if (abi >= 5)
		rights |= FS_IOCTL_DEV;
	return rights;
}

static size_t ruleset_size(int abi)
{
	if (abi >= 6)
		return sizeof(struct ruleset);
	return abi >= 4 ? offsetof(struct ruleset, scoped) : offsetof(struct ruleset, net);
}

/* A path that does not exist gives no right, which is the safe side: later it is refused. */
static int allow(
	int ruleset, const char *path, uint64_t rights, uint64_t handled, struct vk_err *err)
{
	struct stat st;
	vk_autoclose int fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) != 0)
		return vk_err_errno(err, errno, "landlock: %s", path);
	rights &= handled;
	if (!S_ISDIR(st.st_mode))
		rights &= FS_OF_FILE;
	struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = fd};
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
		return vk_err_errno(err, errno, "landlock: %s", path);
	return 0;
}

static int allow_all(int ruleset, const char *const *paths, uint64_t rights, uint64_t handled,
	struct vk_err *err)
{
	for (; paths != NULL && *paths != NULL; paths++) {
		int rc = allow(ruleset, *paths, rights, handled, err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

int landlock_enter(const struct vk_sandbox *s, int abi, struct vk_err *err)
{
	struct ruleset attr = {.fs = handled_fs(abi)};
	bool closed = s->seccomp == VK_SECCOMP_PURE || s->seccomp == VK_SECCOMP_SESSION;
	if (closed && abi >= 4)
		attr.net = NET_BIND_TCP | NET_CONNECT_TCP;
	if (closed && abi >= 6)
		attr.scoped = SCOPE_ABSTRACT | SCOPE_SIGNAL;
	vk_autoclose int ruleset =
		(int)syscall(SYS_landlock_create_ruleset, &attr, ruleset_size(abi), 0);
	if (ruleset < 0)
		return vk_err_set(err, VK_UNAVAILABLE, "landlock: %s", strerror(errno));
	int rc = 0;
	if (!s->no_files) {
		rc = allow_all(ruleset, s->read_paths, FS_READ, attr.fs, err);
		if (rc == 0)
			rc = allow_all(ruleset, s->write_paths, FS_WRITE, attr.fs, err);
		if (rc == 0)
			rc = allow_all(ruleset, s->exec_paths, FS_EXEC, attr.fs, err);
	}
	if (rc != 0)
		return rc;
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
		return vk_err_set(err, VK_UNAVAILABLE, "landlock: %s", strerror(errno));
	return 0;
}
