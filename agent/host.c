#include "host.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "routes.h"

static bool our_network(const struct desired *d, const struct cidr *c)
{
	struct cidr own;
	for (size_t i = 0; d != NULL && i < d->n_networks; i++)
		if (cidr_parse(d->networks[i].subnet, &own) == 0 && own.addr == c->addr &&
			own.bits == c->bits)
			return true;
	return false;
}

static json_t *route_list(const struct desired *d)
{
	vk_autofree struct route *v = NULL;
	size_t n = 0;
	char text[20];
	json_t *list = json_array();
	routes_read(&v, &n);
	for (size_t i = 0; i < n; i++) {
		if (our_network(d, &v[i].net))
			continue;
		cidr_print(&v[i].net, text);
		json_array_append_new(list, json_string(text));
	}
	return list;
}

static void disk(
	const struct vk_config *c, const json_t *info, uint64_t *ret_free, uint64_t *ret_total)
{
	const char *docker = vk_json_str(info, "DockerRootDir", NULL);
	*ret_free = *ret_total = 0;
	if (docker != NULL && vk_fs_free_bytes(docker, ret_free, ret_total, NULL) == 0)
		return;
	vk_fs_free_bytes(c->state_dir, ret_free, ret_total, NULL);
}

uint64_t host_load(void)
{
	double avg = 0;
	return getloadavg(&avg, 1) == 1 ? (uint64_t)(avg * 100) : 0;
}

static json_t *roles_of(const char *text)
{
	json_t *list = json_array();
	while (*text != '\0') {
		size_t n = strcspn(text, ",");
		if (n > 0)
			json_array_append_new(list, json_stringn(text, n));
		text += n + (text[n] == ',');
	}
	return list;
}

/* Made once; two installations that call themselves by one host name are told apart by it. */
int host_id(const struct vk_config *c, struct vk_buf *ret, struct vk_err *err)
{
	vk_autofree char *path = vk_state_path(c, "agent/id");
	char id[33];
	if (vk_fs_exists(path))
		return vk_fs_read(path, ret, err);
	vk_random_hex(16, id);
	int rc = vk_fs_write_atomic(path, id, strlen(id), 0600, err);
	return rc == 0 ? vk_buf_add(ret, id, strlen(id)) : rc;
}

json_t *host_facts(const struct vk_config *c, const json_t *info, const struct desired *d)
{
	uint64_t free_bytes, total;
	int64_t pages = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
	disk(c, info, &free_bytes, &total);
	int cgroup = vk_streq(vk_json_str(info, "CgroupVersion", "1"), "2") ? 2 : 1;
	if (info == NULL)
		cgroup = vk_fs_exists("/sys/fs/cgroup/cgroup.controllers") ? 2 : 1;
	return json_pack("{s:s,s:I,s:I,s:I,s:I,s:s,s:i,s:I,s:o,s:s?,s:o,s:s*}", "host",
		c->host_name, "cpus",
		(json_int_t)vk_json_int(info, "NCPU", sysconf(_SC_NPROCESSORS_ONLN)), "memory",
		(json_int_t)vk_json_int(info, "MemTotal", pages), "disk", (json_int_t)total,
		"disk_free", (json_int_t)free_bytes, "engine",
		vk_json_str(info, "ServerVersion", ""), "cgroup", cgroup, "load",
		(json_int_t)host_load(), "roles", roles_of(c->host_roles), "zone",
		c->host_zone[0] != '\0' ? c->host_zone : NULL, "routes", route_list(d),
		"cluster_address", vk_config_cluster_address(c));
}
