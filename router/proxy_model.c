#include "proxy_model.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <string.h>
#include <viking/json.h>
#include <viking/str.h>

#include "table.h"

#define SLOTS_MIN 4

static int read_address(const char *text, uint32_t *ret, struct vk_err *err)
{
	struct in_addr a;
	if (inet_pton(AF_INET, text, &a) != 1)
		return vk_err_set(err, VK_INVALID, "\"%.40s\" is no IPv4 address", text);
	*ret = ntohl(a.s_addr);
	return 0;
}

static int read_port(const json_t *j, unsigned *ret, struct vk_err *err)
{
	int64_t port = vk_json_int(j, "port", 0);
	*ret = (unsigned)port;
	return port >= 1 && port <= 65535 ? 0
					  : vk_err_set(err, VK_INVALID, "a link without a port");
}

static struct proxy_listener *find(const struct proxy_model *m, uint32_t addr, unsigned port)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->v[i].addr == addr && m->v[i].port == port)
			return &m->v[i];
	return NULL;
}

static bool has(const struct proxy_slot *v, size_t n, const struct proxy_slot *s)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].addr == s->addr && v[i].port == s->port)
			return true;
	return false;
}

/* Who had a slot and is wanted keeps it; the others take what is empty. */
static void fill_slots(struct proxy_listener *l, const struct proxy_listener *had,
	const struct proxy_slot *want, size_t n)
{
	l->n_slots = had != NULL ? had->n_slots : SLOTS_MIN;
	while (l->n_slots < n)
		l->n_slots *= 2;
	l->slots = vk_calloc(l->n_slots, sizeof(*l->slots));
	for (size_t i = 0; had != NULL && i < had->n_slots; i++)
		if (had->slots[i].addr != 0 && has(want, n, &had->slots[i]))
			l->slots[i] = had->slots[i];
	for (size_t i = 0, at = 0; i < n; i++) {
		if (has(l->slots, l->n_slots, &want[i]))
			continue;
		while (l->slots[at].addr != 0)
			at++;
		l->slots[at] = want[i];
	}
}

static int read_link(struct proxy_listener *l, const json_t *link, const char *host,
	const struct proxy_model *have, struct vk_err *err)
{
	const json_t *servers = json_object_get(link, "servers");
	vk_autofree struct proxy_slot *want =
		vk_calloc(json_array_size(servers) + 1, sizeof(*want));
	size_t i, n = 0;
	json_t *j;
	int rc = read_port(link, &l->port, err);
	json_array_foreach(servers, i, j)
	{
		const json_t *place = table_place(j, host);
		if (place == NULL)
			continue;
		if (rc == 0)
			rc = read_address(vk_json_str(place, "addr", ""), &want[n].addr, err);
		if (rc == 0)
			rc = read_port(place, &want[n].port, err);
		if (rc == 0 && !has(want, n, &want[n]))
			n++;
	}
	if (rc == 0)
		fill_slots(l, find(have, l->addr, l->port), want, n);
	l->refuses = n == 0;
	return rc;
}

static int read_net(struct proxy_model *m, const json_t *net, const char *host,
	const struct proxy_model *have, struct vk_err *err)
{
	const json_t *links = json_object_get(net, "links");
	uint32_t gateway;
	size_t i;
	json_t *link;
	if (json_array_size(links) == 0)
		return 0;
	int rc = read_address(vk_json_str(net, "gateway", ""), &gateway, err);
	m->v = vk_reallocarray(m->v, m->n + json_array_size(links), sizeof(*m->v));
	json_array_foreach(links, i, link)
	{
		if (rc != 0)
			break;
		struct proxy_listener *l = &m->v[m->n++];
		*l = (struct proxy_listener){.addr = gateway};
		rc = read_link(l, link, host, have, err);
		if (rc == 0 && find(m, l->addr, l->port) != l)
			rc = vk_err_set(err, VK_INVALID, "two links have port %u", l->port);
	}
	return rc;
}

