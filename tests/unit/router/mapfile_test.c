#include <criterion/criterion.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/str.h>

#include "answers.h"
#include "mapfile.h"
#include "render.h"

struct file {
	char path[64];
	size_t sorted;
	struct routes want; /* sorted */
};

static void file_write(struct file *f)
{
	vk_autobuf text = VK_BUF_INIT(1 << 20);
	render_map(&f->want, &text);
	f->sorted = text.len;
	cr_assert_eq(vk_fs_replace(f->path, vk_buf_str(&text), text.len, 0600, NULL), 0);
}

static void file_init(struct file *f)
{
	*f = (struct file){.path = "/tmp/vk-mapfile-XXXXXX"};
	int fd = mkstemp(f->path);
	cr_assert_geq(fd, 0);
	close(fd);
}

static void file_release(struct file *f)
{
	unlink(f->path);
	routes_release(&f->want);
}

/* What haproxy would know: of a key's lines the first. */
static void file_is_as_wanted(const struct file *f)
{
	vk_autobuf text = VK_BUF_INIT(1 << 20);
	struct routes lines = {0}, known = {0};
	cr_assert_eq(vk_fs_read(f->path, &text, NULL), 0);
	answer_map(vk_buf_str(&text), false, &lines);
	for (size_t i = 0; i < lines.n; i++)
		if (routes_find(&known, lines.v[i].key) == NULL)
			routes_set(&known, MAP_HOSTS, lines.v[i].key, lines.v[i].value);
	cr_assert(routes_equal(&known, &f->want));
	routes_release(&lines);
	routes_release(&known);
}

static int change(struct file *f, const char *key, const char *value)
{
	vk_autostrv keys = {0};
	vk_strv_add(&keys, key);
	routes_set(&f->want, MAP_HOSTS, key, value);
	return mapfile_change(f->path, f->sorted, &keys, &f->want, NULL);
}

Test(mapfile, lines_come_go_and_change)
{
	struct file f;
	file_init(&f);
	file_write(&f);
	cr_assert_eq(change(&f, "m.com", "b0001"), 0);
	file_is_as_wanted(&f);
	file_write(&f);
	for (const char *const *key = (const char *const[]){"a.com", "z.com", "m.com", "m.co",
		     "m.comm", "a.com", NULL};
		*key != NULL; key++) {
		cr_assert_eq(change(&f, *key, "b0002"), 0);
		file_is_as_wanted(&f);
	}
	cr_assert_eq(change(&f, "m.com", NULL), 0);
	cr_assert_eq(change(&f, "none.com", NULL), 0);
	file_is_as_wanted(&f);
	file_release(&f);
}

Test(mapfile, a_thousand_random_changes)
{
	struct file f;
	unsigned seed = 3;
	file_init(&f);
	for (unsigned i = 0; i < 200; i += 2) {
		vk_autofree char *key = vk_asprintf("d%u.com", i);
		routes_set(&f.want, MAP_HOSTS, key, "b0001");
	}
	file_write(&f);
	for (unsigned i = 0; i < 1000; i++) {
		seed = seed * 1103515245 + 12345;
		vk_autofree char *key = vk_asprintf("d%u.com", (seed >> 16) % 200);
		vk_autofree char *value = vk_asprintf("b%04u", 1 + (seed >> 24) % 3);
		cr_assert_eq(change(&f, key, seed >> 30 ? value : NULL), 0);
		file_is_as_wanted(&f);
	}
	file_release(&f);
}

Test(mapfile, what_is_none_of_the_kind_is_to_be_written_anew)
{
	struct file f;
	vk_autofree char *large = vk_alloc(MAPFILE_TAIL_MAX + 1);
	file_init(&f);
	file_write(&f);
	cr_assert_eq(vk_fs_replace(f.path, "a.com b0", 8, 0600, NULL), 0);
	cr_assert_eq(change(&f, "x.com", "b0001"), VK_LIMIT, "a line is cut");
	f.sorted = 100;
	cr_assert_eq(change(&f, "x.com", "b0001"), VK_LIMIT, "it is shorter than it was");
	memset(large, '\n', MAPFILE_TAIL_MAX);
	f.sorted = 0;
	cr_assert_eq(vk_fs_replace(f.path, large, MAPFILE_TAIL_MAX, 0600, NULL), 0);
	cr_assert_eq(change(&f, "x.com", "b0001"), VK_LIMIT, "its tail is too long");
	unlink(f.path);
	cr_assert_neq(change(&f, "x.com", "b0001"), 0);
	file_release(&f);
}
