/*
 * viking-join TOKEN: makes this new, empty host one of the cluster that gave the invitation. Run by `viking join` as root.
 *
 *	1 STATE/join/host.key: made once, never leaves the host
 *	2 the cluster is asked, over TLS to who shows the key that the invitation names: it signs a certificate, knows the host
 *	  from now on, and answers with all that a host needs; that goes to STATE/join/answer.json
 *	3 the scheduler holds all writes and shows that there is nothing here to be lost
 *	4 conf.d/50-cluster.yml, by rename: THE MOMENT. Before it this host is alone, after it one of the cluster
 *	5 vikingd puts the files into place (joined.h) and starts its processes anew
 *
 * Killed at any step, the same line may be typed again as long as the invitation stands; after 4 vikingd needs no help.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <viking/api.h>
#include <viking/fs.h>
#include <viking/host_name.h>
#include <viking/http.h>
#include <viking/invite.h>
#include <viking/json.h>
#include <viking/str.h>
#include <viking/tls.h>

#include "cluster_file.h"
#include "joined.h"

#define LOCAL_MS   60000
#define ASK_MS     30000
#define ANSWER_MAX ((size_t)256 << 10)

struct join {
	const struct vk_config *c;
	struct vk_invite invite;
	char *address; /* where the others reach this host */
	char *request;
	json_t *answer;
};

/* ---- this host ---- */

static int not_alone(const struct vk_config *c, struct vk_err *err)
{
	vk_err_set(err, VK_CONFLICT, "%s is in a cluster already: etcd at %s", c->host_name,
		c->etcd_endpoints);
	return vk_err_hint(err, "viking hosts");
}

static int has_stacks(const struct vk_config *c, const char *name, struct vk_err *err)
{
	vk_err_set(err, VK_CONFLICT, "%s has the stack %s: only an empty host can join a cluster",
		c->host_name, name);
	return vk_err_hint(err, "viking stacks:destroy %s, or viking backup", name);
}

static int is_empty(const struct vk_config *c, struct vk_err *err)
{
	vk_autofree char *socket = vk_run_path(c, "api.sock");
	vk_autojson *answer = NULL;
	const struct vk_api_opts api = {.socket = socket};
	int rc = vk_api_call(&api, "GET", "/v1/stacks", NULL, &answer, err);
	const json_t *stacks = json_object_get(answer, "stacks");
	if (rc != 0 || json_array_size(stacks) == 0)
		return rc;
	return has_stacks(c, vk_json_str(json_array_get(stacks, 0), "name", "?"), err);
}

/* The address that packets to the cluster leave from; none is sent. */
static int address_towards(
	const struct vk_invite *i, char ret[INET6_ADDRSTRLEN], struct vk_err *err)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(i->port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(i->port)};
	bool is4 = inet_pton(AF_INET, i->addr, &v4.sin_addr) == 1;
	if (!is4)
		(void)inet_pton(AF_INET6, i->addr, &v6.sin6_addr);
	struct sockaddr *to = is4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
	socklen_t n = is4 ? sizeof(v4) : sizeof(v6);
	vk_autoclose int fd = socket(to->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, to, n) != 0 || getsockname(fd, to, &n) != 0)
		return vk_err_errno(err, errno, "no way to %s", i->addr);
	inet_ntop(to->sa_family, is4 ? (void *)&v4.sin_addr : (void *)&v6.sin6_addr, ret,
		INET6_ADDRSTRLEN);
	return 0;
}

static int choose_address(struct join *j, struct vk_err *err)
{
	char found[INET6_ADDRSTRLEN];
	const char *set = j->c->cluster_address;
	bool any = vk_streq(set, "0.0.0.0") || vk_streq(set, "::");
	int rc = any ? address_towards(&j->invite, found, err) : 0;
	if (rc == 0)
		j->address = vk_strdup(any ? found : set);
	return rc;
}

/* The key is made once, so that a second attempt is the same host's. */
static int make_request(struct join *j, struct vk_err *err)
{
	vk_autofree char *dir = vk_state_path(j->c, "join"),
			 *path = vk_state_path(j->c, JOINED_KEY);
	vk_autobuf text = VK_BUF_INIT(4096);
	char *key = NULL;
	int rc = vk_fs_mkdir_p(dir, 0700, err);
	if (rc == 0 && vk_fs_exists(path)) {
		rc = vk_fs_read(path, &text, err);
		key = vk_buf_take(&text);
	} else if (rc == 0) {
		rc = vk_tls_key_new(&key, err);
		if (rc == 0)
			rc = vk_fs_write_atomic(path, key, strlen(key), 0600, err);
	}
	if (rc == 0)
		rc = vk_tls_request(key, &j->request, err);
	if (key != NULL)
		explicit_bzero(key, strlen(key));
	free(key);
	return rc;
}

/* ---- the cluster ---- */

static int no_answer(const struct vk_invite *i, struct vk_err *err)
{
	if (err->code == VK_DENIED) {
		vk_err_set(err, VK_DENIED,
			"who answers at %s port %u is not the host that the invitation is from",
			i->addr, (unsigned)i->port);
		return vk_err_hint(err, "viking hosts:invite there, for another");
	}
	vk_err_wrap(err, "no answer from %s port %u", i->addr, (unsigned)i->port);
	return vk_err_hint(
		err, "is its cluster.address right, and the port open between the hosts?");
}

