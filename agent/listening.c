#include "listening.h"

#include <string.h>
#include <viking/fs.h>
#include <viking/mem.h>

#define FILE_MAX  (1u << 20)
#define PORTS_MAX 16
#define TEXT_MAX  256

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* "  0: 00000000:0050 00000000:0000 0A ...": local address, remote address, state (0A listens) */
unsigned listening_line(const char *line, size_t n)
{
	static const char loop4[] = "0100007F", loop6[] = "00000000000000000000000001000000";
	const char *end = line + n, *p = memchr(line, ':', n);
	if (p == NULL || end - p < 3)
		return 0;
	const char *addr = p + 2, *colon = memchr(addr, ':', (size_t)(end - addr));
	if (colon == NULL || end - colon < 5)
		return 0;
	unsigned port = 0;
	for (int i = 1; i <= 4; i++) {
		int digit = hex(colon[i]);
		if (digit < 0)
			return 0;
		port = port << 4 | (unsigned)digit;
	}
	const char *rest = colon + 6; /* remote */
	const char *blank = rest < end ? memchr(rest, ' ', (size_t)(end - rest)) : NULL;
	if (blank == NULL || end - blank < 3 || memcmp(blank, " 0A", 3) != 0)
		return 0;
	size_t len = (size_t)(colon - addr);
	if ((len == 8 && memcmp(addr + 6, loop4 + 6, 2) == 0) ||
		(len == 32 && memcmp(addr, loop6, 32) == 0))
		return 0;
	return port;
}

struct ports {
	unsigned v[PORTS_MAX];
	size_t n;
};

static void add_sorted(struct ports *ports, unsigned port)
{
	size_t i = 0;
	while (i < ports->n && ports->v[i] < port)
		i++;
	if (ports->n == PORTS_MAX || (i < ports->n && ports->v[i] == port))
		return;
	memmove(ports->v + i + 1, ports->v + i, (ports->n - i) * sizeof(*ports->v));
	ports->v[i] = port;
	ports->n++;
}

static int scan(int pid, const char *file, struct ports *ports)
{
	vk_autobuf b = VK_BUF_INIT(FILE_MAX);
	vk_autofree char *path = vk_asprintf("/proc/%d/net/%s", pid, file);
	if (vk_fs_read(path, &b, NULL) < 0)
		return -1;
	const char *p = vk_buf_str(&b), *end = p + b.len;
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)((nl != NULL ? nl : end) - p);
		unsigned port = listening_line(p, n);
		if (port != 0)
			add_sorted(ports, port);
		p += n + 1;
	}
	return 0;
}

char *listening_ports(int pid)
{
	struct ports ports = {0};
	vk_autobuf b = VK_BUF_INIT(TEXT_MAX);
	if (pid <= 0 || scan(pid, "tcp", &ports) < 0)
		return NULL;
	scan(pid, "tcp6", &ports);
	for (size_t i = 0; i < ports.n; i++)
		(void)vk_buf_addf(&b, "%s%u", i > 0 ? ", " : "", ports.v[i]);
	return vk_strdup(ports.n > 0 ? vk_buf_str(&b) : "no port");
}
