#include "command.h"

#include <viking/str.h>

/* The length of the UTF-8 sequence at p, or 0 when it is not one or is a control character. */
static size_t printable_sequence(const unsigned char *p, size_t n)
{
	if (p[0] < 0x80)
		return p[0] >= 0x20 && p[0] != 0x7f;
	size_t len = p[0] >= 0xc2 && p[0] <= 0xdf ? 2
		: (p[0] & 0xf0) == 0xe0           ? 3
		: p[0] >= 0xf0 && p[0] <= 0xf4    ? 4
						  : 0;
	if (len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if (p[0] == 0xc2 && p[1] < 0xa0) /* U+0080..U+009F: terminals obey them */
		return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
		(p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

static int check_bytes(const char *text, size_t n, struct vk_err *err)
{
	if (n > COMMAND_MAX)
		return vk_err_set(
			err, VK_LIMIT, "the command is longer than %d bytes", COMMAND_MAX);
	for (size_t i = 0; i < n;) {
		size_t len = printable_sequence((const unsigned char *)text + i, n - i);
		if (len == 0)
			return vk_err_set(err, VK_INVALID,
				"the command has a control byte or invalid UTF-8 at byte %zu",
				i + 1);
		i += len;
	}
	return 0;
}

static int parse_stack(const char *path, struct command *ret, struct vk_err *err)
{
	while (*path == '/')
		path++;
	size_t n = strlen(path);
	while (n > 0 && path[n - 1] == '/')
		n--;
	if (n > 4 && strncmp(path + n - 4, ".git", 4) == 0)
		n -= 4;
	if (n == 0) {
		vk_err_set(err, VK_INVALID, "the repository path must be a stack's name");
		return vk_err_hint(err, "git remote set-url <remote> ssh://viking@HOST:PORT/STACK");
	}
	vk_autofree char *name = vk_strndup(path, n);
	int rc = vk_stack_name(name, err);
	if (rc == 0)
		memcpy(ret->stack, name, n + 1);
	return rc;
}

/* "git-receive-pack", "receive-pack" behind "git": the service, or -1. */
static int git_service(const char *word)
{
	static const struct {
		const char *name;
		enum command_kind kind;
	} services[] = {{"receive-pack", COMMAND_RECEIVE}, {"upload-pack", COMMAND_UPLOAD}};
	for (size_t i = 0; i < VK_COUNT(services); i++)
		if (vk_streq(word, services[i].name))
			return (int)services[i].kind;
	return -1;
}

static int parse_git(const struct vk_strv *words, const char *service, size_t next,
	struct command *ret, struct vk_err *err)
{
	int kind = git_service(service);
	if (kind < 0)
		return vk_err_set(err, VK_DENIED, "git %.40s is not served here", service);
	if (words->n != next + 1)
		return vk_err_set(
			err, VK_INVALID, "git %s takes one repository and no options", service);
	ret->kind = (enum command_kind)kind;
	return parse_stack(words->v[next], ret, err);
}

/* Options before the command's name that choose configuration or state belong to the person at the
 * machine. Behind it they are another program's (`run app node --config x`). */
static int check_words(const struct vk_strv *words, size_t from, struct vk_err *err)
{
	for (size_t i = from; i < words->n && words->v[i][0] == '-'; i++) {
		const char *w = words->v[i];
		if (vk_streq(w, "--config") || vk_streq(w, "--root") || vk_starts(w, "--config=") ||
			vk_starts(w, "--root="))
			return vk_err_set(err, VK_DENIED, "%.8s is not allowed over SSH", w);
	}
	return 0;
}

static int parse_words(struct vk_strv *words, struct command *ret, struct vk_err *err)
{
	if (words->n == 0)
		return 0; /* a greeting */
	if (vk_starts(words->v[0], "git-"))
		return parse_git(words, words->v[0] + 4, 1, ret, err);
	if (vk_streq(words->v[0], "git"))
		return parse_git(words, words->n > 1 ? words->v[1] : "", 2, ret, err);
	size_t from = vk_streq(words->v[0], "viking"); /* `ssh host viking ps` is `ssh host ps` */
	int rc = check_words(words, from, err);
	if (rc != 0 || from == words->n)
		return rc;
	for (size_t i = from; i < words->n; i++)
		vk_strv_add(&ret->words, words->v[i]);
	ret->kind = COMMAND_VIKING;
	return 0;
}

int command_parse(const char *text, size_t n, struct command *ret, struct vk_err *err)
{
	*ret = (struct command){.kind = COMMAND_GREETING};
	int rc = check_bytes(text, n, err);
	if (rc != 0)
		return rc;
	vk_autofree char *line = vk_strndup(text, n);
	vk_autostrv words = {0};
	rc = vk_shell_split(line, &words, err);
	if (rc != 0)
		return rc;
	return parse_words(&words, ret, err);
}

void command_release(struct command *c)
{
	vk_strv_release(&c->words);
}

bool command_env_value(const char *s)
{
	size_t n = strlen(s);
	if (n == 0 || n > 64)
		return false;
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
		"._:=@+-";
	return strspn(s, allowed) == n;
}
