/*
 * A TLS connection joined to a plain descriptor. Each direction has one buffer of a TLS record's size: its source is read only when
 * the buffer is empty, so a side that does not take bytes stops the other by the sockets' own flow control.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "x509.h"

#define RECORD       16384
#define HANDSHAKE_MS 10000
#define STALL_MS     30000
#define ROUNDS \
	16 /* records a turn of the loop, so that one connection does not starve the others */
/* a dead peer: nothing answers for 2 s + 3 * 1 s, or what was sent is not acknowledged for 5 s */
#define ALIVE_IDLE_S  2
#define ALIVE_EVERY_S 1
#define ALIVE_PROBES  3
#define UNACKED_MS    5000

struct vk_tls {
	SSL_CTX *ctx;
};

/* One direction: [at, n) was read and is still to be written. */
struct way {
	size_t at, n;
	bool ended; /* the source has no more */
	bool shut;  /* and the sink has been told */
	char bytes[RECORD];
};

struct vk_tls_join {
	struct vk_tls_opts o;
	SSL *ssl;
	int fd, plain; /* plain: -1 during the handshake */
	struct vk_io *io, *plain_io;
	struct vk_timer *timer;
	struct vk_timer *limit;
	int64_t handshake_ms, stall_ms;
	uint64_t bytes, bytes_max;      /* from the peer; 0 = no limit */
	char host[VK_TLS_HOST_MAX + 1]; /* whom a client wants */
	struct way in, out;             /* in: TLS to plain; out: plain to TLS */
	bool client, armed;
	bool read_waits_write, write_waits_read; /* OpenSSL's own needs */
	unsigned busy;                           /* depth of callbacks */
	bool dead;
};

/* ---- the context ---- */

/* What a client offers first of what we know. None of ours: no ALPN, which only strangers come with. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_n,
	const unsigned char *in, unsigned in_n, void *arg)
{
	static const char *const known[] = {"viking-api", "viking-agent", "viking-registry",
		"viking-receiver", "viking-sites", "http/1.1"};
	(void)ssl, (void)arg;
	for (unsigned i = 0; i < in_n; i += in[i] + 1u)
		for (size_t k = 0; k < VK_COUNT(known); k++)
			if (in[i] == strlen(known[k]) && i + in[i] < in_n &&
				memcmp(in + i + 1, known[k], in[i]) == 0) {
				*out = in + i + 1;
				*out_n = in[i];
				return SSL_TLSEXT_ERR_OK;
			}
	return SSL_TLSEXT_ERR_NOACK;
}

static int trust(SSL_CTX *ctx, const char *ca, struct vk_err *err)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	BIO *in = BIO_new_mem_buf(ca, (int)strnlen(ca, VK_TLS_PEM_MAX));
	int n = 0;
	for (X509 *x; (x = PEM_read_bio_X509(in, NULL, vk_x509_no_passphrase, NULL)) != NULL; n++) {
		X509_STORE_add_cert(store, x);
		SSL_CTX_add_client_CA(ctx, x);
		X509_free(x);
	}
	BIO_free(in);
	ERR_clear_error(); /* the end of the text is an error to OpenSSL */
	return n > 0 ? 0 : vk_err_set(err, VK_INVALID, "the CA's certificate cannot be read");
}

static int identify(SSL_CTX *ctx, const char *cert, const char *key, struct vk_err *err)
{
	X509 *x = NULL;
	EVP_PKEY *k = NULL;
	int rc = vk_x509_read(cert, "this host's certificate cannot be read", &x, err);
	if (rc == 0)
		rc = vk_x509_key_read(key, "this host's key cannot be read", &k, err);
	if (rc == 0 &&
		(SSL_CTX_use_certificate(ctx, x) != 1 || SSL_CTX_use_PrivateKey(ctx, k) != 1))
		rc = vk_x509_error(
			err, VK_INVALID, "this host's key and certificate are not a pair");
	X509_free(x);
	EVP_PKEY_free(k);
	return rc;
}

