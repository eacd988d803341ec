/* The listeners of the link proxy, each with slots for servers; their file, and the commands from one state to another. Pure. */
#ifndef ROUTER_PROXY_MODEL_H
#define ROUTER_PROXY_MODEL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <viking/err.h>
#include <viking/id.h>
#include <viking/mem.h>

#define PROXY_FILE_MAX (64u << 20)

struct proxy_slot {
	uint32_t addr; /* host order; 0 = empty */
	unsigned port;
};
struct proxy_listener {
	uint32_t addr;
	unsigned port;
	char registry[VK_NAME_MAX +
		1]; /* leads to the registry of this host and has no slots; "" = a link */
	struct proxy_slot *slots;
	size_t n_slots; /* a power of two, 4 at least; 0 for the registry */
	bool blocked;   /* somebody else has the port: left out of the file */
	bool refuses; /* no server: the port is given up until there is one, so that clients are refused at once */
};
struct proxy_model {
	int64_t rev;
	struct proxy_listener *v;
	size_t n;
};

/* The network document (docs/protocol.md 7), for a host. have: servers keep their slots of it; may be empty. */
int proxy_model_parse(const json_t *doc, const char *host, const struct proxy_model *have,
	struct proxy_model *ret, struct vk_err *err);
void proxy_model_release(struct proxy_model *m);
bool proxy_model_same_listeners(const struct proxy_model *a, const struct proxy_model *b);

struct proxy_paths {
	const char *admin, *idle; /* sockets */
	const char *hosts;        /* RUN/hosts, viking-front's doors to the other hosts */
	unsigned maxconn;
};
void proxy_render(const struct proxy_model *m, const struct proxy_paths *p, struct vk_buf *out);
/* Runtime commands, one line, from have to want, which have the same listeners. */
void proxy_plan(const struct proxy_model *have, const struct proxy_model *want, struct vk_buf *out);
/* A worker that has just read the file listens everywhere. False: and so it should. */
bool proxy_model_reloaded(struct proxy_model *m);
/* Did each of the commands succeed? */
bool proxy_answer_good(const char *text);

#endif
