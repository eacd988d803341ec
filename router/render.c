#include "render.h"

#include <arpa/inet.h>
#include <string.h>
#include <viking/str.h>

#include "frontend.h"

#define SAFE_PATH  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+@~"
#define SOCKET_MAX 90 /* bytes: sun_path has 108, haproxy adds ".PID.tmp" while it binds */

/* Forward secrecy and authenticated encryption only; the order of Mozilla's intermediate list. */
#define TLS12_CIPHERS \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" \
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define TLS13_SUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

static int check_path(const char *what, const char *path, size_t max, struct vk_err *err)
{
	if (path[0] != '/' || path[strspn(path, SAFE_PATH)] != '\0')
		return vk_err_set(err, VK_INVALID,
			"%s: %s has characters that cannot stand in haproxy's configuration", what,
			path);
	if (strlen(path) > max)
		return vk_err_set(
			err, VK_LIMIT, "%s: %s is longer than %zu bytes", what, path, max);
	return 0;
}

int render_check(const struct render_settings *s, struct vk_err *err)
{
	struct in6_addr any;
	if (inet_pton(AF_INET, s->address, &any) != 1 && inet_pton(AF_INET6, s->address, &any) != 1)
		return vk_err_set(err, VK_INVALID, "http.address: %s is no IP address", s->address);
	if (s->port < 1 || s->port > 65535)
		return vk_err_set(err, VK_INVALID, "http.port: %u is out of range", s->port);
	if (s->https_port > 65535 || s->https_port == s->port)
		return vk_err_set(err, VK_INVALID, "https.port: %u is out of range, or http.port",
			s->https_port);
	int rc = check_path("paths.state", s->route_dir, 900, err);
	if (rc == 0)
		rc = check_path("paths.run", s->run_dir, SOCKET_MAX - strlen("/master.sock"), err);
	if (rc == 0)
		rc = check_path("paths.run", s->sites, SOCKET_MAX, err);
	return rc;
}

unsigned render_maxconn(unsigned long nofile_hard)
{
	unsigned long n = nofile_hard / 20 * 9;
	if (n > 40000)
		return 40000;
	return n < 100 ? 100 : (unsigned)n;
}

static void render_global(const struct render_settings *s, struct vk_buf *out)
{
	vk_buf_addf(out,
		"# Written by viking-router; changes are overwritten.\n"
		"global\n"
		"\tmaster-worker\n"
		"\tmworker-max-reloads 8\n"
		"\thard-stop-after 30m\n"
		"\tmaxconn %u\n"
		"\tlog stderr local0 notice\n"
		"\tstats socket %s/admin.sock mode 600 level admin expose-fd listeners\n"
		"\tstats timeout 10s\n"
		"\tstats maxconn 64\n"
		"\tssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets\n"
		"\tssl-default-bind-ciphers " TLS12_CIPHERS "\n"
		"\tssl-default-bind-ciphersuites " TLS13_SUITES "\n"
		"\tssl-default-bind-curves X25519:P-256:P-384\n"
		"\tlua-load %s/hold.lua\n"
		"\ttune.bufsize 16384\n"
		"\ttune.http.maxhdr 128\n\n",
		s->maxconn, s->run_dir, s->route_dir);
}

#define LIMITS \
	"\thttp-request set-timeout server var(txn.response) if { var(txn.flags) -m sub t }\n" \
	"\thttp-request set-timeout tunnel var(txn.tunnel) if { var(txn.flags) -m sub w }\n"

/* No rule may ask nbsrv: it is 0 for a moment while another thread counts the servers anew, and in
 * a worker that ends behind a reload. Who has no server gets errorfile 503. Requests that may be
 * sent twice are tried again on another server, also when the first one closed without a word; for
 * all other methods only a connection that never came about is tried again. For that the whole buffer
 * of each request is copied, a tenth of what a request costs: a backend so busy that its connections
 * have no time to idle out goes without. */
static void render_defaults(const struct render_settings *s, struct vk_buf *out)
{
	static const int statuses[] = {400, 403, 408, 413, 500, 502, 503, 504};
	vk_buf_adds(out,
		"defaults tcp\n"
		"\tmode tcp\n"
		"\tbalance leastconn\n"
		"\tretries 3\n"
		"\toption redispatch 1\n"
		"\toption clitcpka\n"
		"\toption srvtcpka\n"
		"\ttimeout connect 1s\n"
		"\ttimeout queue 5s\n"
		"\ttimeout client 24h\n"
		"\ttimeout server 24h\n"
		"\ttimeout client-fin 30s\n"
		"\ttimeout server-fin 30s\n\n"
		"defaults base\n"
		"\tmode http\n"
		"\tbalance leastconn\n"
		"\thttp-reuse safe\n"
		"\tretries 3\n"
		"\toption redispatch 1\n"
		"\tretry-on conn-failure empty-response\n"
		"\toption http-ignore-probes\n"
		"\ttimeout connect 1s\n"
		"\ttimeout queue 5s\n"
		"\ttimeout client 60s\n"
		"\ttimeout server 60s\n"
		"\ttimeout http-request 10s\n"
		"\ttimeout http-keep-alive 30s\n"
		"\ttimeout tunnel 1h\n");
	for (size_t i = 0; i < VK_COUNT(statuses); i++)
		vk_buf_addf(
			out, "\terrorfile %d %s/%d.http\n", statuses[i], s->route_dir, statuses[i]);
	/* one with rules cannot be the base of another */
	vk_buf_adds(out,
		"\ndefaults files from base\n" LIMITS "\ndefaults apps from base\n"
		"\thttp-request disable-l7-retry if { be_sess_rate ge 1000 } or !METH_GET "
		"!METH_OPTIONS\n"
		"\thttp-request allow unless { var(txn.flags) -m found }\n" LIMITS "\n");
}

