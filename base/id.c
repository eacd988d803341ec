#include <viking/id.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <viking/mem.h>
#include <viking/str.h>

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGIT "0123456789"

static const char *const reserved_stacks[] = {
	"all",
	"core",
	"localhost",
	"none",
	"registry",
	"shared-registry",
	"system",
	"viking",
	NULL,
};

/* A first byte of one set, then up to max - 1 bytes of another; `rule` says so in words. */
static int check_name(const char *s, const char *what, const char *first, const char *rest,
	size_t max, const char *rule, struct vk_err *err)
{
	if (s == NULL || *s == '\0')
		return vk_err_set(err, VK_INVALID, "the %s is missing", what);
	size_t n = strlen(s);
	if (strchr(first, *s) != NULL && n <= max && s[strspn(s, rest)] == '\0')
		return 0;
	char shown[VK_NAME_MAX + 1];
	vk_str_printable(s, n, shown, sizeof(shown));
	if (n > max)
		return vk_err_set(err, VK_INVALID,
			"\"%s%s\" is no valid %s: it has %zu characters, at most %zu are allowed",
			shown, n >= sizeof(shown) ? "..." : "", what, n, max);
	return vk_err_set(err, VK_INVALID, "\"%s%s\" is no valid %s: %s, at most %zu characters",
		shown, n >= sizeof(shown) ? "..." : "", what, rule, max);
}

int vk_stack_name(const char *s, struct vk_err *err)
{
	int rc = check_name(s, "stack name", LOWER DIGIT, LOWER DIGIT "-", VK_NAME_MAX,
		"it has a-z, 0-9 and -, and begins with a letter or digit", err);
	if (rc != 0)
		return rc;
	if (s[strspn(s, DIGIT)] == '\0')
		return vk_err_set(
			err, VK_INVALID, "\"%s\" is no valid stack name: it has digits only", s);
	for (size_t i = 0; reserved_stacks[i] != NULL; i++)
		if (strcmp(s, reserved_stacks[i]) == 0)
			return vk_err_set(err, VK_INVALID, "the stack name \"%s\" is reserved", s);
	return 0;
}

int vk_stack_name_new(const char *s, struct vk_err *err)
{
	int rc = vk_stack_name(s, err);
	if (rc != 0 || s[strlen(s) - 1] != '-')
		return rc;
	return vk_err_set(err, VK_INVALID,
		"\"%s\" cannot be a new stack's name: a domain's part may not end in -", s);
}

int vk_node_name(const char *s, struct vk_err *err)
{
	return check_name(s, "node name", LOWER DIGIT, LOWER DIGIT "_-", VK_NAME_MAX,
		"it has a-z, 0-9, _ and -, and begins with a letter or digit", err);
}

int vk_key_name(const char *s, struct vk_err *err)
{
	return check_name(s, "key name", LOWER UPPER DIGIT, LOWER UPPER DIGIT "_.@-", VK_NAME_MAX,
		"it has letters, digits, _ . @ and -, and begins with a letter or digit", err);
}

int vk_env_name(const char *s, struct vk_err *err)
{
	return check_name(s, "variable name", LOWER UPPER "_", LOWER UPPER DIGIT "_", 128,
		"it has letters, digits and _, and does not begin with a digit", err);
}

static int bad_domain(const char *s, const char *why, struct vk_err *err)
{
	char shown[80];
	vk_str_printable(s, strlen(s), shown, sizeof(shown));
	return vk_err_set(err, VK_INVALID, "\"%s\" is no valid domain: %s", shown, why);
}

static bool label_ok(const char *label, size_t n)
{
	return n >= 1 && n <= 63 && label[0] != '-' && label[n - 1] != '-' &&
		strspn(label, LOWER DIGIT "-") >= n;
}

/* What address parsers take for a number: decimal, or 0x and hex digits. */
static bool label_is_number(const char *label)
{
	if (label[0] == '0' && label[1] == 'x')
		return label[2 + strspn(label + 2, DIGIT "abcdef")] == '\0';
	return label[strspn(label, DIGIT)] == '\0';
}

static int check_labels(const char *orig, const char *host, struct vk_err *err)
{
	const char *label = host;
	bool dotted = false;
	for (const char *p = host; *p != '\0'; p++)
		if ((unsigned char)*p >= 0x80)
			return bad_domain(orig,
				"letters beyond a-z are written in their ASCII form, xn--...", err);
	for (;;) {
		size_t n = strcspn(label, ".");
		if (!label_ok(label, n))
			return bad_domain(orig,
				"each part between dots has 1 to 63 of a-z, 0-9 and -, "
				"with no - at its ends",
				err);
		if (label[n] == '\0')
			break;
		dotted = true;
		label += n + 1;
	}
	if (label_is_number(label))
		return bad_domain(orig, "an address is not a domain", err);
	if (!dotted && strcmp(label, "localhost") != 0)
		return bad_domain(orig, "it has no dot", err);
	return 0;
}

int vk_domain(const char *s, bool wildcard, char *out, struct vk_err *err)
{
	if (s == NULL || *s == '\0')
		return vk_err_set(err, VK_INVALID, "the domain is missing");
	size_t n = strlen(s);
	if (s[n - 1] == '.')
		n--;
	if (n == 0 || n > VK_DOMAIN_MAX)
		return bad_domain(s, "it has more than 253 characters or none", err);
	char host[VK_DOMAIN_MAX + 1];
	for (size_t i = 0; i < n; i++)
		host[i] = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] - 'A' + 'a') : s[i];
	host[n] = '\0';
	bool star = vk_starts(host, "*.");
	if (star && !wildcard)
		return bad_domain(s, "a * is not allowed here", err);
	int rc = check_labels(s, host + (star ? 2 : 0), err);
	if (rc != 0)
		return rc;
	memcpy(out, host, n + 1);
	return 0;
}

bool vk_is_host(const char *s)
{
	size_t n = s != NULL ? strlen(s) : 0;
	return n > 0 && n <= VK_NAME_MAX && s[0] != '-' && s[strspn(s, LOWER DIGIT "-")] == '\0';
}

bool vk_is_commit(const char *s)
{
	return s != NULL && strlen(s) == 40 && s[strspn(s, DIGIT "abcdef")] == '\0';
}

void vk_random_hex(size_t n, char *out)
{
	static const char hex[] = "0123456789abcdef";
	for (size_t i = 0; i < n; i++) {
		unsigned char byte;
		/* a single byte is never cut short; the kernel's pool being unready only at early boot blocks */
		while (getrandom(&byte, 1, 0) != 1)
			if (errno != EINTR)
				abort();
		*out++ = hex[byte >> 4];
		*out++ = hex[byte & 15];
	}
	*out = '\0';
}

void vk_instance_name(const char *stack, const char *node, unsigned version, unsigned n, char *out)
{
	snprintf(out, 160, "%s-%s-%u-%u", stack, node, version, n);
}

void vk_dns_alias(const char *node, char *out)
{
	size_t n = strnlen(node, VK_NAME_MAX);
	for (size_t i = 0; i < n; i++)
		out[i] = node[i] == '_' ? '-' : node[i];
	out[n] = '\0';
}
