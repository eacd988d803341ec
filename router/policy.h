/*
 * What is to be done with the requests of a domain besides routing them: redirect to https, HSTS,
 * largest body, time limits, passwords, allowed addresses, maintenance, a cut prefix. Parsed from the
 * scheduler's table value by value, and told to HAProxy as entries of two maps: policies.map has one
 * line of fixed fields under the policy's id, access.map the passwords' hashes and the addresses.
 * The id is a hash of the content, so a change is another policy, and equal ones are one. Pure.
 *
 *	{"https": bool, "hsts": s, "max_body": bytes, "response_ms": n, "tunnel_ms": n,
 *	 "auth": {"user": "MD5-HA1|SHA256-HA1"}, "auth_mode": "basic"|"digest",
 *	 "allow": ["10.0.0.0/8", ..], "maintenance": "text", "strip": bool,
 *	 "sticky": bool, "hold_ms": n, "canary": bool,
 *	 "watch": n, the number under which its requests are counted (tally.h)}
 *
 * HA1 = H(user:protected:password) in hex, as RFC 7616 has it; passwords are nowhere.
 */
#ifndef ROUTER_POLICY_H
#define ROUTER_POLICY_H

#include <jansson.h>
#include <viking/err.h>

#include "model.h"

#define POLICY_ID_SIZE     25 /* hex digits and NUL */
#define POLICY_REALM       "protected"
#define POLICY_MESSAGE_MAX 300
#define POLICY_USERS_MAX   100
#define POLICY_ALLOW_MAX   100 /* ranges of a policy */
#define POLICY_HOLD_MAX    300000
#define POLICY_DEPTH_MAX   4 /* segments of a prefix that is cut */

struct policy {
	char id[POLICY_ID_SIZE];
	char *value; /* of policies.map */
	bool sticky;
	struct routes access; /* entries of access.map */
};

/* depth: segments of the path this policy is below; 0 = none. VK_INVALID says what is wrong. */
int policy_parse(const json_t *doc, unsigned depth, struct policy **ret, struct vk_err *err);
void policy_free(struct policy *p);
/* The id of what belongs to `text`: its hash. */
void policy_hash(const char *text, char ret[static POLICY_ID_SIZE]);

#endif
