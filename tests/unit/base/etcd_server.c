#include "etcd_server.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/mem.h>
#include <viking/proc.h>
#include <viking/str.h>

#define START_MS 60000

int free_port(void);

int free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	vk_autoclose int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	return ntohs(a.sin_port);
}

static void run(const char *const *argv)
{
	struct vk_proc_opts o = {.path = argv[0], .argv = argv};
	struct vk_err err = {0};
	vk_autobuf errout = VK_BUF_INIT(4096);
	cr_assert_eq(vk_proc_run(&o, NULL, 0, NULL, &errout, START_MS, &err), 0, "%s: %s %s",
		argv[0], err.msg, vk_buf_str(&errout));
}

/* One self-signed certificate is the authority, and serves both ends. */
static void make_certificate(struct etcd_server *e)
{
	snprintf(e->ca, sizeof(e->ca), "%s/cert.pem", e->dir);
	snprintf(e->cert, sizeof(e->cert), "%s/cert.pem", e->dir);
	snprintf(e->key, sizeof(e->key), "%s/key.pem", e->dir);
	run((const char *const[]){"/usr/bin/openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
		"ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=test", "-addext",
		"subjectAltName=IP:127.0.0.1", "-keyout", e->key, "-out", e->cert, NULL});
}

static char *url(const struct etcd_server *e, int port)
{
	return vk_asprintf("%s://127.0.0.1:%d", e->tls ? "https" : "http", port);
}

static void member_argv(const struct etcd_server *e, size_t i, struct vk_strv *argv)
{
	vk_autofree char *client = url(e, e->client_port[i]), *peers = NULL;
	vk_autofree char *peer = vk_asprintf("http://127.0.0.1:%d", e->peer_port[i]);
	for (size_t k = 0; k < e->n; k++) {
		vk_autofree char *before = peers;
		peers = vk_asprintf("%s%sm%zu=http://127.0.0.1:%d", before ? before : "",
			before ? "," : "", k, e->peer_port[k]);
	}
	vk_strv_add(argv, "/usr/bin/etcd");
	vk_strv_addf(argv, "--name=m%zu", i);
	vk_strv_addf(argv, "--data-dir=%s/m%zu", e->dir, i);
	vk_strv_addf(argv, "--listen-client-urls=%s", client);
	vk_strv_addf(argv, "--advertise-client-urls=%s", client);
	vk_strv_addf(argv, "--listen-peer-urls=%s", peer);
	vk_strv_addf(argv, "--initial-advertise-peer-urls=%s", peer);
	vk_strv_addf(argv, "--initial-cluster=%s", peers);
	vk_strv_add(argv, "--logger=zap");
	vk_strv_add(argv, "--log-level=error");
	vk_strv_add(argv, "--pre-vote");
	if (!e->tls)
		return;
	vk_strv_addf(argv, "--cert-file=%s", e->cert);
	vk_strv_addf(argv, "--key-file=%s", e->key);
	vk_strv_addf(argv, "--trusted-ca-file=%s", e->ca);
	vk_strv_add(argv, "--client-cert-auth");
}

void etcd_server_restart(struct etcd_server *e, size_t i)
{
	vk_autostrv argv = {0};
	member_argv(e, i, &argv);
	struct vk_proc_opts o = {.path = argv.v[0],
		.argv = (const char *const *)argv.v,
		.in = VK_FD_NULL,
		.out = VK_FD_NULL,
		.err = VK_FD_NULL,
		.die_with_parent = true};
	struct vk_proc p;
	struct vk_err err = {0};
	cr_assert_eq(vk_proc_start(&o, &p, &err), 0, "%s (package etcd-server)", err.msg);
	e->pid[i] = p.pid;
}

void etcd_server_ctl(struct etcd_server *e, const char *const *words)
{
	vk_autostrv argv = {0};
	vk_strv_add(&argv, "/usr/bin/etcdctl");
	vk_strv_addf(&argv, "--endpoints=%s", e->endpoints);
	vk_strv_add(&argv, "--dial-timeout=30s");
	vk_strv_add(&argv, "--command-timeout=30s");
	if (e->tls) {
		vk_strv_addf(&argv, "--cacert=%s", e->ca);
		vk_strv_addf(&argv, "--cert=%s", e->cert);
		vk_strv_addf(&argv, "--key=%s", e->key);
	}
	for (; *words != NULL; words++)
		vk_strv_add(&argv, *words);
	struct vk_proc_opts o = {.path = argv.v[0],
		.argv = (const char *const *)argv.v,
		.env = (const char *const[]){"ETCDCTL_API=3", "PATH=/usr/bin", NULL}};
	struct vk_err err = {0};
	vk_autobuf errout = VK_BUF_INIT(4096);
	cr_assert_eq(vk_proc_run(&o, NULL, 0, NULL, &errout, START_MS, &err), 0, "etcdctl: %s %s",
		err.msg, vk_buf_str(&errout));
}

void etcd_server_start(struct etcd_server *e, const char *dir, size_t members, bool tls)
{
	*e = (struct etcd_server){.n = members, .tls = tls};
	snprintf(e->dir, sizeof(e->dir), "%s", dir);
	if (tls)
		make_certificate(e);
	for (size_t i = 0; i < members; i++) {
		e->client_port[i] = free_port();
		e->peer_port[i] = free_port();
		vk_autofree char *one = url(e, e->client_port[i]);
		size_t used = strlen(e->endpoints);
		snprintf(e->endpoints + used, sizeof(e->endpoints) - used, "%s%s", i ? "," : "",
			one);
	}
	for (size_t i = 0; i < members; i++)
		etcd_server_restart(e, i);
}

void etcd_server_signal(struct etcd_server *e, size_t i, int signo)
{
	cr_assert_eq(kill(e->pid[i], signo), 0);
}

void etcd_server_kill(struct etcd_server *e, size_t i)
{
	int status;
	if (e->pid[i] == 0)
		return;
	vk_proc_kill(e->pid[i], SIGKILL);
	vk_proc_wait(e->pid[i], START_MS, &status, NULL);
	e->pid[i] = 0;
}

void etcd_server_stop(struct etcd_server *e)
{
	for (size_t i = 0; i < e->n; i++)
		etcd_server_kill(e, i);
}
