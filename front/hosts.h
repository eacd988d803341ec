/* The scheduler's table of the other hosts (docs/protocol.md 9), checked anew. Pure. */
#ifndef FRONT_HOSTS_H
#define FRONT_HOSTS_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <viking/tls.h>

#define HOSTS_MAX 1000 /* a listening socket for each service */

struct host {
	char name[VK_TLS_HOST_MAX + 1];
	char key[65]; /* hex; "" = any key that the CA has signed for the name */
	struct sockaddr_storage addr;
	socklen_t addr_len;
};

struct hosts {
	bool clustered; /* false: this host is alone, nobody is listened to */
	struct host *v; /* by name */
	size_t n;
};

/* *ret is untouched when the line is not such a table. */
int hosts_parse(const json_t *line, struct hosts *ret, struct vk_err *err);
const struct host *hosts_find(const struct hosts *h, const char *name);
bool hosts_at(
	const struct hosts *h, const struct sockaddr_storage *from); /* is one at this address? */
int host_address(struct host *h, const char *text, int64_t port);    /* an IP address; VK_INVALID */
bool host_has_key(const struct host *h, const char *key);
bool host_same(const struct host *a, const struct host *b);
void hosts_release(struct hosts *h);

#endif
