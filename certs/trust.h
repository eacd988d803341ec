/* An authority of one's own: uacme's TLS library reads the system's list of certificates and no other. */
#ifndef CERTS_TRUST_H
#define CERTS_TRUST_H

#include <viking/err.h>

/* From now on this process and its children see file as that list: a mount of our own, over which the rest of the host sees
 * nothing. Before the sandbox, which forbids it. */
int trust_only(const char *file, struct vk_err *err);

#endif
