#include "resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/str.h>

#define BIND_AGAIN_MS 2000
#define RESOLV_CONF   "/etc/resolv.conf"

/* ---- answering ---- */

static bool in_subnet(const struct listener *s, uint32_t addr)
{
	return (addr & s->mask) == s->base && addr != s->gateway;
}

/* Only an address of this machine can be bound. (The kernel drops what comes from outside under such a one.) */
static bool is_host(uint32_t addr)
{
	vk_autoclose int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(addr)};
	return fd >= 0 && bind(fd, (const struct sockaddr *)&a, sizeof(a)) == 0;
}

bool listener_serves(const struct listener *s, uint32_t addr)
{
	return in_subnet(s, addr) || is_host(addr);
}

static const struct zone_net *net_of(const struct listener *s)
{
	const struct zone *z = s->r->zone;
	for (size_t i = 0; z != NULL && i < z->n_nets; i++)
		if (strcmp(z->nets[i].stack, s->stack) == 0)
			return &z->nets[i];
	return NULL;
}

size_t resolver_answer(struct listener *s, uint32_t addr, const uint8_t *msg, size_t n, bool tcp,
	uint8_t *out, size_t max, struct dns_query *ret_q, bool *ret_foreign)
{
	enum dns_rcode rcode = DNS_FORMERR;
	struct dns_records records = {0};
	*ret_foreign = false;
	switch (dns_parse(msg, n, ret_q, &rcode)) {
	case DNS_DROP:
		return 0;
	case DNS_REJECT:
		return dns_reject(msg, rcode, out);
	case DNS_ASK:
		break;
	}
	bool host = !in_subnet(s, addr);
	enum zone_answer a = zone_find(s->r->zone, host ? NULL : net_of(s), ret_q, &records);
	if (a == ZONE_FOREIGN && ret_q->recursion && s->r->n_upstream > 0) {
		*ret_foreign = true;
		return 0;
	}
	rcode = a == ZONE_FOUND ? DNS_OK : a == ZONE_NONE ? DNS_NXDOMAIN : DNS_REFUSED;
	size_t most = tcp || ret_q->size > max ? max : ret_q->size;
	size_t len = dns_answer(msg, ret_q, rcode, &records, DNS_TTL, out, most);
	dns_records_release(&records);
	return len;
}

static void on_datagram(void *arg, int fd, int what)
{
	struct listener *s = arg;
	(void)what;
	for (int i = 0; i < DNS_BATCH; i++) {
		uint8_t msg[4096], out[DNS_UDP_MOST];
		struct sockaddr_in from;
		socklen_t size = sizeof(from);
		ssize_t n = recvfrom(
			fd, msg, sizeof(msg), MSG_DONTWAIT, (struct sockaddr *)&from, &size);
		if (n < 0)
			return;
		uint32_t addr = ntohl(from.sin_addr.s_addr);
		struct dns_query q;
		bool foreign = false;
		if (size != sizeof(from) || !listener_serves(s, addr))
			continue;
		size_t len = resolver_answer(
			s, addr, msg, (size_t)n, false, out, sizeof(out), &q, &foreign);
		if (foreign)
			forward_ask(s, &from, msg, (size_t)n, &q);
		else if (len > 0)
			(void)sendto(fd, out, len, MSG_DONTWAIT, (struct sockaddr *)&from, size);
	}
}

static void on_connection(void *arg, int fd, int what)
{
	(void)fd;
	(void)what;
	stream_accept(arg);
}

/* ---- listening ---- */

static int bound(uint32_t address, int type, struct vk_err *err)
{
	vk_autoclose int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const int on = 1;
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(address)};
	char text[INET_ADDRSTRLEN];
	inet_ntop(AF_INET, &a.sin_addr, text, sizeof(text));
	if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on)) < 0 ||
		(type == SOCK_STREAM &&
			setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0) ||
		bind(fd, (const struct sockaddr *)&a, sizeof(a)) < 0 ||
		(type == SOCK_STREAM && listen(fd, 64) < 0)) {
		vk_err_errno(err, errno, "%s port 53", text);
		return vk_err_hint(err, "who has it: ss -lntup 'sport = 53'");
	}
	return VK_TAKE_FD(fd);
}

static void listener_close(struct listener *s)
{
	forward_drop_all(s);
	stream_drop_all(s);
	vk_io_free(VK_TAKE(s->udp));
	vk_io_free(VK_TAKE(s->tcp));
	vk_closep(&s->udp_fd);
	vk_closep(&s->tcp_fd);
	s->udp_fd = s->tcp_fd = -1;
}

static int listener_open(struct listener *s, struct vk_err *err)
{
	s->udp_fd = bound(s->gateway, SOCK_DGRAM, err);
	if (s->udp_fd >= 0)
		s->tcp_fd = bound(s->gateway, SOCK_STREAM, err);
	s->failed = s->udp_fd < 0 || s->tcp_fd < 0;
	if (s->failed) {
		listener_close(s);
		return VK_UNAVAILABLE;
	}
	s->udp = vk_io_new(s->r->l, s->udp_fd, VK_READ, on_datagram, s);
	s->tcp = vk_io_new(s->r->l, s->tcp_fd, VK_READ, on_connection, s);
	return 0;
}