static int refusal(int status, const json_t *answer, struct vk_err *err)
{
	const char *name = vk_json_str(answer, "error", NULL);
	vk_err_set(err, name != NULL ? vk_err_from_name(name) : vk_err_from_http(status),
		"the cluster refuses: %s", vk_json_str(answer, "message", "no reason given"));
	return vk_err_hint(err, "%s", vk_json_str(answer, "hint", ""));
}

static char *question(const struct join *j)
{
	vk_autojson *q = json_pack("{s:s,s:s,s:s,s:I,s:s,s:s}", "token", j->invite.secret, "name",
		j->c->host_name, "addr", j->address, "port", (json_int_t)j->c->cluster_port,
		"request", j->request, "version", VIKING_VERSION);
	return vk_json_text(q);
}

/* Who it is, is known by its key alone: there is no authority yet that both know. */
static int ask(struct join *j, struct vk_err *err)
{
	const struct vk_invite *i = &j->invite;
	vk_autofree char *at = vk_https_url(i->addr, i->port);
	vk_autofree char *url = vk_asprintf("%s/v1/internal/join", at);
	vk_autofree char *body = question(j);
	vk_autobuf text = VK_BUF_INIT(ANSWER_MAX);
	const struct vk_http_request q = {.method = "POST",
		.url = url,
		.pin = i->pin,
		.body = body,
		.into = &text,
		.timeout_ms = ASK_MS};
	struct vk_http_answer answer;
	int rc = vk_http(&q, &answer, err);
	explicit_bzero(body, strlen(body));
	if (rc != 0)
		return no_answer(i, err);
	rc = vk_json_parse(vk_buf_str(&text), text.len, &j->answer, err);
	if (text.len > 0)
		explicit_bzero(text.data, text.len);
	return rc == 0 && answer.status == 200 ? 0 : refusal(answer.status, j->answer, err);
}

static int keep_answer(struct join *j, struct vk_err *err)
{
	vk_autofree char *path = vk_state_path(j->c, JOINED_ANSWER);
	char *text = vk_json_text(j->answer);
	int rc = vk_fs_write_atomic(path, text, strlen(text), 0600, err);
	explicit_bzero(text, strlen(text));
	free(text);
	return rc;
}

/* ---- the moment ---- */

/* Of every key, the last line says that all were given; writes are held until this returns. */
static int on_line(void *arg, json_t *line, struct vk_err *err)
{
	struct join *j = arg;
	const char *key = vk_json_str(line, "key", NULL);
	vk_autofree char *settings = NULL;
	if (key != NULL)
		return vk_starts(key, "/stack/") ? has_stacks(j->c, key + strlen("/stack/"), err)
						 : 0;
	int rc = joined_settings(j->c, j->answer, j->address, &settings, err);
	if (rc == 0)
		rc = cluster_file_write(j->c, settings, err);
	return rc == 0 ? VK_CANCELLED : rc; /* ends the stream */
}

static int change_over(struct join *j, struct vk_err *err)
{
	vk_autofree char *socket = vk_run_path(j->c, "api.sock");
	const struct vk_api_opts api = {.socket = socket, .timeout_ms = LOCAL_MS};
	int rc = vk_api_stream(&api, "POST", "/v1/cluster/move", NULL, on_line, j, err);
	return rc == VK_CANCELLED ? 0
		: rc == 0         ? vk_err_set(err, VK_UNAVAILABLE, "the scheduler broke off")
				  : rc;
}

/* Until vikingd has put all into place, and commands here are answered by the cluster. */
static int finish(const struct vk_config *c, struct vk_err *err)
{
	vk_autofree char *answer = vk_state_path(c, JOINED_ANSWER);
	int rc = cluster_file_wait(answer, false, "take up its new settings", err);
	if (rc == 0)
		rc = cluster_file_wait_served(c, err);
	if (rc == 0)
		printf("=====> %s is one of the cluster's hosts now\n", c->host_name);
	return rc;
}

static int join(struct join *j, struct vk_err *err)
{
	int rc = is_empty(j->c, err);
	if (rc == 0)
		rc = choose_address(j, err);
	if (rc == 0)
		rc = make_request(j, err);
	if (rc != 0)
		return rc;
	printf("-----> Asking %s to take %s in, at %s\n", j->invite.addr, j->c->host_name,
		j->address);
	fflush(stdout);
	rc = ask(j, err);
	if (rc == 0)
		rc = keep_answer(j, err);
	if (rc == 0)
		cluster_file_say("-----> Changing over to its state");
	if (rc == 0)
		rc = change_over(j, err);
	return rc == 0 ? finish(j->c, err) : rc;
}

/* A join that was broken off behind the moment is brought to its end; else the host is alone as yet. */
static int run(const struct vk_config *c, int argc, char **argv, struct vk_err *err)
{
	vk_autofree char *answer = vk_state_path(c, JOINED_ANSWER);
	struct join j = {.c = c};
	if (argc != 2)
		return vk_err_set(err, VK_USAGE, "usage: viking join TOKEN");
	int rc = vk_invite_parse(argv[1], &j.invite, err);
	if (rc != 0)
		return rc;
	if (!vk_streq(c->store, "sqlite")) {
		if (!vk_fs_exists(answer))
			return not_alone(c, err);
		rc = cluster_file_reread(c, err);
		return rc == 0 ? finish(c, err) : rc;
	}
	rc = join(&j, err);
	explicit_bzero(&j.invite, sizeof(j.invite));
	json_decref(j.answer);
	free(j.request);
	free(j.address);
	return rc;
}

int main(int argc, char **argv)
{
	return cluster_tool_run(argc, argv, run);
}
