/* Push options (git push -o ...). Pure. */
#ifndef SCHEDULER_PUSHOPT_H
#define SCHEDULER_PUSHOPT_H

#include <jansson.h>
#include <stdbool.h>
#include <viking/err.h>

#define NOTE_MAX 200

struct pushopt {
	bool dry_run, no_cache, wait, supersede;
	char note[NOTE_MAX + 1];
};
/* list: JSON array of strings, NULL = none. Unknown options: VK_INVALID with the nearest known one. */
int pushopt_parse(const json_t *list, struct pushopt *ret, struct vk_err *err);

#endif
