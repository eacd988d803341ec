#include "frontend.h"

#include <string.h>

#include "policy.h"
#include "table.h"

/* A digest's nonce is the time it was made and a MAC of it; after this many seconds the client is
 * asked to begin anew, which it does without asking its user. */
#define NONCE_AGE "300"

/* What a client says about forwarding is not believed: we are the edge. For CGI, WSGI and Rack X_Forwarded_User is the
 * same as X-Forwarded-User (RFC 3875 4.1.18), so it may not pass either. */
#define OURS "^(x[-_](forwarded[-_]|real[-_]ip$|viking[-_])|forwarded$|proxy$)"
/* One of these is in each such name: nearly all requests have none, and each name is not held against the expression. */
#define OURS_SAY "forwarded real viking proxy"

static void render_request(const struct render_settings *s, struct vk_buf *out)
{
	render_bind(s, s->port, out);
	vk_buf_addc(out, '\n');
	if (s->https_port != 0) {
		/* no certificate, no connection: none is shown for another's name */
		render_bind(s, s->https_port, out);
		vk_buf_addf(out, " ssl crt-list %s/certs.list strict-sni alpn h2,http/1.1\n",
			s->route_dir);
	}
	/* what is watched, and nothing else (tally.h) */
	vk_buf_addf(out,
		"\tlog %s/tally.sock len 256 format raw local0 info\n"
		"\tlog-format \"%%[var(txn.watch)] %%b %%s %%ST %%Tw %%Tc %%Tr\"\n"
		"\thttp-request set-log-level silent\n",
		s->run_dir);
	vk_buf_adds(out,
		"\toption idle-close-on-response\n" /* or a reload cuts requests */
		"\thttp-request deny deny_status 400 if { req.fhdr(host) -m found } !{ "
		"req.fhdr(host) -m reg ^[][A-Za-z0-9.:_-]*$ }\n"
		"\thttp-request del-header " OURS " -m reg if { req.hdr_names -m sub " OURS_SAY
		" }\n"
		"\thttp-request deny deny_status 413 if { req.body_size gt 4294967296 }\n"
		"\thttp-request set-header X-Forwarded-For %[src,ipmask(32,128)]\n"
		"\thttp-request set-header X-Forwarded-Host %[req.fhdr(host)]\n"
		"\thttp-request set-header X-Forwarded-Port %[dst_port]\n"
		"\thttp-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]\n"
		"\thttp-request set-header X-Request-Id %[uuid()]\n");
}

static void not_found(
	const struct render_settings *s, const char *var, const char *page, struct vk_buf *out)
{
	vk_buf_addf(out,
		"\thttp-request return status 404 errorfile %s/%s.http unless { var(%s) -m found } "
		"or !{ req.hdr(accept) -m sub text/html }\n"
		"\thttp-request return status 404 errorfile %s/%s-text.http unless { var(%s) -m "
		"found }\n",
		s->route_dir, page, var, s->route_dir, page, var);
}

/* RFC 8555 8.3: while a certificate is ordered for a domain, what its authority asks for is answered here, before any
 * redirect or password; an application is not asked. The domain's line in hosts.map is no plain one so long. */
static void render_challenge(const struct render_settings *s, struct vk_buf *out)
{
	vk_buf_addf(out,
		"\tacl challenge path_beg " ACME_PATH "\n"
		"\thttp-request set-var-fmt(txn.acme) %%[var(txn.host)]%%[path] if challenge\n"
		"\thttp-request return status 200 content-type text/plain lf-string "
		"%%[var(txn.acme),map_str(%s/acme.map)] if challenge { "
		"var(txn.acme),map_str(%s/acme.map) -m found }\n"
		"\thttp-request return status 404 content-type text/plain string \"404: no such "
		"challenge\" if challenge { var(txn.host),map_str(%s/acme.map) -m found }\n",
		s->route_dir, s->route_dir, s->route_dir);
}

/* Nearly all requests name their host as it stands in the map, and lead to a backend's name alone, without policy or paths: for them the rules
 * end with the first `allow`. */
