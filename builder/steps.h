/*
 * The instructions of a Dockerfile with their lines, as the export child hands them to the job
 * ([[line, text], ..]), so that the job can name a failing line without reading what a tenant wrote. Pure.
 */
#ifndef BUILDER_STEPS_H
#define BUILDER_STEPS_H

#include <jansson.h>
#include <stddef.h>

#define STEPS_LISTED_MAX 2000 /* instructions; a failure in a later one is told without its line */
#define STEP_TEXT_MAX    200  /* bytes of each */

/* The list, as far as the text can be read; never NULL. */
json_t *steps_list(const char *text, size_t n);

#endif
