#include <stdio.h>
#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#include "job.h"

#define URN        "urn:ietf:params:acme:error:"
#define DETAIL_MAX 400

/* What authorities call their errors (RFC 8555 6.7), and what a person can do about them. */
static const struct {
	const char *type;
	int code;
	const char *what, *hint; /* the hint with the domain */
} types[] = {
	{"connection", VK_FAILED, "the authority cannot reach this host",
		"dig %s: does it lead here, and is port 80 open from outside?"},
	{"unauthorized", VK_FAILED, "the authority got another answer than ours",
		"dig %s: does it lead here and nowhere else?"},
	{"incorrectResponse", VK_FAILED, "the authority got another answer than ours",
		"dig %s: does it lead here and nowhere else?"},
	{"dns", VK_FAILED, "the authority finds no address or record", "dig %s"},
	{"caa", VK_FAILED, "its DNS forbids this authority", "dig CAA %s"},
	{"rateLimited", VK_LIMIT, "a limit of the authority", "wait: it is tried again later"},
	{"rejectedIdentifier", VK_FAILED, "the authority does not take the name",
		"is %s a public name?"},
	{"userActionRequired", VK_FAILED, "the authority wants its terms to be read again",
		"viking doctor"},
	{"externalAccountRequired", VK_FAILED,
		"the authority wants an account of its own, which viking cannot give",
		"acme.directory in /etc/viking/viking.conf"},
	{"invalidContact", VK_FAILED, "the authority does not take the address",
		"acme.email in /etc/viking/viking.conf"},
	{"unsupportedContact", VK_FAILED, "the authority does not take the address",
		"acme.email in /etc/viking/viking.conf"},
	{"serverInternal", VK_UNAVAILABLE, "the authority failed", "wait: it is tried again later"},
};

/* Its own words, where the authority was never heard. */
static const struct {
	const char *says;
	int code;
	const char *what, *hint;
} words[] = {
	{"SSL certificate problem", VK_UNAVAILABLE,
		"the authority's own certificate is not trusted",
		"acme.ca_file in /etc/viking/viking.conf"},
	{"certificate verification failed", VK_UNAVAILABLE,
		"the authority's own certificate is not trusted",
		"acme.ca_file in /etc/viking/viking.conf"},
	{"SSL peer certificate", VK_UNAVAILABLE, "the authority's own certificate is not trusted",
		"acme.ca_file in /etc/viking/viking.conf"},
	{"curl_get: GET", VK_UNAVAILABLE, "the authority does not answer",
		"acme.directory in /etc/viking/viking.conf; is it reached from here?"},
	{"curl_post: POST", VK_UNAVAILABLE, "the authority does not answer",
		"acme.directory in /etc/viking/viking.conf; is it reached from here?"},
	{"directory", VK_UNAVAILABLE, "that is no directory of an authority",
		"acme.directory in /etc/viking/viking.conf"},
	{"timeout while polling", VK_TIMEOUT, "the authority did not come to an end",
		"wait: it is tried again later"},
	{"no challenge completed", VK_FAILED,
		"the authority offers no challenge that can be answered",
		"acme.dns_hook in /etc/viking/viking.conf, for wildcards"},
};

/* The last problem document in the text: from a line "{" to a line "}". */
static json_t *find_document(const char *text, size_t n)
{
	json_t *found = NULL;
	const char *stop = text + n;
	for (const char *at = text; (at = memmem(at, (size_t)(stop - at), "\n{\n", 3)) != NULL;
		at++) {
		const char *end = memmem(at, (size_t)(stop - at), "\n}", 2);
		json_t *j = NULL;
		if (end == NULL)
			break;
		if (vk_json_parse(at + 1, (size_t)(end + 2 - at - 1), &j, NULL) != 0)
			continue;
		json_decref(found);
		found = j;
	}
	return found;
}

static int from_document(const json_t *doc, const char *domain, struct vk_err *err)
{
	const char *type = vk_json_str(doc, "type", ""), *detail = vk_json_str(doc, "detail", "");
	char said[DETAIL_MAX];
	vk_str_printable(detail, strlen(detail), said, sizeof(said));
	if (vk_starts(type, URN))
		type += strlen(URN);
	for (size_t i = 0; i < VK_COUNT(types); i++) {
		char hint[300];
		if (strcmp(type, types[i].type) != 0)
			continue;
		const char *place = strstr(types[i].hint, "%s");
		snprintf(hint, sizeof(hint), "%.*s%s%s",
			place != NULL ? (int)(place - types[i].hint) : 200, types[i].hint,
			place != NULL ? domain : "", place != NULL ? place + 2 : "");
		vk_err_set(err, types[i].code, "%s: %s", types[i].what, said);
		return vk_err_hint(err, "%s", hint);
	}
	vk_err_set(err, VK_FAILED, "the authority refuses: %s", said);
	return vk_err_hint(err, "wait: it is tried again later");
}

/* The last line with these words, without "uacme: ". */
static bool find_line(const char *text, size_t n, const char *says, char out[static DETAIL_MAX])
{
	const char *stop = text + n;
	bool found = false;
	while (text < stop) {
		const char *end = memchr(text, '\n', (size_t)(stop - text));
		size_t len = (size_t)((end != NULL ? end : stop) - text);
		if (len > 0 && memmem(text, len, says, strlen(says)) != NULL) {
			bool own = len > 7 && memcmp(text, "uacme: ", 7) == 0;
			vk_str_printable(
				text + (own ? 7 : 0), len - (own ? 7 : 0), out, DETAIL_MAX);
			found = true;
		}
		text += len + 1;
	}
	return found;
}

int problem_read(const char *text, size_t n, const char *domain, struct vk_err *err)
{
	char line[DETAIL_MAX] = "";
	vk_autojson *doc = find_document(text, n);
	if (json_is_object(doc) && vk_json_str(doc, "type", NULL) != NULL)
		return from_document(doc, domain, err);
	for (size_t i = 0; i < VK_COUNT(words); i++) {
		if (!find_line(text, n, words[i].says, line))
			continue;
		vk_err_set(err, words[i].code, "%s: %s", words[i].what, line);
		return vk_err_hint(err, "%s", words[i].hint);
	}
	bool said = find_line(text, n, "", line);
	vk_err_set(err, VK_FAILED, "uacme: %s", said ? line : "it failed without a word");
	return vk_err_hint(err, "journalctl -u viking -n 100");
}
