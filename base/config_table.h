/* The table of settings, private to base/config*.c: one row a setting, one check a kind of text. */
#ifndef VIKING_BASE_CONFIG_TABLE_H
#define VIKING_BASE_CONFIG_TABLE_H

#include <viking/config.h>

enum setting_type {
	SETTING_TEXT,
	SETTING_PATH, /* text; relative to the root until the end of loading */
	SETTING_NUMBER,
	SETTING_SIZE,
	SETTING_DURATION, /* milliseconds */
	SETTING_BOOL,
};

/* 0 or VK_INVALID with what the value should be, without its name. */
typedef int setting_check(const char *value, struct vk_err *err);

struct setting {
	const char *name;
	enum setting_type type;
	size_t offset; /* in struct vk_config */
	const char *dflt;
	uint64_t min, max;    /* of what is no text */
	setting_check *check; /* of text; may be NULL */
	const char *help;
};

#define SETTING_COUNT 116
extern const struct setting settings[SETTING_COUNT];

const struct setting *setting_find(const char *name);
const char *setting_suggest(const char *name); /* NULL if nothing is near */
char *setting_env_name(const struct setting *s);
/* Parses text into the field; the old value is freed. */
int setting_set(const struct setting *s, struct vk_config *c, const char *text, struct vk_err *err);
/* The value as text that setting_set reads back. */
char *setting_text(const struct setting *s, const struct vk_config *c);
void setting_release(const struct setting *s, struct vk_config *c);

#endif