static void listener_free(struct listener *s)
{
	listener_close(s);
	free(s->stack);
	free(s);
}

static struct listener *listener_want(struct resolver *r, const struct zone_net *net)
{
	for (struct listener *s = r->listeners; s != NULL; s = s->next)
		if (strcmp(s->stack, net->stack) == 0 && s->gateway == net->gateway)
			return s;
	struct listener *s = vk_alloc(sizeof(*s));
	*s = (struct listener){.r = r,
		.next = r->listeners,
		.stack = vk_strdup(net->stack),
		.gateway = net->gateway,
		.base = net->base,
		.mask = net->mask,
		.udp_fd = -1,
		.tcp_fd = -1};
	r->listeners = s;
	return s;
}

static void listeners_sweep(struct resolver *r)
{
	for (struct listener **at = &r->listeners; *at != NULL;) {
		struct listener *s = *at;
		if (s->wanted) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		listener_free(s);
	}
}

/* Opens what is not open; errors gets a line for each address that cannot be had. */
static void listeners_open(struct resolver *r, json_t *errors)
{
	bool again = false;
	for (struct listener *s = r->listeners; s != NULL; s = s->next) {
		struct vk_err err = {0};
		bool told = s->failed;
		if (s->udp != NULL || listener_open(s, &err) == 0)
			continue;
		if (!told)
			vk_log_err(VK_ERROR, "no-listener", &err);
		json_array_append_new(errors,
			json_pack("{s:s,s:s,s:s}", "stack", s->stack, "message", err.msg, "hint",
				err.hint));
		again = true;
	}
	vk_timer_set(r->again, again ? BIND_AGAIN_MS : -1);
}

/* ---- the scheduler ---- */

static void read_upstreams(struct resolver *r)
{
	vk_autobuf text = VK_BUF_INIT(65536);
	if (r->c->dns_upstream[0] != '\0')
		r->n_upstream = forward_upstreams(r->c->dns_upstream, false, r->upstream);
	else if (vk_fs_read(RESOLV_CONF, &text, NULL) == 0)
		r->n_upstream = forward_upstreams(vk_buf_str(&text), true, r->upstream);
}

static void open_and_tell(void *arg)
{
	struct resolver *r = arg;
	json_t *errors = json_array();
	listeners_open(r, errors);
	vk_autojson *body = json_pack("{s:I,s:i,s:o}", "rev", (json_int_t)r->zone->rev, "upstreams",
		(int)r->n_upstream, "errors", errors);
	vk_role_report(r->role, "/v1/internal/dns/ack", body);
}

static void on_document(void *arg, json_t *line)
{
	struct resolver *r = arg;
	struct zone *z = NULL;
	struct vk_err err = {0};
	if (zone_parse(line,
		    &(struct zone_host){r->c->host_name, r->c->dns_zones, r->c->firewall_enabled},
		    &z, &err) != 0) {
		vk_log_err(VK_ERROR, "bad-document", &err);
		return;
	}
	z->turn = r->zone->turn;
	zone_free(r->zone);
	r->zone = z;
	for (struct listener *s = r->listeners; s != NULL; s = s->next)
		s->wanted = false;
	for (size_t i = 0; i < z->n_nets && r->c->dns_enabled; i++)
		listener_want(r, &z->nets[i])->wanted = true;
	listeners_sweep(r);
	read_upstreams(r);
	open_and_tell(r);
}

/* ---- life ---- */

static void rights(const struct vk_config *c, struct vk_role_rights *ret)
{
	char *resolv = realpath(RESOLV_CONF, NULL);
	(void)c;
	vk_strv_add(&ret->read, "/etc");
	if (resolv != NULL)
		vk_strv_take(&ret->read, resolv);
	ret->seccomp = VK_SECCOMP_DAEMON;
	ret->keep_caps = 1ull << CAP_NET_BIND_SERVICE;
}

static int start(struct vk_role *role, struct vk_err *err)
{
	(void)err;
	struct resolver *r = role->self = vk_alloc(sizeof(*r));
	*r = (struct resolver){.role = role, .l = role->l, .c = role->c};
	r->zone = vk_alloc(sizeof(*r->zone));
	*r->zone = (struct zone){0};
	r->again = vk_timer_new(r->l, open_and_tell, r);
	read_upstreams(r);
	vk_role_watch(role, "/v1/internal/net/watch", on_document, r);
	return 0;
}

static void resolver_free(void *self)
{
	struct resolver *r = self;
	if (r == NULL)
		return;
	for (struct listener *s = r->listeners; s != NULL; s = s->next)
		s->wanted = false;
	listeners_sweep(r);
	vk_timer_free(r->again);
	zone_free(r->zone);
	free(r);
}

const struct vk_role_ops dns_role = {"dns", rights, NULL, start, resolver_free};
