/* Installed Debian packages: /var/lib/dpkg/status and the order of versions (Debian Policy 5.6.12). */
#ifndef SCHEDULER_DPKG_H
#define SCHEDULER_DPKG_H

#include <stddef.h>
#include <viking/err.h>

/* < 0, 0, > 0 as a is older than, equal to, newer than b. */
int dpkg_compare(const char *a, const char *b);
/* Version of an installed package into out. NOTFOUND when it is not installed or there is no such file. */
int dpkg_version(
	const char *status_path, const char *package, char *out, size_t size, struct vk_err *err);

#endif
