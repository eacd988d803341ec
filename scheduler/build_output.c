/* Files of build output and their followers. */
#include "build_output.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/json.h>
#include <viking/mem.h>
#include <viking/str.h>

#define QUEUE_MAX ((size_t)32 << 20)

struct follower {
	struct vk_req *r;
	struct build_output *o;
	struct follower *next;
};

struct build_output {
	int fd; /* -1: cannot be kept */
	size_t bytes;
	bool cut;
	struct follower *followers;
};

static char *output_path(struct sched *s, const char *id)
{
	return vk_state_path(s->cfg, "sched/builds/%s.jsonl", id);
}

struct build_output *build_output_open(struct sched *s, const char *id)
{
	struct build_output *o = vk_alloc(sizeof(*o));
	vk_autofree char *path = output_path(s, id);
	o->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	return o;
}

static void keep_line(struct build_output *o, const json_t *line)
{
	if (o->fd < 0 || o->cut)
		return;
	vk_autofree char *text = vk_json_text(line);
	vk_autobuf b = VK_BUF_INIT(BUILD_OUTPUT_MAX);
	(void)vk_buf_adds(&b, text);
	(void)vk_buf_addc(&b, '\n');
	o->bytes += b.len;
	if (o->bytes > BUILD_OUTPUT_MAX || vk_write_all(o->fd, b.data, b.len, NULL) != 0)
		o->cut = true; /* the build goes on without a record of its output */
}

void build_output_line(struct build_output *o, const char *text)
{
	vk_autojson *line = json_pack("{s:I,s:o}", "t", (json_int_t)vk_now_ms(), "out",
		vk_json_safe_string(text, strlen(text)));
	keep_line(o, line);
	for (struct follower *f = o->followers; f != NULL; f = f->next)
		vk_req_line(f->r, json_incref(line));
}

static json_t *end_line(const char *state, const char *cause)
{
	bool ok = strcmp(state, "failed") != 0 && strcmp(state, "cancelled") != 0;
	if (ok)
		return json_pack("{s:{s:b,s:s}}", "end", "ok", 1, "state", state);
	return json_pack("{s:{s:b,s:s,s:s,s:s,s:s}}", "end", "ok", 0, "state", state, "error",
		strcmp(state, "failed") == 0 ? "FAILED" : "CANCELLED", "message",
		cause != NULL ? cause : state, "hint", "");
}

void build_output_end(struct build_output *o, const char *state, const char *cause)
{
	while (o->followers != NULL) {
		struct follower *f = o->followers;
		o->followers = f->next;
		vk_req_line(f->r, end_line(state, cause));
		vk_req_end(f->r);
		free(f);
	}
}

void build_output_close(struct build_output *o)
{
	if (o == NULL)
		return;
	build_output_end(o, "cancelled", NULL);
	if (o->fd >= 0)
		close(o->fd);
	free(o);
}

void build_output_remove(struct sched *s, const char *id)
{
	vk_autofree char *path = output_path(s, id);
	unlink(path);
}

static void follower_closed(void *arg, struct vk_req *r)
{
	struct follower *f = arg;
	(void)r;
	for (struct follower **p = &f->o->followers; *p != NULL; p = &(*p)->next) {
		if (*p == f) {
			*p = f->next;
			break;
		}
	}
	free(f);
}

static void ignore_closed(void *arg, struct vk_req *r)
{
	(void)arg;
	(void)r;
}

static int send_line(void *arg, json_t *line, struct vk_err *err)
{
	(void)err;
	vk_req_line(arg, json_incref(line));
	return 0;
}

/* Output stays where it was written. */
static void send_where(const struct sched *s, const char *id, struct vk_req *r)
{
	const struct build_row *row = table_get(&s->st.builds, id);
	if (row == NULL || row->led == NULL || vk_streq(row->led, s->cfg->host_name))
		return;
	vk_autofree char *text = vk_asprintf(
		"       The output of %s is on %s, which led then: sched/builds/%s.jsonl in its "
		"state directory",
		id, row->led, id);
	vk_req_line(r, json_pack("{s:I,s:s}", "t", (json_int_t)row->started_ms, "out", text));
}

static void send_kept(struct sched *s, const char *id, struct vk_req *r)
{
	vk_autofree char *path = output_path(s, id);
	vk_autobuf b = VK_BUF_INIT(BUILD_OUTPUT_MAX + 4096);
	if (vk_fs_read(path, &b, NULL) != 0) {
		send_where(s, id, r);
		return;
	}
	struct vk_jsonl lines;
	vk_jsonl_init(&lines, BUILD_OUTPUT_MAX);
	(void)vk_jsonl_feed(&lines, vk_buf_str(&b), b.len, send_line, r, NULL);
	vk_jsonl_release(&lines);
}

void build_output_send(struct sched *s, const char *id, struct build_output *o, struct vk_req *r)
{
	if (o == NULL) {
		vk_req_stream(r, 200, NULL, QUEUE_MAX, ignore_closed, NULL);
		send_kept(s, id, r);
		const struct build_row *row = table_get(&s->st.builds, id);
		vk_req_line(r,
			end_line(row != NULL ? row->state : "running",
				row != NULL ? row->cause : NULL));
		vk_req_end(r);
		return;
	}
	struct follower *f = vk_alloc(sizeof(*f));
	*f = (struct follower){.r = r, .o = o, .next = o->followers};
	o->followers = f;
	vk_req_stream(r, 200, NULL, QUEUE_MAX, follower_closed, f);
	send_kept(s, id, r);
}
