/* The engine's times: RFC 3339 in UTC with up to nine digits after the second. */
#include <time.h>

#include "agent.h"

static bool number(const char *p, size_t digits, int *ret)
{
	int v = 0;
	for (size_t i = 0; i < digits; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		v = v * 10 + (p[i] - '0');
	}
	*ret = v;
	return true;
}

static bool date(const char *p, struct tm *tm)
{
	if (p[4] != '-' || p[7] != '-' || p[10] != 'T' || p[13] != ':' || p[16] != ':')
		return false;
	if (!number(p, 4, &tm->tm_year) || !number(p + 5, 2, &tm->tm_mon) ||
		!number(p + 8, 2, &tm->tm_mday) || !number(p + 11, 2, &tm->tm_hour) ||
		!number(p + 14, 2, &tm->tm_min) || !number(p + 17, 2, &tm->tm_sec))
		return false;
	tm->tm_year -= 1900;
	tm->tm_mon -= 1;
	return tm->tm_mon >= 0 && tm->tm_mon < 12;
}

int64_t agent_time_ns(const char *text, size_t n, size_t *ret_used)
{
	struct tm tm = {0};
	int64_t fraction = 0, unit = 100000000;
	size_t at = 19;
	if (n < 20 || !date(text, &tm))
		return 0;
	if (text[at] == '.')
		for (at++; at < n && text[at] >= '0' && text[at] <= '9'; at++) {
			fraction += (text[at] - '0') * unit;
			unit /= 10;
		}
	if (at >= n || text[at] != 'Z')
		return 0;
	if (ret_used != NULL)
		*ret_used = at + 1;
	int64_t seconds = timegm(&tm);
	return seconds > 0 && seconds < INT64_MAX / 1000000000 - 1 ? seconds * 1000000000 + fraction
								   : 0;
}
