#include "vm/pattern.h"

#include <lauxlib.h>
#include <string.h>

#include "vm/internal.h"
#include "vm/pattern_match.h"

enum { OUT_INLINE_BYTES = 512 };

/* ---- captures ---------------------------------------------------------- */

/* Capture i of a match [s, e), which is the whole when the pattern has none. */
static void push_capture(struct matcher *m, int i, const char *s, const char *e)
{
    if (i >= m->count) {
        if (i > 0)
            luaL_error(m->L, "invalid capture index");
        lua_pushlstring(m->L, s, (size_t)(e - s));
        return;
    }
    const struct capture *c = &m->captures[i];
    if (c->n == CAPTURE_OPEN)
        luaL_error(m->L, "unfinished capture");
    if (c->n == CAPTURE_POSITION)
        lua_pushinteger(m->L, c->at - m->begin + 1);
    else
        lua_pushlstring(m->L, c->at, (size_t)c->n);
}

static int push_captures(struct matcher *m, const char *s, const char *e)
{
    int count = m->count == 0 && s ? 1 : m->count;
    luaL_checkstack(m->L, count, "too many captures");
    for (int i = 0; i < count; i++)
        push_capture(m, i, s, e);
    return count;
}

/* ---- find and match ---------------------------------------------------- */

static struct str check_text(lua_State *L, int index)
{
    struct str s;
    s.p = luaL_checklstring(L, index, &s.n);
    return s;
}

/* A whole number that fits into 32 bits; what does not is far to the left, as in the library. */
static int32_t opt_int(lua_State *L, int index, int32_t otherwise)
{
    lua_Integer value = luaL_optinteger(L, index, otherwise);
    return value >= INT32_MIN && value <= INT32_MAX ? (int32_t)value : INT32_MIN;
}

/* Where the search begins, from the argument init. */
static size_t start_of(lua_State *L, int index, size_t n)
{
    int64_t at = opt_int(L, index, 1);
    at = at < 0 ? at + (int64_t)n : at - 1;
    if (at < 0)
        return 0;
    return (size_t)at > n ? n : (size_t)at;
}

/* memmem takes time in the sum of both lengths, whatever they hold. */
static int find_plain(lua_State *L, struct str s, struct str text, size_t start)
{
    const char *at = memmem(s.p + start, s.n - start, text.p, text.n);
    if (!at) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, at - s.p + 1);
    lua_pushinteger(L, at - s.p + (lua_Integer)text.n);
    return 2;
}

static int find_pattern(lua_State *L, const char *who, struct str s, const char *p, size_t start,
                        bool find)
{
    struct matcher m;
    matcher_init(&m, L, who, s);
    bool anchored = *p == '^';
    for (const char *at = s.p + start; at <= m.end; at++) {
        const char *end = matcher_try(&m, at, p + anchored);
        if (end && find) {
            lua_pushinteger(L, at - s.p + 1);
            lua_pushinteger(L, end - s.p);
            return 2 + push_captures(&m, NULL, NULL);
        }
        if (end)
            return push_captures(&m, at, end);
        if (anchored)
            break;
    }
    lua_pushnil(L);
    return 1;
}

/* string.find(s, pattern, [init], [plain]) */
static int l_find(lua_State *L)
{
    struct str s = check_text(L, 1), p = check_text(L, 2);
    size_t start = start_of(L, 3, s.n);
    if (lua_toboolean(L, 4) || pattern_is_plain(p))
        return find_plain(L, s, p, start);
    return find_pattern(L, "string.find", s, p.p, start, true);
}

/* string.match(s, pattern, [init]) */
static int l_match(lua_State *L)
{
    struct str s = check_text(L, 1), p = check_text(L, 2);
    return find_pattern(L, "string.match", s, p.p, start_of(L, 3, s.n), false);
}

/* ---- what lua/maru/find.lua makes the rest of ------------------------ */

/* next_match(state) -> the captures of gmatch's next match, or nothing; state: subject, pattern,
 * offset of the next try. */
static int l_next_match(lua_State *L)
{
    struct matcher m;
    for (int i = 1; i <= 3; i++)
        lua_rawgeti(L, 1, i);
    struct str s = check_text(L, 2);
    const char *p = check_text(L, 3).p;
    matcher_init(&m, L, "string.gmatch", s);
    for (const char *at = s.p + lua_tointeger(L, 4); at <= m.end; at++) {
        const char *end = matcher_try(&m, at, p);
        if (!end)
            continue;
        lua_pushinteger(L, end - s.p + (end == at)); /* an empty match moves on too */
        lua_rawseti(L, 1, 3);
        return push_captures(&m, at, end);
    }
    lua_pushinteger(L, (lua_Integer)s.n + 1);
    lua_rawseti(L, 1, 3);
    return 0;
}

/* refuse_gmatch(…): raises what is wrong with gmatch's arguments */
static int l_refuse_gmatch(lua_State *L)
{
    check_text(L, 1);
    check_text(L, 2);
    return 0;
}

/* is_plain(text) -> boolean */
static int l_is_plain(lua_State *L)
{
    lua_pushboolean(L, pattern_is_plain(check_text(L, 1)));
    return 1;
}

/* ---- gsub -------------------------------------------------------------- */