static void render_route(const struct render_settings *s, struct vk_buf *out)
{
	static const char plain[] = "\thttp-request allow if { var(txn.backend) -m len 5:8 }\n";
	vk_buf_addf(out,
		"\thttp-request set-var(txn.backend) req.fhdr(host),map_str(%s/hosts.map)\n"
		"%s"
		"\thttp-request set-var(txn.host) " FRONTEND_HOST "\n",
		s->route_dir, plain);
	render_challenge(s, out);
	vk_buf_addf(out,
		"\thttp-request set-var(txn.backend) var(txn.host),map_str(%s/hosts.map) unless { "
		"var(txn.backend) -m found }\n"
		"\thttp-request set-var(txn.backend) var(txn.host),map_end(%s/suffix.map) unless { "
		"var(txn.backend) -m found }\n"
		"%s"
		"\thttp-request set-var(txn.route) var(txn.backend)\n",
		s->route_dir, s->route_dir, plain);
	not_found(s, "txn.route", "404", out);
	vk_buf_adds(out, "\thttp-request set-var(txn.backend) var(txn.route),field(1,|)\n");
}

/* The path that is looked up is decoded, so that another spelling of it does not go round a rule; its
 * last slash makes /api find /api/ and not /apix. */
static void render_paths(const struct render_settings *s, struct vk_buf *out)
{
	vk_buf_addf(out,
		"\thttp-request set-var(txn.group) var(txn.route),field(3,|)\n"
		"\tacl paths var(txn.group) -m len 24\n"
		"\thttp-request set-var(txn.path) path,url_dec,regsub(/+,/,g) if paths\n"
		"\thttp-request deny deny_status 400 if paths { var(txn.path) -m reg "
		"(/[.][.]?(/|$)|\\\\\\\\) }\n"
		"\thttp-request set-var-fmt(txn.path) %%[var(txn.group)]%%[var(txn.path)]/ if "
		"paths\n"
		"\thttp-request set-var(txn.below) var(txn.path),map_beg(%s/paths.map) if "
		"paths\n"
		"\thttp-request set-var(txn.route) var(txn.below) if { var(txn.below) -m found "
		"}\n"
		"\thttp-request set-var(txn.backend) var(txn.route),field(1,|) if paths\n"
		"\thttp-request unset-var(txn.backend) if { var(txn.backend) -m str 0 }\n",
		s->route_dir);
	not_found(s, "txn.backend", "404-path", out);
}

/* A route that names a policy which is not there is closed. */
static void render_policy(const struct render_settings *s, struct vk_buf *out)
{
	vk_buf_addf(out,
		"\thttp-request set-var(txn.policy) var(txn.route),field(2,|)\n"
		"\thttp-request set-var(txn.rules) var(txn.policy),map_str(%s/policies.map)\n"
		"\thttp-request set-var(txn.flags) var(txn.rules),field(1,|)\n"
		"\thttp-request deny deny_status 503 unless { var(txn.policy) -m str 0 } or { "
		"var(txn.flags) -m found }\n",
		s->route_dir);
	if (s->https_port != 0 && s->https_port != 443)
		vk_buf_addf(out,
			"\thttp-request redirect location https://%%[var(txn.host)]:%u%%[pathq] "
			"code "
			"308 if { var(txn.flags) -m sub r } !{ ssl_fc }\n",
			s->https_port);
	else if (s->https_port != 0)
		vk_buf_adds(out,
			"\thttp-request redirect location https://%[var(txn.host)]%[pathq] code "
			"308 if "
			"{ var(txn.flags) -m sub r } !{ ssl_fc }\n");
	/* ipmask makes ::ffff:10.0.0.1 of a listener at :: an IPv4 address */
	vk_buf_addf(out,
		"\thttp-request deny deny_status 403 if { var(txn.flags) -m sub a } !{ "
		"src,ipmask(32,128),concat(@,txn.policy),map_str(%s/access.map) -m found } !{ "
		"src,ipmask(24,64),concat(@,txn.policy),map_str(%s/access.map) -m found } !{ "
		"src,ipmask(16,56),concat(@,txn.policy),map_str(%s/access.map) -m found } !{ "
		"src,ipmask(8,48),concat(@,txn.policy),map_str(%s/access.map) -m found } !{ "
		"src,ipmask(8,40),concat(@,txn.policy),map_str(%s/access.map) -m found } !{ "
		"src,ipmask(8,32),concat(@,txn.policy),map_str(%s/access.map) -m found }\n",
		s->route_dir, s->route_dir, s->route_dir, s->route_dir, s->route_dir, s->route_dir);
}

