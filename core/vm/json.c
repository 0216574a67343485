#include "vm/json.h"

#include <lauxlib.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>

#include "vm/floats.h"
#include "vm/internal.h"

enum { TABLE_COST = 32 }; /* bytes of text that take as long as a table by itself */

static const char array_mark; /* its address is the registry key of the arrays' metatable */

/* ---- arrays and null --------------------------------------------------- */

static void push_array_mark(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)&array_mark);
    lua_rawget(L, LUA_REGISTRYINDEX);
    if (!lua_isnil(L, -1))
        return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushliteral(L, "array");
    lua_setfield(L, -2, "__metatable");
    lua_pushlightuserdata(L, (void *)&array_mark);
    lua_pushvalue(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
}

void lua_json_mark_array(lua_State *L)
{
    push_array_mark(L);
    lua_setmetatable(L, -2);
}

void lua_json_push_null(lua_State *L)
{
    lua_pushlightuserdata(L, NULL);
}

static bool is_marked(lua_State *L, int table)
{
    if (!lua_getmetatable(L, table))
        return false;
    push_array_mark(L);
    bool marked = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return marked;
}

/* ---- encode ------------------------------------------------------------ */

/* One level of the path to the value being written: a key, or an index. */
struct step {
    struct str key; /* p NULL: index */
    size_t index;
};

struct encoder {
    lua_State *L;
    struct buf *out;
    struct err *err;
    bool lenient;
    size_t most;   /* of out->n and what the tables count */
    size_t tables; /* TABLE_COST for each */
    int depth;
    struct step path[JSON_DEPTH_DEFAULT];
};

static bool write_value(struct encoder *e, int index);

static bool fail(struct encoder *e, const char *why)
{
    struct buf path = {0};
    for (int i = 0; i < e->depth; i++) {
        struct step *step = &e->path[i];
        if (step->key.p)
            buf_printf(&path, "%s%.*s", i ? "." : "", (int)(step->key.n < 40 ? step->key.n : 40),
                       step->key.p);
        else
            buf_printf(&path, "[%zu]", step->index);
    }
    err_set(e->err, ERR_INVALID, "%s%s%s", path.n ? path.p : "", path.n ? ": " : "", why);
    buf_free(&path);
    return false;
}

static bool is_plain(const char *p, size_t n)
{
    size_t i = 0;
    const uint64_t ones = UINT64_C(0x0101010101010101), high = UINT64_C(0x8080808080808080);
    for (; i + 8 <= n; i += 8) {
        uint64_t w;
        memcpy(&w, p + i, 8);
        uint64_t quote = w ^ (ones * '"'), slash = w ^ (ones * '\\');
        uint64_t odd = w | (w - ones * 0x20) | (quote - ones) | (slash - ones);
        if (odd & high)
            return false;
    }
    for (; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\')
            return false;
    }
    return true;
}

/* The same long text a thousand times takes no memory of the VM's, but as JSON it does. */
static bool is_too_long(const struct encoder *e, size_t more)
{
    size_t n = e->out->n + e->tables;
    return n > e->most || more > e->most - n;
}

static bool write_string(struct encoder *e, struct str s)
{
    if (is_too_long(e, s.n))
        return fail(e, "the JSON text would be longer than it may be");
    if (is_plain(s.p, s.n)) {
        buf_reserve(e->out, s.n + 2);
        char *to = e->out->p + e->out->n;
        to[0] = '"';
        memcpy(to + 1, s.p, s.n);
        to[s.n + 1] = '"';
        to[s.n + 2] = '\0';
        e->out->n += s.n + 2;
        return true;
    }
    if (!e->lenient && !utf8_valid(s))
        return fail(e, "text is not valid UTF-8");
    json_write_string(e->out, s);
    return true;
}

static void write_integer(struct buf *out, int64_t value)
{
    char digits[24], *at = digits + sizeof digits;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (value < 0)
        *--at = '-';
    buf_add(out, at, (size_t)(digits + sizeof digits - at));
}

static bool write_number(struct encoder *e, double value)
{
    if (fabs(value) <= 9007199254740992.0 && value == (double)(int64_t)value && value != 0) {
        write_integer(e->out, (int64_t)value);
        return true;
    }
    if (value == 0) {
        buf_add_c(e->out, signbit(value) ? "-0" : "0");
        return true;
    }
    if (json_write_number(e->out, value))
        return true;
    if (!e->lenient)
        return fail(e, isnan(value) ? "JSON cannot hold NaN" : "JSON cannot hold infinity");
    buf_add_c(e->out, "null");
    return true;
}

static bool write_items_by_index(struct encoder *e, int table, size_t count)
{
    struct step *step = &e->path[e->depth - 1];
    for (size_t i = 1; i <= count; i++) {
        if (i > 1)
            buf_add_char(e->out, ',');
        step->index = i;
        lua_rawgeti(e->L, table, (int)i);
        if (!write_value(e, lua_gettop(e->L)))
            return false;
        lua_pop(e->L, 1);
    }
    return true;
}

/* Keys came in another order than 1, 2, 3: counts them, and says what is wrong
 * when they are not 1..n after all. */
static bool count_items(struct encoder *e, int table, size_t *count)
{
    lua_State *L = e->L;
    size_t n = 0;
    double largest = 0;
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        double key = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : -1;
        if (key < 1 || key != floor(key)) {
            e->depth--;
            return fail(e, "a table with both items and named fields has no JSON form");
        }
        largest = key > largest ? key : largest;
        n++;
    }
    *count = n;
    if (largest == (double)n)
        return true;
    char why[120];
    snprintf(why, sizeof why,
             "sparse array: %zu items up to index %.0f; fill holes with app.json.null", n, largest);
    e->depth--;
    return fail(e, why);
}