/* Text that grows: in place at first, then in userdata at `slot` of the stack, which count
 * against the VM's memory and are freed when something raises. */
struct out {
    lua_State *L;
    int slot;
    char *p;
    size_t n, cap;
    size_t expected; /* the first size that is not in place: less garbage than many */
    char inside[OUT_INLINE_BYTES];
};

static void out_add(struct out *out, const char *p, size_t n)
{
    if (n > out->cap - out->n) {
        size_t cap = out->p == out->inside ? out->expected : out->cap * 2;
        if (cap < out->n + n)
            cap = out->n + n;
        char *bigger = lua_newuserdata(out->L, cap);
        memcpy(bigger, out->p, out->n);
        lua_replace(out->L, out->slot);
        out->p = bigger;
        out->cap = cap;
    }
    memcpy(out->p + out->n, p, n);
    out->n += n;
}

/* The replacement text, %0 … %9 in it being captures of the match [s, e). */
static void add_template(struct out *out, struct matcher *m, struct str text, const char *s,
                         const char *e)
{
    while (text.n) {
        const char *percent = memchr(text.p, '%', text.n);
        size_t n = percent ? (size_t)(percent - text.p) : text.n;
        out_add(out, text.p, n);
        if (!percent)
            return;
        char next = percent[1]; /* at the end: the NUL behind it */
        if (next == '0') {
            out_add(out, s, (size_t)(e - s));
        } else if (next > '0' && next <= '9') {
            push_capture(m, next - '1', s, e);
            struct str capture = check_text(m->L, -1); /* turns a position into text */
            out_add(out, capture.p, capture.n);
            lua_pop(m->L, 1);
        } else {
            out_add(out, &next, 1);
        }
        size_t used = n + 2 < text.n ? n + 2 : text.n;
        text = str_n(text.p + used, text.n - used);
    }
}

/* What the function or table at 3 gives for the match; nil and false keep it. */
static void add_value(struct out *out, struct matcher *m, int type, const char *s, const char *e)
{
    lua_State *L = m->L;
    vm_stack_check(L, "string.gsub");
    if (type == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        lua_call(L, push_captures(m, s, e), 1);
    } else {
        push_capture(m, 0, s, e);
        lua_gettable(L, 3);
    }
    struct str value = str_n(s, (size_t)(e - s));
    if (lua_isstring(L, -1))
        value.p = lua_tolstring(L, -1, &value.n);
    else if (lua_toboolean(L, -1))
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    out_add(out, value.p, value.n);
    lua_pop(L, 1);
}

static void add_replacement(struct out *out, struct matcher *m, int type, const char *s,
                            const char *e)
{
    if (type == LUA_TSTRING || type == LUA_TNUMBER)
        add_template(out, m, check_text(m->L, 3), s, e);
    else
        add_value(out, m, type, s, e);
}

static int substitute(struct out *out, struct matcher *m, const char *p, int type, int most)
{
    const char *s = m->begin, *kept = s; /* [kept, s) is not in *out yet */
    bool anchored = *p == '^';
    int count = 0;
    while (count < most) {
        const char *e = matcher_try(m, s, p + anchored);
        if (e) {
            count++;
            out_add(out, kept, (size_t)(s - kept));
            add_replacement(out, m, type, s, e);
            kept = e;
        }
        if (e && e > s)
            s = e;
        else if (s < m->end)
            s++;
        else
            break;
        if (anchored)
            break;
    }
    out_add(out, kept, (size_t)(m->end - kept));
    return count;
}

/* string.gsub(s, pattern, repl, [n]) -> text, count */
static int l_gsub(lua_State *L)
{
    struct str s = check_text(L, 1);
    const char *p = check_text(L, 2).p;
    int type = lua_type(L, 3);
    int most = opt_int(L, 4, (int32_t)s.n + 1);
    if (type != LUA_TNUMBER && type != LUA_TSTRING && type != LUA_TFUNCTION && type != LUA_TTABLE)
        luaL_argerror(L, 3, "string/function/table expected");
    lua_settop(L, 3);
    lua_pushnil(L);
    struct matcher m;
    matcher_init(&m, L, "string.gsub", s);
    struct out out;
    out.L = L;
    out.slot = 4;
    out.p = out.inside;
    out.n = 0;
    out.cap = sizeof out.inside;
    out.expected = s.n + sizeof out.inside;
    int count = substitute(&out, &m, p, type, most);
    lua_pushlstring(L, out.p, out.n);
    lua_pushinteger(L, count);
    return 2;
}

void pattern_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"find", l_find},
        {"match", l_match},
        {"gsub", l_gsub},
        {NULL, NULL},
    };
    static const luaL_Reg parts[] = {
        {"next_match", l_next_match},
        {"refuse_gmatch", l_refuse_gmatch},
        {"is_plain", l_is_plain},
        {NULL, NULL},
    };
    library_load(L, "maru.find");
    lua_newtable(L);
    luaL_register(L, NULL, parts);
    lua_getglobal(L, "string"); /* strings chunk parts string */
    lua_getfield(L, -1, "find");
    lua_setfield(L, -3, "find");
    lua_pop(L, 1);
    lua_pushvalue(L, -3);
    luaL_register(L, NULL, functions);
    lua_call(L, 2, 0);
}