/* HA1 of what the client said is compared with the one that is kept. */
static void render_basic(const struct render_settings *s, struct vk_buf *out)
{
	vk_buf_addf(out,
		"\tacl basic var(txn.flags) -m sub u\n"
		"\thttp-request set-var(txn.said) req.fhdr(authorization),field(2,\" "
		"\"),b64dec if basic { req.fhdr(authorization) -m beg -i \"basic \" }\n"
		"\thttp-request set-var(txn.user) var(txn.said),field(1,:) if basic\n"
		"\thttp-request set-var(txn.kept) "
		"var(txn.policy),concat(:,txn.user),map_str(%s/access.map),field(2,|) if "
		"basic\n"
		"\thttp-request set-var(txn.said) "
		"'var(txn.said),regsub(\"^([^:]*):\",\"\\1:" POLICY_REALM
		":\"),digest(sha256),hex,lower' if basic\n"
		"\thttp-request return status 401 content-type text/plain hdr WWW-Authenticate "
		"\"Basic realm=\\\"" POLICY_REALM
		"\\\", charset=\\\"UTF-8\\\"\" string \"401: name and password are needed\" if "
		"basic !{ var(txn.said),secure_memcmp(txn.kept) }\n"
		"\thttp-request set-header X-Forwarded-User %%[var(txn.user)] if basic\n"
		"\thttp-request del-header Authorization if basic\n",
		s->route_dir);
}

static void digest_field(const char *name, const char *pattern, struct vk_buf *out)
{
	vk_buf_addf(out,
		"\thttp-request set-var(txn.d_%s) 'var(txn.said),regsub(\"^.*[ "
		",]%s=%s.*$\",\"\\1\")' if digest\n",
		name, name, pattern);
}

