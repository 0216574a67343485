#include "vm/sort.h"

#include <lauxlib.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "vm/args.h"

enum { FEW_NUMBERS = 4096 }; /* even the square of it is soon done */

/* A number or a text of the list, and where it was. */
struct item {
    union {
        double number;
        const char *p;
    };
    uint32_t n; /* no Lua string is longer */
    int from;
};

struct sorting {
    lua_State *L;
    bool texts;
    int64_t left; /* bytes that may be compared */
};

static bool is_less(struct sorting *s, const struct item *a, const struct item *b)
{
    if (!s->texts) /* NaN is behind all others, so that there is an order */
        return a->number < b->number || (a->number == a->number && b->number != b->number);
    uint32_t n = a->n < b->n ? a->n : b->n;
    s->left -= n;
    if (s->left < 0)
        args_error(s->L, "table.sort: more than %d bytes of text to compare", SORT_TEXT_BYTES);
    int order = a->p == b->p ? 0 : memcmp(a->p, b->p, n);
    return order < 0 || (order == 0 && a->n < b->n);
}

static void merge(struct sorting *s, struct item *to, const struct item *left, int left_count,
                  const struct item *right, int right_count)
{
    while (left_count > 0 && right_count > 0) {
        if (is_less(s, right, left)) {
            *to++ = *right++;
            right_count--;
        } else {
            *to++ = *left++;
            left_count--;
        }
    }
    memcpy(to, left, (size_t)left_count * sizeof *to);
    memcpy(to + left_count, right, (size_t)right_count * sizeof *to);
}

/* The items in order: in `items` or in `room`. */
static struct item *sort_items(struct sorting *s, struct item *items, struct item *room, int count)
{
    for (int64_t width = 1; width < count; width *= 2) {
        for (int64_t at = 0; at < count; at += 2 * width) {
            int64_t middle = at + width < count ? at + width : count;
            int64_t end = middle + width < count ? middle + width : count;
            merge(s, room + at, items + at, (int)(middle - at), items + middle,
                  (int)(end - middle));
        }
        struct item *sorted = room;
        room = items;
        items = sorted;
    }
    return items;
}

static void read_text(lua_State *L, struct item *item)
{
    size_t n;
    item->p = lua_tolstring(L, -1, &n);
    item->n = (uint32_t)n;
}

/* Reads the list at 1 into items and into the table at 3; false when it holds anything but
 * numbers or anything but texts. */
static bool read_items(lua_State *L, struct item *items, int count, bool *texts)
{
    int type = LUA_TNONE;
    for (int i = 0; i < count; i++) {
        lua_rawgeti(L, 1, i + 1);
        if (i == 0)
            type = lua_type(L, -1);
        if (lua_type(L, -1) != type || (type != LUA_TNUMBER && type != LUA_TSTRING))
            return false;
        items[i].from = i + 1;
        if (type == LUA_TNUMBER)
            items[i].number = lua_tonumber(L, -1);
        else
            read_text(L, &items[i]);
        lua_rawseti(L, 3, i + 1);
    }
    *texts = type == LUA_TSTRING;
    return true;
}

static bool is_few_numbers(lua_State *L, int count)
{
    lua_rawgeti(L, 1, 1);
    return lua_type(L, -1) == LUA_TNUMBER && count <= FEW_NUMBERS;
}

static int library_sort(lua_State *L)
{
    lua_settop(L, 2);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 2, 0);
    return 0;
}

/* table.sort(list, [less]); upvalue 1: the library's */
static int l_sort(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    if (!lua_isnoneornil(L, 2))
        luaL_checktype(L, 2, LUA_TFUNCTION);
    int count = (int)lua_objlen(L, 1);
    lua_settop(L, 2);
    if (!lua_isnil(L, 2) || count < 2 || is_few_numbers(L, count))
        return library_sort(L);
    lua_settop(L, 2);
    struct sorting s = {.L = L, .left = SORT_TEXT_BYTES};
    lua_createtable(L, count, 0);
    struct item *items = lua_newuserdata(L, 2 * (size_t)count * sizeof *items);
    if (!read_items(L, items, count, &s.texts))
        return library_sort(L);
    struct item *sorted = sort_items(&s, items, items + count, count);
    for (int i = 0; i < count; i++) {
        lua_rawgeti(L, 3, sorted[i].from);
        lua_rawseti(L, 1, i + 1);
    }
    return 0;
}

void sort_open(lua_State *L)
{
    lua_getfield(L, -1, "sort");
    lua_pushcclosure(L, l_sort, 1);
    lua_setfield(L, -2, "sort");
}
