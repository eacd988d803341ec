/* viking-receiver: the listener of viking's SSH front door. */
#include <signal.h>
#include <viking/config.h>
#include <viking/fs.h>
#include <viking/httpd.h>
#include <viking/log.h>
#include <viking/proc.h>
#include <viking/str.h>

#include "inetd.h"
#include "listener.h"
#include "rights.h"

#define LIBSSH_FIXED "0.10.6-0+deb12u3" /* the first without the holes of SECURITY.md 2a */
#define DPKG_MS      5000

struct receiver {
	struct vk_config *config;
	char *config_file; /* absolute, or "" */
	struct vk_loop *loop;
	struct listener *listener;
	struct inetd *exports, *hosts;
	struct vk_signal *term, *intr;
	char sandbox[320];
};

/* --config as given, made absolute: children get it again, and their working directory is another. */
static char *find_config_file(int argc, char **argv)
{
	const char *file = getenv("VIKING_CONFIG_FILE");
	for (int i = 1; i < argc; i++) {
		if (vk_streq(argv[i], "--config") && i + 1 < argc)
			file = argv[i + 1];
		else if (vk_starts(argv[i], "--config="))
			file = argv[i] + strlen("--config=");
	}
	if (file == NULL || *file == '\0')
		return vk_strdup("");
	char *real = realpath(file, NULL);
	return real != NULL ? real : vk_strdup(file);
}

/* libssh by its package's version, as Debian repairs it without changing libssh's own. */
static int check_libssh(const struct vk_config *c, struct vk_err *err)
{
	static const char *const query[] = {"dpkg-query", "-W", "-f=${Version}", "libssh-4", NULL};
	const struct vk_proc_opts ask = {.path = "/usr/bin/dpkg-query", .argv = query};
	vk_autobuf version = VK_BUF_INIT(256);
	if (vk_proc_run(&ask, NULL, 0, &version, NULL, DPKG_MS, NULL) != 0)
		return 0; /* not Debian: nobody to ask */
	const char *const compare[] = {
		"dpkg", "--compare-versions", vk_buf_str(&version), "ge", LIBSSH_FIXED, NULL};
	const struct vk_proc_opts judge = {.path = "/usr/bin/dpkg", .argv = compare};
	if (vk_proc_run(&judge, NULL, 0, NULL, NULL, DPKG_MS, NULL) == 0)
		return 0;
	vk_err_set(err, VK_DENIED, "libssh-4 %s has known holes, %s is the first without",
		vk_buf_str(&version), LIBSSH_FIXED);
	vk_err_hint(err, "apt-get install libssh-4");
	if (vk_streq(c->sandbox, "require"))
		return VK_DENIED;
	vk_log_err(VK_WARN, "libssh-old", err);
	return 0;
}

static int confine(struct receiver *r, struct vk_err *err)
{
	struct vk_sandbox_report report;
	int rc = rights_take(r->config, r->config_file, RIGHTS_LISTENER, &report, err);
	if (rc == 0)
		vk_sandbox_describe(&report, r->sandbox);
	return rc;
}

static void on_ready(void *arg)
{
	const struct receiver *r = arg;
	const char *text = getenv("VIKING_READY_FD");
	uint64_t fd = 0;
	vk_log(VK_INFO, "serving", "address=%s port=%llu sandbox=\"%s\"", r->config->ssh_address,
		(unsigned long long)r->config->ssh_port, r->sandbox);
	if (text == NULL || vk_parse_u64(text, 3, 1 << 20, &fd) != 0)
		return;
	vk_autofree char *lines = vk_asprintf("SANDBOX=%s\nREADY=1\n", r->sandbox);
	(void)vk_write_all((int)fd, lines, strlen(lines), NULL);
	close((int)fd);
}

static void on_stop(void *arg, int signo)
{
	struct receiver *r = arg;
	vk_log(VK_INFO, "stopping", "signal=%d", signo);
	listener_stop(r->listener);
}

static int open_all(struct receiver *r, struct vk_err *err)
{
	const struct vk_config *c = r->config;
	vk_autoclose int fd = -1;
	int rc = check_libssh(c, err);
	if (rc == 0)
		rc = vk_listen_tcp(c->ssh_address, (uint16_t)c->ssh_port, BACKLOG, &fd, err);
	if (rc == 0)
		rc = vk_loop_new(&r->loop, err);
	if (rc == 0)
		rc = inetd_exports(r->loop, c, r->config_file, &r->exports, err);
	if (rc == 0)
		rc = confine(r, err);
	if (rc == 0)
		rc = listener_new(
			r->loop, c, r->config_file, VK_TAKE_FD(fd), on_ready, r, &r->listener, err);
	if (rc == 0)
		rc = inetd_hosts(r->loop, c, r->config_file, r->listener->house, &r->hosts, err);
	return rc;
}

static int serve(struct receiver *r, struct vk_err *err)
{
	int rc = open_all(r, err);
	if (rc == 0) {
		r->term = vk_signal_new(r->loop, SIGTERM, on_stop, r);
		r->intr = vk_signal_new(r->loop, SIGINT, on_stop, r);
		vk_loop_run(r->loop);
	}
	vk_signal_free(r->term);
	vk_signal_free(r->intr);
	inetd_free(r->hosts);
	listener_free(r->listener);
	inetd_free(r->exports);
	vk_loop_free(r->loop);
	return rc;
}

int main(int argc, char **argv)
{
	struct receiver r = {.config_file = find_config_file(argc, argv)};
	struct vk_err err = {0};
	vk_log_init("receiver");
	signal(SIGPIPE, SIG_IGN);
	int rc = vk_config_from_argv(&argc, argv, &r.config, &err);
	if (rc == 0 && argc > 1)
		rc = vk_err_set(
			&err, VK_USAGE, "usage: viking-receiver [--config FILE] [--root DIR]");
	if (rc == 0)
		rc = serve(&r, &err);
	if (rc != 0)
		vk_log_err(VK_ERROR, "receiver", &err);
	vk_config_free(r.config);
	free(r.config_file);
	return vk_err_exit(rc);
}
