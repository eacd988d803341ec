/* Inside of the HTTP server: the request, shared by httpd.c (its life) and httpd_answer.c (its answer). */
#ifndef VIKING_BASE_HTTPD_REQ_H
#define VIKING_BASE_HTTPD_REQ_H

#include <microhttpd.h>
#include <viking/httpd.h>

struct vk_req {
	struct vk_httpd *h;
	struct vk_req *prev, *next;
	struct MHD_Connection *c; /* NULL: MHD is done with the request */
	int fd;                   /* the connection's socket, valid while c is */
	char *method, *path;
	uid_t uid;
	pid_t pid;
	char peer_host[VK_NAME_MAX + 1]; /* "" = none */
	struct vk_buf body;
	bool over;      /* the body went over its limit */
	bool handed;    /* the handler has been called */
	bool suspended; /* in MHD; every resume goes through vk_req_resume, so it is done once */
	bool gone;      /* the client is gone or was cut off */
	bool released;  /* the handler will not use it any more */
	struct vk_io *watch;
	vk_req_closed_fn *closed;
	void *closed_arg;
	/* the answer */
	struct vk_strv headers; /* name, value, name, value ... */
	int status;
	struct MHD_Response *response; /* waits to be queued */
	/* stream */
	bool lines, ended;
	struct vk_buf queue;
	size_t off; /* bytes of the queue already sent */
	vk_req_drained_fn *drained;
	void *drained_arg;
	/* upgrade */
	vk_req_upgrade_fn *upgrade;
	void *upgrade_arg;
};

void vk_req_suspend(struct vk_req *r); /* only from MHD's callbacks */
void vk_req_resume(struct vk_req *r);  /* nothing when not suspended */
/* Ends the connection; closed is called from the loop. */
void vk_req_cut(struct vk_req *r);
/* Keeps count of what waits in all queues; over the server's limit the longest is cut off (maybe r's). */
void vk_req_enqueue(struct vk_req *r, size_t n);
void vk_req_dequeue(struct vk_req *r, size_t n);
/* The handler is done with r; r may be freed. */
void vk_req_settled(struct vk_req *r);
void vk_httpd_wake(struct vk_httpd *h); /* MHD has something to do */
void vk_httpd_tick(struct vk_httpd *h); /* there is a stream that wants keep-alive lines */

#endif