int vk_tls_new(
	const char *ca, const char *cert, const char *key, struct vk_tls **ret, struct vk_err *err)
{
	OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	signal(SIGPIPE, SIG_IGN); /* OpenSSL writes with write(2) */
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	if (ctx == NULL)
		return vk_x509_error(err, VK_INTERNAL, "TLS cannot be set up");
	SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_num_tickets(ctx, 0); /* each connection shows its certificate */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx,
		SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
			SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	int rc = trust(ctx, ca, err);
	if (rc == 0)
		rc = identify(ctx, cert, key, err);
	if (rc != 0) {
		SSL_CTX_free(ctx);
		return rc;
	}
	*ret = vk_alloc(sizeof(**ret));
	(*ret)->ctx = ctx;
	return 0;
}

void vk_tls_free(struct vk_tls *t)
{
	if (t == NULL)
		return;
	SSL_CTX_free(t->ctx);
	free(t);
}

/* ---- life ---- */

static void leave(struct vk_tls_join *j)
{
	if (--j->busy > 0 || !j->dead)
		return;
	vk_io_free(j->io);
	vk_io_free(j->plain_io);
	vk_timer_free(j->timer);
	vk_timer_free(j->limit);
	SSL_free(j->ssl);
	vk_closep(&j->fd);
	vk_closep(&j->plain);
	explicit_bzero(&j->in, sizeof(j->in)); /* may hold tokens and configuration */
	explicit_bzero(&j->out, sizeof(j->out));
	free(j);
}

void vk_tls_join_free(struct vk_tls_join *j)
{
	if (j == NULL)
		return;
	j->dead = true;
	j->busy++;
	leave(j);
}

static void finish(struct vk_tls_join *j, const struct vk_err *err)
{
	if (j->dead)
		return;
	j->dead = true;
	j->o.end(j->o.arg, j, err);
}

/* Why OpenSSL failed, in words of who has to do something about it. */
static int explain(struct vk_tls_join *j, int failure, struct vk_err *err)
{
	const char *whom = j->client ? j->host : "the other host";
	long verdict = SSL_get_verify_result(j->ssl);
	unsigned long e = ERR_peek_last_error();
	const char *why = ERR_reason_error_string(e);
	bool alert = ERR_GET_LIB(e) == ERR_LIB_SSL && ERR_GET_REASON(e) >= SSL_AD_REASON_OFFSET;
	ERR_clear_error();
	if (failure == SSL_ERROR_SYSCALL && errno != 0)
		return vk_err_set(err, VK_UNAVAILABLE, "%s: %s", whom, strerror(errno));
	if (verdict != X509_V_OK)
		return vk_err_set(err, VK_DENIED, "the certificate of %s: %s", whom,
			X509_verify_cert_error_string(verdict));
	if (alert)
		return vk_err_set(err, VK_DENIED, "%s refuses this host: %s", whom, why);
	return vk_err_set(err, VK_UNAVAILABLE, "%s: %s", whom,
		why != NULL ? why : "the connection ended early");
}

/* ---- the two ways ---- */

enum { BLOCKED = 0, ENDED = -1, BROKEN = -2 }; /* instead of a number of bytes */

static int tls_outcome(
	struct vk_tls_join *j, int n, bool *waits_other, int other, struct vk_err *err)
{
	int e = SSL_get_error(j->ssl, n);
	if (e == SSL_ERROR_NONE)
		return n;
	if (e == SSL_ERROR_ZERO_RETURN)
		return ENDED;
	if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
		*waits_other = e == other;
		return BLOCKED;
	}
	explain(j, e, err);
	return BROKEN;
}

