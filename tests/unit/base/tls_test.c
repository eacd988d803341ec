/* TLS between hosts: certificates of our own CA, and connections of two sides on one loop. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/httpd.h>
#include <viking/mem.h>
#include <viking/str.h>
#include <viking/tls.h>

#define DAY      INT64_C(86400000)
#define PATIENCE 20000 /* ms, a guard against hanging */

/* ---- a CA and the hosts it knows ---- */

struct ca {
	char *cert, *key;
};
struct host {
	char *cert, *key;
};

static int64_t now_ms(void)
{
	return (int64_t)time(NULL) * 1000;
}

static struct ca ca_make(void)
{
	struct ca ca = {0};
	struct vk_err err = {0};
	cr_assert_eq(vk_tls_ca_new("viking", now_ms(), &ca.cert, &ca.key, &err), 0, "%s", err.msg);
	return ca;
}

static struct host host_make_at(const struct ca *ca, const char *name, int64_t at, int64_t life)
{
	struct host h = {0};
	struct vk_err err = {0};
	vk_autofree char *request = NULL;
	const char *const addresses[] = {"127.0.0.1", "::1", NULL};
	struct vk_tls_signing s = {.ca_cert = ca->cert,
		.ca_key = ca->key,
		.host = name,
		.addresses = addresses,
		.now_ms = at,
		.valid_ms = life};
	cr_assert_eq(vk_tls_key_new(&h.key, &err), 0);
	cr_assert_eq(vk_tls_request(h.key, &request, &err), 0, "%s", err.msg);
	cr_assert_eq(vk_tls_sign(&s, request, &h.cert, &err), 0, "%s", err.msg);
	return h;
}

static struct host host_make(const struct ca *ca, const char *name)
{
	return host_make_at(ca, name, now_ms(), 0);
}

static void ca_drop(struct ca *ca)
{
	free(ca->cert);
	free(ca->key);
}

static void host_drop(struct host *h)
{
	free(h->cert);
	free(h->key);
}

/* ---- two sides ---- */

struct side {
	struct vk_loop *loop;
	struct vk_tls *tls;
	struct vk_tls_join *join;
	struct vk_tls_opts o;
	struct vk_tls_peer peer;
	int plain;       /* the test's end of what is joined */
	int refuse;      /* up answers with this code */
	bool free_in_up; /* up frees the join */
	bool up, ended;
	struct vk_err err;
};

static int on_up(
	void *arg, struct vk_tls_join *j, const struct vk_tls_peer *peer, struct vk_err *err)
{
	struct side *s = arg;
	int pair[2];
	s->up = true;
	s->peer = *peer;
	if (s->refuse != 0)
		return vk_err_set(err, s->refuse, "refused by the test");
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	s->plain = pair[0];
	if (s->free_in_up) {
		vk_tls_join_free(j);
		s->join = NULL;
		s->ended = true;
	}
	return pair[1];
}

static void on_end(void *arg, struct vk_tls_join *j, const struct vk_err *err)
{
	struct side *s = arg;
	cr_assert_not(s->ended);
	cr_assert_eq(s->join, j);
	s->join = NULL;
	s->ended = true;
	s->err = *err;
}

struct two {
	struct vk_loop *loop;
	struct ca ca;
	struct host a, b;
	struct side client, server;
};

static void side_init(struct two *t, struct side *s, const struct ca *ca, const struct host *h)
{
	struct vk_err err = {0};
	*s = (struct side){.loop = t->loop, .plain = -1};
	s->o = (struct vk_tls_opts){.loop = t->loop, .up = on_up, .end = on_end, .arg = s};
	cr_assert_eq(vk_tls_new(ca->cert, h->cert, h->key, &s->tls, &err), 0, "%s", err.msg);
}

static void two_init(struct two *t)
{
	*t = (struct two){.ca = ca_make()};
	cr_assert_eq(vk_loop_new(&t->loop, NULL), 0);
	t->a = host_make(&t->ca, "h1");
	t->b = host_make(&t->ca, "h2");
	side_init(t, &t->client, &t->ca, &t->a);
	side_init(t, &t->server, &t->ca, &t->b);
}

