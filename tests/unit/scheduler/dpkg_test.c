#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <viking/fs.h>
#include <viking/mem.h>

#include "dpkg.h"

/* Pairs in the order that dpkg --compare-versions gives. */
Test(dpkg, versions_are_ordered_as_dpkg_orders_them)
{
	static const char *const ascending[] = {"0.9.8-3", "0.10.6~rc1-1", "0.10.6-0",
		"0.10.6-0+deb12u1", "0.10.6-0+deb12u3", "0.10.6-0+deb12u10", "0.10.6-1", "0.11.2-1",
		"1.0", "1.0-0ubuntu1", "1.0a", "1.0+b", "1.0.1", "1:0.1"};
	for (size_t i = 0; i < VK_COUNT(ascending); i++) {
		cr_expect_eq(dpkg_compare(ascending[i], ascending[i]), 0, "%s", ascending[i]);
		for (size_t k = i + 1; k < VK_COUNT(ascending); k++) {
			cr_expect_lt(dpkg_compare(ascending[i], ascending[k]), 0, "%s < %s",
				ascending[i], ascending[k]);
			cr_expect_gt(dpkg_compare(ascending[k], ascending[i]), 0, "%s > %s",
				ascending[k], ascending[i]);
		}
	}
}

Test(dpkg, leading_zeros_and_long_numbers_count_by_value)
{
	cr_expect_eq(dpkg_compare("1.010", "1.10"), 0);
	cr_expect_lt(dpkg_compare("1.99999999999999999999998", "1.99999999999999999999999"), 0);
	cr_expect_lt(dpkg_compare("", "0.1"), 0);
}

static char path[] = "/tmp/dpkg-test-XXXXXX";

static void write_status(const char *text)
{
	int fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	cr_assert_eq(vk_write_all(fd, text, strlen(text), NULL), 0);
	close(fd);
}

static void remove_status(void)
{
	unlink(path);
}

TestSuite(dpkg_status, .fini = remove_status);

Test(dpkg_status, finds_the_version_of_the_package_and_of_no_other)
{
	char out[64] = "";
	write_status("Package: libssh-gcrypt-4\nStatus: install ok installed\nVersion: 9\n\n"
		     "Package: libssh-4\nStatus: install ok installed\nArchitecture: "
		     "amd64\nVersion: 0.10.6-0+deb12u2\n"
		     "Description: tiny\n Version: 7 is not a field\n\n"
		     "Package: zlib1g\nStatus: install ok installed\nVersion: 1:1.2\n");
	cr_assert_eq(dpkg_version(path, "libssh-4", out, sizeof(out), NULL), 0);
	cr_expect_str_eq(out, "0.10.6-0+deb12u2");
	cr_assert_eq(dpkg_version(path, "zlib1g", out, sizeof(out), NULL), 0,
		"the last paragraph has no blank line");
	cr_expect_str_eq(out, "1:1.2");
	cr_expect_eq(dpkg_version(path, "libssh", out, sizeof(out), NULL), VK_NOTFOUND);
}

Test(dpkg_status, a_removed_package_is_not_there)
{
	char out[64] = "";
	write_status("Package: libssh-4\nStatus: deinstall ok config-files\nVersion: 0.9\n\n");
	cr_expect_eq(dpkg_version(path, "libssh-4", out, sizeof(out), NULL), VK_NOTFOUND);
}

Test(dpkg_status, a_line_of_any_length_is_passed_over)
{
	char out[64] = "";
	vk_autobuf b = VK_BUF_INIT(1 << 20);
	vk_buf_adds(&b, "Package: libssh-4\nStatus: install ok installed\nConffiles: ");
	for (int i = 0; i < 3000; i++)
		vk_buf_adds(&b, "Version: 6 ");
	vk_buf_adds(&b, "\nVersion: 5-1\n");
	write_status(vk_buf_str(&b));
	cr_assert_eq(dpkg_version(path, "libssh-4", out, sizeof(out), NULL), 0);
	cr_expect_str_eq(out, "5-1");
}

Test(dpkg_status, no_file_no_package)
{
	char out[64];
	cr_expect_eq(dpkg_version("/nonexistent/status", "libssh-4", out, sizeof(out), NULL),
		VK_NOTFOUND);
}
