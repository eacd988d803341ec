#include "trust.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/mem.h>

#define SYSTEM_LIST "/etc/ssl/certs/ca-certificates.crt"

static int write_map(const char *file, const char *text, struct vk_err *err)
{
	vk_autoclose int fd = open(file, O_WRONLY | O_CLOEXEC);
	return fd < 0 ? vk_err_errno(err, errno, "%s", file)
		      : vk_write_all(fd, text, strlen(text), err);
}

/* Without rights of root a mount needs a name space of users too, where we stay who we are. */
static int own_mounts(struct vk_err *err)
{
	vk_autofree char *uid = vk_asprintf("%u %u 1", getuid(), getuid());
	vk_autofree char *gid = vk_asprintf("%u %u 1", getgid(), getgid());
	if (unshare(CLONE_NEWNS) == 0)
		return 0;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
		return vk_err_errno(err, errno, "name spaces");
	int rc = write_map("/proc/self/setgroups", "deny", err);
	if (rc == 0)
		rc = write_map("/proc/self/uid_map", uid, err);
	return rc == 0 ? write_map("/proc/self/gid_map", gid, err) : rc;
}

int trust_only(const char *file, struct vk_err *err)
{
	int rc = own_mounts(err);
	if (rc == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		rc = vk_err_errno(err, errno, "mount");
	if (rc == 0 && mount(file, SYSTEM_LIST, NULL, MS_BIND, NULL) != 0)
		rc = vk_err_errno(err, errno, "%s over %s", file, SYSTEM_LIST);
	if (rc == 0)
		return 0;
	vk_err_wrap(err, "acme.ca_file");
	vk_err_hint(err,
		"or put it into /usr/local/share/ca-certificates and run update-ca-certificates");
	return rc;
}
