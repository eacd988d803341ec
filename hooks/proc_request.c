#include "proc_receive.h"

#include <viking/str.h>

#define COMMAND_LINE_MAX (REF_NAME_MAX + 256)

void proc_request_init(struct proc_request *q)
{
	*q = (struct proc_request){0};
	pktline_init(&q->lines);
}

void proc_request_release(struct proc_request *q)
{
	pktline_release(&q->lines);
	refs_release(&q->updates);
	push_options_release(&q->options);
}

/* "version=1\0push-options atomic": the features stand behind a NUL, in words. */
static int take_version(struct proc_request *q, const char *p, size_t n, struct vk_err *err)
{
	static const char version[] = "version=1";
	size_t len = strnlen(p, n);
	if (len != strlen(version) || memcmp(p, version, len) != 0)
		return vk_err_set(err, VK_INVALID, "git speaks another version of proc-receive");
	for (p += len, n -= len; n > 0;) {
		p++; /* the NUL or blank before a word */
		n--;
		size_t word = 0;
		while (word < n && p[word] != ' ')
			word++;
		if (word == strlen("push-options") && memcmp(p, "push-options", word) == 0)
			q->wants_options = true;
		p += word;
		n -= word;
	}
	return 0;
}

static int take_packet(struct proc_request *q, const char *p, size_t n, struct vk_err *err)
{
	switch (q->phase) {
	case PROC_VERSION:
		return take_version(q, p, n, err);
	case PROC_COMMANDS:
		if (n > COMMAND_LINE_MAX)
			return vk_err_set(err, VK_LIMIT, "a ref's name is too long");
		return refs_add(&q->updates, p, n, err);
	case PROC_OPTIONS:
		return push_options_add(&q->options, p, n, err);
	case PROC_READY:
		break;
	}
	return vk_err_set(err, VK_INVALID, "git says more than was asked");
}

static int take_flush(struct proc_request *q, struct vk_buf *out, struct vk_err *err)
{
	switch (q->phase) {
	case PROC_VERSION:
		if (q->wants_options)
			pktline_add(out, "version=1\0push-options\n", strlen("version=1") + 14);
		else
			pktline_addf(out, "version=1\n");
		pktline_flush(out);
		q->phase = PROC_COMMANDS;
		return 0;
	case PROC_COMMANDS:
		q->phase = q->wants_options ? PROC_OPTIONS : PROC_READY;
		return 0;
	case PROC_OPTIONS:
		q->phase = PROC_READY;
		return 0;
	case PROC_READY:
		break;
	}
	return vk_err_set(err, VK_INVALID, "git says more than was asked");
}

static int take_all(struct proc_request *q, struct vk_buf *out, struct vk_err *err)
{
	for (;;) {
		enum pktline_kind kind;
		const char *p = NULL;
		size_t n = 0;
		int rc = pktline_next(&q->lines, &kind, &p, &n, err);
		if (rc != 0 || kind == PKTLINE_NONE)
			return rc;
		rc = kind == PKTLINE_FLUSH ? take_flush(q, out, err) : take_packet(q, p, n, err);
		if (rc != 0)
			return rc;
	}
}

int proc_request_feed(
	struct proc_request *q, const void *p, size_t n, struct vk_buf *out, struct vk_err *err)
{
	const char *bytes = p;
	while (n > 0) { /* in pieces that surely fit beside an unfinished packet */
		size_t piece = n < PKTLINE_MAX ? n : PKTLINE_MAX;
		int rc = pktline_feed(&q->lines, bytes, piece, err);
		if (rc == 0)
			rc = take_all(q, out, err);
		if (rc != 0)
			return rc;
		bytes += piece;
		n -= piece;
	}
	return 0;
}

void proc_answer_ng(struct vk_buf *out, const char *ref, const char *reason)
{
	char clean[sizeof(((struct vk_err *)NULL)->msg)];
	vk_str_printable(reason, strlen(reason), clean, sizeof(clean));
	vk_str_shorten(clean, REASON_MAX);
	for (char *p = clean; *p != '\0'; p++)
		if (*p == '\t')
			*p = ' ';
	pktline_addf(out, "ng %s %s", ref, *clean != '\0' ? clean : "refused");
}