/* RFC 7616 with qop=auth, SHA-256 or MD5, and the address asked for compared with the one signed. */
static void render_digest(const struct render_settings *s, struct vk_buf *out)
{
	static const char *const quoted[] = {"username", "uri", "nonce", "cnonce", "response"};
	vk_buf_adds(out,
		"\tacl digest var(txn.flags) -m sub d\n"
		"\thttp-request set-var(txn.said) req.fhdr(authorization) if digest { "
		"req.fhdr(authorization) -m beg -i \"digest \" }\n");
	for (size_t i = 0; i < VK_COUNT(quoted); i++)
		digest_field(quoted[i], "\\x22([^\\x22]*)\\x22", out);
	digest_field("nc", "([0-9a-f]+)", out);
	digest_field("qop", "\\x22?([a-z]+)\\x22?", out);
	vk_buf_addf(out,
		"\tacl sha256 var(txn.said) -m sub -i algorithm=sha-256\n"
		"\tacl sha256 var(txn.said) -m sub -i \"algorithm=\\\"sha-256\"\n"
		"\thttp-request set-var(txn.pathq) pathq if digest\n"
		"\thttp-request set-var(txn.stamp) var(txn.d_nonce),field(1,.) if digest\n"
		"\thttp-request set-var(txn.mac) var(txn.d_nonce),field(2,.) if digest\n"
		"\thttp-request set-var(txn.made) var(txn.stamp),hmac(sha256,%s),hex,lower if "
		"digest\n"
		"\thttp-request set-var(txn.kept) "
		"var(txn.policy),concat(:,txn.d_username),map_str(%s/access.map) if digest\n"
		"\thttp-request set-var(txn.a1) var(txn.kept),field(2,|) if digest sha256\n"
		"\thttp-request set-var(txn.a1) var(txn.kept),field(1,|) if digest !sha256\n"
		"\thttp-request set-var-fmt(txn.a2) %%[method]:%%[var(txn.d_uri)] if digest\n"
		"\thttp-request set-var(txn.a2) var(txn.a2),digest(sha256),hex,lower if digest "
		"sha256\n"
		"\thttp-request set-var(txn.a2) var(txn.a2),digest(md5),hex,lower if digest "
		"!sha256\n"
		"\thttp-request set-var-fmt(txn.due) "
		"%%[var(txn.a1)]:%%[var(txn.d_nonce)]:%%[var(txn.d_nc)]:%%[var(txn.d_cnonce)]:auth:"
		"%%[var(txn.a2)] "
		"if digest\n"
		"\thttp-request set-var(txn.due) var(txn.due),digest(sha256),hex,lower if "
		"digest sha256\n"
		"\thttp-request set-var(txn.due) var(txn.due),digest(md5),hex,lower if digest "
		"!sha256\n"
		"\thttp-request set-var-fmt(txn.now) %%[date()] if digest\n"
		"\thttp-request set-var(txn.now_mac) var(txn.now),hmac(sha256,%s),hex,lower if "
		"digest\n",
		s->nonce_key, s->route_dir, s->nonce_key);
	vk_buf_adds(out,
		"\tacl fresh date(),sub(txn.stamp) -m int le " NONCE_AGE "\n"
		"\thttp-request set-var(txn.stale) 'str(\", stale=true\")' if digest { "
		"var(txn.mac),secure_memcmp(txn.made) } !fresh\n"
		"\thttp-request set-var(txn.pass) bool(true) if digest fresh { "
		"var(txn.mac),secure_memcmp(txn.made) } { "
		"var(txn.d_response),secure_memcmp(txn.due) } { "
		"var(txn.d_uri),strcmp(txn.pathq) eq 0 } { var(txn.d_qop) -m str auth } { "
		"var(txn.a1) -m found }\n");
	vk_buf_adds(out,
		"\thttp-request return status 401 content-type text/plain hdr WWW-Authenticate "
		"\"Digest realm=\\\"" POLICY_REALM "\\\", qop=\\\"auth\\\", algorithm=SHA-256, "
		"nonce=\\\"%[var(txn.now)].%[var(txn.now_mac)]\\\"%[var(txn.stale)]\" hdr "
		"WWW-Authenticate \"Digest realm=\\\"" POLICY_REALM
		"\\\", qop=\\\"auth\\\", algorithm=MD5, "
		"nonce=\\\"%[var(txn.now)].%[var(txn.now_mac)]\\\"%[var(txn.stale)]\" string "
		"\"401: name and password are needed\" if digest !{ var(txn.pass) -m found }\n"
		"\thttp-request set-header X-Forwarded-User %[var(txn.d_username)] if digest\n"
		"\thttp-request del-header Authorization if digest\n");
}