static int tls_read(struct vk_tls_join *j, char *p, size_t n, struct vk_err *err)
{
	ERR_clear_error();
	errno = 0;
	int got = tls_outcome(
		j, SSL_read(j->ssl, p, (int)n), &j->read_waits_write, SSL_ERROR_WANT_WRITE, err);
	if (got > 0 && j->bytes_max != 0 && (j->bytes += (uint64_t)got) > j->bytes_max) {
		vk_err_set(err, VK_LIMIT, "a client sent more than %llu bytes",
			(unsigned long long)j->bytes_max);
		return BROKEN;
	}
	return got;
}

static int tls_write(struct vk_tls_join *j, const char *p, size_t n, struct vk_err *err)
{
	ERR_clear_error();
	errno = 0;
	return tls_outcome(
		j, SSL_write(j->ssl, p, (int)n), &j->write_waits_read, SSL_ERROR_WANT_READ, err);
}

static int tls_shut(struct vk_tls_join *j, struct vk_err *err)
{
	ERR_clear_error();
	errno = 0;
	int n = SSL_shutdown(j->ssl);
	return n >= 0 ? ENDED : tls_outcome(j, n, &j->write_waits_read, SSL_ERROR_WANT_READ, err);
}

static int plain_outcome(ssize_t n, struct vk_err *err)
{
	if (n > 0)
		return (int)n;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return BLOCKED;
	if (n == 0)
		return ENDED;
	vk_err_set(err, VK_CANCELLED, "this side went away: %s", strerror(errno));
	return BROKEN;
}

static int plain_read(struct vk_tls_join *j, char *p, size_t n, struct vk_err *err)
{
	return plain_outcome(recv(j->plain, p, n, MSG_DONTWAIT), err);
}

static int plain_write(struct vk_tls_join *j, const char *p, size_t n, struct vk_err *err)
{
	return plain_outcome(send(j->plain, p, n, MSG_DONTWAIT | MSG_NOSIGNAL), err);
}

static int plain_shut(struct vk_tls_join *j, struct vk_err *err)
{
	(void)err;
	shutdown(j->plain, SHUT_WR);
	return ENDED;
}

struct ends {
	int (*read)(struct vk_tls_join *j, char *p, size_t n, struct vk_err *err);
	int (*write)(struct vk_tls_join *j, const char *p, size_t n, struct vk_err *err);
	int (*shut)(struct vk_tls_join *j, struct vk_err *err);
};
static const struct ends inward = {tls_read, plain_write, plain_shut};
static const struct ends outward = {plain_read, tls_write, tls_shut};

static bool full(const struct way *w)
{
	return w->at < w->n;
}

/* One read and one write of a way: > 0 something moved, BLOCKED, or BROKEN. */
static int move(struct vk_tls_join *j, struct way *w, const struct ends *e, struct vk_err *err)
{
	int got = BLOCKED, put = BLOCKED;
	if (!full(w) && !w->ended) {
		got = e->read(j, w->bytes, sizeof(w->bytes), err);
		w->at = 0;
		w->n = got > 0 ? (size_t)got : 0;
		w->ended = got == ENDED;
	}
	if (got != BROKEN && full(w)) {
		put = e->write(j, w->bytes + w->at, w->n - w->at, err);
		w->at += put > 0 ? (size_t)put : 0;
	} else if (got != BROKEN && w->ended && !w->shut) {
		put = e->shut(j, err);
		w->shut = put == ENDED;
	}
	if (got == BROKEN || put == BROKEN)
		return BROKEN;
	return got != BLOCKED || put != BLOCKED;
}

static void set_interest(struct vk_tls_join *j)
{
	bool reads = !full(&j->in) && !j->in.ended && !j->read_waits_write;
	bool writes = (full(&j->out) || (j->out.ended && !j->out.shut)) && !j->write_waits_read;
	vk_io_set(j->io,
		(reads || j->write_waits_read ? VK_READ : 0) |
			(writes || j->read_waits_write ? VK_WRITE : 0));
	vk_io_set(j->plain_io,
		(full(&j->out) || j->out.ended ? 0 : VK_READ) | (full(&j->in) ? VK_WRITE : 0));
}

