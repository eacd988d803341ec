/* This host's key and certificate and the CA's, from STATE/tls, read anew when one of the files has been replaced. */
#ifndef FRONT_CREDS_H
#define FRONT_CREDS_H

#include <stdbool.h>
#include <sys/stat.h>
#include <viking/config.h>
#include <viking/tls.h>

struct creds {
	char *dir;
	struct vk_tls *tls;
	struct stat seen[3];
};

void creds_init(struct creds *c, const struct vk_config *config);
bool creds_exist(const struct creds *c); /* is there a certificate at all? */
/* Borrowed until the next call. Files that do not fit (one is being replaced) leave what there was in force; with
 * nothing in force the error says why. */
int creds_get(struct creds *c, const struct vk_tls **ret, struct vk_err *err);
void creds_release(struct creds *c);

#endif
