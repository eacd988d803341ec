/* What the API's clients have in common: the text of a request, and the error in an answer's body. */
#ifndef VIKING_BASE_API_WIRE_H
#define VIKING_BASE_API_WIRE_H

#include <viking/api.h>

#define VK_API_ANSWER_MAX (16u << 20) /* bytes of one JSON answer or of one line of a stream */
#define VK_API_TIMEOUT_MS 10000
#define VK_API_SILENCE_MS 25000 /* three keep-alives of a stream and a moment */

/* Writes head and body. VK_INVALID when a part holds blanks or control bytes. */
int vk_api_request(const struct vk_api_opts *o, const char *method, const char *path,
	const json_t *body, bool upgrade, struct vk_buf *out, struct vk_err *err);
/* Fills err from the body of an answer that is not 2xx; always non-zero. */
int vk_api_refusal(int status, const char *body, size_t n, bool *ret_again, struct vk_err *err);
/* "Nothing listens", with the line to type. Keeps other failures as they are. */
int vk_api_away(const char *socket, struct vk_err *err);

#endif
