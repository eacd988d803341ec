/* Secrets at rest (libsodium secretbox with a key file) and digests. */
#ifndef VIKING_CRYPT_H
#define VIKING_CRYPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <viking/err.h>
#include <viking/mem.h>

struct vk_secret_key {
	uint8_t k[32];
};
/* Reads the 32-byte key file (mode 0600) or, when create, makes it first. */
int vk_secret_key_load(
	const char *path, bool create, struct vk_secret_key *ret, struct vk_err *err);
/* text "sb1:<base64 of nonce and box>"; the caller frees. */
char *vk_seal(const struct vk_secret_key *k, const char *plain, size_t n);
int vk_unseal(const struct vk_secret_key *k, const char *sealed, struct vk_buf *plain,
	struct vk_err *err);
void vk_sha256_hex(const void *p, size_t n, char out[static 65]);
struct vk_sha256;
struct vk_sha256 *vk_sha256_new(void);
void vk_sha256_add(struct vk_sha256 *h, const void *p, size_t n);
void vk_sha256_end(struct vk_sha256 *h, char out[static 65]); /* frees h */
bool vk_ct_equal(const char *a, const char *b);               /* constant time for equal lengths */
char *vk_base64(const void *p, size_t n);                     /* standard alphabet, padded */
char *vk_base64url(const void *p, size_t n); /* url alphabet, padded (X-Registry-Auth) */
int vk_unbase64(const char *s, size_t n, struct vk_buf *out, struct vk_err *err);
/* One OpenSSH public key line: exactly "type base64 [comment]", no options, no newline inside.
 * Accepts ed25519, ecdsa nistp256/384/521, rsa >= 2048, sk-ssh-ed25519, sk-ecdsa. ret_fp:
 * "SHA256:..." as ssh-keygen -lf prints. ret_line: "type base64" (normal form). */
int vk_pubkey_parse(const char *line, size_t n, char **ret_line, char ret_fp[static 64],
	char **ret_comment, struct vk_err *err);

#endif
