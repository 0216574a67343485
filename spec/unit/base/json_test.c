#include "test.h"

#include <math.h>
#include <stdint.h>

#include "base/json.h"
#include "base/json_flat.h"
#include "base/rand.h"

/* The events written down again: what was read is what is written. */
static bool on_null(void *arg, struct err *err)
{
    (void)err;
    json_null(arg);
    return true;
}
static bool on_boolean(void *arg, bool value, struct err *err)
{
    (void)err;
    json_bool(arg, value);
    return true;
}
static bool on_number(void *arg, double value, struct str text, struct err *err)
{
    (void)text, (void)err;
    json_num(arg, value);
    return true;
}
static bool on_string(void *arg, struct str value, struct err *err)
{
    if (str_eq_c(value, "stop"))
        return err_set(err, ERR_FORBIDDEN, "stopped");
    json_str(arg, value);
    return true;
}
static bool on_key(void *arg, struct str key, struct err *err)
{
    char name[64] = {0};
    (void)err;
    memcpy(name, key.p, key.n < 63 ? key.n : 63);
    json_key(arg, name);
    return true;
}
static bool on_object(void *arg, struct err *err)
{
    (void)err;
    json_open(arg, '{');
    return true;
}
static bool on_object_end(void *arg, struct err *err)
{
    (void)err;
    json_close(arg, '}');
    return true;
}
static bool on_array(void *arg, struct err *err)
{
    (void)err;
    json_open(arg, '[');
    return true;
}
static bool on_array_end(void *arg, struct err *err)
{
    (void)err;
    json_close(arg, ']');
    return true;
}

static const struct json_events echo = {on_null,   on_boolean,    on_number, on_string,   on_key,
                                        on_object, on_object_end, on_array,  on_array_end};

static struct err err;
static char answer[4096];

/* What comes out, or the error message. */
static const char *read_text(struct str text)
{
    struct buf out = {0};
    struct json w = json_to(&out);
    bool ok = json_read(text, 4, &echo, &w, &err);
    snprintf(answer, sizeof answer, "%s", ok ? buf_str(&out).p : err.message);
    buf_free(&out);
    return answer;
}
#define READ(literal) read_text(STR(literal))

TEST(reads_every_kind_of_value)
{
    CHECK_STR(READ(" [ null , true,false, -1.5e2,\"x\" , {} , [], {\"a\":1, \"b\" : [2]} ]\r\n"),
              "[null,true,false,-150,\"x\",{},[],{\"a\":1,\"b\":[2]}]");
}

TEST(decodes_escapes)
{
    CHECK_STR(READ("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\uB9C8\\uD83C\\uDF38\""),
              "\"a\\\"\\\\/\\b\\f\\n\\r\\tA마\xF0\x9F\x8C\xB8\"");
    CHECK_STR(READ("{\"k\\u00e9y\":\"plain ascii over sixteen bytes, then 마루 and \\n\"}"),
              "{\"kéy\":\"plain ascii over sixteen bytes, then 마루 and \\n\"}");
}

TEST(refuses_what_is_not_json)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "line 1 column 1: expected a value, but the text ends"},
        {"[1,\n 2,\n]", "line 3 column 1: expected a value"},
        {"{\"마\" 1}", "line 1 column 6: expected ':'"},
        {"{\"a\":1 \"b\"}", "line 1 column 8: expected ',' or '}'"},
        {"{a:1}", "line 1 column 2: expected a key in double quotes"},
        {"[1 2]", "line 1 column 4: expected ',' or ']'"},
        {"1 2", "line 1 column 3: expected nothing more"},
        {"01", "line 1 column 2: a number may not begin with 0"},
        {"-", "line 1 column 2: expected a digit"},
        {"1.", "line 1 column 3: expected a digit behind the point"},
        {"1e+", "line 1 column 4: expected a digit of the exponent"},
        {"1e999", "line 1 column 1: a number this large does not exist here"},
        {"+1", "line 1 column 1: expected a value"},
        {"NaN", "line 1 column 1: expected a value"},
        {"nul", "line 1 column 1: expected a value"},
        {"\"a", "line 1 column 3: the text ends inside a string"},
        {"\"a\\", "line 1 column 3: the text ends inside a string"},
        {"\"\t\"", "line 1 column 2: a control character in a string must be escaped"},
        {"\"\\x\"", "line 1 column 2: no such escape"},
        {"\"\\u12g4\"", "line 1 column 2: expected four hexadecimal digits behind \\u"},
        {"\"\\ud800\"", "line 1 column 2: half of a surrogate pair"},
        {"\"\\udc00\\ud800\"", "line 1 column 2: half of a surrogate pair"},
        {"\"\\ud800\\u0041\"", "line 1 column 2: half of a surrogate pair"},
        {"\"\xC0\xAF\"", "line 1 column 2: the string that begins here is not UTF-8"},
        {"[[[[[1]]]]]", "line 1 column 5: nested deeper than 4 levels"},
        {"{\"a\":", "line 1 column 6: expected a value, but the text ends"},
        {"[1,", "line 1 column 4: expected a value, but the text ends"},
        {"[1", "line 1 column 3: expected ',' or ']'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_STR(read_text(str_c(cases[i].text)), cases[i].message);
    CHECK_STR(read_text(str_n("\"a\0b\"", 5)),
              "line 1 column 3: a control character in a string must be escaped");
    READ("[[[[[1]]]]]");
    CHECK_EQ(err.code, ERR_LIMIT);
}

