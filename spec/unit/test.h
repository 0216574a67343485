/* test.h -- a unit test program in one include.
 *
 * TEST(pops_in_key_order) { CHECK(...); }   registers itself; main() is here.
 * A failed CHECK says file:line and lets the test go on; REQUIRE ends it.
 * Output is TAP; the exit status is 1 when anything failed.  Arguments choose
 * tests by a part of their name.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct test_case {
    const char *name;
    void (*run)(void);
    struct test_case *next;
};

static struct test_case *test_first, **test_last = &test_first;
static int test_failures; /* of the running test */

static inline void test_register(struct test_case *t)
{
    *test_last = t;
    test_last = &t->next;
}

#define TEST(id)                                                                                   \
    static void test_##id(void);                                                                   \
    static struct test_case test_case_##id = {#id, test_##id, NULL};                               \
    __attribute__((constructor)) static void test_register_##id(void)                              \
    {                                                                                              \
        test_register(&test_case_##id);                                                            \
    }                                                                                              \
    static void test_##id(void)

#define TEST_FAIL(...)                                                                             \
    (test_failures++, printf("# %s:%d: ", __FILE__, __LINE__), printf(__VA_ARGS__), putchar('\n'), \
     (void)0)

#define CHECK(condition) ((condition) ? (void)0 : TEST_FAIL("not so: %s", #condition))
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            TEST_FAIL("not so: %s", #condition);                                                   \
            return;                                                                                \
        }                                                                                          \
    } while (0)

/* Whole numbers. */
#define CHECK_EQ(got, want)                                                                        \
    do {                                                                                           \
        long long got_ = (long long)(got), want_ = (long long)(want);                              \
        if (got_ != want_)                                                                         \
            TEST_FAIL("%s is %lld, not %lld", #got, got_, want_);                                  \
    } while (0)

/* NUL-terminated strings; NULL is allowed and equals only NULL. */
#define CHECK_STR(got, want)                                                                       \
    do {                                                                                           \
        const char *got_ = (got), *want_ = (want);                                                 \
        if (!(got_ && want_ ? strcmp(got_, want_) == 0 : got_ == want_))                           \
            TEST_FAIL("%s is \"%s\", not \"%s\"", #got, got_ ? got_ : "(NULL)",                    \
                      want_ ? want_ : "(NULL)");                                                   \
    } while (0)

/* True when some argument is a part of the name, or there are none. */
static inline bool test_chosen(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strstr(name, argv[i]))
            return true;
    return argc < 2;
}

#ifndef TEST_WITHOUT_MAIN /* fuzzers take only what tests share */
int main(int argc, char **argv)
{
    int count = 0, failed = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (struct test_case *t = test_first; t; t = t->next) {
        if (!test_chosen(t->name, argc, argv))
            continue;
        test_failures = 0;
        t->run();
        failed += test_failures > 0;
        printf("%sok %d - ", test_failures ? "not " : "", ++count);
        for (const char *c = t->name; *c; c++)
            putchar(*c == '_' ? ' ' : *c);
        putchar('\n');
    }
    printf("1..%d\n", count);
    return failed > 0;
}
#endif
