#include "hostkeys.h"

#include <errno.h>
#include <libssh/libssh.h>
#include <libssh/server.h>
#include <sys/stat.h>
#include <viking/fs.h>
#include <viking/log.h>

#define KEY_FILE_MAX 16384
#define RSA_BITS     3072
#define REKEY_BYTES  ((uint64_t)1 << 30)

struct hostkeys {
	ssh_bind bind; /* owns the keys */
};

/* SECURITY.md 5c. */
static const char key_exchanges[] =
	"curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,"
	"diffie-hellman-group16-sha512";
static const char ciphers[] =
	"chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes128-gcm@openssh.com,aes256-ctr";
static const char macs[] = "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com";
static const char host_algorithms[] = "ssh-ed25519,rsa-sha2-512,rsa-sha2-256";
static const char client_keys[] =
	"ssh-ed25519,sk-ssh-ed25519@openssh.com,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,"
	"ecdsa-sha2-nistp521,sk-ecdsa-sha2-nistp256@openssh.com,rsa-sha2-512,rsa-sha2-256";

static int set_options(ssh_bind b, struct vk_err *err)
{
	const int rsa_min = 2048;
	const bool config = false;
	const struct {
		enum ssh_bind_options_e type;
		const void *value;
	} options[] = {
		{SSH_BIND_OPTIONS_PROCESS_CONFIG, &config},
		{SSH_BIND_OPTIONS_KEY_EXCHANGE, key_exchanges},
		{SSH_BIND_OPTIONS_CIPHERS_C_S, ciphers},
		{SSH_BIND_OPTIONS_CIPHERS_S_C, ciphers},
		{SSH_BIND_OPTIONS_HMAC_C_S, macs},
		{SSH_BIND_OPTIONS_HMAC_S_C, macs},
		{SSH_BIND_OPTIONS_HOSTKEY_ALGORITHMS, host_algorithms},
		{SSH_BIND_OPTIONS_PUBKEY_ACCEPTED_KEY_TYPES, client_keys},
		{SSH_BIND_OPTIONS_RSA_MIN_SIZE, &rsa_min},
	};
	for (size_t i = 0; i < VK_COUNT(options); i++)
		if (ssh_bind_options_set(b, options[i].type, options[i].value) != 0)
			return vk_err_set(
				err, VK_INTERNAL, "libssh refuses a setting: %s", ssh_get_error(b));
	return 0;
}

static int make_key(const char *path, enum ssh_keytypes_e type, int bits, struct vk_err *err)
{
	ssh_key key = NULL;
	char *text = NULL;
	if (ssh_pki_generate(type, bits, &key) != SSH_OK)
		return vk_err_set(err, VK_INTERNAL, "cannot make the host key %s", path);
	int rc = ssh_pki_export_privkey_base64(key, NULL, NULL, NULL, &text);
	ssh_key_free(key);
	if (rc != SSH_OK)
		return vk_err_set(err, VK_INTERNAL, "cannot write the host key %s", path);
	rc = vk_fs_write_atomic(path, text, strlen(text), 0600, err);
	explicit_bzero(text, strlen(text));
	ssh_string_free_char(text);
	if (rc == 0)
		vk_log(VK_INFO, "host-key-made", "file=%s", path);
	return rc;
}

static int read_key(const char *path, ssh_key *ret, struct vk_err *err)
{
	vk_autobuf text = VK_BUF_INIT(KEY_FILE_MAX);
	struct stat st;
	if (stat(path, &st) == 0 && (st.st_mode & 077) != 0)
		return vk_err_set(err, VK_DENIED, "%s can be read by others (mode %03o)", path,
			(unsigned)(st.st_mode & 0777));
	int rc = vk_fs_read(path, &text, err);
	if (rc != 0)
		return rc;
	rc = ssh_pki_import_privkey_base64(vk_buf_str(&text), NULL, NULL, NULL, ret);
	explicit_bzero(text.data, text.len);
	if (rc != SSH_OK) {
		vk_err_set(err, VK_INVALID, "%s is no host key that can be read", path);
		return vk_err_hint(
			err, "put the file back from a backup; a new key locks clients out");
	}
	return 0;
}

