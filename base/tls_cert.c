/* Keys, requests and certificates of viking's own CA. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <string.h>
#include <viking/crypt.h>
#include <viking/id.h>
#include <viking/mem.h>

#include "x509.h"

#define BACK_MS \
	INT64_C(172800000) /* valid so long before now: hosts' clocks may be two days apart */
#define SERIAL_BITS 127
#define SAN_MAX     1024

int vk_x509_error(struct vk_err *err, int code, const char *text)
{
	const char *why = ERR_reason_error_string(ERR_peek_last_error());
	ERR_clear_error();
	return vk_err_set(
		err, code, "%s%s%s", text, why != NULL ? ": " : "", why != NULL ? why : "");
}

/* ---- texts ---- */

static BIO *open_text(const char *pem)
{
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	size_t n = strnlen(pem, VK_TLS_PEM_MAX + 1);
	return BIO_new_mem_buf(pem, n <= VK_TLS_PEM_MAX ? (int)n : 0);
}

int vk_x509_no_passphrase(char *buf, int size, int writing, void *arg)
{
	(void)buf, (void)size, (void)writing, (void)arg;
	return -1;
}

int vk_x509_read(const char *pem, const char *what, X509 **ret, struct vk_err *err)
{
	BIO *in = open_text(pem);
	X509 *x = PEM_read_bio_X509(in, NULL, vk_x509_no_passphrase, NULL);
	BIO_free(in);
	if (x == NULL)
		return vk_x509_error(err, VK_INVALID, what);
	*ret = x;
	return 0;
}

int vk_x509_key_read(const char *pem, const char *what, EVP_PKEY **ret, struct vk_err *err)
{
	BIO *in = open_text(pem);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, vk_x509_no_passphrase, NULL);
	BIO_free(in);
	if (key == NULL)
		return vk_x509_error(err, VK_INVALID, what);
	*ret = key;
	return 0;
}

/* The caller's copy; what OpenSSL wrote it into is wiped. */
static char *close_text(BIO *out)
{
	char *text;
	long n = BIO_get_mem_data(out, &text);
	char *copy = vk_strndup(text, n > 0 ? (size_t)n : 0);
	if (n > 0)
		explicit_bzero(text, (size_t)n);
	BIO_free(out);
	return copy;
}

static char *cert_text(X509 *x)
{
	BIO *out = BIO_new(BIO_s_mem());
	PEM_write_bio_X509(out, x);
	return close_text(out);
}

static char *key_text(EVP_PKEY *key)
{
	BIO *out = BIO_new(BIO_s_mem());
	PEM_write_bio_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
	return close_text(out);
}

/* ---- making ---- */

static EVP_PKEY *key_new(struct vk_err *err)
{
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	EVP_PKEY *key = EVP_EC_gen("P-256");
	if (key == NULL)
		vk_x509_error(err, VK_INTERNAL, "a key cannot be made");
	return key;
}

int vk_tls_key_new(char **ret_key, struct vk_err *err)
{
	EVP_PKEY *key = key_new(err);
	if (key == NULL)
		return VK_INTERNAL;
	*ret_key = key_text(key);
	EVP_PKEY_free(key);
	return 0;
}

int vk_tls_request(const char *key, char **ret_request, struct vk_err *err)
{
	EVP_PKEY *k = NULL;
	int rc = vk_x509_key_read(key, "the host's key cannot be read", &k, err);
	if (rc != 0)
		return rc;
	X509_REQ *q = X509_REQ_new();
	if (X509_REQ_set_pubkey(q, k) == 1 && X509_REQ_sign(q, k, EVP_sha256()) > 0) {
		BIO *out = BIO_new(BIO_s_mem());
		PEM_write_bio_X509_REQ(out, q);
		*ret_request = close_text(out);
	} else {
		rc = vk_x509_error(err, VK_INTERNAL, "a request cannot be signed");
	}
	X509_REQ_free(q);
	EVP_PKEY_free(k);
	return rc;
}

static bool add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	bool ok = e != NULL && X509_add_ext(x, e, -1) == 1;
	X509_EXTENSION_free(e);
	return ok;
}

