#include <viking/crypt.h>

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/id.h>
#include <viking/str.h>

#define SEAL_PREFIX "sb1:" /* secretbox, first form */

_Static_assert(sizeof(struct vk_secret_key) == crypto_secretbox_KEYBYTES, "key size");

static void ready(void)
{
	if (sodium_init() < 0)
		abort(); /* no source of randomness: nothing below could be trusted */
}

/* Written aside and linked into place, so that of two that make it at once both use the same one. */
static int make_key(const char *path, struct vk_err *err)
{
	struct vk_secret_key k;
	char nonce[17];
	ready();
	randombytes_buf(k.k, sizeof(k.k));
	vk_random_hex(8, nonce);
	vk_autofree char *temp = vk_asprintf("%s.%s", path, nonce);
	int rc = vk_fs_write_atomic(temp, k.k, sizeof(k.k), 0600, err);
	sodium_memzero(&k, sizeof(k));
	if (rc == 0 && link(temp, path) != 0 && errno != EEXIST)
		rc = vk_err_errno(err, errno, "%s", path);
	unlink(temp);
	return rc;
}

static int check_key_file(int fd, const char *path, struct vk_err *err)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return vk_err_errno(err, errno, "%s", path);
	if (!S_ISREG(st.st_mode) || st.st_size != sizeof(struct vk_secret_key))
		return vk_err_set(err, VK_INVALID, "%s: not a key file (%zu bytes)", path,
			sizeof(struct vk_secret_key));
	if ((st.st_mode & 077) != 0) {
		vk_err_set(err, VK_DENIED, "%s: others may read or write the key", path);
		vk_err_hint(err, "chmod 600 %s", path);
		return VK_DENIED;
	}
	return 0;
}

int vk_secret_key_load(const char *path, bool create, struct vk_secret_key *ret, struct vk_err *err)
{
	vk_autoclose int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && create) {
		int rc = make_key(path, err);
		if (rc != 0)
			return rc;
		fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	}
	if (fd < 0)
		return vk_err_errno(err, errno, "%s", path);
	int rc = check_key_file(fd, path, err);
	if (rc != 0)
		return rc;
	struct vk_secret_key k;
	if (read(fd, k.k, sizeof(k.k)) != (ssize_t)sizeof(k.k))
		return vk_err_set(err, VK_INVALID, "%s: cannot be read as a whole", path);
	*ret = k;
	sodium_memzero(&k, sizeof(k));
	return 0;
}

char *vk_seal(const struct vk_secret_key *k, const char *plain, size_t n)
{
	ready();
	size_t size = crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES + n;
	vk_autofree uint8_t *box = vk_alloc(size);
	randombytes_buf(box, crypto_secretbox_NONCEBYTES);
	crypto_secretbox_easy(
		box + crypto_secretbox_NONCEBYTES, (const uint8_t *)plain, n, box, k->k);
	vk_autofree char *text = vk_base64(box, size);
	return vk_asprintf(SEAL_PREFIX "%s", text);
}

int vk_unseal(
	const struct vk_secret_key *k, const char *sealed, struct vk_buf *plain, struct vk_err *err)
{
	const size_t overhead = crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES;
	size_t len = strlen(sealed);
	vk_autobuf raw = VK_BUF_INIT(len + 1);
	if (!vk_starts(sealed, SEAL_PREFIX) ||
		vk_unbase64(sealed + strlen(SEAL_PREFIX), len - strlen(SEAL_PREFIX), &raw, NULL) !=
			0 ||
		raw.len < overhead)
		return vk_err_set(err, VK_INVALID, "not a sealed value");
	const uint8_t *nonce = (const uint8_t *)raw.data;
	size_t n = raw.len - overhead;
	vk_autofree uint8_t *text = vk_alloc(n);
	ready();
	if (crypto_secretbox_open_easy(text, nonce + crypto_secretbox_NONCEBYTES,
		    raw.len - crypto_secretbox_NONCEBYTES, nonce, k->k) != 0)
		return vk_err_set(err, VK_INVALID,
			"a sealed value is damaged or was sealed with another key");
	int rc = vk_buf_add(plain, text, n);
	sodium_memzero(text, n);
	return rc == 0
		? 0
		: vk_err_set(err, VK_LIMIT, "the value is over the limit of %zu bytes", plain->max);
}

static void to_hex(const uint8_t *p, size_t n, char *out)
{
	sodium_bin2hex(out, 2 * n + 1, p, n);
}

void vk_sha256_hex(const void *p, size_t n, char out[static 65])
{
	uint8_t digest[crypto_hash_sha256_BYTES];
	crypto_hash_sha256(digest, p, n);
	to_hex(digest, sizeof(digest), out);
}

struct vk_sha256 {
	crypto_hash_sha256_state state;
};

struct vk_sha256 *vk_sha256_new(void)
{
	struct vk_sha256 *h = vk_alloc(sizeof(*h));
	crypto_hash_sha256_init(&h->state);
	return h;
}

void vk_sha256_add(struct vk_sha256 *h, const void *p, size_t n)
{
	crypto_hash_sha256_update(&h->state, p, n);
}

void vk_sha256_end(struct vk_sha256 *h, char out[static 65])
{
	uint8_t digest[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_final(&h->state, digest);
	to_hex(digest, sizeof(digest), out);
	free(h);
}

bool vk_ct_equal(const char *a, const char *b)
{
	size_t n = strlen(a);
	return n == strlen(b) && sodium_memcmp(a, b, n) == 0;
}

static char *encode(const void *p, size_t n, int variant)
{
	size_t size = sodium_base64_encoded_len(n, variant);
	char *text = vk_alloc(size);
	sodium_bin2base64(text, size, p, n, variant);
	return text;
}

char *vk_base64(const void *p, size_t n)
{
	return encode(p, n, sodium_base64_VARIANT_ORIGINAL);
}

char *vk_base64url(const void *p, size_t n)
{
	return encode(p, n, sodium_base64_VARIANT_URLSAFE);
}

int vk_unbase64(const char *s, size_t n, struct vk_buf *out, struct vk_err *err)
{
	size_t size = n / 4 * 3 + 3, len = 0;
	const char *end = NULL;
	vk_autofree uint8_t *raw = vk_alloc(size);
	if (sodium_base642bin(raw, size, s, n, NULL, &len, &end, sodium_base64_VARIANT_ORIGINAL) !=
			0 ||
		end != s + n)
		return vk_err_set(err, VK_INVALID, "not base64");
	if (vk_buf_add(out, raw, len) != 0)
		return vk_err_set(err, VK_LIMIT, "over the limit of %zu bytes", out->max);
	return 0;
}
