#include "port.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>
#include <viking/mem.h>

bool port_free(const char *address, unsigned port)
{
	const int on = 1;
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	bool six = inet_pton(AF_INET, address, &v4.sin_addr) != 1;
	if (six && inet_pton(AF_INET6, address, &v6.sin6_addr) != 1)
		return false;
	const struct sockaddr *a = six ? (const void *)&v6 : (const void *)&v4;
	vk_autoclose int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fd >= 0 && setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on)) == 0 &&
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0 &&
		bind(fd, a, six ? sizeof(v6) : sizeof(v4)) == 0;
}
