/* keys:add, keys:list, keys:remove */
#include <unistd.h>
#include <viking/fs.h>
#include <viking/id.h>
#include <viking/json.h>
#include <viking/str.h>

#include "groups.h"
#include "output.h"

static json_t *globs(const char *list)
{
	json_t *a = json_array();
	for (const char *p = list ? list : "*"; *p != '\0';) {
		size_t n = strcspn(p, ",");
		if (n > 0)
			json_array_append_new(a, vk_json_safe_string(p, n));
		p += n + (p[n] == ',');
	}
	return a;
}

static int read_key(struct vk_buf *line, struct vk_err *err)
{
	if (isatty(STDIN_FILENO)) {
		vk_err_set(err, VK_USAGE, "the public key is read from standard input");
		return vk_err_hint(err, "viking keys:add NAME < ~/.ssh/id_ed25519.pub");
	}
	int r = vk_fs_read_fd(STDIN_FILENO, line, err);
	if (r < 0)
		return r;
	while (line->len > 0 && strchr("\r\n \t", line->data[line->len - 1]) != NULL)
		line->data[--line->len] = '\0';
	return 0;
}

static int keys_add(struct call *c, struct vk_err *err)
{
	vk_autobuf line = VK_BUF_INIT(16384);
	int r = vk_key_name(c->words.v[0], err);
	if (r == 0)
		r = read_key(&line, err);
	if (r < 0)
		return r;
	const char *role = call_value(c, "--role"), *expires = call_value(c, "--expires");
	vk_autojson *body = json_object();
	json_object_set_new(body, "name", json_string(c->words.v[0]));
	json_object_set_new(body, "line", vk_json_safe_string(vk_buf_str(&line), line.len));
	json_object_set_new(body, "role", json_string(role ? role : "deploy"));
	json_object_set_new(body, "stacks", globs(call_value(c, "--stacks")));
	json_object_set_new(body, "expires", expires ? json_string(expires) : json_null());
	vk_autojson *answer = NULL;
	r = api_send(c, "POST", body, &answer, err, "/v1/keys");
	if (r == 0)
		printf("%s  %s\n", vk_json_str(answer, "fingerprint", "added"), c->words.v[0]);
	return r;
}

static int keys_list(struct call *c, struct vk_err *err)
{
	vk_autojson *answer = NULL;
	int r = api_get(c, &answer, err, "/v1/keys");
	if (r < 0)
		return r;
	if (c->json)
		return print_json(answer);
	struct table t;
	table_init(&t, "NAME|FINGERPRINT|ROLE|STACKS|EXPIRES|LAST USED");
	size_t i;
	json_t *k;
	json_array_foreach(json_object_get(answer, "keys"), i, k)
	{
		vk_autobuf stacks = VK_BUF_INIT(4096);
		size_t n;
		json_t *s;
		json_array_foreach(json_object_get(k, "stacks"), n, s)
			vk_buf_addf(&stacks, "%s%s", n ? "," : "", json_string_value(s));
		char expires[32] = "never", used[32];
		int64_t when = vk_json_int(k, "expires_ms", 0);
		if (when > 0)
			vk_format_time(when, expires);
		format_age(vk_json_int(k, "last_used_ms", 0), used);
		table_add(&t, vk_json_str(k, "name", NULL));
		table_add(&t, vk_json_str(k, "fingerprint", NULL));
		table_add(&t, vk_json_str(k, "role", NULL));
		table_add(&t, vk_buf_str(&stacks));
		table_add(&t, expires);
		table_add(&t, used);
	}
	table_print(&t, stdout);
	return 0;
}

static int keys_remove(struct call *c, struct vk_err *err)
{
	int r = vk_key_name(c->words.v[0], err);
	if (r == 0)
		r = api_send(c, "DELETE", NULL, NULL, err, "/v1/keys/%s", c->words.v[0]);
	if (r == 0)
		printf("%s removed; its connections are closed\n", c->words.v[0]);
	return r;
}

static const struct option add_options[] = {
	{"--role", NULL, "admin|deploy", "admin may do everything; deploy is the default"},
	{"--stacks", NULL, "GLOB,...", "stacks the key may touch; default *"},
	{"--expires", NULL, "DATE", "last day or moment, e.g. 2027-01-31"},
	{0},
};

const struct command keys_commands[] = {
	{"keys:add", "NAME [options] < key.pub", 1, 1, 0, false, keys_add, add_options,
		"let a public key in"},
	{"keys:list", "", 0, 0, 0, true, keys_list, NULL, "keys, rights, last use"},
	{"keys:remove", "NAME", 1, 1, 0, false, keys_remove, NULL, "shut a key out, at once"},
	{0},
};