static void two_release(struct two *t)
{
	struct side *sides[] = {&t->client, &t->server};
	for (size_t i = 0; i < 2; i++) {
		vk_tls_join_free(sides[i]->join);
		vk_closep(&sides[i]->plain);
		vk_tls_free(sides[i]->tls);
	}
	vk_loop_free(t->loop);
	host_drop(&t->a);
	host_drop(&t->b);
	ca_drop(&t->ca);
}

/* Another certificate for a side. */
static void side_use(struct side *s, const struct ca *ca, struct host h)
{
	struct vk_err err = {0};
	vk_tls_free(s->tls);
	cr_assert_eq(vk_tls_new(ca->cert, h.cert, h.key, &s->tls, &err), 0, "%s", err.msg);
	host_drop(&h);
}

static void turn_until(struct vk_loop *l, const bool *flag, const char *what)
{
	int64_t until = vk_mono_ms() + PATIENCE;
	while (!*flag && vk_mono_ms() < until)
		vk_loop_once(l, 50);
	cr_assert(*flag, "%s never came", what);
}

static void connect_as(struct two *t, const char *host, const char *protocol)
{
	int pair[2];
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	t->server.join = vk_tls_accept(t->server.tls, &t->server.o, pair[0]);
	t->client.join = vk_tls_connect(t->client.tls, &t->client.o, pair[1], host, protocol);
}

static void join_both(struct two *t)
{
	connect_as(t, "h2", "viking-api");
	turn_until(t->loop, &t->client.up, "the client's handshake");
	turn_until(t->loop, &t->server.up, "the server's handshake");
}

/* The connection must fail on both sides; the one who judges says why. */
static void must_fail(struct two *t, struct side *judge, int code, const char *text)
{
	connect_as(t, "h2", "viking-api");
	turn_until(t->loop, &t->client.ended, "the client's end");
	turn_until(t->loop, &t->server.ended, "the server's end");
	cr_assert_eq(judge->err.code, code, "%s", judge->err.msg);
	cr_assert_not_null(strstr(judge->err.msg, text), "%s", judge->err.msg);
	cr_assert_neq(t->client.err.code, 0);
	cr_assert_neq(t->server.err.code, 0);
	cr_assert_not(t->server.up && t->server.err.code == 0);
}

/* ---- certificates ---- */

Test(tls, a_certificate_has_the_name_and_addresses_of_who_signs_and_the_key_of_who_asks)
{
	struct ca ca = ca_make();
	struct host h = host_make_at(&ca, "web-1", now_ms(), 90 * DAY);
	struct vk_tls_info i, again;
	vk_autofree char *renewed = NULL, *request = NULL;
	cr_assert_eq(vk_tls_info(h.cert, &i, NULL), 0);
	cr_assert_str_eq(i.host, "web-1");
	cr_assert_eq(strlen(i.key), 64);
	cr_assert_leq(i.from_ms, now_ms() - 2 * DAY, "a host whose clock is behind takes it");
	cr_assert_not(vk_tls_due(&i, now_ms() + 59 * DAY));
	cr_assert(vk_tls_due(&i, now_ms() + 61 * DAY));
	/* renewal: the same key, another life */
	struct vk_tls_signing s = {.ca_cert = ca.cert,
		.ca_key = ca.key,
		.host = "web-1",
		.now_ms = now_ms() + 61 * DAY};
	cr_assert_eq(vk_tls_request(h.key, &request, NULL), 0);
	cr_assert_eq(vk_tls_sign(&s, request, &renewed, NULL), 0);
	cr_assert_eq(vk_tls_info(renewed, &again, NULL), 0);
	cr_assert_str_eq(again.key, i.key);
	cr_assert_not(vk_tls_due(&again, now_ms() + 62 * DAY));
	host_drop(&h);
	ca_drop(&ca);
}

