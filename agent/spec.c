#include "spec.h"

#include <viking/crypt.h>
#include <viking/json.h>
#include <viking/str.h>

void spec_root(const struct vk_config *c, char out[static 17])
{
	char hex[65];
	vk_sha256_hex(c->state_dir, strlen(c->state_dir), hex);
	memcpy(out, hex, 16);
	out[16] = '\0';
}

static void set_number_label(json_t *labels, const char *name, uint64_t value)
{
	char text[24];
	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	json_object_set_new(labels, name, json_string(text));
}

static json_t *labels_of(const char *root, const struct desired_instance *in, bool run)
{
	json_t *l = json_object();
	json_object_set_new(l, "viking.root", json_string(root));
	json_object_set_new(l, "viking.instance", json_string(in->name));
	json_object_set_new(l, "viking.stack", json_string(in->stack));
	json_object_set_new(l, "viking.node", json_string(in->node));
	json_object_set_new(l, "viking.hash", json_string(in->hash));
	set_number_label(l, "viking.version", in->version);
	set_number_label(l, "viking.n", in->n);
	set_number_label(l, "viking.release", in->release);
	set_number_label(l, "viking.gen", in->gen);
	if (run)
		json_object_set_new(l, "viking.run", json_string("1"));
	return l;
}

json_t *spec_env(const json_t *env)
{
	json_t *list = json_array();
	const char *key;
	json_t *v;
	json_object_foreach((json_t *)(uintptr_t)env, key, v)
	{
		vk_autofree char *pair = vk_asprintf("%s=%s", key, json_string_value(v));
		json_array_append_new(list, json_string(pair));
	}
	return list;
}

static void port_key(const json_t *port, char out[static 16])
{
	snprintf(out, 16, "%d/%s", (int)vk_json_int(port, "port", 0),
		vk_json_str(port, "proto", "tcp"));
}

static json_t *exposed_of(const struct desired_instance *in)
{
	json_t *set = json_object();
	char key[16];
	size_t i;
	json_t *p;
	json_array_foreach(in->expose, i, p)
	{
		port_key(p, key);
		json_object_set_new(set, key, json_object());
	}
	json_array_foreach(in->publish, i, p)
	{
		port_key(p, key);
		json_object_set_new(set, key, json_object());
	}
	return set;
}

static json_t *bindings_of(const struct desired_instance *in)
{
	json_t *map = json_object();
	char key[16], host[12];
	size_t i;
	json_t *p;
	json_array_foreach(in->publish, i, p)
	{
		port_key(p, key);
		int64_t on_host = vk_json_int(p, "host", 0);
		host[0] = '\0';
		if (on_host > 0)
			snprintf(host, sizeof(host), "%d", (int)on_host);
		if (json_object_get(map, key) == NULL)
			json_object_set_new(map, key, json_array());
		json_array_append_new(
			json_object_get(map, key), json_pack("{s:s}", "HostPort", host));
	}
	return map;
}

static json_t *mounts_of(const struct desired_instance *in)
{
	json_t *list = json_array();
	size_t i;
	json_t *m;
	json_array_foreach(in->mounts, i, m)
	{
		const char *volume = vk_json_str(m, "volume", NULL);
		const char *host = vk_json_str(m, "host", NULL);
		json_array_append_new(list,
			json_pack("{s:s,s:s,s:s}", "Type", volume ? "volume" : "bind", "Source",
				volume ? volume : host, "Target", vk_json_str(m, "path", "")));
	}
	return list;
}

static bool on_network(const struct desired_instance *in)
{
	return (in->network_mode[0] == '\0' || vk_streq(in->network_mode, "default")) &&
		in->network != NULL && in->network[0] != '\0';
}

static bool same_list(const json_t *a, const json_t *b)
{
	return json_array_size(a) == json_array_size(b) &&
		(json_array_size(a) == 0 || json_equal(a, b));
}

bool spec_same_resolver(const json_t *addresses, const struct desired_instance *in)
{
	return !on_network(in) || same_list(addresses, in->dns);
}

static json_t *host_config(const struct vk_config *c, const struct desired_instance *in)
{
	uint64_t memory = in->memory != 0 ? in->memory : c->default_memory;
	uint64_t pids = in->pids != 0 ? in->pids : c->default_pids;
	json_t *h = json_pack("{s:b,s:[s],s:[sssss],s:{s:s,s:{s:s,s:s}},s:{s:s}}", "Init", 1,
		"SecurityOpt", "no-new-privileges", "CapDrop", "NET_RAW", "MKNOD", "AUDIT_WRITE",
		"SYS_CHROOT", "SETFCAP", "LogConfig", "Type", "json-file", "Config", "max-size",
		"10m", "max-file", "3", "RestartPolicy", "Name", "no");
	json_object_set_new(h, "Memory", json_integer((json_int_t)memory));
	/* equal to Memory: no swap beside it */
	json_object_set_new(h, "MemorySwap", json_integer((json_int_t)memory));
	json_object_set_new(h, "PidsLimit", json_integer((json_int_t)pids));
	if (in->cpus_milli != 0)
		json_object_set_new(
			h, "NanoCpus", json_integer((json_int_t)in->cpus_milli * 1000000));
	if (in->privileged) {
		json_object_set_new(h, "Privileged", json_true());
		json_object_del(h, "SecurityOpt");
		json_object_del(h, "CapDrop");
	}
	if (vk_streq(in->pid_mode, "host"))
		json_object_set_new(h, "PidMode", json_string("host"));
	json_object_set_new(h, "PortBindings", bindings_of(in));
	json_object_set_new(h, "Mounts", mounts_of(in));
	if (on_network(in) && in->dns != NULL) {
		json_object_set(h, "Dns", in->dns);
		if (in->dns_search != NULL)
			json_object_set(h, "DnsSearch", in->dns_search);
	}
	if (on_network(in))
		json_object_set_new(h, "NetworkMode", json_string(in->network));
	else if (!vk_streq(in->network_mode, "default") && in->network_mode[0] != '\0')
		json_object_set_new(h, "NetworkMode", json_string(in->network_mode));
	return h;
}

