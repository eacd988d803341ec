/* Listening and connecting sockets, apart from httpd.c so that commands link no HTTP server. */
#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include <viking/httpd.h>
#include <viking/id.h>
#include <viking/str.h>

#define CONNECT_MAX_S 10
#define HOST_MARK     "/host/"

static int unix_address(const char *path, struct sockaddr_un *a, struct vk_err *err)
{
	*a = (struct sockaddr_un){.sun_family = AF_UNIX};
	size_t n = strlen(path);
	if (n >= sizeof(a->sun_path))
		return vk_err_set(err, VK_LIMIT, "the socket path %s is longer than %zu bytes",
			path, sizeof(a->sun_path) - 1);
	memcpy(a->sun_path, path, n + 1);
	return 0;
}

int vk_connect_unix(const char *path, int *ret_fd, struct vk_err *err)
{
	struct sockaddr_un a;
	int rc = unix_address(path, &a, err);
	if (rc != 0)
		return rc;
	vk_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return vk_err_errno(err, errno, "socket");
	/* blocks only while the listener's queue is full, and then for this long at most */
	const struct timeval longest = {.tv_sec = CONNECT_MAX_S}, none = {0};
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &longest, sizeof(longest));
	do
		rc = connect(fd, (const struct sockaddr *)&a, sizeof(a));
	while (rc != 0 && errno == EINTR);
	if (rc != 0 && errno == EAGAIN)
		return vk_err_set(err, VK_TIMEOUT, "%s accepts no connections", path);
	if (rc != 0)
		return vk_err_errno(err, errno, "%s", path);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none));
	*ret_fd = VK_TAKE_FD(fd);
	return 0;
}

/* Our end's own name is what getpeername(2) shows to the listener: no byte of the stream is needed for it. The kernel lets
 * nobody else have the name while we do; whether ours is to be believed is said by our uid. */
int vk_connect_unix_as(const char *path, const char *host, int *ret_fd, struct vk_err *err)
{
	struct sockaddr_un to, me = {.sun_family = AF_UNIX};
	char unique[17];
	int rc = unix_address(path, &to, err);
	if (rc != 0)
		return rc;
	vk_random_hex(8, unique);
	int n = snprintf(
		me.sun_path + 1, sizeof(me.sun_path) - 1, "%s" HOST_MARK "%s", unique, host);
	vk_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return vk_err_errno(err, errno, "socket");
	if (bind(fd, (const struct sockaddr *)&me,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) != 0)
		return vk_err_errno(err, errno, "the name of %s", host);
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) != 0)
		return vk_err_errno(err, errno == EAGAIN ? ECONNREFUSED : errno, "%s", path);
	*ret_fd = VK_TAKE_FD(fd);
	return 0;
}

bool vk_peer_host(int fd, char out[static VK_NAME_MAX + 1])
{
	struct sockaddr_un a = {0};
	socklen_t n = sizeof(a);
	const size_t head = offsetof(struct sockaddr_un, sun_path) + 1 + 16;
	const size_t mark = strlen(HOST_MARK);
	if (getpeername(fd, (struct sockaddr *)&a, &n) != 0 || a.sun_family != AF_UNIX ||
		n <= head + mark || n > sizeof(a) || a.sun_path[0] != '\0' ||
		memcmp(a.sun_path + 17, HOST_MARK, mark) != 0)
		return false;
	vk_autofree char *name = vk_strndup(a.sun_path + 17 + mark, n - head - mark);
	bool ok = vk_is_host(name) || vk_streq(name, "?");
	if (ok)
		memcpy(out, name, strlen(name) + 1);
	return ok;
}

/* A socket file is stale when nothing accepts behind it; anything else in the way is not ours to remove. */
static int clear_stale(const char *path, struct vk_err *err)
{
	struct stat st;
	if (lstat(path, &st) != 0)
		return errno == ENOENT ? 0 : vk_err_errno(err, errno, "%s", path);
	if (!S_ISSOCK(st.st_mode))
		return vk_err_set(err, VK_EXISTS, "%s exists and is not a socket", path);
	vk_autoclose int fd = -1;
	if (vk_connect_unix(path, &fd, NULL) == 0)
		return vk_err_set(err, VK_CONFLICT, "another process already listens on %s", path);
	if (unlink(path) != 0 && errno != ENOENT)
		return vk_err_errno(err, errno, "%s", path);
	return 0;
}

static int give_access(const char *path, mode_t mode, const char *group, struct vk_err *err)
{
	if (group != NULL) {
		const struct group *g = getgrnam(group);
		if (g == NULL)
			return vk_err_set(err, VK_NOTFOUND, "no group named %s", group);
		if (chown(path, (uid_t)-1, g->gr_gid) != 0)
			return vk_err_errno(err, errno, "%s: group %s", path, group);
	}
	if (chmod(path, mode) != 0)
		return vk_err_errno(err, errno, "%s", path);
	return 0;
}

int vk_listen_unix(const char *path, mode_t mode, const char *group, int backlog, int *ret_fd,
	struct vk_err *err)
{
	struct sockaddr_un a;
	int rc = unix_address(path, &a, err);
	if (rc == 0)
		rc = clear_stale(path, err);
	if (rc != 0)
		return rc;
	vk_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return vk_err_errno(err, errno, "socket");
	mode_t mask = umask(0177); /* closed until mode and group are right */
	rc = bind(fd, (const struct sockaddr *)&a, sizeof(a));
	int saved = errno;
	umask(mask);
	if (rc != 0)
		return vk_err_errno(err, saved, "%s", path);
	rc = give_access(path, mode, group, err);
	if (rc != 0)
		return rc;
	if (listen(fd, backlog) != 0)
		return vk_err_errno(err, errno, "%s: listen", path);
	*ret_fd = VK_TAKE_FD(fd);
	return 0;
}

int vk_listen_tcp(const char *address, uint16_t port, int backlog, int *ret_fd, struct vk_err *err)
{
	struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	bool is4 = inet_pton(AF_INET, address, &a4.sin_addr) == 1;
	if (!is4 && inet_pton(AF_INET6, address, &a6.sin6_addr) != 1)
		return vk_err_set(err, VK_INVALID, "%s is not an IP address", address);
	vk_autoclose int fd =
		socket(is4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return vk_err_errno(err, errno, "socket");
	int on = 1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
		return vk_err_errno(err, errno, "SO_REUSEADDR");
	int rc = is4 ? bind(fd, (const struct sockaddr *)&a4, sizeof(a4))
		     : bind(fd, (const struct sockaddr *)&a6, sizeof(a6));
	if (rc != 0)
		return vk_err_errno(err, errno, "%s port %u", address, (unsigned)port);
	if (listen(fd, backlog) != 0)
		return vk_err_errno(err, errno, "%s port %u: listen", address, (unsigned)port);
	*ret_fd = VK_TAKE_FD(fd);
	return 0;
}
