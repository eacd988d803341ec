#include "ports.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <viking/fs.h>
#include <viking/httpd.h>
#include <viking/mem.h>
#include <viking/str.h>

static char dir[] = "/tmp/ports.XXXXXX";
static struct vk_config c = {.state_dir = dir};

/* Ports of loopback that nobody has at the moment: the kernel's own choice is beyond them. */
static char range[] = "9400-9799";

static void begin(void)
{
	cr_assert_not_null(mkdtemp(dir));
	vk_autofree char *agent = vk_asprintf("%s/agent", dir);
	cr_assert_eq(vk_fs_mkdir_p(agent, 0700, NULL), 0);
	c.cluster_ports = range;
}

static void end(void)
{
	cr_assert_eq(vk_fs_remove_tree(dir, NULL), 0);
}

TestSuite(ports, .init = begin, .fini = end);

Test(ports, none_comes_twice_also_not_after_a_power_cut)
{
	struct ports *p = ports_new(&c);
	unsigned last = 0;
	for (int i = 0; i < 100; i++) {
		unsigned port = ports_next(&(struct ports_at){p, "127.0.0.1"});
		cr_assert(port > last && port >= 9400 && port <= 9799, "%u after %u", port, last);
		last = port;
		if (i % 40 == 39) { /* nothing is written at an end */
			ports_free(p);
			p = ports_new(&c);
		}
	}
	ports_free(p);
}

Test(ports, the_range_begins_anew_and_leaves_out_what_is_taken)
{
	vk_autoclose int fd = -1;
	struct ports *p = ports_new(&c);
	struct ports_at at = {p, "127.0.0.1"};
	unsigned first = ports_next(&at);
	cr_assert_eq(vk_listen_tcp("127.0.0.1", (uint16_t)first, 1, &fd, NULL), 0);
	unsigned port = 0;
	for (int i = 0; i < 400 && port <= 9799; i++) {
		unsigned before = port;
		port = ports_next(&at);
		cr_assert_neq(port, first, "it is taken");
		if (port < before) {
			ports_free(p);
			return;
		}
	}
	cr_assert_fail("the range has no end");
}

Test(ports, an_address_that_is_not_here_has_none)
{
	struct ports *p = ports_new(&c);
	cr_expect_eq(ports_next(&(struct ports_at){p, "192.0.2.1"}), 0);
	cr_expect_eq(ports_next(&(struct ports_at){p, "nothing"}), 0);
	ports_free(p);
}
