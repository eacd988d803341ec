#include "failure.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <viking/mem.h>
#include <viking/str.h>

#define INSTRUCTION_MAX 120 /* bytes of the instruction in the message */

static const char *step_text(const json_t *steps, size_t i)
{
	const char *s = json_string_value(json_array_get(json_array_get(steps, i), 1));
	return s != NULL ? s : "";
}

static long step_line(const json_t *steps, size_t i)
{
	return (long)json_integer_value(json_array_get(json_array_get(steps, i), 0));
}

static bool is_instruction(const char *text, const char *word)
{
	size_t n = strlen(word);
	return strncasecmp(text, word, n) == 0 &&
		(text[n] == ' ' || text[n] == '\t' || text[n] == '\0');
}

/* "FROM x AS name": the name, or NULL. */
static const char *stage_alias(const char *from)
{
	const char *name = strrchr(from, ' ');
	if (name == NULL || name - from < 3)
		return NULL;
	const char *as = name;
	while (as > from && as[-1] == ' ')
		as--;
	return as - from >= 3 && strncasecmp(as - 2, "as", 2) == 0 && as[-3] == ' ' ? name + 1
										    : NULL;
}

static bool is_stage(const char *from, unsigned index, const char *stage)
{
	if (stage[0] == '\0')
		return true;
	const char *alias = stage_alias(from);
	if (alias != NULL)
		return strcasecmp(alias, stage) == 0;
	vk_autofree char *number = vk_asprintf("stage-%u", index);
	return vk_streq(number, stage);
}

/* The image word of a FROM line, after its flags. */
static char *from_image(const char *from)
{
	const char *p = from + strlen("FROM");
	for (p += strspn(p, " \t"); vk_starts(p, "--"); p += strspn(p, " \t"))
		p += strcspn(p, " \t");
	return vk_strndup(p, strcspn(p, " \t"));
}

static bool has_nocase(const struct vk_strv *l, const char *s)
{
	for (size_t i = 0; i < l->n; i++) {
		if (strcasecmp(l->v[i], s) == 0)
			return true;
	}
	return false;
}

/* A FROM that only goes on from an earlier stage, or from nothing, is no step. */
static bool from_counts(const char *from, const struct vk_strv *aliases)
{
	vk_autofree char *image = from_image(from);
	return !vk_streq(image, "scratch") && !has_nocase(aliases, image);
}

static bool is_counted(const char *text)
{
	static const char *const counted[] = {"RUN", "COPY", "ADD", "WORKDIR"};
	for (size_t i = 0; i < VK_COUNT(counted); i++) {
		if (is_instruction(text, counted[i]))
			return true;
	}
	return false;
}

int failure_find_step(const json_t *steps, const char *stage, unsigned n)
{
	vk_autostrv aliases = {0};
	unsigned stages = 0, at = 0;
	bool inside = false;
	for (size_t i = 0; i < json_array_size(steps); i++) {
		const char *text = step_text(steps, i);
		bool counts = is_counted(text);
		if (is_instruction(text, "FROM")) {
			const char *alias = stage_alias(text);
			inside = is_stage(text, stages++, stage);
			counts = from_counts(text, &aliases);
			at = 0;
			if (alias != NULL)
				vk_strv_add(&aliases, alias);
		}
		if (inside && counts && ++at == n)
			return (int)i;
	}
	return -1;
}

/* The number in decimal digits at s, or -1. */
static long number_at(const char *s)
{
	char digits[10];
	size_t n = strspn(s, "0123456789");
	uint64_t v;
	if (n == 0 || n >= sizeof(digits))
		return -1;
	memcpy(digits, s, n);
	digits[n] = '\0';
	return vk_parse_u64(digits, 0, 999999999, &v) == 0 ? (long)v : -1;
}

