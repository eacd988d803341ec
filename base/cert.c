#include <viking/cert.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "x509.h"

#define DAY_MS INT64_C(86400000)

struct reading {
	STACK_OF(X509) * chain;
	EVP_PKEY *key;
};

static void reading_release(struct reading *r)
{
	sk_X509_pop_free(r->chain, X509_free);
	EVP_PKEY_free(r->key);
	ERR_clear_error();
}

static int take_block(struct reading *r, BIO *in, const char *name, struct vk_err *err)
{
	if (strcmp(name, "CERTIFICATE") == 0) {
		X509 *x = PEM_read_bio_X509(in, NULL, vk_x509_no_passphrase, NULL);
		if (x == NULL)
			return vk_err_set(err, VK_INVALID, "a certificate in it cannot be read");
		sk_X509_push(r->chain, x);
		if (sk_X509_num(r->chain) > VK_CERT_CHAIN_MAX)
			return vk_err_set(
				err, VK_LIMIT, "more than %d certificates", VK_CERT_CHAIN_MAX);
		return 0;
	}
	if (r->key != NULL)
		return vk_err_set(err, VK_INVALID, "it has two private keys");
	r->key = PEM_read_bio_PrivateKey(in, NULL, vk_x509_no_passphrase, NULL);
	if (r->key != NULL)
		return 0;
	vk_err_set(err, VK_INVALID, "the private key cannot be read, or has a passphrase");
	vk_err_hint(err, "openssl pkey -in KEY.pem -out PLAIN.pem");
	return VK_INVALID;
}

