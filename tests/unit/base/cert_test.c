#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <viking/cert.h>
#include <viking/mem.h>
#include <viking/str.h>

#define DAY INT64_C(86400000)
#define NOW (INT64_C(1800000000) * 1000)

struct made {
	X509 *cert;
	EVP_PKEY *key;
};

static void extension(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	cr_assert_not_null(e, "%s", value);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
}

/* names: "DNS:a.com,DNS:b.com" or NULL; by NULL = by itself. days from NOW. */
static struct made make(
	const char *cn, const char *names, int from, int until, const struct made *by)
{
	struct made m = {X509_new(), EVP_EC_gen("P-256")};
	X509_NAME *name = X509_get_subject_name(m.cert);
	X509_set_version(m.cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(m.cert), 1);
	ASN1_TIME_set(X509_getm_notBefore(m.cert), (time_t)((NOW + from * DAY) / 1000));
	ASN1_TIME_set(X509_getm_notAfter(m.cert), (time_t)((NOW + until * DAY) / 1000));
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(m.cert, by != NULL ? X509_get_subject_name(by->cert) : name);
	X509_set_pubkey(m.cert, m.key);
	if (names != NULL)
		extension(m.cert, NID_subject_alt_name, names);
	else
		extension(m.cert, NID_basic_constraints, "critical,CA:TRUE");
	X509_sign(m.cert, by != NULL ? by->key : m.key, EVP_sha256());
	return m;
}

static void drop(struct made *m)
{
	X509_free(m->cert);
	EVP_PKEY_free(m->key);
}

static char *pem(const X509 *a, const X509 *b, const EVP_PKEY *key)
{
	BIO *out = BIO_new(BIO_s_mem());
	char *text;
	if (a != NULL)
		PEM_write_bio_X509(out, (X509 *)(uintptr_t)a);
	if (b != NULL)
		PEM_write_bio_X509(out, (X509 *)(uintptr_t)b);
	if (key != NULL)
		PEM_write_bio_PrivateKey(
			out, (EVP_PKEY *)(uintptr_t)key, NULL, NULL, 0, NULL, NULL);
	long n = BIO_get_mem_data(out, &text);
	char *copy = vk_strndup(text, (size_t)n);
	BIO_free(out);
	return copy;
}

static void refused(const char *text, int code, const char *part)
{
	struct vk_cert c = {0};
	struct vk_err err = {0};
	cr_assert_eq(
		vk_cert_read(text, strlen(text), NOW, &c, &err), code, "%s: %s", part, err.msg);
	cr_assert_not_null(strstr(err.msg, part), "%s", err.msg);
	cr_assert_null(c.pem);
}

Test(cert, a_chain_with_its_key)
{
	struct made ca = make("My CA", NULL, -1, 100, NULL);
	struct made site = make("x", "DNS:A.com,DNS:*.b.com,email:x@y.z", -1, 30, &ca);
	struct vk_cert c = {0};
	struct vk_err err = {0};
	vk_autofree char *plain = pem(site.cert, ca.cert, site.key);
	vk_autofree char *text = vk_asprintf("subject=x\r\n\n%s\n\nbye\n", plain);
	cr_assert_eq(vk_cert_read(text, strlen(text), NOW, &c, &err), 0, "%s", err.msg);
	cr_assert_eq(json_array_size(c.names), 2);
	cr_assert_str_eq(json_string_value(json_array_get(c.names, 0)), "a.com");
	cr_assert_str_eq(c.issuer, "My CA");
	cr_assert_eq(c.not_after_ms, NOW + 30 * DAY);
	cr_assert_str_eq(c.pem, plain, "without what stood around it");
	cr_assert_null(strstr(c.pem, "\n\n"));
	vk_cert_release(&c);
	drop(&ca);
	drop(&site);
}

Test(cert, what_does_not_fit_is_refused)
{
	struct made ca = make("ca", NULL, -1, 100, NULL),
		    other = make("o", "DNS:a.com", -1, 9, NULL);
	struct made site = make("x", "DNS:a.com", -1, 30, &ca);
	struct made old = make("x", "DNS:a.com", -9, -1, NULL),
		    early = make("x", "DNS:a.com", 3, 9, NULL), none = make("x", NULL, -1, 9, NULL);
	vk_autofree char *wrong_key = pem(site.cert, NULL, other.key),
			 *no_key = pem(site.cert, ca.cert, NULL), *key = pem(NULL, NULL, site.key),
			 *order = pem(site.cert, other.cert, site.key),
			 *ended = pem(old.cert, NULL, old.key),
			 *begins = pem(early.cert, NULL, early.key),
			 *names = pem(none.cert, NULL, none.key),
			 *good = pem(site.cert, NULL, site.key);
	refused(wrong_key, VK_INVALID, "private key is not that");
	refused(no_key, VK_INVALID, "no private key");
	refused(key, VK_INVALID, "no certificate");
	refused(order, VK_INVALID, "not signed by certificate 2");
	refused(ended, VK_INVALID, "it ended 2027-01-14");
	refused(begins, VK_INVALID, "it begins only");
	refused(names, VK_INVALID, "names no domain");
	refused("", VK_INVALID, "no certificate");
	refused("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", VK_INVALID,
		"cannot be read");
	good[strlen(good) - 40] = '\0';
	refused(good, VK_INVALID, "ends in the middle");
	vk_autofree char *twice = vk_asprintf("%s%s", key, key);
	refused(twice, VK_INVALID, "two private keys");
	drop(&ca);
	drop(&other);
	drop(&site);
	drop(&old);
	drop(&early);
	drop(&none);
}

Test(cert, a_key_with_a_passphrase_is_not_asked_for)
{
	struct made m = make("x", "DNS:a.com", -1, 30, NULL);
	BIO *out = BIO_new(BIO_s_mem());
	char *text;
	PEM_write_bio_X509(out, m.cert);
	PEM_write_bio_PKCS8PrivateKey(out, m.key, EVP_aes_128_cbc(), "secret", 6, NULL, NULL);
	long n = BIO_get_mem_data(out, &text);
	vk_autofree char *copy = vk_strndup(text, (size_t)n);
	refused(copy, VK_INVALID, "has a passphrase");
	BIO_free(out);
	drop(&m);
}

Test(cert, size_is_bounded)
{
	size_t n = VK_CERT_INPUT_MAX + 1;
	vk_autofree char *text = vk_alloc(n + 1);
	memset(text, 'x', n);
	text[n] = '\0';
	refused(text, VK_LIMIT, "64 KiB");
}

Test(cert, names_cover)
{
	cr_assert(vk_cert_covers("a.com", "a.com"));
	cr_assert(vk_cert_covers("*.a.com", "x.a.com"));
	cr_assert(vk_cert_covers("*.a.com", "*.a.com"));
	cr_assert(!vk_cert_covers("*.a.com", "a.com"));
	cr_assert(!vk_cert_covers("*.a.com", "x.y.a.com"), "one label");
	cr_assert(!vk_cert_covers("*.a.com", "*.b.a.com"));
	cr_assert(!vk_cert_covers("a.com", "*.a.com"));
}
