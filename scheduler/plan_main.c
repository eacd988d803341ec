/* viking-plan: the planner alone on a described cluster. Started by `viking plan --from FILE`. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/json.h>

#include "dowding_file.h"

#define MAX_INPUT (UINT64_C(1) << 30)

struct plan_call {
	const char *file, *service;
	bool json;
};

static int usage(struct vk_err *err)
{
	vk_err_set(err, VK_USAGE, "a file is wanted");
	return vk_err_hint(err, "viking plan --from FILE|- [--explain SERVICE] [--json]");
}

static int words(struct plan_call *c, int argc, char **argv, struct vk_err *err)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			c->json = true;
		else if (strcmp(argv[i], "--explain") == 0 && i + 1 < argc)
			c->service = argv[++i];
		else if (c->file == NULL)
			c->file = argv[i];
		else
			return usage(err);
	}
	return c->file != NULL ? 0 : usage(err);
}

static int read_all(const char *file, struct vk_buf *to, struct vk_err *err)
{
	vk_autoclose int fd = -1;
	char part[65536];
	ssize_t n;
	if (strcmp(file, "-") != 0 && (fd = open(file, O_RDONLY | O_CLOEXEC)) < 0)
		return vk_err_errno(err, errno, "%s", file);
	while ((n = read(fd < 0 ? STDIN_FILENO : fd, part, sizeof(part))) > 0)
		if (vk_buf_add(to, part, (size_t)n) < 0)
			return vk_err_set(err, VK_LIMIT, "%s: over 1 GiB", file);
	if (n < 0)
		return vk_err_errno(err, errno, "%s", file);
	return vk_buf_add(to, "", 0);
}

/* ---- answers ---- */

static void put_json(const char *s)
{
	vk_autojson *j = vk_json_safe_string(s, strlen(s));
	vk_autofree char *text = json_dumps(j, JSON_ENCODE_ANY);
	fputs(text, stdout);
}

struct listing {
	bool json, more;
};

static void put_comma(struct listing *l)
{
	fputs(l->more ? ",\n" : "\n", stdout);
	l->more = true;
}

static bool put_placement(void *arg, const char *service, unsigned n, const char *host)
{
	struct listing *l = arg;
	if (!l->json) {
		printf("%s.%u %s\n", service, n, host);
		return true;
	}
	put_comma(l);
	fputs("{\"service\": ", stdout);
	put_json(service);
	printf(", \"n\": %u, \"host\": ", n);
	put_json(host);
	fputs("}", stdout);
	return true;
}

static void put_unplaced(const struct dow_plan *p)
{
	struct listing l = {0};
	fputs("\n],\n\"unplaced\": [", stdout);
	for (size_t i = 0; i < p->nunplaced; i++) {
		put_comma(&l);
		fputs("{\"service\": ", stdout);
		put_json(p->unplaced[i].service);
		printf(", \"n\": %u, \"reason\": ", p->unplaced[i].n);
		put_json(p->unplaced[i].reason);
		fputs("}", stdout);
	}
}

static void put_waiting(const struct dow_plan *p)
{
	struct listing l = {0};
	fputs("\n],\n\"waiting\": [", stdout);
	for (size_t i = 0; i < p->nwaiting; i++) {
		put_comma(&l);
		fputs("{\"service\": ", stdout);
		put_json(p->waiting[i].service);
		printf(", \"n\": %u, \"host\": ", p->waiting[i].n);
		put_json(p->waiting[i].host);
		fputs("}", stdout);
	}
}

static void answer_json(struct dowding *d, const struct dow_plan *p, const char *hash)
{
	struct listing l = {.json = true};
	fputs("{\"placements\": [", stdout);
	dow_each(d, put_placement, &l);
	put_unplaced(p);
	put_waiting(p);
	printf("\n],\n\"moved\": %zu,\n\"hash\": \"%s\"}\n", p->moved, hash);
}

static void answer_text(struct dowding *d, const struct dow_plan *p, const char *hash)
{
	struct listing l = {0};
	dow_each(d, put_placement, &l);
	for (size_t i = 0; i < p->nwaiting; i++)
		printf("%s.%u waits for host %s: its volume is there\n", p->waiting[i].service,
			p->waiting[i].n, p->waiting[i].host);
	for (size_t i = 0; i < p->nunplaced; i++)
		printf("%s.%u not placed: %s\n", p->unplaced[i].service, p->unplaced[i].n,
			p->unplaced[i].reason);
	printf("%zu placed, %zu moved, %zu not placed, %zu waiting; plan %.16s\n", p->nchanges,
		p->moved, p->nunplaced, p->nwaiting, hash);
}

static int explain(struct dowding *d, const char *service, struct vk_err *err)
{
	if (!dow_knows_service(d, service))
		return vk_err_set(err, VK_NOTFOUND, "there is no service %s", service);
	for (size_t i = 0; dow_host_at(d, i) != NULL; i++) {
		bool can;
		vk_autofree char *why = dow_explain(d, service, dow_host_at(d, i), &can);
		printf("%s %s\n", dow_host_at(d, i), why);
	}
	return 0;
}

static int run(const struct plan_call *c, struct vk_err *err)
{
	vk_autobuf text = VK_BUF_INIT(MAX_INPUT);
	struct dow_plan plan = {0};
	char hash[65];
	int r = read_all(c->file, &text, err);
	if (r < 0)
		return r;
	struct dowding *d = dow_new();
	r = dow_read(d, vk_buf_str(&text), text.len, err);
	vk_buf_release(&text);
	if (r < 0)
		vk_err_wrap(err, "%s", c->file);
	if (r == 0)
		dow_plan(d, &plan);
	if (r == 0 && c->service != NULL) {
		r = explain(d, c->service, err);
	} else if (r == 0) {
		dow_hash(d, hash);
		(c->json ? answer_json : answer_text)(d, &plan, hash);
	}
	dow_plan_release(&plan);
	dow_free(d);
	if (r == 0 && fflush(stdout) != 0)
		r = vk_err_errno(err, errno, "standard output");
	return r;
}

int main(int argc, char **argv)
{
	struct plan_call c = {0};
	struct vk_err err = {0};
	int r = words(&c, argc, argv, &err);
	if (r == 0)
		r = run(&c, &err);
	if (r == 0)
		return 0;
	fprintf(stderr, " !     %s\n", err.msg);
	if (err.hint[0] != '\0')
		fprintf(stderr, " !     try: %s\n", err.hint);
	return vk_err_exit(err.code);
}
