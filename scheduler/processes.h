/*
 * Process types of an image built with packs -> nodes of the document. Pure. Without a manifest each type becomes a node:
 * `web` is routed, `release` is the release task of the first of them, the others run beside it. The document of the release
 * holds the nodes made, each with "process": TYPE, and under "template" the node they were made of, so that a
 * rollback has them as they were and a rebuild makes them anew. With a manifest nodes stay as they are written: resolve.h
 * finds the command of each.
 *
 * At first web has one instance and the other types none, as Heroku and Dokku have it: a Procfile names one-off commands
 * too, and a node that ends at once would fail the push. The only type of an application without web has one.
 *
 * What is known of an image beside its place, "launch": {"processes": {"web": "npm start"}, "entrypoint": true|"cnb",
 * "packs": ["Node.js"], "stack_image": "sha256:..."}; NULL for images of Dockerfiles.
 */
#ifndef SCHEDULER_PROCESSES_H
#define SCHEDULER_PROCESSES_H

#include <jansson.h>
#include <stdbool.h>
#include <viking/err.h>

#define PROCESSES_MAX 50

/* The builder's `done` -> launch, NULL when there is nothing to keep. New reference. */
json_t *launch_take(const json_t *done);
/* Puts launch's keys beside others (known images of a job). */
void launch_put(json_t *object, const json_t *launch);

/* Nodes for the process types of the boat, in doc. A document with a manifest is left alone. */
int processes_expand(json_t *doc, const json_t *boats, struct vk_err *err);

/* What a node of such an image is started with. New references or NULL. */
struct process {
	json_t *cmd, *entrypoint; /* of the node, NULL: the image's */
	json_t *enter;            /* what enter and run go through */
	json_t *release, *release_entrypoint;
};
/* node: of the document; leads: it is the one that has the release task. All NULL for images of Dockerfiles. */
int process_of(const json_t *launch, const char *name, const json_t *node, bool leads,
	struct process *ret, struct vk_err *err);
void process_release(struct process *p);

#endif