/* What OpenSSL's own verifier says of it, as etcd and HAProxy will. */
Test(tls, a_certificate_holds_for_both_directions_and_its_addresses_only)
{
	struct ca ca = ca_make();
	struct host h = host_make(&ca, "h1");
	BIO *in = BIO_new_mem_buf(h.cert, -1), *ca_in = BIO_new_mem_buf(ca.cert, -1);
	X509 *x = PEM_read_bio_X509(in, NULL, NULL, NULL);
	X509 *root = PEM_read_bio_X509(ca_in, NULL, NULL, NULL);
	cr_assert_eq(X509_check_ip_asc(x, "127.0.0.1", 0), 1);
	cr_assert_eq(X509_check_ip_asc(x, "::1", 0), 1);
	cr_assert_neq(X509_check_ip_asc(x, "127.0.0.2", 0), 1);
	cr_assert_neq(X509_check_host(x, "h2", 0, 0, NULL), 1);
	cr_assert_eq(X509_check_purpose(x, X509_PURPOSE_SSL_CLIENT, 0), 1);
	cr_assert_eq(X509_check_purpose(x, X509_PURPOSE_SSL_SERVER, 0), 1);
	cr_assert_eq(X509_check_ca(x), 0);
	cr_assert_eq(X509_check_ca(root), 1);
	cr_assert_eq(X509_check_issued(root, x), X509_V_OK);
	X509_free(x);
	X509_free(root);
	BIO_free(in);
	BIO_free(ca_in);
	host_drop(&h);
	ca_drop(&ca);
}

static char *request_with(EVP_PKEY *key, EVP_PKEY *signer)
{
	X509_REQ *q = X509_REQ_new();
	BIO *out = BIO_new(BIO_s_mem());
	char *text;
	X509_REQ_set_pubkey(q, key);
	X509_REQ_sign(q, signer, EVP_sha256());
	PEM_write_bio_X509_REQ(out, q);
	long n = BIO_get_mem_data(out, &text);
	char *copy = vk_strndup(text, (size_t)n);
	BIO_free(out);
	X509_REQ_free(q);
	return copy;
}

Test(tls, what_is_signed_is_refused_with_the_reason)
{
	struct ca ca = ca_make(), other = ca_make();
	EVP_PKEY *key = EVP_EC_gen("P-256"), *weak = EVP_RSA_gen(1024),
		 *curve = EVP_EC_gen("P-384");
	vk_autofree char *good = request_with(key, key), *forged = request_with(key, curve),
			 *rsa = request_with(weak, weak), *p384 = request_with(curve, curve);
	const char *const many[] = {"1.1.1.1", "not an address", NULL};
	struct {
		const char *request, *host, *ca_key, *text;
		const char *const *addresses;
	} rows[] = {
		{"nonsense", "h1", ca.key, "not a request", NULL},
		{forged, "h1", ca.key, "not signed by its own key", NULL},
		{rsa, "h1", ca.key, "not EC P-256", NULL},
		{p384, "h1", ca.key, "not EC P-256", NULL},
		{good, "h1,DNS:h2", ca.key, "not a host's name", NULL},
		{good, "*", ca.key, "not a host's name", NULL},
		{good, "", ca.key, "not a host's name", NULL},
		{good, "h1", ca.key, "not an IP address", many},
		{good, "h1", other.key, "not a pair", NULL},
		{good, "h1", "", "CA's key cannot be read", NULL},
	};
	for (size_t i = 0; i < VK_COUNT(rows); i++) {
		struct vk_err err = {0};
		char *cert = NULL;
		struct vk_tls_signing s = {.ca_cert = ca.cert,
			.ca_key = rows[i].ca_key,
			.host = rows[i].host,
			.addresses = rows[i].addresses,
			.now_ms = now_ms()};
		cr_assert_eq(vk_tls_sign(&s, rows[i].request, &cert, &err), VK_INVALID, "%zu", i);
		cr_assert_not_null(strstr(err.msg, rows[i].text), "%s", err.msg);
		cr_assert_null(cert);
	}
	EVP_PKEY_free(key);
	EVP_PKEY_free(weak);
	EVP_PKEY_free(curve);
	ca_drop(&ca);
	ca_drop(&other);
}

