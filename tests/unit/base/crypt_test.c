#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <viking/crypt.h>
#include <viking/proc.h>
#include <viking/str.h>

#include "tmpdir.h"

/* ---- sealing ---- */

static struct vk_secret_key a_key(void)
{
	struct vk_secret_key k;
	for (size_t i = 0; i < sizeof(k.k); i++)
		k.k[i] = (uint8_t)(i * 7);
	return k;
}

Test(crypt, sealing_round_trips)
{
	struct vk_secret_key k = a_key();
	static const size_t sizes[] = {0, 1, 31, 32, 1000, 100000};
	for (size_t i = 0; i < VK_COUNT(sizes); i++) {
		vk_autofree char *plain = vk_alloc(sizes[i] + 1);
		for (size_t j = 0; j < sizes[i]; j++)
			plain[j] = (char)(j * 31);
		vk_autofree char *one = vk_seal(&k, plain, sizes[i]),
				 *two = vk_seal(&k, plain, sizes[i]);
		vk_autobuf back = VK_BUF_INIT(200000);
		struct vk_err e = {0};
		cr_assert(vk_starts(one, "sb1:"));
		cr_assert_str_neq(one, two); /* a nonce is never used again */
		cr_assert_eq(vk_unseal(&k, one, &back, &e), 0, "%s", e.msg);
		cr_assert_eq(back.len, sizes[i]);
		cr_assert_eq(memcmp(vk_buf_str(&back), plain, sizes[i]), 0);
	}
}

Test(crypt, a_sealed_value_changed_anywhere_is_refused)
{
	struct vk_secret_key k = a_key();
	vk_autofree char *sealed = vk_seal(&k, "secret", 6);
	for (size_t i = 0; sealed[i] != '\0'; i++) {
		vk_autobuf out = VK_BUF_INIT(100);
		vk_autofree char *bad = vk_strdup(sealed);
		struct vk_err e = {0};
		bad[i] = bad[i] == 'A' ? 'B' : 'A';
		cr_assert_eq(vk_unseal(&k, bad, &out, &e), VK_INVALID, "%s", bad);
		cr_assert_null(strstr(e.msg, "secret"));
		cr_assert_eq(out.len, 0);
		bad[i] = '\0';
		cr_assert_eq(vk_unseal(&k, bad, &out, &e), VK_INVALID);
	}
	struct vk_secret_key other = a_key();
	vk_autobuf out = VK_BUF_INIT(5);
	other.k[31] ^= 1;
	cr_assert_eq(vk_unseal(&other, sealed, &out, NULL), VK_INVALID);
	cr_assert_eq(vk_unseal(&k, sealed, &out, NULL), VK_LIMIT);
}

Test(crypt, the_key_file_is_made_once)
{
	autotmp dir = tmpdir_new();
	vk_autofree char *path = vk_asprintf("%s/secret.key", dir);
	struct vk_secret_key a, b;
	struct vk_err e = {0};
	struct stat st;
	cr_assert_eq(vk_secret_key_load(path, false, &a, &e), VK_NOTFOUND);
	cr_assert_eq(vk_secret_key_load(path, true, &a, &e), 0, "%s", e.msg);
	cr_assert_eq(vk_secret_key_load(path, true, &b, &e), 0);
	cr_assert_eq(memcmp(&a, &b, sizeof(a)), 0);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0600);
	cr_assert_eq(st.st_nlink, 1); /* the one it was written under is gone */
	vk_autofree char *path2 = vk_asprintf("%s/other.key", dir);
	cr_assert_eq(vk_secret_key_load(path2, true, &b, &e), 0);
	cr_assert_neq(memcmp(&a, &b, sizeof(a)), 0);
}

Test(crypt, a_key_file_that_is_open_to_others_or_cut_is_refused)
{
	autotmp dir = tmpdir_new();
	vk_autofree char *path = vk_asprintf("%s/k", dir), *link_path = vk_asprintf("%s/l", dir);
	struct vk_secret_key k;
	struct vk_err e = {0};
	cr_assert_eq(vk_secret_key_load(path, true, &k, &e), 0);
	cr_assert_eq(symlink(path, link_path), 0);
	cr_assert_lt(vk_secret_key_load(link_path, true, &k, &e), 0);
	cr_assert_eq(chmod(path, 0640), 0);
	cr_assert_eq(vk_secret_key_load(path, true, &k, &e), VK_DENIED);
	cr_assert_not_null(strstr(e.hint, "chmod 600"));
	cr_assert_eq(chmod(path, 0600), 0);
	cr_assert_eq(truncate(path, 31), 0);
	cr_assert_eq(vk_secret_key_load(path, true, &k, &e), VK_INVALID);
	vk_autofree char *below = vk_asprintf("%s/none/k", dir);
	cr_assert_eq(vk_secret_key_load(below, true, &k, &e), VK_NOTFOUND);
}