/* Each block is handed to OpenSSL by itself, so that nothing between them matters. */
static int read_blocks(const char *text, size_t n, struct reading *r, struct vk_err *err)
{
	static const char begin[] = "-----BEGIN ", end[] = "-----END ";
	const char *stop = text + n;
	for (const char *at; (at = memmem(text, (size_t)(stop - text), begin, strlen(begin)));) {
		const char *name = at + strlen(begin);
		size_t len = strcspn(name, "-\n");
		const char *tail = memmem(name, (size_t)(stop - name), end, strlen(end));
		const char *over = tail != NULL
			? memmem(tail + strlen(end), (size_t)(stop - tail) - strlen(end), "-----",
				  5)
			: NULL;
		if (over == NULL)
			return vk_err_set(err, VK_INVALID, "it ends in the middle");
		vk_autofree char *kind = vk_strndup(name, len < 64 ? len : 64);
		text = over + 5;
		if (strcmp(kind, "CERTIFICATE") != 0 && !vk_ends(kind, "PRIVATE KEY"))
			continue; /* parameters of curves and the like */
		BIO *in = BIO_new_mem_buf(at, (int)(text - at));
		int rc = take_block(r, in, kind, err);
		BIO_free(in);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int check_strength(EVP_PKEY *key, struct vk_err *err)
{
	int type = EVP_PKEY_base_id(key), bits = EVP_PKEY_bits(key);
	if ((type == EVP_PKEY_RSA && bits >= 2048 && bits <= 8192) ||
		(type == EVP_PKEY_EC && bits >= 256) || type == EVP_PKEY_ED25519)
		return 0;
	return vk_err_set(err, VK_INVALID,
		"its key is too weak or of a kind that browsers do not take: RSA of 2048 bits or "
		"more, or EC P-256 and P-384");
}

static int check_fit(const struct reading *r, struct vk_err *err)
{
	int n = sk_X509_num(r->chain);
	if (n == 0 || r->key == NULL) {
		vk_err_set(err, VK_INVALID,
			n == 0 ? "there is no certificate in it" : "there is no private key in it");
		vk_err_hint(err, "cat CHAIN.pem KEY.pem | viking certs:add STACK");
		return VK_INVALID;
	}
	if (X509_check_private_key(sk_X509_value(r->chain, 0), r->key) != 1)
		return vk_err_set(err, VK_INVALID,
			"the private key is not that of the first certificate: the site's own "
			"comes first, then those above it");
	for (int i = 0; i + 1 < n; i++)
		if (X509_check_issued(sk_X509_value(r->chain, i + 1), sk_X509_value(r->chain, i)) !=
			X509_V_OK)
			return vk_err_set(err, VK_INVALID,
				"certificate %d is not signed by certificate %d: each is followed "
				"by "
				"the one above it",
				i + 1, i + 2);
	return check_strength(r->key, err);
}

static int read_dates(X509 *leaf, int64_t now_ms, struct vk_cert *ret, struct vk_err *err)
{
	char when[32];
	ret->not_before_ms = vk_x509_time_ms(X509_get0_notBefore(leaf));
	ret->not_after_ms = vk_x509_time_ms(X509_get0_notAfter(leaf));
	vk_format_time(ret->not_after_ms, when);
	if (ret->not_after_ms <= now_ms)
		return vk_err_set(err, VK_INVALID, "it ended %.10s", when);
	vk_format_time(ret->not_before_ms, when);
	if (ret->not_before_ms > now_ms + DAY_MS)
		return vk_err_set(err, VK_INVALID, "it begins only %.10s", when);
	return 0;
}

static int read_names(X509 *leaf, struct vk_cert *ret, struct vk_err *err)
{
	GENERAL_NAMES *sans = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	ret->names = json_array();
	for (int i = 0; i < sk_GENERAL_NAME_num(sans); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(sans, i);
		char domain[VK_DOMAIN_MAX + 1];
		if (g->type != GEN_DNS)
			continue;
		vk_autofree char *text =
			vk_strndup((const char *)ASN1_STRING_get0_data(g->d.dNSName),
				(size_t)ASN1_STRING_length(g->d.dNSName));
		if (vk_domain(text, true, domain, NULL) == 0)
			json_array_append_new(ret->names, json_string(domain));
	}
	GENERAL_NAMES_free(sans);
	if (json_array_size(ret->names) == 0)
		return vk_err_set(err, VK_INVALID,
			"it names no domain (subjectAltName), which browsers need");
	if (json_array_size(ret->names) > VK_CERT_NAMES_MAX)
		return vk_err_set(
			err, VK_LIMIT, "it names more than %d domains", VK_CERT_NAMES_MAX);
	return 0;
}

static char *issuer_of(X509 *leaf)
{
	char text[200] = "", shown[201];
	X509_NAME_get_text_by_NID(X509_get_issuer_name(leaf), NID_commonName, text, sizeof(text));
	vk_str_printable(text, strlen(text), shown, sizeof(shown));
	return vk_strdup(shown);
}

/* Written anew: what the router hands to HAProxy has our form, without blank lines or texts between. */
static int write_pem(const struct reading *r, struct vk_cert *ret, struct vk_err *err)
{
	BIO *out = BIO_new(BIO_s_mem());
	char *text;
	for (int i = 0; i < sk_X509_num(r->chain); i++)
		PEM_write_bio_X509(out, sk_X509_value(r->chain, i));
	PEM_write_bio_PrivateKey(out, r->key, NULL, NULL, 0, NULL, NULL);
	long n = BIO_get_mem_data(out, &text);
	int rc = 0;
	if (n <= 0 || n > VK_CERT_PEM_MAX)
		rc = vk_err_set(
			err, VK_LIMIT, "chain and key have more than %d bytes", VK_CERT_PEM_MAX);
	else
		ret->pem = vk_strndup(text, (size_t)n);
	BIO_free(out);
	return rc;
}

void vk_cert_release(struct vk_cert *c)
{
	if (c->pem != NULL)
		explicit_bzero(c->pem, strlen(c->pem));
	free(c->pem);
	free(c->issuer);
	json_decref(c->names);
	*c = (struct vk_cert){0};
}

int vk_cert_read(
	const char *text, size_t n, int64_t now_ms, struct vk_cert *ret, struct vk_err *err)
{
	struct reading r = {.chain = sk_X509_new_null()};
	struct vk_cert c = {0};
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	int rc = n <= VK_CERT_INPUT_MAX ? read_blocks(text, n, &r, err)
					: vk_err_set(err, VK_LIMIT, "it has more than 64 KiB");
	if (rc == 0)
		rc = check_fit(&r, err);
	X509 *leaf = rc == 0 ? sk_X509_value(r.chain, 0) : NULL;
	if (rc == 0)
		rc = read_dates(leaf, now_ms, &c, err);
	if (rc == 0)
		rc = read_names(leaf, &c, err);
	if (rc == 0)
		rc = write_pem(&r, &c, err);
	if (rc == 0) {
		c.issuer = issuer_of(leaf);
		*ret = c;
		c = (struct vk_cert){0};
	}
	vk_cert_release(&c);
	reading_release(&r);
	return rc;
}

char *vk_cert_new_key(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	BIO *out = BIO_new(BIO_s_secmem());
	char *text, *pem = NULL;
	if (key != NULL && PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1) {
		long n = BIO_get_mem_data(out, &text);
		pem = vk_strndup(text, (size_t)n);
	}
	BIO_free(out);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return pem;
}

bool vk_cert_covers(const char *name, const char *domain)
{
	if (strcmp(name, domain) == 0)
		return true;
	const char *dot = strchr(domain, '.');
	return vk_starts(name, "*.") && dot != NULL && !vk_starts(domain, "*.") &&
		strcmp(name + 1, dot) == 0;
}
