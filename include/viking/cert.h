/*
 * TLS certificates with OpenSSL: reads a PEM chain and its key, refuses what a server or a browser would refuse, and writes
 * both anew. Bounded in every respect; no file is read and nothing is asked.
 */
#ifndef VIKING_CERT_H
#define VIKING_CERT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <viking/err.h>

#define VK_CERT_INPUT_MAX (64u << 10) /* bytes of PEM that are looked at */
#define VK_CERT_PEM_MAX   13000       /* of what is given back: HAProxy takes it as one command */
#define VK_CERT_NAMES_MAX 32
#define VK_CERT_CHAIN_MAX 8

struct vk_cert {
	char *pem;     /* chain, leaf first, then the key; wiped when released */
	json_t *names; /* DNS names, normal form */
	char *issuer;  /* common name, printable */
	int64_t not_before_ms, not_after_ms;
};
/* VK_INVALID or VK_LIMIT say what is wrong with the text, and a hint what to type; *ret then stays as it was. */
int vk_cert_read(
	const char *text, size_t n, int64_t now_ms, struct vk_cert *ret, struct vk_err *err);
void vk_cert_release(struct vk_cert *c);
/* A new private key (EC P-256) as PEM, for an account; the caller wipes and frees. NULL: no randomness. */
char *vk_cert_new_key(void);
/* Does a name in a certificate ("*.a.com": one label) fit a domain? */
bool vk_cert_covers(const char *name, const char *domain);

#endif
