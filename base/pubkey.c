/*
 * OpenSSH public key lines (sshd(8), AUTHORIZED_KEYS FILE FORMAT, without options), and the blobs in them:
 * RFC 4253 6.6 (rsa), RFC 5656 3.1 (ecdsa), RFC 8709 4 (ed25519), OpenSSH's PROTOCOL.u2f (sk-*).
 */
#include <ctype.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <viking/crypt.h>
#include <viking/str.h>

#include "ec_point.h"

#define LINE_MAX_BYTES  16384
#define RSA_BITS_MIN    2048
#define RSA_BITS_MAX    16384
#define APPLICATION_MAX 255

struct reader {
	const uint8_t *p;
	size_t n;
};

/* A string of SSH: four bytes of length, then that many. */
static bool take_string(struct reader *r, const uint8_t **p, size_t *n)
{
	if (r->n < 4)
		return false;
	size_t len = (size_t)r->p[0] << 24 | (size_t)r->p[1] << 16 | (size_t)r->p[2] << 8 | r->p[3];
	if (len > r->n - 4)
		return false;
	*p = r->p + 4;
	*n = len;
	r->p += 4 + len;
	r->n -= 4 + len;
	return true;
}

static bool take_word(struct reader *r, const char *word)
{
	const uint8_t *p;
	size_t n;
	return take_string(r, &p, &n) && n == strlen(word) && memcmp(p, word, n) == 0;
}

/* A positive mpint in its shortest form; *bits without leading zeros. */
static bool take_positive(struct reader *r, const uint8_t **p, size_t *n, size_t *bits)
{
	if (!take_string(r, p, n) || *n == 0 || ((*p)[0] & 0x80) != 0)
		return false;
	if ((*p)[0] == 0) {
		if (*n == 1 || ((*p)[1] & 0x80) == 0)
			return false; /* zero, or padded for nothing */
		(*p)++;
		(*n)--;
	}
	*bits = 8 * (*n - 1);
	for (unsigned top = (*p)[0]; top != 0; top >>= 1)
		(*bits)++;
	return true;
}

static int damaged(struct vk_err *err, const char *what)
{
	return vk_err_set(err, VK_INVALID, "the key is damaged: %s", what);
}

static int check_rsa(struct reader *r, const char *curve, struct vk_err *err)
{
	const uint8_t *e, *n;
	size_t e_len, n_len, e_bits, n_bits;
	(void)curve;
	if (!take_positive(r, &e, &e_len, &e_bits) || !take_positive(r, &n, &n_len, &n_bits))
		return damaged(err, "its numbers cannot be read");
	if (e_bits < 2 || e_bits > 64 || (e[e_len - 1] & 1) == 0 || (n[n_len - 1] & 1) == 0)
		return damaged(err, "its numbers fit no RSA key");
	if (n_bits < RSA_BITS_MIN) {
		vk_err_set(err, VK_INVALID, "the RSA key has %zu bits, at least %d are needed",
			n_bits, RSA_BITS_MIN);
		vk_err_hint(err, "ssh-keygen -t ed25519");
		return VK_INVALID;
	}
	if (n_bits > RSA_BITS_MAX)
		return vk_err_set(err, VK_INVALID, "the RSA key has %zu bits, at most %d are taken",
			n_bits, RSA_BITS_MAX);
	return 0;
}

static int check_ed25519(struct reader *r, const char *curve, struct vk_err *err)
{
	const uint8_t *p;
	size_t n;
	(void)curve;
	return take_string(r, &p, &n) && n == 32 ? 0 : damaged(err, "it does not have 32 bytes");
}

static int check_ecdsa(struct reader *r, const char *curve, struct vk_err *err)
{
	const uint8_t *p;
	size_t n;
	if (!take_word(r, curve))
		return damaged(err, "its curve is not that of its type");
	if (!take_string(r, &p, &n) || !ec_point_valid(curve, p, n))
		return damaged(err, "its point is not on the curve");
	return 0;
}

static int check_application(struct reader *r, struct vk_err *err)
{
	const uint8_t *p;
	size_t n;
	if (!take_string(r, &p, &n) || n == 0 || n > APPLICATION_MAX)
		return damaged(err, "its application cannot be read");
	for (size_t i = 0; i < n; i++)
		if (p[i] < 0x20 || p[i] > 0x7e)
			return damaged(err, "its application is not plain text");
	return 0;
}

static const struct key_type {
	const char *name, *curve;
	int (*check)(struct reader *r, const char *curve, struct vk_err *err);
	bool application;
} types[] = {
	{"ssh-ed25519", NULL, check_ed25519, false},
	{"ecdsa-sha2-nistp256", "nistp256", check_ecdsa, false},
	{"ecdsa-sha2-nistp384", "nistp384", check_ecdsa, false},
	{"ecdsa-sha2-nistp521", "nistp521", check_ecdsa, false},
	{"ssh-rsa", NULL, check_rsa, false},
	{"sk-ssh-ed25519@openssh.com", NULL, check_ed25519, true},
	{"sk-ecdsa-sha2-nistp256@openssh.com", "nistp256", check_ecdsa, true},
};

static const struct key_type *find_type(const char *word, size_t n)
{
	for (size_t i = 0; i < VK_COUNT(types); i++)
		if (strlen(types[i].name) == n && memcmp(types[i].name, word, n) == 0)
			return &types[i];
	return NULL;
}

