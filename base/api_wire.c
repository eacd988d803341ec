#include "api_wire.h"

#include <viking/json.h>
#include <viking/str.h>

#define REQUEST_MAX (16u << 20)

static bool plain(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s <= ' ' || *s == 0x7f)
			return false;
	return true;
}

static int add_headers(const struct vk_api_opts *o, bool upgrade, struct vk_buf *out)
{
	const char *token = o->token ? o->token : getenv("VIKING_TOKEN");
	int rc = 0;
	if (o->role != NULL)
		rc |= plain(o->role) ? vk_buf_addf(out, "Viking-Role: %s\r\n", o->role)
				     : VK_INVALID;
	if (token != NULL && *token != '\0')
		rc |= plain(token) ? vk_buf_addf(out, "Authorization: Bearer %s\r\n", token)
				   : VK_INVALID;
	if (upgrade)
		rc |= vk_buf_adds(out, "Connection: Upgrade\r\nUpgrade: viking\r\n");
	return rc;
}

int vk_api_request(const struct vk_api_opts *o, const char *method, const char *path,
	const json_t *body, bool upgrade, struct vk_buf *out, struct vk_err *err)
{
	if (!plain(method) || !plain(path) || *path != '/')
		return vk_err_set(err, VK_INVALID, "not a path the API could have");
	out->max = REQUEST_MAX;
	vk_buf_addf(out, "%s %s HTTP/1.1\r\nHost: viking\r\n", method, path);
	if (add_headers(o, upgrade, out) != 0)
		return vk_err_set(
			err, VK_INVALID, "the token or role holds bytes that cannot be sent");
	vk_autofree char *text = body != NULL ? vk_json_text(body) : vk_strdup("");
	if (body != NULL)
		vk_buf_adds(out, "Content-Type: application/json\r\n");
	int rc = vk_buf_addf(out, "Content-Length: %zu\r\n\r\n", strlen(text));
	if (rc != 0 || vk_buf_adds(out, text) != 0)
		return vk_err_set(err, VK_LIMIT, "the request is over %u bytes", REQUEST_MAX);
	return 0;
}

int vk_api_refusal(int status, const char *body, size_t n, bool *ret_again, struct vk_err *err)
{
	vk_autojson *j = NULL;
	if (vk_json_parse_max(body, n, VK_API_ANSWER_MAX, &j, NULL) != 0 || !json_is_object(j)) {
		int code = vk_err_from_http(status);
		return vk_err_set(err, code ? code : VK_INTERNAL,
			"the server answered with status %d", status);
	}
	const char *name = vk_json_str(j, "error", NULL);
	int code = name != NULL ? vk_err_from_name(name) : vk_err_from_http(status);
	vk_err_set(err, code != 0 ? code : VK_INTERNAL, "%s", vk_json_str(j, "message", "refused"));
	const char *hint = vk_json_str(j, "hint", "");
	if (*hint != '\0')
		vk_err_hint(err, "%s", hint);
	if (ret_again != NULL)
		*ret_again = vk_json_bool(j, "again", false);
	return code != 0 ? code : VK_INTERNAL;
}

int vk_api_end(const json_t *end, struct vk_err *err)
{
	if (vk_json_bool(end, "ok", false))
		return 0;
	vk_err_set(err, vk_err_from_name(vk_json_str(end, "error", "INTERNAL")), "%s",
		vk_json_str(end, "message", "failed"));
	const char *hint = vk_json_str(end, "hint", "");
	if (hint[0] != '\0')
		vk_err_hint(err, "%s", hint);
	return err->code;
}

int vk_api_away(const char *socket, struct vk_err *err)
{
	vk_err_set(err, VK_UNAVAILABLE, "viking does not answer at %s", socket);
	vk_err_hint(err, "start it: systemctl start viking (or vikingd)");
	return VK_UNAVAILABLE;
}