Test(tls, a_key_of_another_certificate_or_a_broken_file_is_refused)
{
	struct ca ca = ca_make();
	struct host a = host_make(&ca, "h1"), b = host_make(&ca, "h2");
	struct vk_tls *t = NULL;
	struct vk_err err = {0};
	cr_assert_eq(vk_tls_new(ca.cert, a.cert, b.key, &t, &err), VK_INVALID);
	cr_assert_not_null(strstr(err.msg, "not a pair"), "%s", err.msg);
	cr_assert_eq(vk_tls_new("", a.cert, a.key, &t, &err), VK_INVALID);
	cr_assert_eq(vk_tls_new(ca.cert, "", a.key, &t, &err), VK_INVALID);
	cr_assert_eq(vk_tls_new(ca.cert, a.cert, "", &t, &err), VK_INVALID);
	cr_assert_null(t);
	host_drop(&a);
	host_drop(&b);
	ca_drop(&ca);
}

/* ---- who is there ---- */

Test(tls, both_sides_know_each_other)
{
	struct two t;
	struct vk_tls_info i;
	two_init(&t);
	join_both(&t);
	cr_assert_str_eq(t.server.peer.host, "h1");
	cr_assert_str_eq(t.server.peer.protocol, "viking-api");
	cr_assert_str_eq(t.client.peer.host, "h2");
	cr_assert_eq(vk_tls_info(t.a.cert, &i, NULL), 0);
	cr_assert_str_eq(t.server.peer.key, i.key);
	two_release(&t);
}

Test(tls, a_host_of_another_ca_is_refused_by_both_sides)
{
	struct two t;
	struct ca other = ca_make();
	two_init(&t);
	side_use(&t.server, &other, host_make(&other, "h2"));
	must_fail(&t, &t.client, VK_DENIED, "certificate of h2");
	two_release(&t);
	two_init(&t);
	/* the client trusts the server's CA, but shows a certificate of another */
	struct host stranger = host_make(&other, "h1");
	vk_tls_free(t.client.tls);
	cr_assert_eq(vk_tls_new(t.ca.cert, stranger.cert, stranger.key, &t.client.tls, NULL), 0);
	must_fail(&t, &t.server, VK_DENIED, "certificate of the other host");
	cr_assert_not(t.server.up);
	host_drop(&stranger);
	two_release(&t);
	ca_drop(&other);
}

Test(tls, a_host_that_is_not_the_one_wanted_is_refused)
{
	struct two t;
	two_init(&t);
	side_use(&t.server, &t.ca, host_make(&t.ca, "h3"));
	must_fail(&t, &t.client, VK_DENIED, "mismatch");
	cr_assert_not(t.client.up);
	two_release(&t);
}

Test(tls, certificates_that_are_over_or_begin_later_are_refused)
{
	struct two t;
	two_init(&t);
	side_use(&t.server, &t.ca, host_make_at(&t.ca, "h2", now_ms() - 10 * DAY, DAY));
	must_fail(&t, &t.client, VK_DENIED, "expired");
	two_release(&t);
	two_init(&t);
	side_use(&t.client, &t.ca, host_make_at(&t.ca, "h1", now_ms() - 10 * DAY, DAY));
	must_fail(&t, &t.server, VK_DENIED, "expired");
	two_release(&t);
	two_init(&t);
	side_use(&t.server, &t.ca, host_make_at(&t.ca, "h2", now_ms() + 3 * DAY, DAY));
	must_fail(&t, &t.client, VK_DENIED, "not yet valid");
	two_release(&t);
}

Test(tls, who_is_not_wanted_is_told_by_the_end_of_the_connection)
{
	struct two t;
	two_init(&t);
	t.server.refuse = VK_DENIED;
	must_fail(&t, &t.server, VK_DENIED, "refused by the test");
	two_release(&t);
}

/* ---- strangers: OpenSSL itself, blocking, in a child ---- */

struct stranger {
	int version;          /* 0 = any */
	const char *protocol; /* "\x08http/1.1", NULL = none */
	const char *says;     /* sent as it is when not NULL, instead of a handshake */
	size_t sends;         /* bytes sent after the handshake */
};