/* 127 random bits: no two certificates have one number, without a register of them. */
static bool set_serial(X509 *x)
{
	BIGNUM *n = BN_new();
	bool ok = BN_rand(n, SERIAL_BITS, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
		BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) != NULL;
	BN_free(n);
	return ok;
}

/* Version 3, a number, a life, a name and a key; no extensions and no signature yet. */
static X509 *blank(const char *name, EVP_PKEY *key, int64_t from_ms, int64_t until_ms)
{
	X509 *x = X509_new();
	X509_NAME *n = X509_get_subject_name(x);
	bool ok = X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x) &&
		ASN1_TIME_set(X509_getm_notBefore(x), from_ms / 1000) != NULL &&
		ASN1_TIME_set(X509_getm_notAfter(x), until_ms / 1000) != NULL &&
		X509_NAME_add_entry_by_txt(
			n, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0) == 1 &&
		X509_set_pubkey(x, key) == 1;
	if (ok)
		return x;
	X509_free(x);
	return NULL;
}

int vk_tls_ca_new(
	const char *name, int64_t now_ms, char **ret_cert, char **ret_key, struct vk_err *err)
{
	EVP_PKEY *key = key_new(err);
	if (key == NULL)
		return VK_INTERNAL;
	X509 *x = blank(name, key, now_ms - BACK_MS, now_ms + VK_TLS_CA_MS);
	bool ok = x != NULL && X509_set_issuer_name(x, X509_get_subject_name(x)) == 1 &&
		add_extension(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
		add_extension(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") &&
		add_extension(x, x, NID_subject_key_identifier, "hash") &&
		X509_sign(x, key, EVP_sha256()) > 0;
	if (ok) {
		*ret_cert = cert_text(x);
		*ret_key = key_text(key);
	}
	X509_free(x);
	EVP_PKEY_free(key);
	return ok ? 0 : vk_x509_error(err, VK_INTERNAL, "the CA's certificate cannot be made");
}

/* ---- signing ---- */

/* The key that a request asks a certificate for, after its proof that the sender has the other half. */
static int requested_key(const char *request, EVP_PKEY **ret, struct vk_err *err)
{
	BIO *in = open_text(request);
	X509_REQ *q = PEM_read_bio_X509_REQ(in, NULL, vk_x509_no_passphrase, NULL);
	BIO_free(in);
	if (q == NULL)
		return vk_x509_error(err, VK_INVALID, "not a request for a certificate");
	EVP_PKEY *key = X509_REQ_get_pubkey(q);
	char curve[32] = "";
	int rc = 0;
	if (key == NULL || X509_REQ_verify(q, key) != 1)
		rc = vk_x509_error(err, VK_INVALID, "the request is not signed by its own key");
	else if (EVP_PKEY_get_group_name(key, curve, sizeof(curve), NULL) != 1 ||
		strcmp(curve, SN_X9_62_prime256v1) != 0)
		rc = vk_x509_error(err, VK_INVALID, "the request's key is not EC P-256");
	X509_REQ_free(q);
	if (rc == 0)
		*ret = key;
	else
		EVP_PKEY_free(key);
	return rc;
}

static int subject_names(const struct vk_tls_signing *o, struct vk_buf *out, struct vk_err *err)
{
	if (!vk_is_host(o->host))
		return vk_err_set(err, VK_INVALID, "%.80s is not a host's name", o->host);
	int rc = vk_buf_addf(out, "DNS:%s", o->host);
	for (size_t i = 0; o->addresses != NULL && o->addresses[i] != NULL; i++) {
		ASN1_OCTET_STRING *ip = a2i_IPADDRESS(o->addresses[i]);
		ASN1_OCTET_STRING_free(ip);
		if (ip == NULL || i >= VK_TLS_ADDRESSES_MAX)
			return vk_err_set(err, VK_INVALID,
				"%.80s is not an IP address, or one too many", o->addresses[i]);
		rc |= vk_buf_addf(out, ",IP:%s", o->addresses[i]);
	}
	return rc == 0 ? 0 : vk_err_set(err, VK_LIMIT, "%s has too many addresses", o->host);
}

static X509 *host_cert(const struct vk_tls_signing *o, const char *names, EVP_PKEY *key, X509 *ca,
	EVP_PKEY *ca_key)
{
	int64_t life = o->valid_ms != 0 ? o->valid_ms : VK_TLS_HOST_MS;
	X509 *x = blank(o->host, key, o->now_ms - BACK_MS, o->now_ms + life);
	if (x != NULL && X509_set_issuer_name(x, X509_get_subject_name(ca)) == 1 &&
		add_extension(x, ca, NID_basic_constraints, "critical,CA:FALSE") &&
		add_extension(x, ca, NID_key_usage, "critical,digitalSignature") &&
		add_extension(x, ca, NID_ext_key_usage, "serverAuth,clientAuth") &&
		add_extension(x, ca, NID_authority_key_identifier, "keyid:always") &&
		add_extension(x, ca, NID_subject_key_identifier, "hash") &&
		add_extension(x, ca, NID_subject_alt_name, names) &&
		X509_sign(x, ca_key, EVP_sha256()) > 0)
		return x;
	X509_free(x);
	return NULL;
}

int vk_tls_sign(
	const struct vk_tls_signing *o, const char *request, char **ret_cert, struct vk_err *err)
{
	vk_autobuf names = VK_BUF_INIT(SAN_MAX);
	EVP_PKEY *key = NULL, *ca_key = NULL;
	X509 *ca = NULL;
	int rc = subject_names(o, &names, err);
	if (rc == 0)
		rc = requested_key(request, &key, err);
	if (rc == 0)
		rc = vk_x509_read(o->ca_cert, "the CA's certificate cannot be read", &ca, err);
	if (rc == 0)
		rc = vk_x509_key_read(o->ca_key, "the CA's key cannot be read", &ca_key, err);
	if (rc == 0 && X509_check_private_key(ca, ca_key) != 1)
		rc = vk_x509_error(err, VK_INVALID, "the CA's key and certificate are not a pair");
	X509 *x = rc == 0 ? host_cert(o, vk_buf_str(&names), key, ca, ca_key) : NULL;
	if (x != NULL)
		*ret_cert = cert_text(x);
	else if (rc == 0)
		rc = vk_x509_error(err, VK_INTERNAL, "the certificate cannot be made");
	X509_free(x);
	X509_free(ca);
	EVP_PKEY_free(key);
	EVP_PKEY_free(ca_key);
	return rc;
}

/* ---- reading ---- */

int64_t vk_x509_time_ms(const ASN1_TIME *t)
{
	struct tm tm;
	return t != NULL && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) * 1000 : 0;
}

static void first_host(X509 *cert, char out[static VK_TLS_HOST_MAX + 1])
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
		if (g->type != GEN_DNS)
			continue;
		vk_autofree char *text =
			vk_strndup((const char *)ASN1_STRING_get0_data(g->d.dNSName),
				(size_t)ASN1_STRING_length(g->d.dNSName));
		if (vk_is_host(text))
			memcpy(out, text, strlen(text) + 1);
		break;
	}
	GENERAL_NAMES_free(names);
}

void vk_x509_describe(X509 *cert, struct vk_tls_info *ret)
{
	*ret = (struct vk_tls_info){.from_ms = vk_x509_time_ms(X509_get0_notBefore(cert)),
		.until_ms = vk_x509_time_ms(X509_get0_notAfter(cert))};
	first_host(cert, ret->host);
	unsigned char *der = NULL;
	int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
	if (n > 0)
		vk_sha256_hex(der, (size_t)n, ret->key);
	OPENSSL_free(der);
}

int vk_tls_info(const char *cert, struct vk_tls_info *ret, struct vk_err *err)
{
	X509 *x = NULL;
	int rc = vk_x509_read(cert, "the certificate cannot be read", &x, err);
	if (rc == 0)
		vk_x509_describe(x, ret);
	X509_free(x);
	return rc;
}

bool vk_tls_due(const struct vk_tls_info *i, int64_t now_ms)
{
	return now_ms >= i->from_ms + (i->until_ms - i->from_ms) / 3 * 2;
}
