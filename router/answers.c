#include "answers.h"

#include <stdlib.h>
#include <string.h>
#include <viking/str.h>

/* Fields of one line, separated by blanks or tabs; they point into the line. */
#define FIELDS_MAX 40
struct fields {
	const char *v[FIELDS_MAX];
	size_t len[FIELDS_MAX];
	size_t n;
};

static void split(const char *line, size_t n, struct fields *f)
{
	f->n = 0;
	for (size_t i = 0; i < n && f->n < FIELDS_MAX;) {
		while (i < n && (line[i] == ' ' || line[i] == '\t' || line[i] == '\r'))
			i++;
		size_t start = i;
		while (i < n && line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
			i++;
		if (i > start) {
			f->v[f->n] = line + start;
			f->len[f->n++] = i - start;
		}
	}
}

/* The next line: its start; *at moves behind it. NULL at the end. */
static const char *next_line(const char **at, size_t *ret_n)
{
	const char *line = *at;
	if (*line == '\0')
		return NULL;
	*ret_n = strcspn(line, "\n");
	*at = line + *ret_n + (line[*ret_n] != '\0');
	return line;
}

static bool number(const struct fields *f, size_t i, uint64_t max, uint64_t *ret)
{
	char text[24];
	if (i >= f->n || f->len[i] >= sizeof(text))
		return false;
	memcpy(text, f->v[i], f->len[i]);
	text[f->len[i]] = '\0';
	return vk_parse_u64(text, 0, max, ret) == 0;
}

static bool field_is(const struct fields *f, size_t i, const char *word)
{
	return i < f->n && f->len[i] == strlen(word) && memcmp(f->v[i], word, f->len[i]) == 0;
}

/* Bits of srv_admin_state, HAProxy's management guide: forced, inherited, by resolution, by host
 * name. */
#define ADMIN_MAINT (0x01 | 0x02 | 0x20 | 0x40)
#define ADMIN_DRAIN (0x08 | 0x10)

static void read_server(const struct fields *f, struct model *live)
{
	unsigned backend, slot;
	uint64_t op, admin, port;
	if (f->n < 19 || !backend_number(f->v[1], f->len[1], &backend) || backend == 0 ||
		!slot_number(f->v[3], f->len[3], &slot) || f->len[4] >= INET6_ADDRSTRLEN ||
		!number(f, 5, 3, &op) || !number(f, 6, 0xff, &admin) ||
		!number(f, 18, 65535, &port))
		return;
	struct slot *s = model_slot(live, backend, slot);
	memset(s->addr, 0, sizeof(s->addr));
	memcpy(s->addr, f->v[4], f->len[4]);
	s->port = (uint16_t)port;
	if (admin & ADMIN_DRAIN)
		s->state = SLOT_DRAIN;
	else
		s->state = (admin & ADMIN_MAINT) || op == 0 ? SLOT_FREE : SLOT_READY;
}

void answer_servers(const char *text, struct model *live)
{
	size_t n;
	for (const char *line; (line = next_line(&text, &n)) != NULL;) {
		struct fields f;
		split(line, n, &f);
		read_server(&f, live);
	}
}

void answer_map(const char *text, bool with_pointer, struct routes *ret)
{
	size_t n, first = with_pointer ? 1 : 0;
	for (const char *line; (line = next_line(&text, &n)) != NULL;) {
		struct fields f;
		split(line, n, &f);
		if (f.n != first + 2 || line[0] == '#')
			continue;
		vk_autofree char *key = vk_strndup(f.v[first], f.len[first]);
		vk_autofree char *value = vk_strndup(f.v[first + 1], f.len[first + 1]);
		routes_add(ret, key, value);
	}
}

/* type=str, case=sensitive, found=yes, idx=tree, key="a.com", value="b0001", type="str" */
char *answer_key(const char **at, const char *key)
{
	size_t n;
	vk_autofree char *start = vk_asprintf(", key=\"%s\", value=\"", key);
	for (const char *line; (line = next_line(at, &n)) != NULL;) {
		if (!vk_starts(line, "type="))
			continue;
		const char *value = memmem(line, n, start, strlen(start));
		if (value == NULL)
			return NULL;
		value += strlen(start);
		return vk_strndup(value, strcspn(value, "\"\n"));
	}
	return NULL;
}

static void read_cert(const struct fields *f, struct routes *ret)
{
	const char *slash = f->n > 0 ? memrchr(f->v[0], '/', f->len[0]) : NULL;
	vk_autobuf names = VK_BUF_INIT(64 * 1024);
	if (slash == NULL)
		return;
	size_t n = f->len[0] - (size_t)(slash + 1 - f->v[0]);
	if (n < sizeof(".pem") || memcmp(slash + 1 + n - 4, ".pem", 4) != 0)
		return;
	for (size_t i = 1; i < f->n; i++) {
		if (i > 1)
			vk_buf_addc(&names, ',');
		vk_buf_add(&names, f->v[i], f->len[i]);
	}
	vk_autofree char *id = vk_strndup(slash + 1, n - 4);
	routes_add(ret, id, vk_buf_str(&names));
}

void answer_certs(const char *text, struct routes *ret)
{
	size_t n;
	for (const char *line; (line = next_line(&text, &n)) != NULL;) {
		struct fields f;
		split(line, n, &f);
		read_cert(&f, ret);
	}
	routes_sort(ret, MAP_HOSTS);
}

pid_t answer_pid(const char *text)
{
	size_t n;
	for (const char *line; (line = next_line(&text, &n)) != NULL;) {
		struct fields f;
		uint64_t pid;
		split(line, n, &f);
		if (field_is(&f, 0, "Pid:") && number(&f, 1, INT32_MAX, &pid))
			return (pid_t)pid;
	}
	return 0;
}

unsigned answer_version(const char *text)
{
	static const char said[] = "New version created: ";
	const char *at = strstr(text, said);
	struct fields f;
	uint64_t v;
	if (at == NULL)
		return 0;
	at += strlen(said);
	split(at, strcspn(at, "\n"), &f);
	return number(&f, 0, UINT32_MAX, &v) ? (unsigned)v : 0;
}

const char *answer_trouble(const char *text, size_t *ret_n)
{
	static const char *const fine[] = {
		"no need to change",
		"port changed from",
		"IP changed from",
		"New server registered",
		"New version created",
		"New empty certificate store",
		"Transaction created",
		"Committing",
		"Inserting certificate",
		"Success!",
		"Entry '",
		"Certificate '",
	};
	size_t n;
	for (const char *line; (line = next_line(&text, &n)) != NULL;) {
		bool ok = n == 0 || line[strspn(line, " \t\r")] == '\n';
		for (size_t i = 0; i < VK_COUNT(fine) && !ok; i++)
			ok = n >= strlen(fine[i]) && memcmp(line, fine[i], strlen(fine[i])) == 0;
		if (!ok) {
			*ret_n = n;
			return line;
		}
	}
	return NULL;
}

static void read_process(const struct fields *f, bool old, struct workers *w)
{
	uint64_t pid, failed;
	if (!number(f, 0, INT32_MAX, &pid))
		return;
	if (field_is(f, 1, "master") && f->n >= 5 && number(f, 4, UINT32_MAX, &failed)) {
		w->failed = (unsigned)failed;
		return;
	}
	if (!field_is(f, 1, "worker"))
		return;
	if (!old)
		w->current = (pid_t)pid;
	else if (w->n_old < ANSWER_WORKERS_MAX)
		w->old[w->n_old++] = (pid_t)pid;
}

void answer_proc(const char *text, struct workers *ret)
{
	size_t n;
	bool old = false;
	*ret = (struct workers){0};
	for (const char *line; (line = next_line(&text, &n)) != NULL;) {
		if (vk_starts(line, "# old workers"))
			old = true;
		else if (line[0] == '#')
			old = old && !vk_starts(line, "# programs");
		struct fields f;
		char copy[256];
		n = n < sizeof(copy) ? n : sizeof(copy) - 1;
		for (size_t i = 0; i < n; i++) /* "0 [failed: 1]" -> words */
			copy[i] = line[i] == ']' || line[i] == '[' ? ' ' : line[i];
		split(copy, n, &f);
		read_process(&f, old, ret);
	}
}

unsigned long answer_connections(const char *text, const char *addr, unsigned port)
{
	size_t n;
	unsigned long sum = 0;
	for (const char *line; (line = next_line(&text, &n)) != NULL;) {
		struct fields f;
		unsigned backend;
		uint64_t at_port, used;
		split(line, n, &f);
		const char *slash = f.n >= 7 ? memchr(f.v[0], '/', f.len[0]) : NULL;
		if (slash == NULL || !backend_number(f.v[0], (size_t)(slash - f.v[0]), &backend) ||
			!field_is(&f, 2, addr) || !number(&f, 3, 65535, &at_port) ||
			at_port != port)
			continue;
		if (number(&f, 6, UINT32_MAX, &used))
			sum += (unsigned long)used;
	}
	return sum;
}
