#include "procfile.h"

#include <string.h>
#include <viking/json.h>
#include <viking/mem.h>

static const char name_chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

static bool has_control(const char *s)
{
	for (; *s != '\0'; s++)
		if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
			return true;
	return false;
}

int process_add(json_t *processes, const char *name, const char *command, struct vk_err *err)
{
	size_t n = strlen(name);
	if (n == 0 || n > PROCESS_NAME_MAX || strspn(name, name_chars) != n || *name == '-')
		return vk_err_set(err, VK_INVALID,
			"\"%.70s\" is no name of a process type: a-z, A-Z, 0-9, _ and - can be in "
			"it",
			name);
	if (*command == '\0')
		return vk_err_set(err, VK_INVALID, "the process type %s has no command", name);
	if (strlen(command) > PROCESS_CMD_MAX)
		return vk_err_set(err, VK_LIMIT, "the command of %s is longer than %d bytes", name,
			PROCESS_CMD_MAX);
	if (has_control(command))
		return vk_err_set(
			err, VK_INVALID, "the command of %s has a control character", name);
	if (json_object_get(processes, name) != NULL)
		return vk_err_set(err, VK_INVALID, "the process type %s is there twice", name);
	if (json_object_size(processes) == PROCESSES_MAX)
		return vk_err_set(err, VK_LIMIT, "more than %d process types", PROCESSES_MAX);
	json_t *text = json_string(command);
	if (text == NULL)
		return vk_err_set(err, VK_INVALID, "the command of %s is no UTF-8", name);
	json_object_set_new(processes, name, text);
	return 0;
}

/* Cuts blanks at both ends, in place. */
static char *trim(char *s)
{
	static const char blanks[] = " \t\r";
	s += strspn(s, blanks);
	for (size_t n = strlen(s); n > 0 && strchr(blanks, s[n - 1]) != NULL;)
		s[--n] = '\0';
	return s;
}

static int add_line(json_t *processes, const char *line, size_t n, struct vk_err *err)
{
	if (memchr(line, '\0', n) != NULL)
		return vk_err_set(err, VK_INVALID, "a NUL byte");
	vk_autofree char *copy = vk_strndup(line, n);
	char *s = trim(copy);
	if (*s == '\0' || *s == '#')
		return 0;
	char *colon = strchr(s, ':');
	if (colon == NULL) {
		vk_err_set(err, VK_INVALID, "\"%.60s\" is not of the form NAME: COMMAND", s);
		return vk_err_hint(err, "web: npm start");
	}
	*colon = '\0';
	return process_add(processes, trim(s), trim(colon + 1), err);
}

int procfile_parse(const char *text, size_t n, json_t **ret, struct vk_err *err)
{
	struct vk_err local = {0};
	vk_autojson *processes = json_object();
	if (err == NULL) /* the line is put before its message */
		err = &local;
	if (n > PROCFILE_MAX)
		return vk_err_set(
			err, VK_LIMIT, "Procfile is larger than %d KiB", PROCFILE_MAX / 1024);
	if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		n -= 3;
	}
	unsigned line = 1;
	for (size_t at = 0; at < n; line++) {
		const char *nl = memchr(text + at, '\n', n - at);
		size_t len = nl != NULL ? (size_t)(nl - text) - at : n - at;
		if (add_line(processes, text + at, len, err) != 0)
			return vk_err_wrap(err, "Procfile:%u", line);
		at += len + 1;
	}
	*ret = VK_TAKE(processes);
	return 0;
}
