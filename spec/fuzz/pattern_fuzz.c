/* Any pattern over any subject: the host's functions say what LuaJIT's own say. */
#include <lualib.h>

#include "vm_fuzz.h"

enum { SUBJECT = 24, PATTERN = 12 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char wanted[4096];

/* What each function returns, or the error without its place, as one text. */
#define PROBE                                                                                      \
    "local function probe(subject, pattern)\n"                                                     \
    "  local out = {}\n"                                                                           \
    "  local function add(ok, ...)\n"                                                              \
    "    if not ok then out[#out + 1] = 'error' return end\n"                                      \
    "    for i = 1, select('#', ...) do out[#out + 1] = tostring((select(i, ...))) end\n"          \
    "    out[#out + 1] = ';'\n"                                                                    \
    "  end\n"                                                                                      \
    "  add(pcall(string.find, subject, pattern))\n"                                                \
    "  add(pcall(string.find, subject, pattern, 3))\n"                                             \
    "  add(pcall(string.find, subject, pattern, -2, true))\n"                                      \
    "  add(pcall(string.match, subject, pattern))\n"                                               \
    "  add(pcall(string.gsub, subject, pattern, '<%0%1>', 5))\n"                                   \
    "  add(pcall(string.gsub, subject, pattern, function(a) return a == 'a' and 'b' or nil "       \
    "end))\n"                                                                                      \
    "  add(pcall(function() local n = 0\n"                                                         \
    "    for a, b in string.gmatch(subject, pattern) do n = n + 1\n"                               \
    "      out[#out + 1] = tostring(a) .. tostring(b) if n > 9 then break end end return n "       \
    "end))\n"                                                                                      \
    "  return table.concat(out, ',')\n"                                                            \
    "end\n"

static const char exports[] = "f = (function() " PROBE " return function(app, pattern, subject)\n"
                              "  return probe(subject, pattern) .. '\\0'\n"
                              "end end)(),";

static void on_probed(struct task *task, enum task_outcome outcome, lua_State *L, int results,
                      void *arg)
{
    (void)task, (void)arg;
    size_t n = 0;
    const char *text = outcome == TASK_DONE && results == 1 ? lua_tolstring(L, -1, &n) : NULL;
    if (!text || n - 1 != strlen(wanted) || memcmp(text, wanted, n - 1) != 0) {
        fprintf(stderr, "LuaJIT: %s\nhost:   %s\n", wanted, text ? text : "(no answer)");
        abort();
    }
}

/* LuaJIT's answer in *wanted; false when it holds a NUL or is too long to compare. */
static bool ask_luajit(struct str pattern, struct str subject)
{
    static lua_State *L;
    if (!L) {
        L = luaL_newstate();
        luaL_openlibs(L);
        if (luaL_dostring(L, PROBE " return probe") != 0)
            abort();
    }
    lua_pushvalue(L, 1);
    lua_pushlstring(L, subject.p, subject.n);
    lua_pushlstring(L, pattern.p, pattern.n);
    if (lua_pcall(L, 2, 1, 0) != 0)
        abort();
    size_t n;
    const char *text = lua_tolstring(L, -1, &n);
    bool fits = n < sizeof wanted && strlen(text) == n;
    if (fits)
        memcpy(wanted, text, n + 1);
    lua_settop(L, 1);
    return fits;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fixture f;
    struct str in = str_n((const char *)data, size);
    size_t cut = str_find(in, '\0');
    struct fuzz_input input = {.first = str_n(in.p, cut < PATTERN ? cut : PATTERN)};
    input.second = cut < in.n ? str_n(in.p + cut + 1, in.n - cut - 1) : str_n("", 0);
    if (input.second.n > SUBJECT)
        input.second.n = SUBJECT;
    if (!f.vm && !fixture_exports(&f, exports))
        abort();
    struct task_options options = {.kind = TASK_CALL,
                                   .handler = find_export(&f, "f"),
                                   .label = "f",
                                   .push = push_input,
                                   .end = on_probed,
                                   .arg = &input};
    if (ask_luajit(input.first, input.second) && !task_start(f.vm, &options, &f.err))
        abort();
    return 0;
}
