#include <criterion/criterion.h>
#include <string.h>

#include "job.h"

static void reads(const char *text, int code, const char *message, const char *hint)
{
	struct vk_err err = {0};
	cr_assert_eq(problem_read(text, strlen(text), "a.com", &err), code, "%s", err.msg);
	cr_assert_eq(err.code, code);
	cr_assert_not_null(strstr(err.msg, message), "%s", err.msg);
	cr_assert_not_null(strstr(err.hint, hint), "%s", err.hint);
}

#define SAID \
	"uacme: challenge https://ca/chal/1 failed with status invalid\n" \
	"uacme: the server reported the following error:\n"
#define DOCUMENT(type, detail) \
	"{\n    \"type\": \"urn:ietf:params:acme:error:" type "\",\n    \"detail\": \"" detail \
	"\",\n    \"status\": 400\n}\n"
#define OVER "uacme: failed to authorize order at https://ca/my-order/2\n"

Test(problem, the_authority_s_word_comes_with_what_to_do)
{
	reads(SAID DOCUMENT("connection", "Timeout during connect") OVER, VK_FAILED,
		"cannot reach this host: Timeout during connect", "dig a.com: does it lead here");
	reads(SAID DOCUMENT("dns", "NXDOMAIN looking up A") OVER, VK_FAILED, "no address",
		"dig a.com");
	reads(SAID DOCUMENT("caa", "CAA record prevents issuance") OVER, VK_FAILED, "forbids",
		"dig CAA a.com");
	reads(SAID DOCUMENT("rateLimited", "too many certificates") OVER, VK_LIMIT,
		"too many certificates", "tried again later");
	reads(SAID DOCUMENT("whatever", "no") OVER, VK_FAILED, "the authority refuses: no",
		"later");
}

Test(problem, the_last_document_counts_and_its_text_is_made_harmless)
{
	reads(SAID DOCUMENT("dns", "old") SAID DOCUMENT("caa", "new\\u001b[31m\\nnext") OVER,
		VK_FAILED, "new", "CAA");
	struct vk_err err = {0};
	const char *text = SAID DOCUMENT("caa", "x\\u001b[31m\\ny");
	problem_read(text, strlen(text), "a.com", &err);
	for (const char *p = err.msg; *p != '\0'; p++)
		cr_assert((unsigned char)*p >= 0x20 && *p != 0x7f, "%s", err.msg);
}

Test(problem, without_an_answer_uacme_s_own_words)
{
	reads("uacme: curl_get: GET https://ca/dir failed: Couldn't connect to server\n"
	      "uacme: acme_get: curl_get failed\nuacme: failed to fetch directory at "
	      "https://ca/dir\n",
		VK_UNAVAILABLE, "does not answer: curl_get: GET https://ca/dir failed: Couldn't",
		"acme.directory");
	reads("uacme: failed to fetch directory at https://ca/x\n", VK_UNAVAILABLE, "no directory",
		"acme.directory");
	reads("uacme: no challenge completed\nuacme: failed to authorize\n", VK_FAILED,
		"no challenge", "acme.dns_hook");
	reads("uacme: timeout while polling challenge status at https://ca/c, giving up\n",
		VK_TIMEOUT, "come to an end", "later");
	reads("uacme: something new", VK_FAILED, "uacme: something new", "journalctl");
	reads("", VK_FAILED, "without a word", "journalctl");
	reads("/usr/bin/uacme cannot be run (Debian's package uacme)\n", VK_FAILED,
		"Debian's package uacme", "");
}

Test(problem, half_documents_are_none)
{
	reads(SAID "{\n \"type\": \"urn", VK_FAILED, "uacme", "");
	reads("\n{\n}\n", VK_FAILED, "uacme", "");
	reads("\n{\n[}\n\n{\n\n{\n", VK_FAILED, "uacme", "");
}