/* Host names are labels: '_' and '.' become '-', at most 63 bytes. */
static void hostname_of(const struct desired_instance *in, char out[static 64])
{
	size_t n = 0;
	for (const char *p = in->name; *p != '\0' && n < 63; p++)
		out[n++] = *p == '_' || *p == '.' ? '-' : *p;
	while (n > 0 && out[n - 1] == '-')
		n--;
	out[n] = '\0';
}

static void set_run(json_t *j, const struct spec_run *run)
{
	json_object_set_new(j, "Tty", json_boolean(run->tty));
	json_object_set_new(j, "OpenStdin", json_true());
	json_object_set_new(j, "StdinOnce", json_true());
	json_object_set_new(j, "AttachStdin", json_true());
	json_object_set_new(j, "AttachStdout", json_true());
	json_object_set_new(j, "AttachStderr", json_true());
	if (run->tty)
		json_object_set_new(json_object_get(j, "HostConfig"), "ConsoleSize",
			json_pack("[i,i]", (int)run->rows, (int)run->cols));
}

json_t *spec_create(const struct vk_config *c, const char *root, const struct desired_instance *in,
	const json_t *env, const struct spec_run *run)
{
	char hostname[64];
	json_t *j = json_object();
	hostname_of(in, hostname);
	json_object_set_new(j, "Image", json_string(in->image));
	json_object_set_new(j, "Labels", labels_of(root, in, run != NULL));
	json_object_set_new(j, "Env", spec_env(env));
	json_object_set_new(j, "ExposedPorts", exposed_of(in));
	json_object_set_new(
		j, "StopTimeout", json_integer((json_int_t)((in->stop_ms + 999) / 1000)));
	json_object_set_new(j, "HostConfig", host_config(c, in));
	if (!vk_streq(in->network_mode, "host"))
		json_object_set_new(j, "Hostname", json_string(hostname));
	if (in->cmd != NULL)
		json_object_set(j, "Cmd", in->cmd);
	if (in->entrypoint != NULL)
		json_object_set(j, "Entrypoint", in->entrypoint);
	if (in->cwd != NULL && in->cwd[0] != '\0')
		json_object_set_new(j, "WorkingDir", json_string(in->cwd));
	if (on_network(in)) {
		json_t *end = json_object();
		if (in->aliases != NULL)
			json_object_set(end, "Aliases", in->aliases);
		json_object_set_new(j, "NetworkingConfig",
			json_pack("{s:{s:o}}", "EndpointsConfig", in->network, end));
	}
	if (run != NULL)
		set_run(j, run);
	return j;
}

/* ---- from other hosts ---- */

static bool reachable(const struct desired_instance *in)
{
	return in->reach != NULL && in->reach[0] != '\0' && !desired_is_task(in);
}

static bool is_tcp(const json_t *port)
{
	return vk_streq(vk_json_str(port, "proto", "tcp"), "tcp");
}

void spec_reach(
	json_t *create, const struct desired_instance *in, unsigned (*next)(void *arg), void *arg)
{
	json_t *map = json_object_get(json_object_get(create, "HostConfig"), "PortBindings"), *p;
	size_t i;
	if (!reachable(in) || vk_streq(in->network_mode, "host") ||
		vk_streq(in->network_mode, "none"))
		return;
	json_array_foreach(in->expose, i, p)
	{
		char key[16];
		unsigned port = is_tcp(p) ? next(arg) : 0;
		if (port == 0)
			continue;
		port_key(p, key);
		if (json_object_get(map, key) == NULL)
			json_object_set_new(map, key, json_array());
		json_array_append_new(json_object_get(map, key),
			json_pack("{s:s,s:o}", "HostIp", in->reach, "HostPort",
				json_sprintf("%u", port)));
	}
}

static uint64_t bound_at(const json_t *bindings, const char *address)
{
	size_t i;
	json_t *b;
	uint64_t port;
	json_array_foreach(bindings, i, b) if (vk_streq(vk_json_str(b, "HostIp", ""), address) &&
		vk_parse_u64(vk_json_str(b, "HostPort", ""), 1, 65535, &port) == 0) return port;
	return 0;
}

json_t *spec_reached(const json_t *ports, const struct desired_instance *in)
{
	vk_autojson *reached = json_object();
	size_t i;
	json_t *p;
	json_array_foreach(reachable(in) ? in->expose : NULL, i, p)
	{
		char key[16], number[8];
		port_key(p, key);
		uint64_t own = (uint64_t)vk_json_int(p, "port", 0), port = own;
		if (!vk_streq(in->network_mode, "host"))
			port = bound_at(json_object_get(ports, key), in->reach);
		snprintf(number, sizeof(number), "%u", (unsigned)own);
		if (port != 0 && is_tcp(p))
			json_object_set_new(reached, number, json_integer((json_int_t)port));
	}
	if (json_object_size(reached) == 0)
		return NULL;
	return json_pack("{s:s,s:O}", "addr", in->reach, "ports", reached);
}