/* 0 = the server closed in order or cut; 1 = handshake failed; 2 = joined and answered "hi". */
static int stranger_run(const struct stranger *s, int fd)
{
	alarm(PATIENCE / 1000);
	char answer[8] = "", blob[4096] = "";
	if (s->says != NULL) {
		(void)!write(fd, s->says, strlen(s->says));
		return read(fd, answer, sizeof(answer)) > 0 ? 1 : 0;
	}
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	if (s->version != 0)
		SSL_CTX_set_max_proto_version(ctx, s->version);
	SSL *ssl = SSL_new(ctx);
	SSL_set_fd(ssl, fd);
	if (s->protocol != NULL)
		SSL_set_alpn_protos(
			ssl, (const unsigned char *)s->protocol, (unsigned)strlen(s->protocol));
	if (SSL_connect(ssl) != 1)
		return 1;
	for (size_t left = s->sends; left > 0;) {
		int n = SSL_write(ssl, blob, (int)(left < sizeof(blob) ? left : sizeof(blob)));
		if (n <= 0)
			return 0;
		left -= (size_t)n;
	}
	int n = SSL_read(ssl, answer, 2);
	return n == 2 && memcmp(answer, "hi", 2) == 0 ? 2 : 0;
}

static pid_t stranger_start(struct two *t, const struct stranger *s)
{
	int pair[2];
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	pid_t pid = fork();
	if (pid == 0) {
		close(pair[0]);
		signal(SIGPIPE, SIG_IGN);
		_exit(stranger_run(s, pair[1]));
	}
	close(pair[1]);
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	t->server.join = vk_tls_accept(t->server.tls, &t->server.o, pair[0]);
	return pid;
}

static void on_child(void *arg, pid_t pid, int status)
{
	(void)pid;
	*(int *)arg = status;
}

