#include <viking/http.h>

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <viking/crypt.h>
#include <viking/str.h>

#define CONNECT_MS 5000L

struct call {
	const char *want;
	struct vk_http_answer *answer;
};

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	struct call *c = arg;
	size_t name = c->want != NULL ? strlen(c->want) : 0;
	n *= size;
	if (name == 0 || n <= name || p[name] != ':' || strncasecmp(p, c->want, name) != 0)
		return n;
	vk_autofree char *value = vk_strndup(p + name + 1, n - name - 1);
	value[strcspn(value, "\r\n")] = '\0';
	const char *s = value + strspn(value, " \t");
	if (strlen(s) < sizeof(c->answer->header))
		snprintf(c->answer->header, sizeof(c->answer->header), "%s", s);
	return n;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	const struct vk_http_request *q = arg;
	int rc = q->sink != NULL  ? q->sink(q->sink_arg, p, size * n)
		: q->into != NULL ? vk_buf_add(q->into, p, size * n)
				  : 0;
	return rc == 0 ? size * n : 0;
}

/* Neither names nor authorities count: the key does. */
static void pin(CURL *h, const char *hex)
{
	unsigned char sum[32] = {0};
	for (size_t k = 0; k < sizeof(sum) && strlen(hex) == 2 * sizeof(sum); k++) {
		const char two[] = {hex[2 * k], hex[2 * k + 1], '\0'};
		sum[k] = (unsigned char)strtoul(two, NULL, 16);
	}
	vk_autofree char *base64 = vk_base64(sum, sizeof(sum));
	vk_autofree char *text = vk_asprintf("sha256//%s", base64);
	curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(h, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3);
	curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 0L);
	curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 0L);
	curl_easy_setopt(h, CURLOPT_PINNEDPUBLICKEY, text);
}

static void prepare(
	CURL *h, const struct vk_http_request *q, struct curl_slist *headers, struct call *c)
{
	curl_easy_setopt(h, CURLOPT_URL, q->url);
	curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(h, CURLOPT_PROXY, "");
	curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)q->timeout_ms);
	curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(h, CURLOPT_HEADERDATA, c);
	curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(h, CURLOPT_WRITEDATA, q);
	if (q->pin != NULL)
		pin(h, q->pin);
	if (q->body != NULL)
		curl_easy_setopt(h, CURLOPT_POSTFIELDS, q->body);
	if (q->user != NULL) {
		curl_easy_setopt(h, CURLOPT_USERNAME, q->user);
		curl_easy_setopt(h, CURLOPT_PASSWORD, q->password);
	}
	if (vk_streq(q->method, "HEAD"))
		curl_easy_setopt(h, CURLOPT_NOBODY, 1L);
	else
		curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, q->method);
}

int vk_http(const struct vk_http_request *q, struct vk_http_answer *ret, struct vk_err *err)
{
	long status = 0;
	struct call c = {.want = q->want_header, .answer = ret};
	CURL *h = curl_easy_init();
	if (h == NULL)
		return vk_err_set(err, VK_INTERNAL, "libcurl cannot be started");
	vk_autofree char *accept = q->accept != NULL ? vk_asprintf("Accept: %s", q->accept) : NULL;
	struct curl_slist *headers = accept != NULL ? curl_slist_append(NULL, accept) : NULL;
	*ret = (struct vk_http_answer){0};
	prepare(h, q, headers, &c);
	CURLcode rc = curl_easy_perform(h);
	curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(h);
	curl_slist_free_all(headers);
	ret->status = (int)status;
	if (rc == CURLE_OK)
		return 0;
	int code = rc == CURLE_OPERATION_TIMEDOUT      ? VK_TIMEOUT
		: rc == CURLE_SSL_PINNEDPUBKEYNOTMATCH ? VK_DENIED
						       : VK_UNAVAILABLE;
	return vk_err_set(err, code, "%s", curl_easy_strerror(rc));
}
