/* Figures: in from the router, out to Prometheus. */
#include <viking/json.h>
#include <viking/mem.h>

#include "api.h"
#include "metrics.h"
#include "receipts.h"

#define TEXT_MAX (64u << 20)

void api_metrics(struct call *c)
{
	vk_autobuf text = VK_BUF_INIT(TEXT_MAX);
	metrics_text(c->s, &text);
	call_text_answer(c, "text/plain; version=0.0.4; charset=utf-8", &text);
}

/* For the web process, which hands the text on. */
void api_web_metrics(struct call *c)
{
	vk_autobuf text = VK_BUF_INIT(TEXT_MAX);
	metrics_text(c->s, &text);
	call_json(c, 200, json_pack("{s:s}", "text", vk_buf_str(&text)));
}

void api_router_stats(struct call *c)
{
	struct vk_err err = {0};
	const json_t *nodes = json_object_get(c->body, "nodes");
	if (!json_is_object(nodes)) {
		vk_err_set(&err, VK_INVALID, "nodes is missing");
		call_error(c, &err);
		return;
	}
	metrics_router(c->s, c->host, nodes);
	call_ok(c);
}

void api_router_tally(struct call *c)
{
	struct vk_err err = {0};
	if (receipts_tally(c->s, c->host, c->body, &err) == 0)
		call_ok(c);
	else
		call_error(c, &err);
}
