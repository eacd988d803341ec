/* Log-in: which key, and may it? Only the call in which libssh has verified a signature logs in. */
#include <poll.h>
#include <viking/str.h>

#include "session.h"

#define ANSWER_MS     15000
#define KEY_TEXT_MAX  8192
#define USER_NAME_MAX 64

/* "ssh-ed25519 AAAA...", or NULL for kinds we do not take. */
static char *key_line(const struct ssh_key_struct *key)
{
	char *text = NULL;
	ssh_key k = (ssh_key)(uintptr_t)key;
	switch (ssh_key_type(k)) {
	case SSH_KEYTYPE_ED25519:
	case SSH_KEYTYPE_SK_ED25519:
	case SSH_KEYTYPE_ECDSA_P256:
	case SSH_KEYTYPE_ECDSA_P384:
	case SSH_KEYTYPE_ECDSA_P521:
	case SSH_KEYTYPE_SK_ECDSA:
	case SSH_KEYTYPE_RSA:
		break;
	default:
		return NULL;
	}
	if (ssh_pki_export_pubkey_base64(k, &text) != SSH_OK)
		return NULL;
	char *line = strlen(text) <= KEY_TEXT_MAX
		? vk_asprintf("%s %s", ssh_key_type_to_char(ssh_key_type(k)), text)
		: NULL;
	ssh_string_free_char(text);
	return line;
}

static void show_banner(struct session *s, const char *text)
{
	vk_autofree char *line = vk_asprintf("%s\r\n", text);
	ssh_string str = ssh_string_from_char(line);
	if (str == NULL)
		return;
	(void)ssh_send_issue_banner(s->ssh, str);
	ssh_string_free(str);
}

/* Waits for the monitor's word; anything else than a plain yes is no. */
static bool await_answer(struct session *s)
{
	struct pollfd p = {.fd = s->monitor, .events = POLLIN};
	struct message m = MESSAGE_INIT(0, 0);
	if (poll(&p, 1, ANSWER_MS) <= 0 || message_recv(s->monitor, FROM_MONITOR, &m, NULL) != 0) {
		s->ended = true;
		return false;
	}
	bool yes = m.kind == MESSAGE_KEY_ANSWER && m.num[0] == 1;
	if (m.kind != MESSAGE_KEY_ANSWER)
		s->ended = true; /* revoked, or out of order */
	else if (m.str[0][0] != '\0')
		show_banner(s, m.str[0]);
	message_release(&m);
	return yes;
}

static bool ask(struct session *s, enum message_kind kind, const char *line, const char *user)
{
	struct message m = MESSAGE_INIT(kind, 0);
	m.str[0] = (char *)(uintptr_t)line;
	m.str[1] = (char *)(uintptr_t)user;
	session_tell(s, &m);
	return !s->ended && await_answer(s);
}

static int refuse(struct session *s, bool signature)
{
	if (signature)
		s->failed++;
	else
		s->probes++;
	if (s->failed >= FAILED_MAX || s->probes >= PROBES_MAX)
		s->ended = true;
	return SSH_AUTH_DENIED;
}

int session_on_key(
	ssh_session ssh, const char *user, struct ssh_key_struct *key, char state, void *arg)
{
	(void)ssh;
	struct session *s = arg;
	s->logged_in = false; /* only the one call below sets it, for this key and user */
	bool verified = state == SSH_PUBLICKEY_STATE_VALID;
	if (s->ended || (!verified && state != SSH_PUBLICKEY_STATE_NONE))
		return refuse(s, true);
	vk_autofree char *line = key_line(key);
	s->tried = true;
	if (line == NULL || user == NULL || strnlen(user, USER_NAME_MAX + 1) > USER_NAME_MAX)
		return refuse(s, verified);
	if (!ask(s, verified ? MESSAGE_KEY_LOGIN : MESSAGE_KEY_QUERY, line, user))
		return refuse(s, verified);
	if (verified) {
		s->logged_in = true;
		s->busy_ms = vk_mono_ms();
	}
	return SSH_AUTH_SUCCESS;
}
