/*
 * A document that is sent, as one JSON line, to everybody who watches it, whenever it changes; "rev" in it rises with
 * each change and over restarts (the epoch is its upper part). Whoever asked for patches gets the whole document once and
 * then what changed: {"rev", "from": the rev it applies to, "patch": a merge patch, RFC 7396}.
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
void feed_end(struct feed *f); /* of all streams: who watches comes again */
/* doc is stolen, and its parts may be those of the last (they are never changed again); sent only when it differs. Returns the
 * revision that stands. */
uint64_t feed_set(struct feed *f, json_t *doc);
uint64_t feed_rev(const struct feed *f);
const json_t *feed_doc(const struct feed *f); /* NULL before the first */
/* Answers the request as a stream, of patches if its query says patches=1; the document that stands goes out at once. */
void feed_attach(struct feed *f, struct vk_req *r);
size_t feed_live(const struct feed *f);
bool feed_has(const struct feed *f,
	const char *host); /* does another host's process watch? NULL: one of ours */

#endif
