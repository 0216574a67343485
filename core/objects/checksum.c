#include "objects/checksum.h"

#include <openssl/evp.h>
#include <sodium.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

enum { MOST = 32 };
static const size_t sizes[CHECKSUM_KINDS] = {32, 16};
static const char *const names[CHECKSUM_KINDS] = {"SHA-256", "MD5"};

struct checksum {
    EVP_MD_CTX *running[CHECKSUM_KINDS]; /* NULL: nothing was said */
    unsigned char wanted[CHECKSUM_KINDS][MOST];
};

struct checksum *checksum_create(void)
{
    return mem_zero(1, sizeof(struct checksum));
}

void checksum_free(struct checksum *c)
{
    for (int i = 0; c && i < CHECKSUM_KINDS; i++)
        EVP_MD_CTX_free(c->running[i]);
    mem_free(c);
}

static bool expect(struct checksum *c, enum checksum_kind kind, const unsigned char *wanted,
                   struct err *err)
{
    memcpy(c->wanted[kind], wanted, sizes[kind]);
    if (!c->running[kind])
        c->running[kind] = EVP_MD_CTX_new();
    const EVP_MD *how = kind == CHECKSUM_MD5 ? EVP_md5() : EVP_sha256();
    return (c->running[kind] && EVP_DigestInit_ex(c->running[kind], how, NULL) == 1) ||
           err_set(err, ERR_INVALID, "this machine's OpenSSL does not compute %s", names[kind]);
}

bool checksum_expect_base64(struct checksum *c, enum checksum_kind kind, struct str text,
                            struct err *err)
{
    unsigned char wanted[MOST];
    size_t n = 0;
    if (sodium_base642bin(wanted, sizeof wanted, text.p, text.n, NULL, &n, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
        n != sizes[kind])
        return err_set(err, ERR_INVALID, "a checksum of %s is the base64 of %zu bytes", names[kind],
                       sizes[kind]);
    return expect(c, kind, wanted, err);
}

bool checksum_hex_check(struct str text, struct err *err)
{
    bool ok = text.n == CHECKSUM_HEX;
    for (size_t i = 0; ok && i < text.n; i++)
        ok = strchr("0123456789abcdefABCDEF", text.p[i]) && text.p[i];
    return ok || err_set(err, ERR_INVALID, "sha256 is %d hex digits", CHECKSUM_HEX);
}

bool checksum_expect_hex(struct checksum *c, struct str text, struct err *err)
{
    unsigned char wanted[MOST];
    if (!checksum_hex_check(text, err))
        return false;
    sodium_hex2bin(wanted, sizeof wanted, text.p, text.n, NULL, NULL, NULL);
    return expect(c, CHECKSUM_SHA256, wanted, err);
}

void checksum_add(struct checksum *c, struct str bytes)
{
    for (int i = 0; i < CHECKSUM_KINDS; i++)
        if (c->running[i])
            EVP_DigestUpdate(c->running[i], bytes.p, bytes.n);
}

static bool differs(struct err *err, const char *name, const char *is)
{
    return err_set(err, ERR_CONFLICT, "these are other bytes than were announced: their %s is %s",
                   name, is);
}

bool checksum_holds(struct checksum *c, struct err *err)
{
    unsigned char is[EVP_MAX_MD_SIZE];
    char hex[CHECKSUM_HEX + 1];
    for (int i = 0; i < CHECKSUM_KINDS; i++) {
        if (!c->running[i])
            continue;
        EVP_DigestFinal_ex(c->running[i], is, NULL);
        sodium_bin2hex(hex, sizeof hex, is, sizes[i]);
        if (memcmp(is, c->wanted[i], sizes[i]) != 0)
            return differs(err, names[i], hex);
    }
    return true;
}

bool checksum_same(struct str wanted, const char *hex, struct err *err)
{
    bool same = wanted.n == 0 ||
                (wanted.n == CHECKSUM_HEX && strncasecmp(wanted.p, hex, CHECKSUM_HEX) == 0);
    return same || differs(err, names[CHECKSUM_SHA256], hex);
}
