/* Who is it, and may they? */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <viking/json.h>
#include <viking/log.h>
#include <viking/str.h>

#include "monitor.h"

#define LISTENER_MS 5000

static void answer(struct monitor *m, bool yes, const char *line)
{
	struct message a = MESSAGE_INIT(MESSAGE_KEY_ANSWER, 0);
	a.num[0] = yes;
	a.str[0] = (char *)(uintptr_t)line;
	monitor_tell(m, &a);
}

/* A stranger learns only "no"; one thing the person at a good key must know is that we are not up. */
static const char *line_for(const struct vk_err *err)
{
	if (err->code == VK_DENIED || err->code == VK_INVALID || err->code == VK_NOTFOUND)
		return "";
	return "viking does not answer at the moment, please try again";
}

void monitor_on_query(struct monitor *m, const struct message *q)
{
	struct vk_err err = {0};
	const struct vk_api_opts o = {.socket = m->api, .role = "receiver"};
	vk_autojson *body = json_pack("{s:s}", "key", q->str[0]);
	int rc = body == NULL ? VK_INVALID
			      : vk_api_call(&o, "POST", "/v1/internal/keycheck", body, NULL, &err);
	if (rc != 0 && rc != VK_DENIED)
		vk_log_err(VK_WARN, "keycheck", &err);
	answer(m, rc == 0, rc != 0 ? line_for(&err) : "");
}

/* The listener counts the sessions of a key over all connections. */
static bool listener_agrees(const struct monitor *m, const char *fingerprint)
{
	char note[128], reply = 'n';
	int n = snprintf(note, sizeof(note), "%c%s", NOTE_LOGIN, fingerprint);
	if (n < 0 || n >= (int)sizeof(note) ||
		send(m->listener, note, (size_t)n, MSG_NOSIGNAL) != n)
		return false;
	struct pollfd p = {.fd = m->listener, .events = POLLIN};
	while (poll(&p, 1, LISTENER_MS) < 0 && errno == EINTR)
		;
	return recv(m->listener, &reply, 1, MSG_DONTWAIT) == 1 && reply == 'y';
}

static void on_revoked(void *arg, const char *why)
{
	struct monitor *m = arg;
	struct message r = MESSAGE_INIT(MESSAGE_REVOKED, 0);
	vk_log(VK_INFO, "key-revoked", "key=%s why=\"%s\"", keyhold_name(m->key), why);
	r.str[0] = (char *)(uintptr_t)why;
	monitor_tell(m, &r);
	if (!m->ending)
		monitor_end(m);
}

void monitor_on_login(struct monitor *m, const struct message *q)
{
	struct vk_err err = {0};
	int rc = keyhold_new(m->loop, m->api, q->str[0], m->addr, on_revoked, m, &m->key, &err);
	if (rc != 0) {
		if (rc != VK_DENIED)
			vk_log_err(VK_WARN, "login", &err);
		answer(m, false, line_for(&err));
		return;
	}
	if (!listener_agrees(m, keyhold_fingerprint(m->key))) {
		vk_log(VK_WARN, "login-refused", "key=%s why=\"too many sessions\"",
			keyhold_name(m->key));
		keyhold_free(m->key);
		m->key = NULL;
		answer(m, false, "this key has too many connections open");
		return;
	}
	vk_log(VK_INFO, "login", "key=%s fingerprint=%s role=%s from=\"%s\"", keyhold_name(m->key),
		keyhold_fingerprint(m->key), keyhold_role(m->key), m->addr);
	answer(m, true, "");
}
