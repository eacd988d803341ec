/* Who may read the figures. */
#include <criterion/criterion.h>
#include <viking/crypt.h>

#include "figures.h"

Test(figures, only_the_token_of_the_digest)
{
	char digest[65];
	vk_sha256_hex("secret", 6, digest);
	cr_expect(figures_allowed("Bearer secret", digest));
	cr_expect(figures_allowed("bearer secret", digest), "the scheme's case is free");
	static const char *const others[] = {"", "secret", "Bearer", "Bearer ", "Bearer Secret",
		"Bearer secret ", "Basic secret"};
	for (size_t i = 0; i < VK_COUNT(others); i++)
		cr_expect_not(figures_allowed(others[i], digest), "%s", others[i]);
	cr_expect_not(figures_allowed(NULL, digest));
	cr_expect_not(figures_allowed("Bearer secret", ""), "off is not open");
}