TEST(a_listener_can_stop_the_reader)
{
    CHECK_STR(READ("[\"stop\", x"), "stopped");
    CHECK_EQ(err.code, ERR_FORBIDDEN);
}

static bool note_flat(void *arg, const struct json_flat *value, struct err *why)
{
    static const char kinds[] = {'0', '=', '"', '{', '['};
    buf_printf(arg, "%d%c%s=%.*s ", value->depth, kinds[value->kind], value->path,
               (int)value->text.n, value->text.p);
    return !str_eq_c(value->text, "stop") || err_set(why, ERR_FORBIDDEN, "stopped");
}

TEST(json_is_told_as_paths_and_values)
{
    struct buf got = {0};
    struct str text = STR("{\"plan\":[{\"a\":\"x\"},null,[]],\"\":1,\"ok\":true,\"b\":{\"c\":{}}}");
    CHECK(json_flat(text, 8, note_flat, &got, &err));
    CHECK_STR(got.p, "0{= 1[plan= 2{plan.0= 3\"plan.0.a=x 20plan.1= 2[plan.2= 1==1 1=ok=true 1{b= "
                     "2{b.c= ");
    buf_clear(&got);
    CHECK(json_flat(STR(" 1.50 "), 8, note_flat, &got, &err));
    CHECK_STR(got.p, "0==1.50 ");
    CHECK(!json_flat(STR("[1,\"stop\",2]"), 8, note_flat, &got, &err));
    CHECK_EQ(err.code, ERR_FORBIDDEN);
    CHECK(!json_flat(STR("[[1]]"), 1, note_flat, &got, &err));
    CHECK_EQ(err.code, ERR_LIMIT);
    buf_free(&got);
}

TEST(functions_left_out_are_passed_over)
{
    static const struct json_events none;
    CHECK(json_read(STR("{\"a\":[1,true,null,\"x\",{}]}"), 8, &none, NULL, &err));
}

static bool keep_number(void *arg, double value, struct str text, struct err *e)
{
    (void)text, (void)e;
    *(double *)arg = value;
    return true;
}

static double number_of(const char *text)
{
    static const struct json_events only = {.number = keep_number};
    double value = NAN;
    json_read(str_c(text), 1, &only, &value, &err);
    return value;
}

TEST(numbers_read_like_strtod)
{
    static const char *const texts[] = {
        "0",
        "-0",
        "1",
        "9007199254740993",
        "18446744073709551616",
        "0.1",
        "123456.789",
        "1e22",
        "1e23",
        "1.7976931348623157e308",
        "5e-324",
        "2.5e-400",
        "0e99999",
        "0.000001",
        "123456789012345678901234567890",
        "0.00000000000000000000123456789",
        "100000000000000000000e-20",
        "9223372036854775807",
        "1.00000000000000000000000000000000000000000000000000000000000000001",
        "3.141592653589793238462643383279",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        double want = strtod(texts[i], NULL), got = number_of(texts[i]);
        CHECK(memcmp(&want, &got, sizeof want) == 0);
    }
    for (int i = 0; i < 100000; i++) {
        char text[64];
        snprintf(text, sizeof text, "%llu.%llue%d", (unsigned long long)rand_u64() >> (i % 60),
                 (unsigned long long)rand_u64() >> (rand_u64() % 64), (int)(rand_u64() % 60) - 30);
        CHECK(number_of(text) == strtod(text, NULL));
    }
}

TEST(numbers_are_written_so_that_they_read_back)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-0.0, "0"},
        {1, "1"},
        {-42, "-42"},
        {0.1, "0.1"},
        {-2.5, "-2.5"},
        {12345.678, "12345.678"},
        {9007199254740991.0, "9007199254740991"},
        {-9007199254740992.0, "-9007199254740992"},
        {1e21, "1e+21"},
        {1.0 / 3, "0.3333333333333333"},
        {100.000001, "100.000001"},
        {0.0001, "0.0001"},
    };
    struct buf b = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buf_clear(&b);
        CHECK(json_write_number(&b, cases[i].value));
        CHECK_STR(b.p, cases[i].text);
    }
    for (int i = 0; i < 200000; i++) {
        union {
            uint64_t bits;
            double value;
        } x = {rand_u64()};
        if (i % 2)
            x.value = (double)(int64_t)(rand_u64() >> (rand_u64() % 64)) / pow(10, i % 9);
        buf_clear(&b);
        if (json_write_number(&b, x.value))
            CHECK(number_of(b.p) == x.value);
        else
            CHECK(!isfinite(x.value) && b.n == 0);
    }
    buf_free(&b);
}