void render_head(const struct render_settings *s, struct vk_buf *out)
{
	render_global(s, out);
	render_defaults(s, out);
	render_frontend(s, out);
	vk_buf_addf(out,
		"backend sites from files\n"
		"\thttp-request set-header X-Viking-Site %%[" FRONTEND_HOST "]\n"
		"\thttp-request deny deny_status 400 if { path -m sub -i %%00 }\n"
		"\tserver web unix@%s\n\n",
		s->sites);
}

void render_bind(const struct render_settings *s, unsigned port, struct vk_buf *out)
{
	bool v6 = strchr(s->address, ':') != NULL;
	vk_buf_addf(out, "\tbind %s%s%s:%u", v6 ? "[" : "", s->address, v6 ? "]" : "", port);
}

static void render_slot(const struct slot *s, unsigned number, bool h2, struct vk_buf *out)
{
	bool v6 = strchr(s->addr, ':') != NULL;
	vk_buf_addf(out, "\tserver s%u %s%s%s:%u%s%s\n", number, v6 ? "[" : "", s->addr,
		v6 ? "]" : "", s->port, h2 ? " proto h2" : "",
		s->state == SLOT_READY ? "" : " disabled");
}

/* A TCP service is its listener and its servers in one. */
void render_backends(const struct render_settings *s, const struct model *m, struct vk_buf *out)
{
	for (unsigned i = 0; i < m->n; i++) {
		const struct backend *b = &m->backends[i];
		char name[BACKEND_NAME_SIZE];
		backend_name(i + 1, name);
		if (b->label != NULL)
			vk_buf_addf(out, "# %s\n", b->label);
		if (b->front != 0) {
			vk_buf_addf(out, "listen %s from tcp\n", name);
			render_bind(s, b->front, out);
			vk_buf_addc(out, '\n');
		} else {
			vk_buf_addf(out, "backend %s from apps\n", name);
		}
		for (const char *p = b->pages; p != NULL; p = strchr(p, ' ')) {
			p += *p == ' ';
			vk_buf_addf(out, "\terrorfile %.3s %s/pages/%.24s.http\n", p, s->route_dir,
				p + 4);
		}
		for (unsigned k = 0; k < b->n; k++)
			render_slot(&b->slots[k], k + 1, b->h2, out);
		if (b->front == 0)
			vk_buf_adds(
				out, "\tuse-server %[var(txn.to)] if { var(txn.to) -m found }\n");
	}
}

void render_cert(const char *path, const char *names, struct vk_buf *out)
{
	vk_buf_adds(out, path);
	vk_buf_addc(out, ' ');
	for (const char *p = names; *p != '\0'; p++)
		vk_buf_addc(out, *p == ',' ? ' ' : *p);
	vk_buf_addc(out, '\n');
}

void render_map(const struct routes *r, struct vk_buf *out)
{
	for (size_t i = 0; i < r->n; i++) {
		vk_buf_adds(out, r->v[i].key);
		vk_buf_addc(out, ' ');
		vk_buf_adds(out, r->v[i].value);
		vk_buf_addc(out, '\n');
	}
}

const char *render_owner(const struct model *m, const char *text, unsigned line)
{
	unsigned number = 0;
	for (unsigned at = 1; at <= line && *text != '\0'; at++) {
		size_t n = strcspn(text, "\n");
		if (vk_starts(text, "backend ") || vk_starts(text, "listen ")) {
			const char *name = text + strcspn(text, " ") + 1;
			if (!backend_number(name, strcspn(name, " \n"), &number))
				number = 0;
		}
		text += n + (text[n] != '\0');
	}
	return number >= 1 && number <= m->n ? m->backends[number - 1].label : NULL;
}

unsigned render_fault_line(const char *messages, const char *file)
{
	size_t n = strlen(file);
	for (const char *at = messages; (at = strstr(at, file)) != NULL; at += n) {
		char digits[12];
		uint64_t line;
		size_t k = at[n] == ':' ? strspn(at + n + 1, "0123456789") : 0;
		if (k == 0 || k >= sizeof(digits))
			continue;
		memcpy(digits, at + n + 1, k);
		digits[k] = '\0';
		if (vk_parse_u64(digits, 1, UINT32_MAX, &line) == 0)
			return (unsigned)line;
	}
	return 0;
}