/* A body without a length cannot be held against a limit, so one has to be told. */
static void render_limits(struct vk_buf *out)
{
	vk_buf_adds(out,
		"\tacl limited var(txn.flags) -m sub b\n"
		"\thttp-request set-var(txn.max) var(txn.rules),field(3,|),add(0) if limited\n"
		"\thttp-request deny deny_status 413 if limited { req.body_size,sub(txn.max) "
		"gt 0 }\n"
		"\thttp-request return status 411 content-type text/plain string \"411: tell "
		"the length of the body\" if limited !{ req.hdr(content-length) -m found } "
		"!METH_GET !METH_HEAD !METH_OPTIONS !METH_DELETE\n"
		"\thttp-request return status 411 content-type text/plain string \"411: tell "
		"the length of the body\" if limited { req.hdr(transfer-encoding) -m found }\n"
		"\thttp-request set-var(txn.response) var(txn.rules),field(4,|),add(0) if { "
		"var(txn.flags) -m sub t }\n"
		"\thttp-request set-var(txn.tunnel) var(txn.rules),field(5,|),add(0) if { "
		"var(txn.flags) -m sub w }\n");
	vk_buf_adds(out,
		"\tacl closed var(txn.flags) -m sub m\n"
		"\thttp-request return status 503 hdr Retry-After 60 hdr Cache-Control "
		"no-store content-type \"text/html; charset=utf-8\" lf-string \"<!doctype "
		"html><meta charset=utf-8><title>Maintenance</title><body style='margin:20vh "
		"auto;max-width:30em;font:1em/1.5 "
		"system-ui'><h1>Maintenance</h1><p>%[var(txn.rules),field(9,|),b64dec]\" if "
		"closed { req.hdr(accept) -m sub text/html }\n"
		"\thttp-request return status 503 hdr Retry-After 60 hdr Cache-Control "
		"no-store content-type \"text/plain; charset=utf-8\" lf-string \"503: "
		"%[var(txn.rules),field(6,|),b64dec]\\n\" if closed\n");
	for (unsigned depth = 1; depth <= POLICY_DEPTH_MAX; depth++)
		vk_buf_addf(out,
			"\thttp-request set-header X-Forwarded-Prefix "
			"/%%[path,regsub(/+,/,g),field(2,/,%u)] if { var(txn.flags) -m sub %u }\n"
			"\thttp-request set-path /%%[path,regsub(/+,/,g),field(%u,/,0)] if { "
			"var(txn.flags) -m sub %u }\n",
			depth, depth, depth + 2, depth);
	vk_buf_adds(out,
		"\thttp-after-response set-header Strict-Transport-Security "
		"max-age=%[var(txn.rules),field(2,|)] if { ssl_fc } "
		"{ var(txn.flags) -m sub h }\n");
}

/* The cookie names an instance by a token of which the map knows the server, as long as it serves. Who
 * has none may draw a canary's lot; if that server does not take the connection, another does. */
static void render_sticky(const struct render_settings *s, struct vk_buf *out)
{
	vk_buf_addf(out,
		"\tacl sticky var(txn.flags) -m sub s\n"
		"\thttp-request set-var(txn.token) req.cook(viking_sticky) if sticky\n"
		"\thttp-request set-var-fmt(txn.place) %%[var(txn.backend)]/%%[var(txn.token)] if "
		"sticky\n"
		"\thttp-request set-var(txn.to) var(txn.place),map_str(%s/sticky.map) if sticky\n"
		"\tacl lots var(txn.flags) -m sub c\n"
		"\thttp-request set-var-fmt(txn.place) %%[var(txn.backend)]@%%[rand(100)] if "
		"lots !{ var(txn.to) -m found }\n"
		"\thttp-request set-var(txn.to) var(txn.place),map_str(%s/sticky.map) if lots !{ "
		"var(txn.to) -m found }\n"
		"\thttp-response allow unless { var(txn.flags) -m found }\n"
		"\thttp-response set-var-fmt(txn.place) %%[var(txn.backend)]:%%[srv_name] if "
		"sticky\n"
		"\thttp-response set-var(txn.now_token) var(txn.place),map_str(%s/sticky.map) if "
		"sticky\n"
		"\thttp-response add-header Set-Cookie "
		"\"viking_sticky=%%[var(txn.now_token)]; Path=/; HttpOnly; SameSite=Lax\" if "
		"sticky "
		"{ var(txn.now_token) -m found } !{ var(txn.now_token),strcmp(txn.token) eq 0 }\n",
		s->route_dir, s->route_dir, s->route_dir);
}

void render_frontend(const struct render_settings *s, struct vk_buf *out)
{
	vk_buf_adds(out, "frontend http from base\n");
	render_request(s, out);
	render_route(s, out);
	render_paths(s, out);
	render_policy(s, out);
	render_basic(s, out);
	render_digest(s, out);
	render_limits(out);
	render_sticky(s, out);
	vk_buf_adds(out,
		"\thttp-request set-var(txn.watch) var(txn.rules),field(8,|) if { var(txn.flags) "
		"-m sub l }\n"
		"\thttp-request set-log-level info if { var(txn.watch) -m found }\n"
		"\thttp-request set-var(txn.hold) var(txn.rules),field(7,|),add(0) "
		"if { var(txn.flags) -m sub q }\n"
		"\thttp-request lua.hold if { var(txn.hold) -m found }\n"
		"\tuse_backend %[var(txn.backend)]\n\n");
}
