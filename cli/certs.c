/* certs:add, list, info, remove */
#include <stdlib.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/str.h>

#include "groups.h"
#include "output.h"

#define PEM_MAX (64 << 10)

static char *joined(const json_t *names)
{
	vk_autobuf b = VK_BUF_INIT(16384);
	size_t i;
	json_t *v;
	json_array_foreach(names, i, v)
		vk_buf_addf(&b, "%s%s", i > 0 ? ", " : "", json_string_value(v));
	return vk_strdup(b.len > 0 ? vk_buf_str(&b) : "-");
}

static int certs_get(struct call *c, json_t **ret, struct vk_err *err)
{
	const char *s;
	int r = stack_word(c, 0, &s, err);
	return r == 0 ? api_get(c, ret, err, "/v1/stacks/%s/certs", s) : r;
}

/* Failures and what to do about them, below the table. */
static void print_auto(const json_t *one)
{
	const char *error = vk_json_str(one, "error", ""), *hint = vk_json_str(one, "hint", "");
	char due[32];
	vk_format_time(vk_json_int(one, "due_ms", 0), due);
	const char *state = vk_json_str(one, "state", "");
	printf("automatic  %s: %s", vk_json_str(one, "domain", ""),
		strcmp(state, "ok") == 0               ? "renewed from "
			: strcmp(state, "failed") == 0 ? "failed, again from "
						       : state);
	if (strcmp(state, "ok") == 0 || strcmp(state, "failed") == 0)
		printf("%.16s", due);
	printf("\n");
	if (error[0] != '\0')
		printf(" !     %s\n", error);
	if (hint[0] != '\0')
		printf(" !     try: %s\n", hint);
}

static int certs_list(struct call *c, struct vk_err *err)
{
	vk_autojson *answer = NULL;
	int r = certs_get(c, &answer, err);
	if (r < 0)
		return r;
	if (c->json)
		return print_json(answer);
	struct table t;
	table_init(&t, "ID|SHOWN FOR|UNTIL|ISSUER");
	size_t i;
	json_t *d;
	json_array_foreach(json_object_get(answer, "certs"), i, d)
	{
		vk_autofree char *shown = joined(json_object_get(d, "shown"));
		vk_autofree char *until = vk_strndup(vk_json_str(d, "until", ""), 10);
		table_add(&t, vk_json_str(d, "id", NULL));
		table_add(&t, shown);
		table_add(&t, until);
		table_add(&t, vk_json_str(d, "issuer", NULL));
	}
	table_print(&t, stdout);
	json_array_foreach(json_object_get(answer, "auto"), i, d) print_auto(d);
	return 0;
}

static bool has_name(const json_t *names, const char *name)
{
	size_t i;
	json_t *v;
	json_array_foreach(names, i, v) if (strcmp(json_string_value(v), name) == 0) return true;
	return false;
}

static void print_cert(const json_t *found)
{
	vk_autofree char *names = joined(json_object_get(found, "names"));
	vk_autofree char *shown = joined(json_object_get(found, "shown"));
	printf("id         %s\nnames      %s\nshown for  %s\nissuer     %s\nfrom       %s\n"
	       "until      %s\nadded by   %s\n",
		vk_json_str(found, "id", ""), names, shown, vk_json_str(found, "issuer", ""),
		vk_json_str(found, "from", ""), vk_json_str(found, "until", ""),
		vk_json_str(found, "who", ""));
}

static int certs_info(struct call *c, struct vk_err *err)
{
	vk_autojson *answer = NULL;
	int r = certs_get(c, &answer, err);
	size_t i;
	json_t *d, *found = NULL, *automatic = NULL;
	if (r < 0)
		return r;
	const char *word = c->words.v[1];
	json_array_foreach(json_object_get(answer, "certs"), i,
		d) if (strcmp(vk_json_str(d, "id", ""), word) == 0 ||
		has_name(json_object_get(d, "shown"), word)) found = d;
	json_array_foreach(json_object_get(answer, "auto"), i,
		d) if (strcmp(vk_json_str(d, "domain", ""), word) == 0) automatic = d;
	if (found == NULL && automatic == NULL) {
		vk_err_set(err, VK_NOTFOUND, "there is no certificate %.64s", word);
		return vk_err_hint(err, "viking certs %s", c->words.v[0]);
	}
	if (c->json) {
		vk_autojson *both = found != NULL ? json_copy(found) : json_object();
		if (automatic != NULL)
			json_object_set(both, "auto", automatic);
		return print_json(both);
	}
	if (found != NULL)
		print_cert(found);
	if (automatic != NULL)
		print_auto(automatic);
	return 0;
}