/* A side that takes nothing, or does not end after the other has, is waited for so long. */
static void set_deadline(struct vk_tls_join *j, bool moved)
{
	bool waits = full(&j->in) || full(&j->out) || j->in.ended || j->out.ended;
	if (!waits || moved || !j->armed)
		vk_timer_set(j->timer, waits ? j->stall_ms : -1);
	j->armed = waits;
}

static void pump(struct vk_tls_join *j)
{
	struct vk_err err = {0};
	bool moved = false;
	int more = 1;
	j->read_waits_write = j->write_waits_read = false;
	for (int i = 0; more > 0 && i < ROUNDS; i++) {
		int in = move(j, &j->in, &inward, &err);
		int out = in != BROKEN ? move(j, &j->out, &outward, &err) : BROKEN;
		more = out == BROKEN ? BROKEN : in + out;
		moved = moved || more > 0;
	}
	if (more == BROKEN || (j->in.shut && j->out.shut)) {
		finish(j, &err);
		return;
	}
	set_interest(j);
	set_deadline(j, moved);
}

static void on_plain(void *arg, int fd, int what)
{
	struct vk_tls_join *j = arg;
	(void)fd, (void)what;
	j->busy++;
	pump(j);
	leave(j);
}

/* ---- the handshake ---- */

static int check_peer(struct vk_tls_join *j, struct vk_tls_peer *ret, struct vk_err *err)
{
	const unsigned char *protocol;
	unsigned n;
	SSL_get0_alpn_selected(j->ssl, &protocol, &n);
	if (n > 0 && n < sizeof(ret->protocol))
		memcpy(ret->protocol, protocol, n);
	X509 *cert = SSL_get0_peer_certificate(j->ssl);
	if (cert != NULL) {
		struct vk_tls_info i;
		vk_x509_describe(cert, &i);
		if (i.host[0] == '\0')
			return vk_err_set(err, VK_DENIED, "a certificate without a host's name");
		memcpy(ret->host, i.host, sizeof(ret->host));
		memcpy(ret->key, i.key, sizeof(ret->key));
	}
	if (cert == NULL && vk_starts(ret->protocol, "viking-"))
		return vk_err_set(
			err, VK_DENIED, "a client of %s without a certificate", ret->protocol);
	if (j->client && ret->protocol[0] == '\0')
		return vk_err_set(err, VK_DENIED, "%s does not speak our protocol", j->host);
	return 0;
}

static void handshake_done(struct vk_tls_join *j)
{
	struct vk_tls_peer peer = {0};
	struct vk_err err = {0};
	int rc = check_peer(j, &peer, &err);
	if (rc == 0) {
		rc = j->o.up(j->o.arg, j, &peer, &err);
		if (j->dead) {
			vk_closep(&rc);
			return;
		}
	}
	if (rc < 0) {
		finish(j, &err);
		return;
	}
	j->plain = rc;
	j->plain_io = vk_io_new(j->o.loop, j->plain, VK_READ, on_plain, j);
	vk_timer_set(j->timer, -1);
	pump(j);
}

static void handshake(struct vk_tls_join *j)
{
	ERR_clear_error();
	errno = 0;
	int n = SSL_do_handshake(j->ssl), e = SSL_get_error(j->ssl, n);
	struct vk_err err = {0};
	if (e == SSL_ERROR_NONE) {
		handshake_done(j);
	} else if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
		vk_io_set(j->io, e == SSL_ERROR_WANT_READ ? VK_READ : VK_WRITE);
	} else {
		explain(j, e, &err);
		finish(j, &err);
	}
}

static void on_tls(void *arg, int fd, int what)
{
	struct vk_tls_join *j = arg;
	(void)fd, (void)what;
	j->busy++;
	if (j->plain < 0)
		handshake(j);
	else
		pump(j);
	leave(j);
}

