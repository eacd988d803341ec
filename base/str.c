#include <viking/str.h>

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

bool vk_streq(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool vk_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool vk_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);
	return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

/* Reads digits from *p; moves *p behind them. At least one digit. */
static int take_digits(const char **p, uint64_t *ret)
{
	const char *s = *p;
	uint64_t v = 0;
	if (*s < '0' || *s > '9')
		return VK_INVALID;
	for (; *s >= '0' && *s <= '9'; s++)
		if (__builtin_mul_overflow(v, 10, &v) ||
			__builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return VK_INVALID;
	*p = s;
	*ret = v;
	return 0;
}

int vk_parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t v;
	if (s == NULL || take_digits(&s, &v) != 0 || *s != '\0' || v < min || v > max)
		return VK_INVALID;
	*ret = v;
	return 0;
}

int vk_parse_i64(const char *s, int64_t min, int64_t max, int64_t *ret)
{
	if (s == NULL)
		return VK_INVALID;
	bool negative = *s == '-';
	uint64_t magnitude;
	uint64_t limit = (uint64_t)INT64_MAX + (negative ? 1 : 0);
	if (vk_parse_u64(s + (negative ? 1 : 0), 0, limit, &magnitude) != 0)
		return VK_INVALID;
	int64_t v = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
	if (v < min || v > max)
		return VK_INVALID;
	*ret = v;
	return 0;
}

static int size_shift(char c)
{
	switch (c) {
	case 'k':
	case 'K':
		return 10;
	case 'M':
		return 20;
	case 'G':
		return 30;
	case 'T':
		return 40;
	default:
		return -1;
	}
}

int vk_parse_size(const char *s, uint64_t *ret)
{
	uint64_t v;
	if (s == NULL || take_digits(&s, &v) != 0)
		return VK_INVALID;
	int shift = size_shift(*s);
	if (shift >= 0) {
		s++;
		if (vk_streq(s, "iB"))
			s += 2;
	}
	if (*s == 'B')
		s++;
	if (*s != '\0' || (shift > 0 && v > (UINT64_MAX >> shift)))
		return VK_INVALID;
	*ret = shift > 0 ? v << shift : v;
	return 0;
}