/* On the address of the registry of a host that has none: every engine pulls from its own loopback. */
static int read_registry(
	struct proxy_model *m, const json_t *registry, const char *own, struct vk_err *err)
{
	const char *host = vk_json_str(registry, "host", "");
	struct proxy_listener l = {0};
	if (strcmp(host, own) == 0)
		return 0;
	int rc = read_port(registry, &l.port, err);
	if (rc == 0)
		rc = read_address(vk_json_str(registry, "addr", ""), &l.addr, err);
	if (rc == 0 && !vk_is_host(host))
		rc = vk_err_set(err, VK_INVALID, "the registry's host has no name");
	if (rc != 0)
		return rc;
	memcpy(l.registry, host, strlen(host) + 1);
	m->v = vk_reallocarray(m->v, m->n + 1, sizeof(*m->v));
	m->v[m->n++] = l;
	return 0;
}

int proxy_model_parse(const json_t *doc, const char *host, const struct proxy_model *have,
	struct proxy_model *ret, struct vk_err *err)
{
	struct proxy_model m = {.rev = vk_json_int(doc, "rev", -1)};
	const json_t *nets = json_object_get(doc, "networks");
	size_t i;
	json_t *net;
	int rc = m.rev >= 0 && json_is_array(nets)
		? 0
		: vk_err_set(err, VK_INVALID, "the document has no rev or no networks");
	json_array_foreach(nets, i, net) if (rc == 0) rc = read_net(&m, net, host, have, err);
	if (rc == 0 && json_object_get(doc, "registry") != NULL)
		rc = read_registry(&m, json_object_get(doc, "registry"), host, err);
	if (rc != 0)
		proxy_model_release(&m);
	else
		*ret = m;
	return rc;
}

void proxy_model_release(struct proxy_model *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->v[i].slots);
	free(m->v);
	*m = (struct proxy_model){0};
}

bool proxy_model_same_listeners(const struct proxy_model *a, const struct proxy_model *b)
{
	for (size_t i = 0; i < a->n; i++) {
		const struct proxy_listener *l = find(b, a->v[i].addr, a->v[i].port);
		if (l == NULL || l->n_slots != a->v[i].n_slots || l->blocked != a->v[i].blocked ||
			!vk_streq(l->registry, a->v[i].registry))
			return false;
	}
	return a->n == b->n;
}

/* ---- text ---- */

static const char *dotted(uint32_t addr, char buf[static INET_ADDRSTRLEN])
{
	struct in_addr a = {.s_addr = htonl(addr)};
	inet_ntop(AF_INET, &a, buf, INET_ADDRSTRLEN);
	return buf;
}

/* "k" and the address as 8 hex digits, then the port: unique, and nobody's text. */
static void name_of(const struct proxy_listener *l, char buf[static 24])
{
	snprintf(buf, 24, "k%08x_%u", l->addr, l->port);
}

static void render_listener(const struct proxy_listener *l, struct vk_buf *out)
{
	char name[24], a[INET_ADDRSTRLEN];
	name_of(l, name);
	/* the address comes with the stack's bridge, which may be later */
	(void)vk_buf_addf(
		out, "\nlisten %s\n\tbind %s:%u transparent\n", name, dotted(l->addr, a), l->port);
	for (size_t i = 0; i < l->n_slots; i++) {
		const struct proxy_slot *s = &l->slots[i];
		if (s->addr != 0)
			(void)vk_buf_addf(
				out, "\tserver s%zu %s:%u\n", i + 1, dotted(s->addr, a), s->port);
		else
			(void)vk_buf_addf(out, "\tserver s%zu 127.0.0.1:1 disabled\n", i + 1);
	}
}