static void on_timer(void *arg)
{
	struct vk_tls_join *j = arg;
	const char *whom = j->client ? j->host : "the other host";
	struct vk_err err = {0};
	if (j->plain < 0)
		vk_err_set(&err, VK_TIMEOUT, "%s: no handshake within %lld ms", whom,
			(long long)j->handshake_ms);
	else
		vk_err_set(&err, VK_TIMEOUT, "%s: nothing moved for %lld ms", whom,
			(long long)j->stall_ms);
	j->busy++;
	finish(j, &err);
	leave(j);
}

static void on_limit(void *arg)
{
	struct vk_tls_join *j = arg;
	struct vk_err err = {0};
	vk_err_set(&err, VK_TIMEOUT, "a client's time is over");
	j->busy++;
	finish(j, &err);
	leave(j);
}

void vk_tls_join_limit(struct vk_tls_join *j, int64_t ms, uint64_t bytes)
{
	j->bytes_max = bytes;
	if (j->limit == NULL)
		j->limit = vk_timer_new(j->o.loop, on_limit, j);
	vk_timer_set(j->limit, ms);
}

/* ---- opening ---- */

/* Of a socket that is not TCP (tests) none of these can be set. */
static void stay_alive(int fd)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{SOL_SOCKET, SO_KEEPALIVE, 1},
		{IPPROTO_TCP, TCP_NODELAY, 1},
		{IPPROTO_TCP, TCP_KEEPIDLE, ALIVE_IDLE_S},
		{IPPROTO_TCP, TCP_KEEPINTVL, ALIVE_EVERY_S},
		{IPPROTO_TCP, TCP_KEEPCNT, ALIVE_PROBES},
		{IPPROTO_TCP, TCP_USER_TIMEOUT, UNACKED_MS},
	};
	for (size_t i = 0; i < VK_COUNT(options); i++)
		(void)setsockopt(fd, options[i].level, options[i].name, &options[i].value,
			sizeof(options[i].value));
}

static struct vk_tls_join *join_new(
	const struct vk_tls *t, const struct vk_tls_opts *o, int fd, bool client)
{
	struct vk_tls_join *j = vk_alloc(sizeof(*j));
	j->o = *o;
	j->fd = fd;
	j->plain = -1;
	j->client = client;
	j->handshake_ms = o->handshake_ms > 0 ? o->handshake_ms : HANDSHAKE_MS;
	j->stall_ms = o->stall_ms > 0 ? o->stall_ms : STALL_MS;
	stay_alive(fd);
	j->ssl = SSL_new(t->ctx);
	SSL_set_fd(j->ssl, fd);
	j->io = vk_io_new(o->loop, fd, client ? VK_WRITE : VK_READ, on_tls, j);
	j->timer = vk_timer_new(o->loop, on_timer, j);
	vk_timer_set(j->timer, j->handshake_ms);
	return j;
}

struct vk_tls_join *vk_tls_accept(const struct vk_tls *t, const struct vk_tls_opts *o, int fd)
{
	struct vk_tls_join *j = join_new(t, o, fd, false);
	SSL_set_accept_state(j->ssl);
	return j;
}

struct vk_tls_join *vk_tls_connect(const struct vk_tls *t, const struct vk_tls_opts *o, int fd,
	const char *host, const char *protocol)
{
	struct vk_tls_join *j = join_new(t, o, fd, true);
	unsigned char alpn[32];
	size_t n = strlen(protocol);
	alpn[0] = (unsigned char)n;
	memcpy(alpn + 1, protocol, n < sizeof(alpn) ? n : 0);
	SSL_set_alpn_protos(j->ssl, alpn, (unsigned)n + 1);
	snprintf(j->host, sizeof(j->host), "%s", host);
	SSL_set_hostflags(
		j->ssl, X509_CHECK_FLAG_NO_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	SSL_set1_host(j->ssl, host);
	SSL_set_connect_state(j->ssl);
	return j;
}
