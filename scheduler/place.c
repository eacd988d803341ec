/* Versions of nodes: new where the definition changed, kept elsewhere. */
#include "place.h"

#include <string.h>
#include <viking/crypt.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/str.h>

#include "links.h"
#include "model.h"

static const struct node_row *node_row_of(const struct place_in *in, const char *name)
{
	return in->nodes != NULL ? table_get(in->nodes, name) : NULL;
}

static bool has_named_volume(const json_t *node)
{
	size_t i;
	json_t *volume;
	json_array_foreach(json_object_get(node, "volumes"), i,
		volume) if (vk_json_str(volume, "host", "")[0] == '\0') return true;
	return false;
}

/* {"503": id}: the texts stay in the document. */
static json_t *page_ids(const json_t *node)
{
	json_t *ids = json_object(), *page;
	const char *status;
	json_object_foreach(json_object_get(node, "error_pages"), status, page)
	{
		char hash[65];
		vk_autofree char *seed =
			vk_asprintf("%s %s", status, vk_json_str(page, "text", ""));
		vk_sha256_hex(seed, strlen(seed), hash);
		json_object_set_new(ids, status, json_stringn(hash, PAGE_ID_SIZE - 1));
	}
	return ids;
}

/* Ports that speak HTTP/2 from the first byte. */
static json_t *h2_ports(const json_t *node)
{
	json_t *ports = json_array();
	size_t i;
	json_t *p;
	json_array_foreach(json_object_get(node, "expose"), i, p) if (vk_json_bool(p, "h2", false))
		json_array_append(ports, json_object_get(p, "port"));
	return ports;
}

static json_t *published_ports(const json_t *node)
{
	json_t *ports = json_array();
	size_t i;
	json_t *p;
	json_array_foreach(json_object_get(node, "publish"), i, p) json_array_append_new(ports,
		json_sprintf(
			"%d/%s", (int)vk_json_int(p, "host", 0), vk_json_str(p, "proto", "tcp")));
	return ports;
}

/* What of an entry follows the document at each release, whether the version changes or not. */
static void entry_refresh(json_t *entry, const json_t *node)
{
	json_t *domains = json_object_get(node, "domains");
	json_object_set_new(entry, "type", json_string(vk_json_str(node, "type", "app")));
	json_object_set_new(
		entry, "dns", json_string(vk_json_str(node, "dns_update_policy", "append")));
	static const char *const follow[] = {"require", "shared"};
	for (size_t i = 0; i < VK_COUNT(follow); i++)
		if (json_array_size(json_object_get(node, follow[i])) > 0)
			json_object_set(entry, follow[i], json_object_get(node, follow[i]));
		else
			json_object_del(entry, follow[i]);
	json_object_set_new(entry, "service", json_boolean(vk_json_bool(node, "service", false)));
	json_object_set_new(entry, "scale", json_integer(vk_json_int(node, "scale", 1)));
	json_object_set_new(
		entry, "domains", domains != NULL ? json_deep_copy(domains) : json_array());
	static const char *const kept[] = {"traffic", "tcp", "drain_ms", "domain_options"};
	for (size_t i = 0; i < VK_COUNT(kept); i++) {
		json_t *value = json_object_get(node, kept[i]);
		if (value != NULL)
			json_object_set_new(entry, kept[i], json_deep_copy(value));
		else
			json_object_del(entry, kept[i]);
	}
	json_object_set_new(entry, "h2", h2_ports(node));
	json_object_set_new(entry, "pages", page_ids(node));
	json_object_set_new(entry, "publish", published_ports(node));
	json_object_set_new(entry, "exclusive",
		json_boolean(has_named_volume(node) ||
			json_array_size(json_object_get(node, "publish")) > 0));
}

/* What an instance takes of a host, and which hosts it may be on. */
static json_t *place_needs(const json_t *node)
{
	const json_t *said = json_object_get(node, "place");
	json_t *place = json_is_object(said) ? json_deep_copy(said) : json_object();
	int64_t cpus = vk_json_int(node, "cpus_milli", 0), memory = vk_json_int(node, "memory", 0);
	if (cpus > 0)
		json_object_set_new(place, "cpus", json_integer(cpus));
	if (memory > 0)
		json_object_set_new(place, "memory", json_integer(memory));
	if (has_named_volume(node))
		json_object_set_new(place, "volume", json_true());
	if (strcmp(vk_json_str(node, "restart", "always"), "never") == 0)
		json_object_set_new(place, "never", json_true());
	if (json_object_size(place) > 0)
		return place;
	json_decref(place);
	return NULL;
}

static json_t *entry_new(const struct place_in *in, const char *name, const json_t *node,
	const json_t *def, const char *hash)
{
	const struct node_row *row = node_row_of(in, name);
	unsigned top = row != NULL ? row->top : 0;
	return json_pack("{s:i,s:s,s:i,s:i,s:b,s:o*}", "version", (int)top + 1, "hash", hash,
		"born", (int)in->release, "port", (int)vk_json_int(def, "port", 0), "task",
		json_is_array(json_object_get(def, "release")), "place", place_needs(node));
}