int vk_parse_duration_ms(const char *s, int64_t *ret)
{
	static const struct {
		const char *suffix;
		int64_t ms;
	} units[] = {
		{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
	uint64_t v;
	int64_t ms;
	if (s == NULL || take_digits(&s, &v) != 0)
		return VK_INVALID;
	for (size_t i = 0; i < VK_COUNT(units); i++) {
		if (strcmp(s, units[i].suffix) != 0)
			continue;
		if (__builtin_mul_overflow(v, (uint64_t)units[i].ms, &ms))
			return VK_INVALID;
		*ret = ms;
		return 0;
	}
	return VK_INVALID;
}

void vk_format_size(uint64_t bytes, char buf[static 24])
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	if (bytes < 1024) {
		snprintf(buf, 24, "%u B", (unsigned)bytes);
		return;
	}
	size_t unit = 0;
	uint64_t whole = bytes;
	while (whole >= 1024 * 1024 && unit + 1 < VK_COUNT(units)) {
		whole /= 1024;
		unit++;
	}
	double v = (double)whole / 1024.0;
	if (v >= 1023.95 && unit + 1 < VK_COUNT(units)) {
		v = 1.0;
		unit++;
	}
	snprintf(buf, 24, "%.1f %s", v, units[unit]);
}

void vk_format_duration_ms(int64_t ms, char buf[static 24])
{
	if (ms < 0)
		ms = 0;
	int64_t s = ms / 1000;
	if (ms < 59950)
		snprintf(buf, 24, "%.1f s", (double)ms / 1000.0);
	else if (ms < 3600000)
		snprintf(buf, 24, "%d min %d s", (int)(s < 60 ? 1 : s / 60),
			(int)(s < 60 ? 0 : s % 60));
	else if (s < 86400)
		snprintf(buf, 24, "%d h %d min", (int)(s / 3600), (int)(s / 60 % 60));
	else
		snprintf(buf, 24, "%lld d %d h", (long long)(s / 86400), (int)(s / 3600 % 24));
}

/* Appends the word's next part at *p to out; moves *p. Only an open quote can fail. */
static int shell_part(const char **p, struct vk_buf *out)
{
	const char *s = *p;
	if (*s == '\'' || *s == '"') {
		char quote = *s++;
		for (; *s != quote; s++) {
			if (*s == '\0')
				return VK_INVALID;
			/* inside "..." a backslash is itself but before these, as POSIX has it */
			if (quote == '"' && *s == '\\' && s[1] != '\0' &&
				strchr("\"\\$`", s[1]) != NULL)
				s++;
			vk_buf_addc(out, *s);
		}
		s++;
	} else if (*s == '\\') {
		if (s[1] == '\0')
			return VK_INVALID;
		vk_buf_addc(out, s[1]);
		s += 2;
	} else {
		vk_buf_addc(out, *s++);
	}
	*p = s;
	return 0;
}

int vk_shell_split(const char *s, struct vk_strv *ret, struct vk_err *err)
{
	static const char blanks[] = " \t\r\n";
	vk_autostrv words = {0};
	for (s += strspn(s, blanks); *s != '\0'; s += strspn(s, blanks)) {
		vk_autobuf word = VK_BUF_INIT(strlen(s) + 1);
		while (*s != '\0' && strchr(blanks, *s) == NULL) {
			char first = *s;
			if (shell_part(&s, &word) == 0)
				continue;
			if (first == '\\')
				return vk_err_set(
					err, VK_INVALID, "the line ends in a lone backslash");
			return vk_err_set(err, VK_INVALID, "a quote (%c) is not closed", first);
		}
		vk_strv_take(&words, vk_buf_take(&word));
	}
	for (size_t i = 0; i < words.n; i++)
		vk_strv_take(ret, VK_TAKE(words.v[i]));
	return 0;
}

char *vk_shell_quote(const char *s)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "_-./:=@%+,";
	if (*s != '\0' && s[strspn(s, plain)] == '\0')
		return vk_strdup(s);
	vk_autobuf b = VK_BUF_INIT(4 * strlen(s) + 2);
	vk_buf_addc(&b, '\'');
	for (; *s != '\0'; s++) {
		if (*s == '\'')
			vk_buf_adds(&b, "'\\''");
		else
			vk_buf_addc(&b, *s);
	}
	vk_buf_addc(&b, '\'');
	return vk_buf_take(&b);
}

/* Only the last '*' is ever tried again, so the work is at most |pattern| x |s|. */
bool vk_glob(const char *pattern, const char *s)
{
	const char *star = NULL, *retry = NULL;
	while (*s != '\0') {
		if (*pattern == '*') {
			star = ++pattern;
			retry = s;
		} else if (*pattern != '\0' && (*pattern == '?' || *pattern == *s)) {
			pattern++;
			s++;
		} else if (star != NULL) {
			pattern = star;
			s = ++retry;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

#define SUGGEST_MAX 64

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;
	return m < c ? m : c;
}

/* Edit distance with swaps of neighbours (optimal string alignment); both at most SUGGEST_MAX long. */
static unsigned edit_distance(const char *a, size_t n, const char *b, size_t m)
{
	unsigned rows[3][SUGGEST_MAX + 1];
	for (size_t j = 0; j <= m; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned *row = rows[i % 3], *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned cost = a[i - 1] == b[j - 1] ? 0 : 1;
			row[j] = min3(up[j] + 1, row[j - 1] + 1, up[j - 1] + cost);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
				up2[j - 2] + 1 < row[j])
				row[j] = up2[j - 2] + 1;
		}
	}
	return rows[n % 3][m];
}

const char *vk_suggest(const char *word, const char *const *words)
{
	size_t n = strlen(word);
	if (n > SUGGEST_MAX)
		return NULL;
	const char *best = NULL;
	unsigned limit = n < 3 ? (unsigned)n : 3; /* a distance has to be below this */
	for (; *words != NULL; words++) {
		size_t m = strlen(*words);
		if (m > SUGGEST_MAX || m > n + 2 || n > m + 2)
			continue;
		unsigned d = edit_distance(word, n, *words, m);
		if (d < limit) {
			limit = d;
			best = *words;
		}
	}
	return best;
}