static bool write_array(struct encoder *e, int table)
{
    lua_State *L = e->L;
    struct step *step = &e->path[e->depth - 1];
    size_t start = e->out->n, i = 0;
    step->key.p = NULL;
    buf_add_char(e->out, '[');
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TNUMBER || lua_tonumber(L, -2) != (double)++i) {
            lua_pop(L, 2);
            e->out->n = start + 1;
            if (!count_items(e, table, &i) || !write_items_by_index(e, table, i))
                return false;
            break;
        }
        if (i > 1)
            buf_add_char(e->out, ',');
        step->index = i;
        if (!write_value(e, lua_gettop(L)))
            return false;
    }
    buf_add_char(e->out, ']');
    return true;
}

/* A key and what stands around it; most are plain, and there are many. */
static bool write_key(struct encoder *e, char separator, struct str key)
{
    struct buf *out = e->out;
    if (!is_plain(key.p, key.n) || is_too_long(e, key.n)) {
        buf_add_char(out, separator);
        if (!write_string(e, key))
            return false;
        buf_add_char(out, ':');
        return true;
    }
    buf_reserve(out, key.n + 4);
    char *to = out->p + out->n;
    *to++ = separator;
    *to++ = '"';
    memcpy(to, key.p, key.n);
    memcpy(to + key.n, "\":", 3);
    out->n += key.n + 4;
    return true;
}

static bool write_object(struct encoder *e, int table)
{
    lua_State *L = e->L;
    struct step *step = &e->path[e->depth - 1];
    char separator = '{';
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING) {
            if (lua_type(L, -2) == LUA_TNUMBER) {
                size_t unused;
                return count_items(e, table, &unused);
            }
            e->depth--;
            return fail(e, "a key must be text");
        }
        step->key.p = lua_tolstring(L, -2, &step->key.n);
        if (!write_key(e, separator, step->key))
            return false;
        separator = ',';
        if (!write_value(e, lua_gettop(L)))
            return false;
    }
    buf_add_c(e->out, separator == '{' ? "{}" : "}");
    return true;
}

static bool write_table(struct encoder *e, int index)
{
    if (e->depth == JSON_DEPTH_DEFAULT)
        return fail(e, "nested deeper than 64 levels (a cycle?)");
    if (!lua_checkstack(e->L, 6))
        return fail(e, "no stack left");
    e->depth++;
    e->tables += TABLE_COST;
    lua_rawgeti(e->L, index, 1);
    bool items = !lua_isnil(e->L, -1);
    lua_pop(e->L, 1);
    if (!(items || is_marked(e->L, index) ? write_array(e, index) : write_object(e, index)))
        return false;
    e->depth--;
    return true;
}

static bool write_floats(struct encoder *e, const struct floats *f)
{
    if (is_too_long(e, f->n * 2))
        return fail(e, "the JSON text would be longer than it may be");
    json_write_floats(e->out, f->values, f->n);
    return true;
}

static bool write_value(struct encoder *e, int index)
{
    lua_State *L = e->L;
    int type = lua_type(L, index);
    struct str s;
    char why[80];
    const struct floats *floats;
    if (is_too_long(e, 0))
        return fail(e, "the JSON text would be longer than it may be");
    switch (type) {
    case LUA_TSTRING:
        s.p = lua_tolstring(L, index, &s.n);
        return write_string(e, s);
    case LUA_TNUMBER:
        return write_number(e, lua_tonumber(L, index));
    case LUA_TBOOLEAN:
        buf_add_c(e->out, lua_toboolean(L, index) ? "true" : "false");
        return true;
    case LUA_TTABLE:
        return write_table(e, index);
    case LUA_TNIL:
        buf_add_c(e->out, "null");
        return true;
    case LUA_TLIGHTUSERDATA:
        if (!lua_touserdata(L, index)) {
            buf_add_c(e->out, "null");
            return true;
        }
        break;
    case LUA_TUSERDATA:
        floats = floats_at(L, index);
        if (floats)
            return write_floats(e, floats);
        break;
    default:
        break;
    }
    if (e->lenient) {
        buf_printf(e->out, "\"(%s)\"", lua_typename(L, type));
        return true;
    }
    snprintf(why, sizeof why, "a %s has no JSON form", lua_typename(L, type));
    return fail(e, why);
}

static bool encode(lua_State *L, int index, struct buf *out, bool lenient, struct err *err)
{
    struct encoder e;
    e.L = L;
    e.out = out;
    e.err = err;
    e.lenient = lenient;
    e.depth = 0;
    size_t start = out->n;
    int top = lua_gettop(L);
    if (index < 0 && index > LUA_REGISTRYINDEX)
        index = top + 1 + index;
    struct vm *vm = vm_of(L);
    size_t memory = (size_t)counter_get(&vm->limit);
    e.most = start + (memory < LUA_JSON_BYTES ? memory : LUA_JSON_BYTES);
    e.tables = 0;
    bool enforced = vm->enforced;
    vm->enforced = false; /* growing the stack is all that takes memory here */
    bool ok = write_value(&e, index);
    vm->enforced = enforced;
    lua_settop(L, top);
    if (!ok)
        out->n = start;
    return ok;
}

bool lua_json_encode(lua_State *L, int index, struct buf *out, struct err *err)
{
    return encode(L, index, out, false, err);
}

bool lua_json_encode_lenient(lua_State *L, int index, struct buf *out, struct err *err)
{
    return encode(L, index, out, true, err);
}