/* More than one instance cannot share a volume or a host port. */
static int check_scale(
	const struct place_in *in, const char *name, const json_t *entry, struct vk_err *err)
{
	const struct node_row *row = node_row_of(in, name);
	int64_t scale =
		row != NULL && row->scale >= 0 ? row->scale : vk_json_int(entry, "scale", 1);
	if (scale <= 1 || !vk_json_bool(entry, "exclusive", false))
		return 0;
	return vk_err_set(err, VK_INVALID,
		"node %s has a volume or a published port and scale %lld: only one "
		"instance can hold it",
		name, (long long)scale);
}

enum verdict { KEEP, HOLD, CHANGE, ADD };

static enum verdict place_verdict(const struct place_in *in, const char *name, const json_t *node,
	const json_t *old, const char *hash)
{
	if (old == NULL)
		return ADD;
	bool same = strcmp(vk_json_str(old, "hash", ""), hash) == 0;
	bool meant = in->only == NULL || vk_strv_has(in->only, name);
	bool service = vk_json_bool(node, "service", false) && vk_json_bool(old, "service", false);
	if (!meant)
		return same ? KEEP : HOLD;
	if (service)
		return same ? KEEP : in->services ? CHANGE : HOLD;
	return same && !in->force ? KEEP : CHANGE;
}

static int place_links(const struct place_in *in, const json_t *node, const struct place_out *out,
	json_t **ret, struct vk_err *err)
{
	int rc = links_place(json_object_get(node, "links"), in->old, out->nodes, ret, err);
	size_t i;
	json_t *link;
	json_array_foreach(rc == 0 ? *ret : NULL, i, link)
	{
		const char *stack = vk_json_str(link, "stack", ""),
			   *to = vk_json_str(link, "node", "");
		int port = stack[0] == '\0'        ? resolve_port(&in->resolve, to)
			: in->foreign_port != NULL ? in->foreign_port(in->arg, stack, to)
						   : 0;
		if (stack[0] == '\0' && port == 0)
			return vk_err_set(err, VK_INVALID,
				"the link to %s leads nowhere: it exposes no TCP port; add expose: "
				"[PORT] to deploy.%s",
				to, to);
		json_object_set_new(link, "native", json_integer(port));
	}
	return rc;
}

static int place_node(const struct place_in *in, const char *name, const json_t *node,
	struct place_out *out, struct vk_err *err)
{
	vk_autojson *def = NULL, *links = NULL;
	struct resolve_in resolve = in->resolve;
	int rc = place_links(in, node, out, &links, err);
	if (rc != 0)
		return rc;
	resolve.links = links;
	rc = resolve_node(&resolve, name, &def, err);
	if (rc != 0)
		return rc;
	char hash[65];
	vk_json_hash(def, hash);
	const json_t *old = json_object_get(in->old, name);
	enum verdict v = place_verdict(in, name, node, old, hash);
	json_t *entry =
		v == KEEP || v == HOLD ? json_deep_copy(old) : entry_new(in, name, node, def, hash);
	entry_refresh(entry, node);
	if ((v == ADD || v == CHANGE) && json_array_size(links) > 0)
		json_object_set(entry, "links", links);
	json_object_set_new(out->nodes, name, entry);
	if (v == ADD || v == CHANGE)
		json_object_set(out->defs, name, def);
	vk_strv_add(v == ADD ? &out->added : v == CHANGE ? &out->changed : &out->unchanged, name);
	if (v == HOLD)
		vk_strv_add(&out->held, name);
	return check_scale(in, name, entry, err);
}

int place_stack(const struct place_in *in, struct place_out *ret, struct vk_err *err)
{
	struct place_out out = {.nodes = json_object(), .defs = json_object()};
	json_t *nodes = json_object_get(in->resolve.doc, "nodes");
	const char *name;
	json_t *node;
	json_object_foreach(nodes, name, node)
	{
		int rc = place_node(in, name, node, &out, err);
		if (rc != 0) {
			place_out_release(&out);
			return rc;
		}
	}
	json_object_foreach((json_t *)(uintptr_t)in->old, name,
		node) if (json_object_get(nodes, name) == NULL) vk_strv_add(&out.removed, name);
	*ret = out;
	return 0;
}

bool place_has(const struct place_out *out, const char *node)
{
	return vk_strv_has(&out->added, node) || vk_strv_has(&out->changed, node);
}

void place_out_release(struct place_out *out)
{
	json_decref(out->nodes);
	json_decref(out->defs);
	vk_strv_release(&out->added);
	vk_strv_release(&out->changed);
	vk_strv_release(&out->unchanged);
	vk_strv_release(&out->removed);
	vk_strv_release(&out->held);
	*out = (struct place_out){0};
}