static int too_large(const char *what, struct vk_err *err)
{
	vk_err_set(err, VK_LIMIT, "%s: a certificate's chain and key are at most %d KiB together",
		what, PEM_MAX >> 10);
	return vk_err_hint(err,
		"viking certs:add STACK CHAIN.pem KEY.pem, without the roots of other authorities");
}

/* The files named, or standard input: over SSH files would be the server's. */
static int read_pem(struct call *c, struct vk_buf *pem, struct vk_err *err)
{
	if (c->words.n > 1 && getenv("VIKING_SSH") != NULL) {
		vk_err_set(err, VK_DENIED, "over SSH a certificate comes on standard input");
		return vk_err_hint(
			err, "cat CHAIN.pem KEY.pem | ssh ... certs:add %s", c->words.v[0]);
	}
	if (c->words.n == 1) {
		if (isatty(STDIN_FILENO))
			fputs("certificate chain and key, then Ctrl-D:\n", stderr);
		int r = vk_fs_read_fd(STDIN_FILENO, pem, err);
		return r == VK_LIMIT ? too_large("standard input", err) : r;
	}
	for (size_t i = 1; i < c->words.n; i++) {
		int r = vk_fs_read(c->words.v[i], pem, err);
		if (r == VK_LIMIT)
			return too_large(c->words.v[i], err);
		if (r < 0)
			return r;
		vk_buf_addc(pem, '\n');
	}
	return 0;
}

static int certs_add(struct call *c, struct vk_err *err)
{
	const char *s;
	vk_autobuf pem = VK_BUF_INIT(PEM_MAX + 16);
	vk_autojson *answer = NULL;
	int r = stack_word(c, 0, &s, err);
	if (r == 0)
		r = read_pem(c, &pem, err);
	if (r < 0)
		return r;
	vk_autojson *body = json_object();
	json_object_set_new(body, "pem", vk_json_safe_string(vk_buf_str(&pem), pem.len));
	r = api_send(c, "POST", body, &answer, err, "/v1/stacks/%s/certs", s);
	if (r != 0)
		return r;
	vk_autofree char *names = joined(json_object_get(answer, "names"));
	printf("certificate %s of %s is for %s\n", vk_json_str(answer, "id", ""), s, names);
	return 0;
}

static int certs_remove(struct call *c, struct vk_err *err)
{
	const char *s;
	int r = stack_word(c, 0, &s, err);
	if (r < 0)
		return r;
	vk_autofree char *escaped = url_escape(c->words.v[1]);
	r = api_send(c, "DELETE", NULL, NULL, err, "/v1/stacks/%s/certs/%s", s, escaped);
	if (r == 0)
		printf("certificate %s removed from %s\n", c->words.v[1], s);
	return r;
}

static int certs_auto(struct call *c, struct vk_err *err)
{
	const char *s, *domain = c->words.v[1];
	bool off = call_flag(c, "--off");
	vk_autojson *answer = NULL;
	char when[32];
	int r = stack_word(c, 0, &s, err);
	if (r < 0)
		return r;
	vk_autojson *body = json_pack("{s:s,s:b}", "domain", domain, "on", !off);
	r = api_send(c, "POST", body, &answer, err, "/v1/stacks/%s/certs/auto", s);
	if (r != 0)
		return r;
	int64_t next = vk_json_int(answer, "next_ms", 0);
	vk_format_time(next, when);
	if (off)
		printf("no certificate is ordered for %s by command any more\n", domain);
	else
		printf("a certificate of %s is ordered %s%s and kept up\n", domain,
			next > 0 ? "from " : "now", next > 0 ? when : "");
	return 0;
}

static const struct option auto_options[] = {
	{"--off", NULL, NULL, "do not; the certificate that is there stays to its end"},
	{0},
};

const struct command certs_commands[] = {
	{"certs:list", "STACK", 1, 1, 0, true, certs_list, NULL, "certificates of a stack"},
	{"certs:add", "STACK [CHAIN.pem KEY.pem]", 1, 3, 0, false, certs_add, NULL,
		"serve its domains by HTTPS; chain and key from files or standard input"},
	{"certs:auto", "STACK DOMAIN [--off]", 2, 2, 0, false, certs_auto, auto_options,
		"order a domain's certificate and renew it; again: try now"},
	{"certs:info", "STACK ID|DOMAIN", 2, 2, 0, true, certs_info, NULL,
		"one certificate, and how its order goes"},
	{"certs:remove", "STACK ID", 2, 2, 0, false, certs_remove, NULL, "take a certificate away"},
	{0},
};