TEST(strings_are_escaped_and_repaired)
{
    struct buf b = {0};
    json_write_string(&b, str_n("\0\x1f\"\\/ 마\xFF\xEB\xA7 ok\xC0\xAF", 17));
    CHECK_STR(b.p, "\"\\u0000\\u001f\\\"\\\\/ 마\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD ok"
                   "\xEF\xBF\xBD\xEF\xBF\xBD\"");
    CHECK(utf8_valid(buf_str(&b)));
    buf_free(&b);
}

TEST(the_writer_sets_commas)
{
    struct buf b = {0};
    struct json w = json_to(&b);
    json_open(&w, '{');
    json_key(&w, "a"), json_int(&w, -9223372036854775807LL - 1);
    json_key(&w, "b"), json_open(&w, '['), json_num(&w, NAN), json_bool(&w, false);
    json_open(&w, '['), json_close(&w, ']'), json_cstr(&w, NULL), json_close(&w, ']');
    json_key(&w, "c"), json_raw(&w, STR("{\"x\":1}")), json_key(&w, "d"), json_cstr(&w, "e");
    json_close(&w, '}');
    CHECK_STR(b.p, "{\"a\":-9223372036854775808,\"b\":[null,false,[],null],"
                   "\"c\":{\"x\":1},\"d\":\"e\"}");
    buf_free(&b);
}

TEST(writes_the_fewest_digits_that_read_back)
{
    struct buf b = {0};
    for (int i = 0; i < 200000; i++) {
        uint64_t r = rand_u64();
        double value = i % 3 == 0   ? (double)(r % 2000001) / (double)(1 + (r >> 40) % 1000)
                       : i % 3 == 1 ? ldexp((double)(r >> 11), (int)(r % 64) - 70)
                                    : ldexp(1, (int)(r % 62) - 13) * (r & 64 ? 1 : 1 + 0x1p-52);
        char text[40];
        for (int digits = 15; digits <= 17; digits++) {
            snprintf(text, sizeof text, "%.*g", digits, value);
            if (strtod(text, NULL) == value)
                break;
        }
        buf_clear(&b);
        REQUIRE(json_write_number(&b, value));
        if (strtod(b.p, NULL) != value || (b.n > strlen(text) && !strchr(text, 'e')))
            TEST_FAIL("%.17g is written %s, not %s", value, b.p, text);
    }
    buf_free(&b);
}

/* One float32 of an array is the text between its brackets. */
static const char *float_text(struct buf *b, float value)
{
    buf_clear(b);
    json_write_floats(b, &value, 1);
    b->p[b->n - 1] = '\0';
    return b->p + 1;
}

TEST(floats_are_written_as_people_write_them)
{
    struct buf b = {0};
    float list[] = {51.234F, NAN,     -0.5F,    100,      0,    -0.0F,     1e9F,
                    1e-5F,   0.0001F, 16777216, INFINITY, 0.1F, 8388607.5F};
    json_write_floats(&b, list, sizeof list / sizeof *list);
    CHECK_STR(b.p, "[51.234,null,-0.5,100,0,-0,1e+09,1e-05,0.0001,16777216,null,0.1,8388607.5]");
    buf_clear(&b);
    json_write_floats(&b, list, 0);
    CHECK_STR(b.p, "[]");
    buf_free(&b);
}

TEST(floats_read_back)
{
    struct buf b = {0};
    for (int i = 0; i < 300000; i++) {
        union {
            uint32_t bits;
            float value;
        } x = {(uint32_t)rand_u64()};
        if (i % 3 == 1)
            x.value = (float)((double)(rand_u64() % 100000000) / pow(10, i % 9));
        else if (i % 3 == 2) /* about powers of two, where the float32 below is nearer */
            x.value = ldexpf(1 + (float)(rand_u64() % 3) * 0x1p-23F, (int)(rand_u64() % 40) - 16);
        if (!isfinite(x.value))
            continue;
        const char *text = float_text(&b, x.value);
        if (strtof(text, NULL) != x.value || strspn(text, "-0123456789.e+") != strlen(text))
            TEST_FAIL("%.9g is written %s", (double)x.value, text);
        char fewest[24];
        snprintf(fewest, sizeof fewest, "%.6g", (double)x.value);
        if (!strchr(fewest, 'e') && strtof(fewest, NULL) == x.value &&
            strlen(text) > strlen(fewest) + 3)
            TEST_FAIL("%s is written %s", fewest, text);
    }
    buf_free(&b);
}
