/* vm_fuzz.h -- one plugin in a real VM, whose export f(app, first, second) gets the fuzzer's bytes:
 * those before the first NUL and those behind it.  It returns nil, or what is wrong. */
#pragma once

#define TEST_WITHOUT_MAIN
#include "vm/support.h"

/* LuaJIT tags its pointers, so between runs all that a VM holds looks lost; vm/exhaustion_test.c
 * counts it when the VM is closed. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

struct fuzz_input {
    struct str first, second;
    bool done;
};

static inline int push_input(lua_State *L, void *arg)
{
    struct fuzz_input *in = arg;
    lua_pushlstring(L, in->first.p, in->first.n);
    lua_pushlstring(L, in->second.p, in->second.n);
    return 2;
}

static inline void on_fuzz_end(struct task *task, enum task_outcome outcome, lua_State *L,
                               int results, void *arg)
{
    ((struct fuzz_input *)arg)->done = true;
    if (outcome == TASK_DONE && results > 0 && !lua_isnil(L, -results)) {
        fprintf(stderr, "wrong: %s\n", lua_tostring(L, -results));
        abort();
    }
    if (outcome == TASK_FAILED) {
        fprintf(stderr, "raised: %s\n", task_failure(task)->message);
        abort();
    }
}

/* A VM that was broken, by its memory limit for one, is replaced. */
static inline void fuzz_call(const char *exports, const uint8_t *data, size_t size)
{
    static struct fixture f;
    if (f.vm && vm_broken(f.vm)) {
        vm_destroy(f.vm);
        plugin_decl_free(f.decl);
        f.vm = NULL;
        if (!fixture_load(&f, ""))
            abort();
    }
    if (!f.vm && !fixture_exports(&f, exports))
        abort();
    struct str in = str_n((const char *)data, size);
    size_t cut = str_find(in, '\0');
    struct fuzz_input input = {.first = str_n(in.p, cut)};
    input.second = cut < in.n ? str_n(in.p + cut + 1, in.n - cut - 1) : str_n("", 0);
    struct task_options options = {.kind = TASK_CALL,
                                   .handler = find_export(&f, "f"),
                                   .label = "f",
                                   .push = push_input,
                                   .end = on_fuzz_end,
                                   .arg = &input};
    if (!task_start(f.vm, &options, &f.err) || !input.done)
        abort();
}
