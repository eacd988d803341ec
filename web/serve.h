/* Answers one request for a website's file. */
#ifndef WEB_SERVE_H
#define WEB_SERVE_H

#include <sys/types.h>
#include <viking/httpd.h>

#include "sites.h"

struct serve {
	int root;         /* directory of STATE/static */
	uid_t allowed[2]; /* haproxy's user and viking-front's; root and our own are allowed too */
	const struct sites *sites; /* may be NULL: no table yet */
};

void serve_request(const struct serve *s, struct vk_req *r);

#endif
