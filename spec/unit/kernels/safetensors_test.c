/* What a file may say, and what is refused. */
#include "kernels/safetensors.h"

#include <math.h>
#include <stdint.h>

#include "base/mem.h"
#include "test.h"

/* A file with this header and so many bytes of data, counting up. */
static struct buf file_of(const char *header, size_t data)
{
    struct buf b = {0};
    uint64_t n = strlen(header);
    for (int i = 0; i < 8; i++)
        buf_add(&b, &(char){(char)(n >> (8 * i))}, 1);
    buf_add(&b, header, n);
    for (size_t i = 0; i < data; i++)
        buf_add(&b, &(char){(char)i}, 1);
    return b;
}

/* A copy of the exact size, so that ASan sees a byte too far. */
static bool reads(const char *header, size_t data, struct err *err)
{
    struct buf b = file_of(header, data);
    char *exact = mem_dup(b.p, b.n);
    struct safetensors s;
    bool ok = safetensors_read(&s, (struct str){exact, b.n}, err);
    if (ok)
        safetensors_free(&s);
    mem_free(exact);
    buf_free(&b);
    return ok;
}

TEST(tensors_are_found_with_their_shapes_and_bytes)
{
    struct buf b = file_of("{\"__metadata__\":{\"format\":\"pt\"},"
                           "\"b\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[4,12]},"
                           "\"a\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[0,4]},"
                           "\"empty\":{\"dtype\":\"F64\",\"shape\":[0,7],\"data_offsets\":[12,12]},"
                           "\"one\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[12,13]}}   ",
                           13);
    struct safetensors s;
    struct err err = {0};
    REQUIRE(safetensors_read(&s, buf_str(&b), &err));
    CHECK_EQ(s.count, 4);
    const struct safetensors_tensor *t = safetensors_find(&s, STR("b"));
    REQUIRE(t);
    CHECK(t->type == SAFETENSORS_F32 && t->rank == 2 && t->shape[0] == 2 && t->shape[1] == 1);
    CHECK_EQ(t->count, 2);
    CHECK_EQ(t->data.n, 8);
    CHECK_EQ(t->data.p[0], 4);
    CHECK_EQ(safetensors_find(&s, STR("one"))->count, 1);
    CHECK_EQ(safetensors_find(&s, STR("empty"))->count, 0);
    CHECK(!safetensors_find(&s, STR("c")));
    CHECK(str_eq_c(s.metadata, "{\"format\":\"pt\"}"));
    safetensors_free(&s);
    buf_free(&b);
}

TEST(every_lie_is_refused_and_named)
{
    static const struct {
        const char *header;
        size_t data;
        const char *word;
    } lies[] = {
        {"[]", 0, "no JSON object"},
        {"{", 0, "line 1"},
        {"{\"a\":{}}", 0, "tensor a: dtype"},
        {"{\"a\":7}", 0, "dtype"},
        {"{\"a\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "F33"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "gap"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 8, "belong to none"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
         8, "overlap"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}",
         0, "two tensors"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0.5],\"data_offsets\":[0,4]}}", 4, "shape"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
         "shape"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1,
         "shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,1e30]}}", 4, "data_offsets"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        struct err err = {0};
        if (reads(lies[i].header, lies[i].data, &err) || !strstr(err.message, lies[i].word))
            TEST_FAIL("%s: %s", lies[i].header, err.message);
    }
}

TEST(a_file_that_was_cut_or_is_something_else)
{
    struct err err = {0};
    struct safetensors s;
    CHECK(!safetensors_read(&s, STR("abc"), &err) && strstr(err.message, "8 bytes"));
    CHECK(!safetensors_read(&s, STR("PK\x03\x04\x14\0\0\0 a zip"), &err));
    struct buf b = file_of("{}", 0);
    CHECK(safetensors_read(&s, buf_str(&b), &err));
    safetensors_free(&s);
    CHECK(!safetensors_read(&s, (struct str){b.p, b.n - 1}, &err) &&
          strstr(err.message, "cut off"));
    buf_free(&b);
}

TEST(numbers_of_all_floating_types)
{
    static const unsigned char halves[] = {0x00, 0x3c, 0x00, 0xc0, 0x01,
                                           0x00, 0x00, 0x7c, 0xff, 0x03};
    static const unsigned char brains[] = {0x80, 0x3f, 0x00, 0xc0};
    float out[5];
    struct safetensors_tensor t = {
        .type = SAFETENSORS_F16, .count = 5, .data = {(const char *)halves, 10}};
    CHECK(safetensors_floats(&t, out));
    CHECK(out[0] == 1 && out[1] == -2 && out[2] == 0x1p-24F && isinf(out[3]) &&
          out[4] == 1023 * 0x1p-24F);
    t = (struct safetensors_tensor){
        .type = SAFETENSORS_BF16, .count = 2, .data = {(const char *)brains, 4}};
    CHECK(safetensors_floats(&t, out) && out[0] == 1 && out[1] == -2);
    double d = 0.5;
    t = (struct safetensors_tensor){
        .type = SAFETENSORS_F64, .count = 1, .data = {(const char *)&d, 8}};
    CHECK(safetensors_floats(&t, out) && out[0] == 0.5F);
    t.type = SAFETENSORS_I64;
    CHECK(!safetensors_floats(&t, out));
}
