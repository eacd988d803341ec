/* Reads a rendered configuration back into a model, strictly: any line that render.c should not
 * have written fails. For the tests of the renderer and its fuzz target. */
#ifndef TESTS_ROUTER_CFG_PARSE_H
#define TESTS_ROUTER_CFG_PARSE_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>
#include <viking/str.h>

#include "model.h"

#define CFG_LINE_MAX 2000

/* "\tserver s1 127.0.0.1:80 disabled" */
static bool cfg_server(const char *line, struct model *m, unsigned backend)
{
	static const char lead[] = "\tserver ";
	char addr[INET6_ADDRSTRLEN + 2], port[8];
	struct in6_addr bin;
	unsigned slot;
	uint64_t number;
	if (!vk_starts(line, lead))
		return false;
	line += strlen(lead);
	size_t n = strcspn(line, " ");
	if (!slot_number(line, n, &slot) || line[n] != ' ')
		return false;
	line += n + 1;
	n = strcspn(line, " ");
	const char *colon = memrchr(line, ':', n);
	if (colon == NULL || (size_t)(colon - line) >= sizeof(addr) ||
		n - (size_t)(colon - line) > sizeof(port))
		return false;
	bool v6 = line[0] == '[' && colon[-1] == ']';
	size_t len = (size_t)(colon - line) - (v6 ? 2 : 0);
	memcpy(addr, line + v6, len);
	addr[len] = '\0';
	memcpy(port, colon + 1, n - (size_t)(colon - line) - 1);
	port[n - (size_t)(colon - line) - 1] = '\0';
	if (inet_pton(v6 ? AF_INET6 : AF_INET, addr, &bin) != 1 ||
		vk_parse_u64(port, 1, 65535, &number) != 0)
		return false;
	line += n;
	bool h2 = vk_starts(line, " proto h2");
	line += h2 ? strlen(" proto h2") : 0;
	struct slot *s = model_slot(m, backend, slot);
	m->backends[backend - 1].h2 = h2;
	memcpy(s->addr, addr, len + 1);
	s->port = (uint16_t)number;
	s->state = *line == '\0' ? SLOT_READY : SLOT_FREE;
	return *line == '\0' || strcmp(line, " disabled") == 0;
}

/* "503 /ROUTE/pages/ID.http" */
static bool cfg_page(const char *line, struct model *m, unsigned backend)
{
	char **pages = &m->backends[backend - 1].pages;
	const char *id = strstr(line, "/pages/");
	if (id == NULL || line[3] != ' ' || strcmp(id + 7 + 24, ".http") != 0)
		return false;
	char *now = vk_asprintf("%s%s%.3s:%.24s", *pages != NULL ? *pages : "",
		*pages != NULL ? " " : "", line, id + 7);
	free(*pages);
	*pages = now;
	return true;
}

static bool cfg_line(char *line, struct model *m, unsigned *backend, char label[static 200])
{
	if (strlen(line) > CFG_LINE_MAX)
		return false;
	if (vk_starts(line, "# ")) {
		if (line[2 + strspn(line + 2, "abcdefghijklmnopqrstuvwxyz0123456789_-/:@")] !=
				'\0' ||
			strlen(line) > 190)
			return false;
		memcpy(label, line + 2, strlen(line + 2) + 1);
		return true;
	}
	if (strcmp(line, "\tuse-server %[var(txn.to)] if { var(txn.to) -m found }") == 0)
		return *backend > 0;
	if (vk_starts(line, "\tbind 127.0.0.1:")) {
		uint64_t port;
		if (*backend == 0 || vk_parse_u64(strrchr(line, ':') + 1, 1, 65535, &port) != 0)
			return false;
		m->backends[*backend - 1].front = (uint16_t)port;
		return true;
	}
	if (vk_starts(line, "\terrorfile 50"))
		return *backend > 0 && cfg_page(line + strlen("\terrorfile "), m, *backend);
	bool listener = vk_starts(line, "listen ");
	if (!listener && !vk_starts(line, "backend "))
		return *backend > 0 && cfg_server(line, m, *backend);
	const char *name = line + (listener ? 7 : 8);
	size_t n = strcspn(name, " ");
	if (!backend_number(name, n, backend) || *backend == 0 ||
		strcmp(name + n, listener ? " from tcp" : " from apps") != 0)
		return false;
	model_slot(m, *backend, 0);
	if (label[0] != '\0')
		m->backends[*backend - 1].label = vk_strdup(label);
	label[0] = '\0';
	return true;
}

/* text: what render_backends wrote; it is changed. */
static bool cfg_parse(char *text, struct model *m)
{
	unsigned backend = 0;
	char label[200] = "";
	for (char *line = text, *end; *line != '\0'; line = end + 1) {
		end = strchr(line, '\n');
		if (end == NULL)
			return false;
		*end = '\0';
		if (!cfg_line(line, m, &backend, label))
			return false;
	}
	return true;
}

/* The file knows ready and disabled only: a draining server is disabled in it, with its address. */
static bool cfg_same(const struct model *want, const struct model *file)
{
	if (want->n != file->n)
		return false;
	for (unsigned b = 0; b < want->n; b++) {
		if (want->backends[b].n != file->backends[b].n ||
			want->backends[b].front != file->backends[b].front ||
			want->backends[b].h2 != file->backends[b].h2 ||
			!vk_streq(want->backends[b].pages, file->backends[b].pages) ||
			!vk_streq(want->backends[b].label, file->backends[b].label))
			return false;
		for (unsigned s = 0; s < want->backends[b].n; s++) {
			struct slot a = want->backends[b].slots[s];
			if (a.state == SLOT_DRAIN)
				a.state = SLOT_FREE;
			if (!slot_equal(&a, &file->backends[b].slots[s]))
				return false;
		}
	}
	return true;
}

#endif
