#include "listening.h"

#include <viking/fs.h>
#include <viking/mem.h>

#define FILE_MAX  (1u << 20)
#define PORTS_MAX 16

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

static void add_sorted(json_t *ports, unsigned port)
{
	size_t i;
	for (i = 0; i < json_array_size(ports); i++) {
		json_int_t other = json_integer_value(json_array_get(ports, i));
		if (other == (json_int_t)port)
			return;
		if (other > (json_int_t)port)
			break;
	}
	if (json_array_size(ports) < PORTS_MAX)
		json_array_insert_new(ports, i, json_integer((json_int_t)port));
}

static int scan(int pid, const char *file, json_t *ports)
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

json_t *listening_ports(int pid)
{
	json_t *ports = json_array();
	if (pid <= 0 || scan(pid, "tcp", ports) < 0) {
		json_decref(ports);
		return NULL;
	}
	scan(pid, "tcp6", ports);
	return ports;
}