/* ---- digests and base64 ---- */

Test(crypt, sha256_of_the_standard)
{
	char whole[65], parts[65];
	vk_sha256_hex("abc", 3, whole);
	cr_assert_str_eq(whole, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	struct vk_sha256 *h = vk_sha256_new();
	vk_sha256_add(h, "a", 1);
	vk_sha256_add(h, "", 0);
	vk_sha256_add(h, "bc", 2);
	vk_sha256_end(h, parts);
	cr_assert_str_eq(whole, parts);
	vk_sha256_hex("", 0, whole);
	cr_assert_str_eq(whole, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

Test(crypt, constant_time_compare)
{
	cr_assert(vk_ct_equal("abc", "abc"));
	cr_assert(vk_ct_equal("", ""));
	cr_assert_not(vk_ct_equal("abc", "abd"));
	cr_assert_not(vk_ct_equal("abc", "ab"));
	cr_assert_not(vk_ct_equal("", "a"));
}

Test(crypt, base64)
{
	static const char *const rows[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="},
		{"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"\xfb\xff", "+/8="}};
	for (size_t i = 0; i < VK_COUNT(rows); i++) {
		vk_autofree char *text = vk_base64(rows[i][0], strlen(rows[i][0]));
		vk_autobuf back = VK_BUF_INIT(100);
		cr_assert_str_eq(text, rows[i][1]);
		cr_assert_eq(vk_unbase64(text, strlen(text), &back, NULL), 0);
		cr_assert_str_eq(vk_buf_str(&back), rows[i][0]);
	}
	vk_autofree char *url = vk_base64url("\xfb\xff", 2);
	cr_assert_str_eq(url, "-_8=");
}

Test(crypt, base64_is_read_strictly)
{
	static const char *const bad[] = {"Zg", "Zg=", "Zg===", "Zh==", "Zm9", "Z",
		"Zm9v=", "Zm 9v", "Zm9v\n", "-_8=", "Zm9v!", "====", "=", NULL};
	for (int i = 0; bad[i] != NULL; i++) {
		vk_autobuf out = VK_BUF_INIT(100);
		cr_assert_eq(
			vk_unbase64(bad[i], strlen(bad[i]), &out, NULL), VK_INVALID, "%s", bad[i]);
		cr_assert_eq(out.len, 0);
	}
	vk_autobuf small = VK_BUF_INIT(2);
	cr_assert_eq(vk_unbase64("Zm9v", 4, &small, NULL), VK_LIMIT);
}

/* ---- public keys ---- */

/* What ssh-keygen -lf makes of a file: its fingerprint, or false when it refuses. */
static bool keygen_fingerprint(const char *path, char fp[static 64])
{
	const char *const argv[] = {"ssh-keygen", "-lf", path, NULL};
	struct vk_proc_opts o = {.path = "/usr/bin/ssh-keygen", .argv = argv};
	vk_autobuf out = VK_BUF_INIT(65536);
	if (vk_proc_run(&o, NULL, 0, &out, NULL, 10000, NULL) != 0)
		return false;
	char *at = strstr(out.data, "SHA256:");
	cr_assert_not_null(at);
	at[strcspn(at, " ")] = '\0';
	snprintf(fp, 64, "%.63s", at);
	return true;
}

/* Accepted by us: ssh-keygen has to accept it with the same fingerprint. Returns whether we accept. */
static bool agree(const char *dir, const char *line, size_t n)
{
	char ours[64], theirs[64];
	vk_autofree char *normal = NULL;
	if (vk_pubkey_parse(line, n, &normal, ours, NULL, NULL) != 0)
		return false;
	vk_autofree char *path = vk_asprintf("%s/line.pub", dir);
	cr_assert_eq(vk_fs_write_atomic(path, normal, strlen(normal), 0600, NULL), 0);
	cr_assert(keygen_fingerprint(path, theirs), "ssh-keygen refuses %s", normal);
	cr_assert_str_eq(ours, theirs);
	return true;
}

static char *generate(const char *dir, const char *type, const char *bits)
{
	vk_autofree char *path = vk_asprintf("%s/%s-%s", dir, type, bits);
	vk_autofree char *pub = vk_asprintf("%s.pub", path);
	const char *const argv[] = {"ssh-keygen", "-q", "-t", type, "-b", bits, "-N", "", "-C",
		"anna@host a b", "-f", path, NULL};
	struct vk_proc_opts o = {.path = "/usr/bin/ssh-keygen", .argv = argv};
	vk_autobuf line = VK_BUF_INIT(65536);
	struct vk_err e = {0};
	cr_assert_eq(vk_proc_run(&o, NULL, 0, NULL, NULL, 60000, &e), 0, "%s", e.msg);
	cr_assert_eq(vk_fs_read(pub, &line, NULL), 0);
	return vk_buf_take(&line);
}

static const char *const generated[][2] = {
	{"ed25519", "256"}, {"ecdsa", "256"}, {"ecdsa", "384"}, {"ecdsa", "521"}, {"rsa", "2048"}};

Test(crypt, keys_of_ssh_keygen, .timeout = 120)
{
	autotmp dir = tmpdir_new();
	for (size_t i = 0; i < VK_COUNT(generated); i++) {
		vk_autofree char *line = generate(dir, generated[i][0], generated[i][1]);
		vk_autofree char *normal = NULL, *comment = NULL;
		char fp[64];
		struct vk_err e = {0};
		cr_assert(agree(dir, line, strlen(line)), "%s", line);
		cr_assert_eq(vk_pubkey_parse(line, strlen(line), &normal, fp, &comment, &e), 0,
			"%s", e.msg);
		cr_assert_str_eq(comment, "anna@host a b");
		cr_assert_eq(strncmp(normal, line, strlen(normal)), 0);
		cr_assert_eq(line[strlen(normal)], ' ');
	}
}

Test(crypt, a_short_rsa_key_is_refused_with_its_size, .timeout = 60)
{
	autotmp dir = tmpdir_new();
	vk_autofree char *line = generate(dir, "rsa", "2040");
	char fp[64];
	struct vk_err e = {0};
	cr_assert_eq(vk_pubkey_parse(line, strlen(line), NULL, fp, NULL, &e), VK_INVALID);
	cr_assert_not_null(strstr(e.msg, "2040 bits"));
	cr_assert_str_eq(e.hint, "ssh-keygen -t ed25519");
}

/* Every byte of a blob changed in turn: refused, or the very key that ssh-keygen sees too. */
Test(crypt, damaged_keys_never_pass_for_others, .timeout = 120)
{
	autotmp dir = tmpdir_new();
	int accepted = 0, refused = 0;
	for (size_t k = 0; k < 2; k++) {
		vk_autofree char *line = generate(dir, generated[k][0], generated[k][1]);
		char *b64 = strchr(line, ' ') + 1;
		size_t n = strcspn(b64, " ");
		vk_autobuf blob = VK_BUF_INIT(10000);
		cr_assert_eq(vk_unbase64(b64, n, &blob, NULL), 0);
		*strchr(line, ' ') = '\0';
		for (size_t i = 0; i < blob.len; i++) {
			blob.data[i] ^= (char)(1 << (i % 8));
			vk_autofree char *text = vk_base64(blob.data, blob.len);
			vk_autofree char *bad = vk_asprintf("%s %s", line, text);
			blob.data[i] ^= (char)(1 << (i % 8));
			if (agree(dir, bad, strlen(bad)))
				accepted++;
			else
				refused++;
		}
	}
	cr_assert_eq(accepted,
		32); /* any 32 bytes may be an ed25519 key; no changed point is on its curve */
	cr_assert_gt(refused, 100);
}

static void put_string(struct vk_buf *b, const void *p, size_t n)
{
	const unsigned char len[4] = {(unsigned char)(n >> 24), (unsigned char)(n >> 16),
		(unsigned char)(n >> 8), (unsigned char)n};
	vk_buf_add(b, len, 4);
	vk_buf_add(b, p, n);
}

static void put_word(struct vk_buf *b, const char *s)
{
	put_string(b, s, strlen(s));
}

static char *line_of(const char *type, const struct vk_buf *blob)
{
	vk_autofree char *text = vk_base64(blob->data, blob->len);
	return vk_asprintf("%s %s", type, text);
}

static int parse_blob(const char *type, const struct vk_buf *blob, struct vk_err *err)
{
	char fp[64];
	vk_autofree char *line = line_of(type, blob);
	return vk_pubkey_parse(line, strlen(line), NULL, fp, NULL, err);
}

Test(crypt, security_keys, .timeout = 60)
{
	autotmp dir = tmpdir_new();
	char point[65];
	vk_autofree char *ecdsa = generate(dir, "ecdsa", "256");
	vk_autobuf ec = VK_BUF_INIT(1000), sk = VK_BUF_INIT(1000), skec = VK_BUF_INIT(1000);
	char *b64 = strchr(ecdsa, ' ') + 1;
	cr_assert_eq(vk_unbase64(b64, strcspn(b64, " "), &ec, NULL), 0);
	memcpy(point, ec.data + ec.len - 65, 65);
	put_word(&sk, "sk-ssh-ed25519@openssh.com");
	put_string(&sk, point + 1, 32);
	put_word(&sk, "ssh:");
	vk_autofree char *l1 = line_of("sk-ssh-ed25519@openssh.com", &sk);
	cr_assert(agree(dir, l1, strlen(l1)));
	put_word(&skec, "sk-ecdsa-sha2-nistp256@openssh.com");
	put_word(&skec, "nistp256");
	put_string(&skec, point, 65);
	put_word(&skec, "ssh:me");
	vk_autofree char *l2 = line_of("sk-ecdsa-sha2-nistp256@openssh.com", &skec);
	cr_assert(agree(dir, l2, strlen(l2)));
	vk_buf_addc(&skec, '\0');
	cr_assert_eq(parse_blob("sk-ecdsa-sha2-nistp256@openssh.com", &skec, NULL), VK_INVALID);
}

/* type string, e, n of an RSA key with the given bytes */
static int rsa_with(const char *e, size_t e_len, const char *n, size_t n_len, struct vk_err *err)
{
	vk_autobuf b = VK_BUF_INIT(10000);
	put_word(&b, "ssh-rsa");
	put_string(&b, e, e_len);
	put_string(&b, n, n_len);
	return parse_blob("ssh-rsa", &b, err);
}

Test(crypt, rsa_numbers)
{
	char n[2050];
	memset(n, 0x5a, sizeof(n));
	n[0] = 0;
	n[1] = (char)0x80;
	n[256] = n[2048] = n[2049] = 1;
	cr_assert_eq(rsa_with("\1\0\1", 3, n, 257, NULL), 0);
	cr_assert_eq(rsa_with("\3", 1, n, 257, NULL), 0);
	cr_assert_eq(rsa_with("\1", 1, n, 257, NULL), VK_INVALID);       /* e = 1 */
	cr_assert_eq(rsa_with("\4", 1, n, 257, NULL), VK_INVALID);       /* even */
	cr_assert_eq(rsa_with("\0\1\0\1", 4, n, 257, NULL), VK_INVALID); /* padded */
	cr_assert_eq(rsa_with("\x81\0\1", 3, n, 257, NULL), VK_INVALID); /* negative */
	cr_assert_eq(rsa_with("", 0, n, 257, NULL), VK_INVALID);
	cr_assert_eq(rsa_with("\1\2\3\4\5\6\7\10\11", 9, n, 257, NULL),
		VK_INVALID);                                               /* 65 bits and more */
	cr_assert_eq(rsa_with("\1\0\1", 3, n + 1, 256, NULL), VK_INVALID); /* negative n */
	n[1] = 0x7f;
	cr_assert_eq(rsa_with("\1\0\1", 3, n, 257, NULL), VK_INVALID);     /* padded n */
	cr_assert_eq(rsa_with("\1\0\1", 3, n + 1, 256, NULL), VK_INVALID); /* 2047 bits */
	n[1] = (char)0x80;
	n[256] = 2;
	cr_assert_eq(rsa_with("\1\0\1", 3, n, 257, NULL), VK_INVALID); /* even n */
	n[256] = 0x5a;
	cr_assert_eq(rsa_with("\1\0\1", 3, n, 2049, NULL), 0); /* 16384 bits */
	n[1] = 1;
	cr_assert_eq(rsa_with("\1\0\1", 3, n + 1, 2049, NULL), VK_INVALID); /* one more */
}

Test(crypt, lengths_and_types_have_to_fit)
{
	char raw[40] = {0};
	vk_autobuf b = VK_BUF_INIT(10000);
	put_word(&b, "ssh-ed25519");
	put_string(&b, raw, 32);
	cr_assert_eq(parse_blob("ssh-ed25519", &b, NULL), 0);
	cr_assert_eq(parse_blob("ssh-rsa", &b, NULL), VK_INVALID);
	for (size_t cut = 0; cut < b.len; cut++) {
		struct vk_buf part = {.data = b.data, .len = cut, .max = cut + 1};
		cr_assert_eq(parse_blob("ssh-ed25519", &part, NULL), VK_INVALID, "%zu", cut);
	}
	vk_buf_addc(&b, 'x');
	cr_assert_eq(parse_blob("ssh-ed25519", &b, NULL), VK_INVALID);
	for (size_t n = 31; n <= 33; n += 2) {
		vk_buf_clear(&b);
		put_word(&b, "ssh-ed25519");
		put_string(&b, raw, n);
		cr_assert_eq(parse_blob("ssh-ed25519", &b, NULL), VK_INVALID);
	}
	vk_buf_clear(&b);
	put_word(&b, "ssh-ed25519");
	vk_buf_add(&b, "\xff\xff\xff\xff", 4);
	cr_assert_eq(parse_blob("ssh-ed25519", &b, NULL), VK_INVALID);
}

#define GOOD "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static void line_refused(const char *line, size_t n, const char *what)
{
	char fp[64];
	struct vk_err e = {0};
	vk_autofree char *normal = NULL;
	cr_assert_lt(vk_pubkey_parse(line, n, &normal, fp, NULL, &e), 0, "%s", line);
	cr_assert_null(normal);
	cr_assert_not_null(strstr(e.msg, what), "%s: %s", line, e.msg);
}

Test(crypt, lines_that_are_refused)
{
	static const char *const rows[][2] = {{"", "missing"}, {"\n", "missing"},
		{"hello", "not a public key"}, {" " GOOD, "not a public key"},
		{"ssh-ed25519", "base64"}, {"ssh-ed25519 ", "base64"},
		{"ssh-ed25519 !!!!", "base64"}, {GOOD "\n" GOOD "\n", "more than one line"},
		{GOOD "\r\n\r\n" GOOD, "more than one line"}, {"command=\"x\" " GOOD, "options"},
		{"no-pty " GOOD, "options"}, {"restrict " GOOD, "options"},
		{"from=\"*\",no-pty " GOOD, "options"}, {"ssh-dss AAAA", "DSA"},
		{"-----BEGIN OPENSSH PRIVATE KEY-----\nx\n", "private key"},
		{"---- BEGIN SSH2 PUBLIC KEY ----\nx\n", "ssh-keygen -i"},
		{"ssh-ed25519-cert-v01@openssh.com AAAA", "certificates"},
		{"ssh-ed25519 " GOOD, "base64"}, {GOOD "=", "base64"},
		{GOOD " a\x1b[2J", "control"}, {"SSH-ED25519 AAAA", "not a public key"},
		{"PuTTY-User-Key-File-3: ssh-ed25519", "private key"}};
	for (size_t i = 0; i < VK_COUNT(rows); i++)
		line_refused(rows[i][0], strlen(rows[i][0]), rows[i][1]);
	line_refused(GOOD "\0x", sizeof(GOOD) + 1, "control");
	vk_autofree char *endless = vk_alloc(20001);
	memset(endless, 'A', 20000);
	line_refused(endless, 20000, "limit");
}

Test(crypt, lines_as_they_come_are_taken)
{
	static const char *const rows[][2] = {{GOOD, ""}, {GOOD "\n", ""}, {GOOD "\r\n", ""},
		{GOOD " me", "me"}, {GOOD "\tme and you  \n", "me and you"},
		{"ssh-ed25519   AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAA"
		 "AAAAAAAAAAAAAAAAAAAAAA  x",
			"x"},
		{GOOD " caf\xc3\xa9", "caf\xc3\xa9"}, {GOOD " caf\xe9", "caf?"}};
	for (size_t i = 0; i < VK_COUNT(rows); i++) {
		vk_autofree char *normal = NULL, *comment = NULL;
		char fp[64];
		struct vk_err e = {0};
		cr_assert_eq(
			vk_pubkey_parse(rows[i][0], strlen(rows[i][0]), &normal, fp, &comment, &e),
			0, "%s: %s", rows[i][0], e.msg);
		cr_assert_str_eq(normal, GOOD);
		cr_assert_str_eq(comment, rows[i][1]);
		cr_assert_eq(strlen(fp), 50);
	}
}