int failure_exit_code(const char *message)
{
	static const char *const marks[] = {"exit code: ", "non-zero code: "};
	int found = -1;
	for (size_t i = 0; i < VK_COUNT(marks); i++) {
		/* the command stands in the message too: what comes last is the engine's */
		for (const char *p = message; (p = strstr(p, marks[i])) != NULL; p++) {
			long v = number_at(p + strlen(marks[i]));
			if (v >= 0)
				found = (int)v;
		}
	}
	return found;
}

/* "... dockerfile parse error line 2: unknown instruction: X" (20.10), "... on line 2: ..." (later) */
static const char *parse_error(const char *message, long *ret_line)
{
	static const char *const marks[] = {"parse error line ", "parse error on line "};
	for (size_t i = 0; i < VK_COUNT(marks); i++) {
		const char *p = strstr(message, marks[i]);
		if (p == NULL || (*ret_line = number_at(p + strlen(marks[i]))) < 0)
			continue;
		p = strstr(p, ": ");
		return p != NULL ? p + 2 : message;
	}
	return NULL;
}

/* Drops the wrapping that says nothing to the person who pushed. */
static const char *plain_words(const char *message)
{
	static const char *const wraps[] = {
		"failed to solve with frontend dockerfile.v0: ",
		"failed to solve: ",
		"failed to create LLB definition: ",
		"failed to compute cache key: ",
		"rpc error: code = Unknown desc = ",
		"failed to build LLB: ",
	};
	for (size_t i = 0; i < VK_COUNT(wraps);) {
		if (vk_starts(message, wraps[i])) {
			message += strlen(wraps[i]);
			i = 0;
		} else {
			i++;
		}
	}
	return message;
}

struct place {
	long line;        /* 0 = not known */
	const char *text; /* the instruction, "" = not known */
};

static struct place find_place(const struct failure *f)
{
	const struct progress *p = f->progress;
	const struct progress_step *s = progress_failed(p);
	int i = -1;
	struct place place = {0, ""};
	if (s != NULL && s->total > 0) {
		place.text = s->text;
		i = failure_find_step(f->steps, s->stage, s->n);
	} else if (p->classic_step > 0) {
		place.text = p->classic_text;
		i = p->classic_step <= json_array_size(f->steps) ? (int)p->classic_step - 1 : -1;
	}
	if (i >= 0) {
		place.line = step_line(f->steps, (size_t)i);
		place.text = step_text(f->steps, (size_t)i);
	}
	return place;
}

static char *place_text(const struct failure *f, struct place place)
{
	char text[INSTRUCTION_MAX + 4];
	vk_str_printable(place.text, strlen(place.text), text, INSTRUCTION_MAX);
	const char *more = strlen(place.text) >= INSTRUCTION_MAX ? " ..." : "";
	if (place.line > 0)
		return vk_asprintf(" at %s:%ld: %s%s", f->source, place.line, text, more);
	return text[0] != '\0' ? vk_asprintf(": %s%s", text, more) : vk_strdup("");
}

int failure_describe(const struct failure *f, struct vk_err *err)
{
	const char *message = f->engine != NULL ? f->engine : f->progress->error, *rest;
	if (message == NULL)
		message = "the engine ended the build without an image";
	long line;
	if ((rest = parse_error(message, &line)) != NULL)
		return vk_err_set(
			err, VK_FAILED, "build failed at %s:%ld: %s", f->source, line, rest);
	const struct progress_step *s = progress_failed(f->progress);
	vk_autofree char *place = place_text(f, find_place(f));
	int status = failure_exit_code(message);
	if (status >= 0)
		vk_err_set(err, VK_FAILED, "build failed%s: exit code %d", place, status);
	else
		vk_err_set(err, VK_FAILED, "build failed%s: %s", place,
			plain_words(s != NULL && s->total > 0 ? s->error : message));
	if (f->source_is_file)
		vk_err_hint(err, "docker build -f %s . (the same build on your own machine)",
			f->source);
	limits_explain(f->limits,
		&(struct limit_signs){.exit_code = status,
			.memory_hit = f->memory_hit,
			.message = message,
			.log = f->progress->log},
		err);
	return VK_FAILED;
}
