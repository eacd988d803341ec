#include "ports.h"

#include <string.h>
#include <viking/fs.h>
#include <viking/httpd.h>
#include <viking/log.h>
#include <viking/str.h>

#define BLOCK 128
#define TRIES 256

struct ports {
	char *path;
	uint16_t first, last;
	unsigned next, reserved; /* counted from first; those before `reserved` may be given */
};

static unsigned count(const struct ports *p)
{
	return (unsigned)(p->last - p->first) + 1;
}

struct ports *ports_new(const struct vk_config *c)
{
	struct ports *p = vk_alloc(sizeof(*p));
	vk_autobuf b = VK_BUF_INIT(32);
	uint64_t at = 0;
	p->path = vk_state_path(c, "agent/ports");
	vk_config_cluster_ports(c, &p->first, &p->last);
	if (vk_fs_read(p->path, &b, NULL) == 0)
		(void)vk_parse_u64(vk_buf_str(&b), 0, 65535, &at);
	p->next = p->reserved = (unsigned)at % count(p);
	return p;
}

void ports_free(struct ports *p)
{
	if (p == NULL)
		return;
	free(p->path);
	free(p);
}

static bool reserve(struct ports *p)
{
	struct vk_err err = {0};
	unsigned until = p->next + BLOCK < count(p) ? p->next + BLOCK : count(p);
	vk_autofree char *text = vk_asprintf("%u", until % count(p));
	if (vk_fs_write_atomic(p->path, text, strlen(text), 0600, &err) != 0) {
		vk_log_err(VK_ERROR, "ports-not-saved", &err);
		return false;
	}
	p->reserved = until;
	return true;
}

static bool is_free(const char *address, unsigned port)
{
	vk_autoclose int fd = -1;
	return vk_listen_tcp(address, (uint16_t)port, 1, &fd, NULL) == 0;
}

unsigned ports_next(void *arg)
{
	const struct ports_at *at = arg;
	struct ports *p = at->ports;
	for (unsigned i = 0; i < TRIES && is_free(at->address, 0); i++) {
		if (p->next == count(p))
			p->next = p->reserved = 0;
		if (p->next == p->reserved && !reserve(p))
			break;
		unsigned port = p->first + p->next++;
		if (is_free(at->address, port))
			return port;
	}
	vk_log(VK_WARN, "no-port", "address=%s", at->address);
	return 0;
}
