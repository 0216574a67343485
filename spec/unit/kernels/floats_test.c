/* Texts of numbers against strtof, and what is refused with its place. */
#include "kernels/floats.h"

#include <math.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/rand.h"
#include "test.h"

/* -1: refused; else how many.  Reads a copy of the exact size, for ASan. */
static int parse(const char *text, float *out, size_t most, size_t *bad, struct err *err)
{
    struct str copy = {mem_dup(text, strlen(text)), strlen(text)};
    size_t room = 0, n = 0;
    float *values = NULL;
    bool ok = floats_room(copy, &room, err);
    if (ok) {
        values = mem_alloc(room * sizeof *values);
        ok = floats_parse(copy, values, room, &n, bad, err);
        if (ok)
            memcpy(out, values, (n < most ? n : most) * sizeof *out);
    }
    mem_free(values);
    mem_free((char *)copy.p);
    return ok ? (int)n : -1;
}

TEST(arrays_and_lines)
{
    static const struct {
        const char *text;
        int n;
        float first, last;
    } cases[] = {
        {"[1]", 1, 1, 1},
        {" [ 1 , -2.5e1\n,3\t] \r\n", 3, 1, 3},
        {"[0,-0,1E2]", 3, 0, 100},
        {"1", 1, 1, 1},
        {"1\n2\n3\n", 3, 1, 3},
        {"\n1.5 \r\n\r\n 2\r\n", 2, 1.5F, 2},
        {"[3.4028235e38,1e-400]", 2, 3.4028235e38F, 0},
        {"[16777217,16777219]", 2, 16777216, 16777220}, /* ties to even */
        {"[1e0000000000000000000001,0.0000000000000000000000000000000001]", 2, 10, 1e-34F},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float got[8];
        size_t bad;
        struct err err = {0};
        int n = parse(cases[i].text, got, 8, &bad, &err);
        if (n != cases[i].n || got[0] != cases[i].first || got[n - 1] != cases[i].last)
            TEST_FAIL("%s: %d %s", cases[i].text, n, err.message);
    }
}

TEST(what_is_wrong_is_named_with_its_place)
{
    static const struct {
        const char *text, *message;
        size_t bad;
    } cases[] = {
        {"", "there are no values", 0},
        {" \n", "there are no values", 0},
        {"[]", "there are no values", 0},
        {"[1,\"2\"]", "value 2 is a string", 2},
        {"[null]", "value 1 is null", 1},
        {"[1,2,[3]]", "value 3 is an array", 3},
        {"[{}]", "value 1 is an object", 1},
        {"[true]", "value 1 is true or false", 1},
        {"[1,]", "value 2 is missing", 2},
        {"[,1]", "value 1 is missing", 1},
        {"[", "value 1 is missing", 1},
        {"[1", "value 2 or a ] is missing", 2},
        {"[1 2]", "value 2 or a ] is missing", 2},
        {"[1] 2", "value 2 stands behind the array", 2},
        {"[NaN]", "value 1 is not a number as JSON writes it", 1},
        {"[1,-Infinity]", "value 2 is not a number", 2},
        {"[+1]", "value 1 is not a number", 1},
        {"[01]", "value 1 is not a number", 1},
        {"[.5]", "value 1 is not a number", 1},
        {"[5.]", "value 1 is not a number", 1},
        {"[1e]", "value 1 is not a number", 1},
        {"[-]", "value 1 is not a number", 1},
        {"[1e39]", "value 1 is too large for float32", 1},
        {"[3.4028236e38]", "value 1 is too large for float32", 1},
        {"1\nx\n", "value 2 is not a number", 2},
        {"1\n2 3\n", "value 2 is not one number on its line", 2},
        {"1\n[2]\n", "value 2 is an array", 2},
        {"1,2", "value 1 is not one number on its line", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float got[8];
        size_t bad = 99;
        struct err err = {0};
        int n = parse(cases[i].text, got, 8, &bad, &err);
        if (n != -1 || err.code != ERR_INVALID || bad != cases[i].bad ||
            strncmp(err.message, cases[i].message, strlen(cases[i].message)) != 0)
            TEST_FAIL("%s: %d, %zu, %s", cases[i].text, n, bad, err.message);
    }
}

TEST(more_than_the_most_is_refused_before_there_is_memory_for_it)
{
    size_t n = 2 * (size_t)FLOATS_MOST + 1, room;
    char *text = mem_alloc(n + 1);
    struct err err = {0};
    for (size_t i = 0; i < n; i++)
        text[i] = i % 2 ? '\n' : '1';
    CHECK(floats_room(str_n(text, n - 1), &room, &err)); /* ends with a line feed */
    CHECK_EQ(room, FLOATS_MOST);
    CHECK(!floats_room(str_n(text, n), &room, &err) && err.code == ERR_LIMIT);
    mem_free(text);
}

/* Bit for bit what strtof says, for every way of writing that is usual and some that are not. */
TEST(every_value_is_the_float_next_to_the_number)
{
    static const char *const formats[] = {"%.17g", "%.9g", "%.7g",  "%.3f",  "%.25g",
                                          "%.16e", "%.0f", "%.40e", "%.12f", "%.60g"};
    for (int i = 0; i < 60000; i++) {
        union {
            uint32_t bits;
            float value;
        } random = {(uint32_t)rand_u64()};
        double value = (double)random.value;
        if (!isfinite(value))
            continue;
        if (i % 3 == 0) /* on the border between two, or beside it */
            value = (value + (double)nextafterf(random.value, INFINITY)) / 2;
        if (i % 6 == 0)
            value = nextafter(value, i % 4 ? INFINITY : -INFINITY);
        const char *format = formats[i % 10];
        if (!isfinite(value))
            continue;
        char text[512];
        float got = NAN;
        size_t bad;
        struct err err = {0};
        snprintf(text, sizeof text, format, value);
        float want = strtof(text, NULL);
        int n = parse(text, &got, 1, &bad, &err);
        if (isinf(want) ? n != -1 : n != 1 || memcmp(&got, &want, sizeof got) != 0)
            TEST_FAIL("%s: %.9g, not %.9g", text, (double)got, (double)want);
    }
}

TEST(bytes)
{
    static const float values[] = {1, -2.5F, NAN, INFINITY, 0};
    char bytes[sizeof values + 1];
    float back[5];
    floats_write(values, 5, bytes + 1);
    CHECK_EQ(floats_read(bytes + 1, 2, false, back), 0);
    CHECK_EQ(floats_read(bytes + 1, 5, false, back), 3);
    CHECK_EQ(floats_read(bytes + 1, 5, true, back), 4);
    CHECK(memcmp(back, values, sizeof back) == 0);
}