/* Bytes of the well-formed, printable UTF-8 sequence at p, 0 if there is none (RFC 3629). */
static size_t utf8_sequence(const unsigned char *p, size_t n)
{
	if (p[0] < 0x80)
		return (p[0] >= 0x20 && p[0] != 0x7f) || p[0] == '\t' ? 1 : 0;
	size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || len > n)
		return 0;
	uint32_t cp = p[0] & (0xffu >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		cp = cp << 6 | (p[i] & 0x3f);
	}
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	bool control = cp < 0xa0; /* C1 */
	bool bidi = (cp >= 0x202a && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069);
	if (cp < least[len] || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff) || control || bidi)
		return 0;
	return len;
}

void vk_str_printable(const char *s, size_t n, char *out, size_t max)
{
	if (max == 0)
		return;
	size_t used = 0;
	for (size_t i = 0; i < n;) {
		size_t len = utf8_sequence((const unsigned char *)s + i, n - i);
		size_t put = len > 0 ? len : 1;
		if (used + put + 1 > max)
			break;
		if (len > 0)
			memcpy(out + used, s + i, len);
		else
			out[used] = '?';
		used += put;
		i += put;
	}
	out[used] = '\0';
}

void vk_str_shorten(char *s, size_t max)
{
	if (strlen(s) <= max)
		return;
	size_t hard = max - strlen("...");
	while (hard > 0 && ((unsigned char)s[hard] & 0xc0) == 0x80)
		hard--;
	size_t cut = hard;
	while (cut > max / 2 && s[cut] != ' ')
		cut--;
	if (s[cut] != ' ')
		cut = hard;
	while (cut > 0 && strchr(" :,;", s[cut - 1]) != NULL)
		cut--;
	memcpy(s + cut, "...", sizeof("..."));
}

static int64_t clock_ms(clockid_t id)
{
	struct timespec ts;
	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t vk_now_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}

int64_t vk_mono_ms(void)
{
	return clock_ms(CLOCK_BOOTTIME);
}

void vk_format_time(int64_t unix_ms, char buf[static 32])
{
	/* years 0 .. 9999; what lies outside is not a time anyone meant */
	int64_t s = unix_ms / 1000 - (unix_ms % 1000 < 0 ? 1 : 0);
	if (s < -62167219200)
		s = -62167219200;
	if (s > 253402300799)
		s = 253402300799;
	time_t t = (time_t)s;
	struct tm tm;
	gmtime_r(&t, &tm);
	snprintf(buf, 32, "%04u-%02u-%02uT%02u:%02u:%02uZ", (unsigned)(tm.tm_year + 1900) % 10000,
		(unsigned)(tm.tm_mon + 1) % 100, (unsigned)tm.tm_mday % 100,
		(unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
}

/* Matches a form of 'd' for digits and itself for anything else. */
static bool has_form(const char *s, const char *form)
{
	for (; *form != '\0'; s++, form++)
		if (*form == 'd' ? !isdigit((unsigned char)*s) : *s != *form)
			return false;
	return *s == '\0';
}

static int digits_at(const char *s, int from, int n)
{
	int v = 0;
	for (int i = from; i < from + n; i++)
		v = v * 10 + (s[i] - '0');
	return v;
}

int vk_parse_time(const char *s, int64_t *ret_unix_ms)
{
	if (s == NULL)
		return VK_INVALID;
	bool full = has_form(s, "dddd-dd-ddTdd:dd:ddZ");
	if (!full && !has_form(s, "dddd-dd-dd"))
		return VK_INVALID;
	struct tm tm = {
		.tm_year = digits_at(s, 0, 4) - 1900,
		.tm_mon = digits_at(s, 5, 2) - 1,
		.tm_mday = digits_at(s, 8, 2),
	};
	if (full) {
		tm.tm_hour = digits_at(s, 11, 2);
		tm.tm_min = digits_at(s, 14, 2);
		tm.tm_sec = digits_at(s, 17, 2);
	}
	int64_t ms = (int64_t)timegm(&tm) * 1000;
	/* timegm carries 30 February over into March: what does not print back was no date */
	char back[32];
	vk_format_time(ms, back);
	if (strncmp(back, s, full ? 20 : 10) != 0)
		return VK_INVALID;
	*ret_unix_ms = ms;
	return 0;
}
