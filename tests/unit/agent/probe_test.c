#include <criterion/criterion.h>

#include "attempt.h"
#include "listening.h"
#include "probe.h"

Test(probe, asks_at_5_10_20_50_100_and_then_ever_more_seldom)
{
	static const int64_t at[] = {5, 10, 20, 50, 100, 200, 400, 700, 1200, 2200, 3200};
	int64_t now = 0;
	for (unsigned n = 0; n < sizeof(at) / sizeof(at[0]); n++) {
		now += probe_gap_ms(n, 5000);
		cr_expect_eq(now, at[n], "attempt %u at %lld", n, (long long)now);
	}
	cr_expect_eq(probe_gap_ms(8, 200), 200, "never longer than the interval");
}

Test(probe, a_clock_set_back_a_day_does_not_make_health_none_wait_for_a_day)
{
	cr_expect_eq(probe_none_ms(0), 1000);
	cr_expect_eq(probe_none_ms(400), 600);
	cr_expect_eq(probe_none_ms(1000), 0);
	cr_expect_eq(probe_none_ms(86400000), 0);
	cr_expect_eq(probe_none_ms(-86400000), 1000);
}

Test(probe, failures_before_the_first_success_are_waiting_not_illness)
{
	unsigned fails = 0;
	enum health h = HEALTH_UNKNOWN;
	for (int n = 0; n < 50; n++)
		h = probe_judge(h, false, &fails, 3);
	cr_expect_eq(h, HEALTH_UNKNOWN);
	h = probe_judge(h, true, &fails, 3);
	cr_expect_eq(h, HEALTH_OK);
}

Test(probe, retries_in_a_row_make_it_unhealthy_one_success_healthy)
{
	unsigned fails = 0;
	enum health h = HEALTH_OK;
	h = probe_judge(h, false, &fails, 3);
	h = probe_judge(h, false, &fails, 3);
	h = probe_judge(h, true, &fails, 3);
	h = probe_judge(h, false, &fails, 3);
	h = probe_judge(h, false, &fails, 3);
	cr_expect_eq(h, HEALTH_OK, "two are not three");
	h = probe_judge(h, false, &fails, 3);
	cr_expect_eq(h, HEALTH_BAD);
	h = probe_judge(h, true, &fails, 3);
	cr_expect_eq(h, HEALTH_OK);
	fails = 0;
	cr_expect_eq(probe_judge(HEALTH_OK, false, &fails, 0), HEALTH_BAD, "no retries: at once");
}

static int status(const char *text)
{
	return attempt_http_status(text, strlen(text));
}

Test(probe, the_status_line_in_any_pieces)
{
	static const char line[] = "HTTP/1.1 204 No Content\r\n";
	for (size_t n = 0; n < 12; n++)
		cr_expect_eq(attempt_http_status(line, n), 0, "%zu bytes", n);
	cr_expect_eq(attempt_http_status(line, 12), 204);
	cr_expect_eq(status("HTTP/1.0 503 x"), 503);
	cr_expect_eq(status("SSH-2.0-x"), -1);
	cr_expect_eq(status("HTTP/2 200 ok"), -1);
	cr_expect_eq(status("HTTP/1.1 2x0 "), -1);
	cr_expect_eq(status("HTTP/1.1 099 "), -1);
}

static unsigned port(const char *line)
{
	return listening_line(line, strlen(line));
}

Test(probe, listeners_that_others_can_reach)
{
	cr_expect_eq(
		port("   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000"), 8080);
	cr_expect_eq(port("   1: 0100007F:1F90 00000000:0000 0A 0"), 0, "loopback only");
	cr_expect_eq(port("   1: 0200000A:0050 0300000A:9C40 01 0"), 0, "a connection");
	cr_expect_eq(port("  0: 00000000000000000000000000000000:0050 "
			  "00000000000000000000000000000000:0000 0A 0"),
		80);
	cr_expect_eq(port("  0: 00000000000000000000000001000000:0050 "
			  "00000000000000000000000000000000:0000 0A 0"),
		0);
	cr_expect_eq(port("  sl  local_address rem_address   st tx_queue rx_queue"), 0);
	cr_expect_eq(port(""), 0);
	cr_expect_eq(port(":"), 0);
	cr_expect_eq(port("0: 00000000:"), 0);
	cr_expect_eq(port("0: 00000000:0050"), 0);
	cr_expect_eq(port("0: 00000000:00G0 00000000:0000 0A"), 0);
}
