/* app.exec: arguments, and what is refused before anything runs. */
#include "vm/support.h"

static struct run exec_once(const char *call_text)
{
    struct fixture f;
    struct run run = {0};
    char *text =
        mem_printf("local M = { name = 'demo', version = '1.0.0' }\n"
                   "M.allow = { exec = { '/bin/true' } }\n"
                   "M.exports = { f = function(app) local a, b, c = %s return a, b, c end }\n"
                   "return M\n",
                   call_text);
    if (fixture_open(&f, text))
        run = call(&f, "f");
    else
        snprintf(run.message, sizeof run.message, "%s", f.err.message);
    fixture_close(&f);
    mem_free(text);
    return run;
}

static const struct {
    const char *call, *message;
} wrongs[] = {
    {"app.exec()", "app.exec(program, [args], [options]): program must be a string, got nothing"},
    {"app.exec(5)", "program must be a string, got 5"},
    {"app.exec('/bin/true', 'x')", "args must be a table, got string"},
    {"app.exec('/bin/true', { 'a', 5 })", "args[2] must be text without NUL"},
    {"app.exec('/bin/true', { 'a\\0b' })", "args[1] must be text without NUL"},
    {"app.exec('/bin/true', { ('x'):rep(131072) })", "of less than 131072 bytes"},
    {"app.exec('/bin/true', {}, 'x')", "options must be a table, got string"},
    {"app.exec('/bin/true', {}, { cwd = '/' })", "unknown option cwd"},
    {"app.exec('/bin/true', {}, { input = 5 })", "input must be a string, got 5"},
    {"app.exec('/bin/true', {}, { timeout = -1 })", "timeout must be"},
    {"app.exec('/bin/true', {}, { max_bytes = 'x' })",
     "options.max_bytes must be a size of at most"},
    {"app.exec('/bin/true', {}, { max_bytes = '65M' })",
     "options.max_bytes must be a size of at most"},
    {"app.exec('/bin/true', {}, { env = 'A=1' })", "options.env must be a table, got string"},
    {"app.exec('/bin/true', {}, { env = { ['A-B'] = '1' } })", "options.env: a variable's name is"},
    {"app.exec('/bin/true', {}, { env = { ['A=B'] = '1' } })", "options.env: a variable's name is"},
    {"app.exec('/bin/true', {}, { env = { '1' } })", "options.env: a variable's name is"},
    {"app.exec('/bin/true', {}, { env = { LD_PRELOAD = 'x' } })", "one of the loader's (LD_…)"},
    {"app.exec('/bin/true', {}, { env = { A = 1 } })", "options.env.A must be text without NUL"},
    {"app.exec('/bin/true', {}, { env = { A = 'x\\0y' } })",
     "options.env.A must be text without NUL"},
    {"app.exec('/bin/true')", "app.exec: this host runs without programs"},
};

TEST(names_every_wrong_argument)
{
    for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++) {
        struct run run = exec_once(wrongs[i].call);
        if (!strstr(run.message, wrongs[i].message) ||
            !strstr(run.message, "plugin.lua:3: app.exec"))
            TEST_FAIL("%s: \"%s\"", wrongs[i].call, run.message);
    }
}

TEST(refuses_what_allow_exec_does_not_name)
{
    static const char *const calls[] = {"app.exec('/bin/sh')",          "app.exec('true')",
                                        "app.exec('/bin/../bin/true')", "app.exec('/bin/true ')",
                                        "app.exec('/bin/true\\0')",     "app.exec('')"};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        struct run run = exec_once(calls[i]);
        if (!strstr(run.json, "is not in the plugin's allow.exec\",\"forbidden\"]"))
            TEST_FAIL("%s: %s %s", calls[i], run.json, run.message);
    }
}
