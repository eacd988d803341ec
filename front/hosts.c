#include "hosts.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>

int host_address(struct host *h, const char *text, int64_t port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&h->addr;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&h->addr;
	if (port < 1 || port > 65535)
		return VK_INVALID;
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		h->addr_len = sizeof(*v4);
		return 0;
	}
	if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1)
		return VK_INVALID;
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons((uint16_t)port);
	h->addr_len = sizeof(*v6);
	return 0;
}

static int read_host(const char *name, const json_t *j, struct host *h, struct vk_err *err)
{
	const char *key = vk_json_str(j, "key", "");
	if (!vk_is_host(name))
		return vk_err_set(err, VK_INVALID, "%.80s is not a host's name", name);
	memcpy(h->name, name, strlen(name) + 1);
	if (host_address(h, vk_json_str(j, "addr", ""), vk_json_int(j, "port", 0)) != 0)
		return vk_err_set(err, VK_INVALID, "host %s has no address and port", name);
	size_t n = strlen(key);
	if ((n != 0 && n != 64) || key[strspn(key, "0123456789abcdef")] != '\0')
		return vk_err_set(err, VK_INVALID, "host %s has a key that is none", name);
	memcpy(h->key, key, n + 1);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct host *)a)->name, ((const struct host *)b)->name);
}

int hosts_parse(const json_t *line, struct hosts *ret, struct vk_err *err)
{
	json_t *all = json_object_get(line, "hosts"), *j;
	const char *name;
	if (json_is_null(all)) {
		*ret = (struct hosts){0};
		return 0;
	}
	if (!json_is_object(all) || json_object_size(all) > HOSTS_MAX)
		return vk_err_set(err, VK_INVALID, "not a table of hosts");
	struct hosts h = {
		.clustered = true, .v = vk_calloc(json_object_size(all) + 1, sizeof(*h.v))};
	json_object_foreach(all, name, j)
	{
		int rc = read_host(name, j, &h.v[h.n++], err);
		if (rc != 0) {
			hosts_release(&h);
			return rc;
		}
	}
	qsort(h.v, h.n, sizeof(*h.v), by_name);
	*ret = h;
	return 0;
}

const struct host *hosts_find(const struct hosts *h, const char *name)
{
	struct host wanted = {0};
	if (h->n == 0 || strlen(name) >= sizeof(wanted.name))
		return NULL;
	memcpy(wanted.name, name, strlen(name));
	return bsearch(&wanted, h->v, h->n, sizeof(*h->v), by_name);
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	const struct sockaddr_in *a4 = (const void *)a, *b4 = (const void *)b;
	const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;
	if (a->ss_family != b->ss_family)
		return false;
	return a->ss_family == AF_INET ? a4->sin_addr.s_addr == b4->sin_addr.s_addr
				       : memcmp(&a6->sin6_addr, &b6->sin6_addr, 16) == 0;
}

bool hosts_at(const struct hosts *h, const struct sockaddr_storage *from)
{
	for (size_t i = 0; i < h->n; i++)
		if (same_address(&h->v[i].addr, from))
			return true;
	return false;
}

bool host_has_key(const struct host *h, const char *key)
{
	return h->key[0] == '\0' || strcmp(h->key, key) == 0;
}

bool host_same(const struct host *a, const struct host *b)
{
	return strcmp(a->name, b->name) == 0 && strcmp(a->key, b->key) == 0 &&
		memcmp(&a->addr, &b->addr, sizeof(a->addr)) == 0;
}

void hosts_release(struct hosts *h)
{
	free(h->v);
	*h = (struct hosts){0};
}