static int stranger_verdict(struct two *t, pid_t pid)
{
	int status = -1;
	int64_t until = vk_mono_ms() + PATIENCE;
	struct vk_child *c = vk_child_new(t->loop, pid, on_child, &status);
	while (status == -1 && vk_mono_ms() < until)
		vk_loop_once(t->loop, 50);
	vk_child_free(c);
	cr_assert_neq(status, -1, "the stranger hangs");
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Test(tls, a_client_without_a_certificate_is_told_apart_and_gets_nothing_of_ours)
{
	struct two t;
	two_init(&t);
	pid_t pid = stranger_start(&t, &(struct stranger){.protocol = "\x08http/1.1"});
	turn_until(t.loop, &t.server.up, "the stranger");
	cr_assert_str_eq(t.server.peer.host, "");
	cr_assert_str_eq(t.server.peer.protocol, "http/1.1");
	cr_assert_eq(write(t.server.plain, "hi", 2), 2);
	cr_assert_eq(stranger_verdict(&t, pid), 2);
	two_release(&t);
	two_init(&t);
	pid = stranger_start(&t, &(struct stranger){.protocol = "\x0aviking-api"});
	turn_until(t.loop, &t.server.ended, "the refusal");
	cr_assert_eq(t.server.err.code, VK_DENIED);
	cr_assert_not(t.server.up);
	cr_assert_eq(stranger_verdict(&t, pid), 0);
	two_release(&t);
}

Test(tls, a_client_of_tls_1_2_or_of_no_tls_is_refused)
{
	const struct stranger rows[] = {
		{.version = TLS1_2_VERSION},
		{.says = "GET / HTTP/1.1\r\nHost: h2\r\n\r\n"},
		{.says = "\x16\x03\x01\x40\x00\x01\xff\xff\xff"},
	};
	for (size_t i = 0; i < VK_COUNT(rows); i++) {
		struct two t;
		two_init(&t);
		t.server.o.handshake_ms = 2000;
		pid_t pid = stranger_start(&t, &rows[i]);
		turn_until(t.loop, &t.server.ended, "the refusal");
		cr_assert_neq(t.server.err.code, 0, "%zu", i);
		cr_assert_not(t.server.up);
		cr_assert_neq(stranger_verdict(&t, pid), 2);
		two_release(&t);
	}
}

static int on_up_limited(
	void *arg, struct vk_tls_join *j, const struct vk_tls_peer *peer, struct vk_err *err)
{
	vk_tls_join_limit(j, 300, 65536);
	return on_up(arg, j, peer, err);
}

Test(tls, a_stranger_has_its_time_and_its_bytes)
{
	struct two t;
	two_init(&t);
	t.server.o.up = on_up_limited;
	pid_t pid = stranger_start(&t, &(struct stranger){0});
	turn_until(t.loop, &t.server.ended, "the end of its time");
	cr_assert_eq(t.server.err.code, VK_TIMEOUT, "%s", t.server.err.msg);
	cr_assert_eq(stranger_verdict(&t, pid), 0);
	two_release(&t);
	two_init(&t);
	t.server.o.up = on_up_limited;
	pid = stranger_start(&t, &(struct stranger){.sends = 1 << 20});
	turn_until(t.loop, &t.server.ended, "the end of its bytes");
	cr_assert_eq(t.server.err.code, VK_LIMIT, "%s", t.server.err.msg);
	cr_assert_eq(stranger_verdict(&t, pid), 0);
	two_release(&t);
}

Test(tls, half_a_handshake_has_a_deadline)
{
	struct two t;
	int pair[2];
	two_init(&t);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	t.server.o.handshake_ms = t.client.o.handshake_ms = 100;
	/* the other end of each is this test, which says nothing but the head of a record */
	t.client.join = vk_tls_connect(t.client.tls, &t.client.o, pair[0], "h2", "viking-api");
	turn_until(t.loop, &t.client.ended, "the client's deadline");
	cr_assert_eq(t.client.err.code, VK_TIMEOUT, "%s", t.client.err.msg);
	close(pair[1]);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	t.server.join = vk_tls_accept(t.server.tls, &t.server.o, pair[0]);
	cr_assert_eq(write(pair[1], "\x16\x03\x01\x00\x80", 5), 5);
	turn_until(t.loop, &t.server.ended, "the server's deadline");
	cr_assert_eq(t.server.err.code, VK_TIMEOUT, "%s", t.server.err.msg);
	close(pair[1]);
	two_release(&t);
}

Test(tls, nobody_listening_is_unavailable)
{
	struct two t;
	struct vk_err err = {0};
	int listening = -1;
	struct sockaddr_storage a;
	socklen_t n = sizeof(a);
	two_init(&t);
	cr_assert_eq(vk_listen_tcp("127.0.0.1", 0, 1, &listening, &err), 0, "%s", err.msg);
	getsockname(listening, (struct sockaddr *)&a, &n);
	close(listening);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	(void)connect(fd, (struct sockaddr *)&a, n);
	t.client.join = vk_tls_connect(t.client.tls, &t.client.o, fd, "h2", "viking-api");
	turn_until(t.loop, &t.client.ended, "the refusal");
	cr_assert_eq(t.client.err.code, VK_UNAVAILABLE, "%s", t.client.err.msg);
	cr_assert_not_null(strstr(t.client.err.msg, "refused"), "%s", t.client.err.msg);
	two_release(&t);
}

/* ---- bytes ---- */

struct flow {
	int from, to;
	size_t sent, got, total;
	bool shut, eof;
};

static char byte_at(size_t i)
{
	return (char)(i * 2654435761u >> 13);
}

static void flow_step(struct flow *f)
{
	char piece[5000];
	while (f->sent < f->total) {
		size_t n = f->total - f->sent < sizeof(piece) ? f->total - f->sent : sizeof(piece);
		for (size_t i = 0; i < n; i++)
			piece[i] = byte_at(f->sent + i);
		ssize_t w = write(f->from, piece, n);
		if (w <= 0)
			break;
		f->sent += (size_t)w;
	}
	if (f->sent == f->total && !f->shut) {
		f->shut = true;
		shutdown(f->from, SHUT_WR);
	}
	for (ssize_t n; (n = read(f->to, piece, sizeof(piece))) >= 0; f->got += (size_t)n) {
		f->eof = n == 0;
		if (f->eof)
			break;
		for (ssize_t i = 0; i < n; i++)
			cr_assert_eq(piece[i], byte_at(f->got + (size_t)i));
	}
}

Test(tls, bytes_and_ends_pass_both_ways)
{
	struct two t;
	two_init(&t);
	join_both(&t);
	struct flow there = {t.client.plain, t.server.plain, .total = 3 << 20},
		    back = {t.server.plain, t.client.plain, .total = 2 << 20};
	int64_t until = vk_mono_ms() + PATIENCE;
	while (!(there.eof && back.eof) && vk_mono_ms() < until) {
		flow_step(&there);
		flow_step(&back);
		vk_loop_once(t.loop, 10);
	}
	cr_assert_eq(there.got, there.total);
	cr_assert_eq(back.got, back.total);
	turn_until(t.loop, &t.client.ended, "the client's end");
	turn_until(t.loop, &t.server.ended, "the server's end");
	cr_assert_eq(t.client.err.code, 0, "%s", t.client.err.msg);
	cr_assert_eq(t.server.err.code, 0, "%s", t.server.err.msg);
	two_release(&t);
}

/* An answer still comes after the question's side has ended, as with HTTP without keep-alive. */
Test(tls, one_way_may_end_before_the_other)
{
	struct two t;
	char answer[16] = "";
	two_init(&t);
	join_both(&t);
	cr_assert_eq(write(t.client.plain, "question", 8), 8);
	shutdown(t.client.plain, SHUT_WR);
	struct flow question = {.from = -1, .to = t.server.plain};
	int64_t until = vk_mono_ms() + PATIENCE;
	size_t got = 0;
	while (!question.eof && vk_mono_ms() < until) {
		vk_loop_once(t.loop, 10);
		ssize_t n = read(t.server.plain, answer + got, sizeof(answer) - got);
		got += n > 0 ? (size_t)n : 0;
		question.eof = n == 0;
	}
	cr_assert_str_eq(answer, "question");
	cr_assert_eq(write(t.server.plain, "answer", 6), 6);
	close(t.server.plain);
	t.server.plain = -1;
	turn_until(t.loop, &t.client.ended, "the client's end");
	cr_assert_eq(t.client.err.code, 0, "%s", t.client.err.msg);
	memset(answer, 0, sizeof(answer));
	cr_assert_eq(read(t.client.plain, answer, sizeof(answer)), 6);
	cr_assert_str_eq(answer, "answer");
	two_release(&t);
}

Test(tls, who_does_not_read_stops_the_sender_and_is_left_in_the_end)
{
	struct two t;
	char piece[65536] = "";
	two_init(&t);
	t.client.o.stall_ms = t.server.o.stall_ms = 300;
	join_both(&t);
	size_t sent = 0;
	int64_t until = vk_mono_ms() + PATIENCE;
	while (!t.server.ended && !t.client.ended && vk_mono_ms() < until) {
		ssize_t n = send(t.client.plain, piece, sizeof(piece), MSG_NOSIGNAL | MSG_DONTWAIT);
		sent += n > 0 ? (size_t)n : 0;
		vk_loop_once(t.loop, 10);
	}
	/* what lies in four sockets' buffers (up to 0.2 MiB each) and ours; not more and more */
	cr_assert_lt(sent, (size_t)2 << 20);
	const struct side *first = t.server.ended ? &t.server : &t.client;
	cr_assert_eq(first->err.code, VK_TIMEOUT, "%s", first->err.msg);
	two_release(&t);
}

Test(tls, a_cut_is_not_an_end)
{
	struct two t;
	two_init(&t);
	join_both(&t);
	vk_tls_join_free(t.server.join); /* closes without a word */
	t.server.join = NULL;
	turn_until(t.loop, &t.client.ended, "the client's end");
	cr_assert_eq(t.client.err.code, VK_UNAVAILABLE, "%s", t.client.err.msg);
	two_release(&t);
}

Test(tls, joins_may_be_freed_at_any_time)
{
	struct two t;
	two_init(&t);
	t.server.free_in_up = true;
	connect_as(&t, "h2", "viking-api");
	turn_until(t.loop, &t.client.ended, "the client's end");
	two_release(&t);
	for (int turns = 0; turns < 6; turns++) {
		two_init(&t);
		connect_as(&t, "h2", "viking-api");
		for (int i = 0; i < turns; i++)
			vk_loop_once(t.loop, 0);
		two_release(&t);
	}
}