static void log_fingerprint(ssh_key key)
{
	unsigned char *hash = NULL;
	size_t n = 0;
	if (ssh_get_publickey_hash(key, SSH_PUBLICKEY_HASH_SHA256, &hash, &n) != 0)
		return;
	char *text = ssh_get_fingerprint_hash(SSH_PUBLICKEY_HASH_SHA256, hash, n);
	vk_log(VK_INFO, "host-key", "type=%s fingerprint=%s",
		ssh_key_type_to_char(ssh_key_type(key)), text != NULL ? text : "?");
	ssh_string_free_char(text);
	ssh_clean_pubkey_hash(&hash);
}

static int load_key(
	ssh_bind b, const char *path, enum ssh_keytypes_e type, int bits, struct vk_err *err)
{
	ssh_key key = NULL;
	int rc = vk_fs_exists(path) ? 0 : make_key(path, type, bits, err);
	if (rc == 0)
		rc = read_key(path, &key, err);
	if (rc != 0)
		return rc;
	log_fingerprint(key);
	if (ssh_bind_options_set(b, SSH_BIND_OPTIONS_IMPORT_KEY, key) != 0) { /* takes it over */
		ssh_key_free(key);
		return vk_err_set(err, VK_INTERNAL, "%s: %s", path, ssh_get_error(b));
	}
	return 0;
}

int hostkeys_load(const struct vk_config *c, struct hostkeys **ret, struct vk_err *err)
{
	vk_autofree char *dir = vk_state_path(c, "ssh");
	vk_autofree char *ed25519 = vk_state_path(c, "ssh/host_ed25519");
	vk_autofree char *rsa = vk_state_path(c, "ssh/host_rsa");
	if (ssh_init() != SSH_OK)
		return vk_err_set(err, VK_INTERNAL, "libssh does not start");
	ssh_set_log_level(SSH_LOG_NOLOG); /* what a stranger sends must not reach a log line */
	struct hostkeys *k = vk_alloc(sizeof(*k));
	k->bind = ssh_bind_new();
	int rc = k->bind != NULL ? 0 : vk_err_set(err, VK_INTERNAL, "libssh does not start");
	if (rc == 0)
		rc = set_options(k->bind, err);
	if (rc == 0)
		rc = vk_fs_mkdir_p(dir, 0700, err);
	if (rc == 0)
		rc = load_key(k->bind, ed25519, SSH_KEYTYPE_ED25519, 0, err);
	if (rc == 0)
		rc = load_key(k->bind, rsa, SSH_KEYTYPE_RSA, RSA_BITS, err);
	if (rc != 0)
		hostkeys_free(k);
	else
		*ret = k;
	return rc;
}

void hostkeys_free(struct hostkeys *k)
{
	if (k == NULL)
		return;
	if (k->bind != NULL)
		ssh_bind_free(k->bind);
	free(k);
}

int hostkeys_accept(struct hostkeys *k, int fd, ssh_session *ret, struct vk_err *err)
{
	const uint64_t rekey = REKEY_BYTES;
	ssh_session s = ssh_new();
	if (s == NULL) {
		close(fd);
		return vk_err_set(err, VK_INTERNAL, "libssh makes no session");
	}
	if (ssh_bind_accept_fd(k->bind, s, fd) != SSH_OK) {
		vk_err_set(err, VK_INTERNAL, "libssh: %s", ssh_get_error(k->bind));
		ssh_free(s);
		return err != NULL ? err->code : VK_INTERNAL;
	}
	/* packs are compressed already: zlib makes a push ten times slower */
	ssh_options_set(s, SSH_OPTIONS_COMPRESSION, "no");
	ssh_options_set(s, SSH_OPTIONS_REKEY_DATA, &rekey);
	ssh_set_auth_methods(s, SSH_AUTH_METHOD_PUBLICKEY);
	ssh_set_blocking(s, 0);
	*ret = s;
	return 0;
}