static void render_registry(
	const struct proxy_listener *l, const struct proxy_paths *p, struct vk_buf *out)
{
	char a[INET_ADDRSTRLEN];
	(void)vk_buf_addf(out,
		"\n# the registry is on %s; viking-front brings the bytes there, over TLS with "
		"certificates\n"
		"listen registry\n\tbind %s:%u\n\tserver front unix@%s/%s/registry.sock\n",
		l->registry, dotted(l->addr, a), l->port, p->hosts, l->registry);
}

void proxy_render(const struct proxy_model *m, const struct proxy_paths *p, struct vk_buf *out)
{
	/* Buffers are held only while bytes are in them; with these a bulk transfer costs half the processor of 16 kB ones. */
	/* Old workers end with their connections: a database's may last for days, so they are many, not endless. */
	(void)vk_buf_addf(out,
		"# Written by viking-router; changes are overwritten.\n"
		"global\n\tmaxconn %u\n\tnbthread 1\n\tmworker-max-reloads 32\n"
		"\ttune.bufsize 65536\n"
		"\tstats socket %s mode 600 level admin expose-fd listeners\n\n"
		"defaults\n\tmode tcp\n\tbalance leastconn\n\tretries 2\n\toption redispatch\n"
		"\toption clitcpka\n\toption srvtcpka\n\ttimeout connect 2s\n\ttimeout client 24h\n"
		"\ttimeout server 24h\n\ttimeout queue 5s\n\n"
		"# without any listener HAProxy does not start\n"
		"listen idle\n\tbind unix@%s mode 600\n",
		p->maxconn, p->admin, p->idle);
	for (size_t i = 0; i < m->n; i++)
		if (m->v[i].blocked)
			continue;
		else if (m->v[i].registry[0] != '\0')
			render_registry(&m->v[i], p, out);
		else
			render_listener(&m->v[i], out);
}

static void command(struct vk_buf *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void command(struct vk_buf *out, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vk_autofree char *text = vk_vasprintf(fmt, ap);
	va_end(ap);
	if (out->len > 0)
		(void)vk_buf_addc(out, ';');
	(void)vk_buf_adds(out, text);
}

static void plan_listener(
	const struct proxy_listener *h, const struct proxy_listener *w, struct vk_buf *out)
{
	char name[24], a[INET_ADDRSTRLEN];
	name_of(w, name);
	for (size_t k = 0; k < w->n_slots; k++) {
		const struct proxy_slot *s = &w->slots[k];
		if (memcmp(s, &h->slots[k], sizeof(*s)) == 0)
			continue;
		if (s->addr != 0)
			command(out,
				"set server %s/s%zu addr %s port %u;set server %s/s%zu state ready",
				name, k + 1, dotted(s->addr, a), s->port, name, k + 1);
		else
			command(out, "set server %s/s%zu state maint", name, k + 1);
	}
	if (w->refuses != h->refuses)
		command(out, "%s frontend %s", w->refuses ? "disable" : "enable", name);
}

void proxy_plan(const struct proxy_model *have, const struct proxy_model *want, struct vk_buf *out)
{
	for (size_t i = 0; i < want->n; i++) {
		const struct proxy_listener *w = &want->v[i], *h = find(have, w->addr, w->port);
		if (h != NULL && !w->blocked)
			plan_listener(h, w, out);
	}
	if (out->len > 0)
		(void)vk_buf_addc(out, '\n');
}

bool proxy_model_reloaded(struct proxy_model *m)
{
	bool any = false;
	for (size_t i = 0; i < m->n; i++) {
		any = any || (m->v[i].refuses && !m->v[i].blocked);
		m->v[i].refuses = false;
	}
	return any;
}

bool proxy_answer_good(const char *text)
{
	while (*text != '\0') {
		size_t n = strcspn(text, "\n");
		vk_autofree char *line = vk_strndup(text, n);
		if (n > 0 && strstr(line, "by 'stats socket command'") == NULL)
			return false;
		text += n + (text[n] == '\n' ? 1 : 0);
	}
	return true;
}
