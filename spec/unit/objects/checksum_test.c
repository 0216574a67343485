/* Sums of RFC 1321 and FIPS 180-2, in one piece and in several. */
#include "objects/checksum.h"

#include "test.h"

#define MD5_ABC "kAFQmDzST7DWlj99KOF/cg=="
#define SHA_ABC "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
#define HEX_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static bool holds(const char *md5, const char *sha, const char *first, const char *second,
                  struct err *err)
{
    struct checksum *c = checksum_create();
    CHECK(!md5 || checksum_expect_base64(c, CHECKSUM_MD5, str_c(md5), err));
    CHECK(!sha || checksum_expect_base64(c, CHECKSUM_SHA256, str_c(sha), err));
    checksum_add(c, str_c(first));
    checksum_add(c, str_c(second));
    bool ok = checksum_holds(c, err);
    checksum_free(c);
    return ok;
}

TEST(compares_what_was_said_with_what_came)
{
    struct err err = {0};
    CHECK(holds(MD5_ABC, NULL, "abc", "", &err));
    CHECK(holds(NULL, SHA_ABC, "a", "bc", &err));
    CHECK(holds(MD5_ABC, SHA_ABC, "ab", "c", &err));
    CHECK(holds(NULL, NULL, "ab", "d", &err));
    CHECK(!holds(MD5_ABC, NULL, "ab", "d", &err) && err.code == ERR_CONFLICT);
    CHECK(!holds(MD5_ABC, SHA_ABC, "ab", "", &err) && err.code == ERR_CONFLICT);
}

TEST(takes_hex_of_either_case)
{
    struct err err = {0};
    struct checksum *c = checksum_create();
    CHECK(checksum_expect_hex(c, STR(HEX_ABC), &err));
    checksum_add(c, STR("abc"));
    CHECK(checksum_holds(c, &err));
    checksum_free(c);
    CHECK(checksum_same(STR(""), HEX_ABC, &err));
    CHECK(checksum_same(STR("BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"),
                        HEX_ABC, &err));
    CHECK(!checksum_same(STR(HEX_ABC), "x" HEX_ABC, &err) && err.code == ERR_CONFLICT);
}

TEST(refuses_what_is_no_checksum)
{
    static const char *const wrong[] = {"", "abc", MD5_ABC, SHA_ABC "A", "!" SHA_ABC};
    struct checksum *c = checksum_create();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct err err = {0};
        CHECK(!checksum_expect_base64(c, CHECKSUM_SHA256, str_c(wrong[i]), &err));
        CHECK(err.code == ERR_INVALID);
        CHECK(!checksum_hex_check(str_c(wrong[i]), &err));
    }
    checksum_free(c);
}
