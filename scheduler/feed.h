/*
 * A document that is sent whole, as one JSON line, to everybody who watches it, whenever it changes; "rev" in it rises with
 * each change and over restarts (the epoch is its upper part).
 */
#ifndef SCHEDULER_FEED_H
#define SCHEDULER_FEED_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <viking/httpd.h>

struct feed;
typedef void feed_change_fn(void *arg); /* somebody came or went */

struct feed *feed_new(uint64_t epoch, feed_change_fn *change, void *arg);
void feed_free(struct feed *f);
/* doc is stolen; sent only when it differs from the last. Returns the revision that stands. */
uint64_t feed_set(struct feed *f, json_t *doc);
uint64_t feed_rev(const struct feed *f);
const json_t *feed_doc(const struct feed *f); /* NULL before the first */
/* Answers the request as a stream; the document that stands goes out at once. */
void feed_attach(struct feed *f, struct vk_req *r);
size_t feed_live(const struct feed *f);

#endif
