/* A datagram from a container: parsed, looked up, answered. No answer is longer than allowed, and small questions do not get large ones
 * unasked. */
#include <stdlib.h>
#include <string.h>
#include <viking/json.h>

#include "zone.h"

static struct zone *zone(void)
{
	static struct zone *z;
	static const char text[] =
		"{\"rev\":1,\"networks\":[{\"stack\":\"s\",\"subnet\":\"10.0.0.0/"
		"24\",\"gateway\":\"10.0.0.1\","
		"\"nodes\":{\"w\":{\"ports\":[{\"port\":80,\"name\":\"h\"}],\"instances\":["
		"{\"name\":\"s-w-1-1\",\"n\":1,\"addr\":\"10.0.0.2\"},{\"name\":\"s-w-1-2\",\"n\":"
		"2,\"addr\":\"10.0.0.3\"}]}},"
		"\"links\":[{\"alias\":\"l\",\"stack\":\"t\",\"node\":\"x\",\"port\":10000}]}]}";
	vk_autojson *doc = NULL;
	if (z == NULL &&
		(vk_json_parse(text, sizeof(text) - 1, &doc, NULL) != 0 ||
			zone_parse(doc,
				&(struct zone_host){"uno", "skydns.local,veo,local.zone", true}, &z,
				NULL) != 0))
		abort();
	return z;
}

static void check(const uint8_t *data, const struct dns_query *q, struct zone_net *net)
{
	uint8_t out[DNS_UDP_MOST];
	struct dns_records r = {0};
	enum zone_answer a = zone_find(zone(), net, q, &r);
	size_t n = dns_answer(data, q, a == ZONE_NONE ? DNS_NXDOMAIN : DNS_OK, &r, 5, out, q->size);
	if (n > q->size || (n > 0 && memcmp(out, data, 2) != 0) || r.answers > r.n)
		abort();
	if (a != ZONE_FOUND && r.n > 0)
		abort();
	dns_records_release(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dns_query q;
	enum dns_rcode rcode;
	uint8_t head[12];
	switch (dns_parse(data, size, &q, &rcode)) {
	case DNS_DROP:
		break;
	case DNS_REJECT:
		dns_reject(data, rcode, head);
		break;
	case DNS_ASK:
		if (q.length > size || strlen(q.name) > DNS_NAME_MAX || q.size > DNS_UDP_MOST)
			abort();
		check(data, &q, NULL);
		check(data, &q, &zone()->nets[0]);
		if (dns_matches(data, size, q.id, data, q.length)) /* a question is no answer */
			abort();
	}
	return 0;
}