static int check_blob(const struct key_type *t, const struct vk_buf *blob, struct vk_err *err)
{
	struct reader r = {(const uint8_t *)blob->data, blob->len};
	if (!take_word(&r, t->name))
		return damaged(err, "its inside is of another type");
	int rc = t->check(&r, t->curve, err);
	if (rc == 0 && t->application)
		rc = check_application(&r, err);
	if (rc == 0 && r.n != 0)
		rc = damaged(err, "it has bytes behind its end");
	return rc;
}

/* What people paste by mistake, and what to say. */
static int not_a_type(const char *line, size_t n, struct vk_err *err)
{
	static const struct {
		const char *begins, *is;
	} mistakes[] = {
		{"-----BEGIN ",
			"this is a private key: keep it, and send the file that ends in .pub"},
		{"---- BEGIN SSH2",
			"this form of public key is not taken: ssh-keygen -i -f FILE converts it"},
		{"ssh-dss", "DSA keys are not taken: ssh-keygen -t ed25519 makes a good one"},
		{"PuTTY-User-Key",
			"this is a private key: send the public key for OpenSSH that puttygen "
			"shows"},
	};
	vk_autofree char *text = vk_strndup(line, n);
	for (size_t i = 0; i < VK_COUNT(mistakes); i++)
		if (vk_starts(text, mistakes[i].begins))
			return vk_err_set(err, VK_INVALID, "%s", mistakes[i].is);
	text[strcspn(text, " \t")] = '\0';
	if (strstr(text, "-cert-v0") != NULL)
		return vk_err_set(
			err, VK_INVALID, "certificates are not taken, send the plain key");
	if (strpbrk(text, "=\"") != NULL || vk_starts(text, "no-") || vk_streq(text, "restrict"))
		return vk_err_set(
			err, VK_INVALID, "a key with options is not taken, send type and key only");
	return vk_err_set(err, VK_INVALID,
		"not a public key: a line like \"ssh-ed25519 AAAA... name\" "
		"is wanted");
}

/* The line without the line end it may bring; nothing in it may be a control byte. */
static int clean_line(const char *line, size_t *n, struct vk_err *err)
{
	while (*n > 0 && strchr("\r\n", line[*n - 1]) != NULL && line[*n - 1] != '\0')
		(*n)--;
	if (*n == 0)
		return vk_err_set(err, VK_INVALID, "the key is missing");
	if (*n > LINE_MAX_BYTES)
		return vk_err_set(err, VK_LIMIT, "the key line is over the limit of %d bytes",
			LINE_MAX_BYTES);
	for (size_t i = 0; i < *n; i++) {
		if (line[i] == '\n' && memcmp(line, "-----BEGIN ", 11 < *n ? 11 : *n) != 0 &&
			memcmp(line, "---- BEGIN", 10 < *n ? 10 : *n) != 0)
			return vk_err_set(err, VK_INVALID, "more than one line: one key at a time");
		if (iscntrl((unsigned char)line[i]) && line[i] != '\t' && line[i] != '\n' &&
			line[i] != '\r')
			return vk_err_set(
				err, VK_INVALID, "not a public key: it has control bytes");
	}
	return 0;
}

static size_t word_end(const char *line, size_t n, size_t from)
{
	while (from < n && line[from] != ' ' && line[from] != '\t')
		from++;
	return from;
}

static size_t blank_end(const char *line, size_t n, size_t from)
{
	while (from < n && (line[from] == ' ' || line[from] == '\t'))
		from++;
	return from;
}

static void fingerprint(const struct vk_buf *blob, char ret_fp[static 64])
{
	uint8_t digest[crypto_hash_sha256_BYTES];
	char text[sodium_base64_ENCODED_LEN(
		sizeof(digest), sodium_base64_VARIANT_ORIGINAL_NO_PADDING)];
	crypto_hash_sha256(digest, (const uint8_t *)blob->data, blob->len);
	sodium_bin2base64(text, sizeof(text), digest, sizeof(digest),
		sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	snprintf(ret_fp, 64, "SHA256:%s", text);
}

static char *comment_of(const char *line, size_t n)
{
	while (n > 0 && (line[n - 1] == ' ' || line[n - 1] == '\t'))
		n--;
	char *comment = vk_alloc(n + 1);
	vk_str_printable(line, n, comment, n + 1);
	return comment;
}

int vk_pubkey_parse(const char *line, size_t n, char **ret_line, char ret_fp[static 64],
	char **ret_comment, struct vk_err *err)
{
	vk_autobuf blob = VK_BUF_INIT(LINE_MAX_BYTES);
	int rc = clean_line(line, &n, err);
	if (rc != 0)
		return rc;
	size_t type_end = word_end(line, n, 0);
	const struct key_type *t = find_type(line, type_end);
	if (t == NULL)
		return not_a_type(line, n, err);
	size_t key = blank_end(line, n, type_end), key_end = word_end(line, n, key);
	if (key == key_end || vk_unbase64(line + key, key_end - key, &blob, NULL) != 0)
		return damaged(err, "it is not base64, or not all of it is here");
	rc = check_blob(t, &blob, err);
	if (rc != 0)
		return rc;
	fingerprint(&blob, ret_fp);
	size_t comment = blank_end(line, n, key_end);
	if (ret_line != NULL)
		*ret_line = vk_asprintf("%s %.*s", t->name, (int)(key_end - key), line + key);
	if (ret_comment != NULL)
		*ret_comment = comment_of(line + comment, n - comment);
	return 0;
}
