/*
 * PEM texts to OpenSSL's objects, for cert.c, tls.c and tls_cert.c. What cannot be read is VK_INVALID with the text
 * `what` and OpenSSL's reason.
 */
#ifndef VIKING_BASE_X509_H
#define VIKING_BASE_X509_H

#include <openssl/x509v3.h>
#include <viking/tls.h>

int vk_x509_read(const char *pem, const char *what, X509 **ret, struct vk_err *err);
int vk_x509_key_read(const char *pem, const char *what, EVP_PKEY **ret, struct vk_err *err);
void vk_x509_describe(X509 *cert, struct vk_tls_info *ret);
int64_t vk_x509_time_ms(const ASN1_TIME *t); /* 0 = none */
/* A pem_password_cb: keys with a passphrase are not asked for one. */
int vk_x509_no_passphrase(char *buf, int size, int writing, void *arg);
/* "<text>: <what OpenSSL says>", and empties its queue of errors. */
int vk_x509_error(struct vk_err *err, int code, const char *text);

#endif
