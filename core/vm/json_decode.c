#include <lua.h>
#include <math.h>

#include "kernels/floats.h"
#include "vm/floats.h"
#include "vm/internal.h"
#include "vm/json.h"

/* Containers under construction lie on the Lua stack, an object with the key
 * of its next value above it: …, object, key, array, …  No Lua error may pass
 * through json_read, so the memory limit is looked at here, not enforced by
 * the allocator. */
struct decoder {
    lua_State *L;
    struct vm *vm;
    int depth;
    int count[JSON_DEPTH_MAX + 1]; /* items so far, or -1 in an object */

    struct str path; /* of the arrays that become floats; p NULL: of none */
    /* How much of path, with a '.' behind it, leads to a container and to the next value of it; -1:
     * something else does. */
    int from[JSON_DEPTH_MAX + 1], next[JSON_DEPTH_MAX + 1];
    bool collecting;    /* the innermost array is such a one, of numbers alone so far: */
    struct buf numbers; /* of double */
};

static void add(struct decoder *d)
{
    if (d->depth == 0)
        return;
    int *count = &d->count[d->depth];
    if (*count < 0)
        lua_rawset(d->L, -3);
    else
        lua_rawseti(d->L, -2, ++*count);
}

static bool has_room(struct decoder *d, size_t more, struct err *err)
{
    if (counter_get(&d->vm->used) + (int64_t)more <= counter_get(&d->vm->limit))
        return true;
    atomic_store_explicit(&d->vm->broken, true, memory_order_relaxed);
    return err_set(err, ERR_MEMORY, "not enough memory");
}

/* ---- arrays of numbers alone ------------------------------------------- */

/* What was collected, if anything was, becomes a table after all. */
static bool spill(struct decoder *d, struct err *err)
{
    const double *numbers = (const double *)(const void *)d->numbers.p;
    size_t n = d->numbers.n / sizeof *numbers;
    if (!d->collecting)
        return true;
    if (!has_room(d, 2 * d->numbers.n, err))
        return false;
    d->collecting = false;
    lua_createtable(d->L, (int)n, 0);
    int *count = &d->count[d->depth];
    for (; (size_t)*count < n; ++*count) {
        lua_pushnumber(d->L, numbers[*count]);
        lua_rawseti(d->L, -2, *count + 1);
    }
    return true;
}

static bool collect(struct decoder *d, double value, struct err *err)
{
    enum { ASK = 32 << 10 }; /* bytes between two looks */
    if (d->numbers.n % ASK == 0 && !has_room(d, d->numbers.n + ASK, err))
        return false;
    buf_add(&d->numbers, &value, sizeof value);
    return true;
}

/* Pushes what was collected as floats; false when they cannot hold it. */
static bool push_collected(struct decoder *d)
{
    const double *numbers = (const double *)(const void *)d->numbers.p;
    size_t n = d->numbers.n / sizeof *numbers;
    if (n > FLOATS_MOST)
        return false;
    for (size_t i = 0; i < n; i++)
        if (isinf((float)numbers[i]))
            return false;
    struct floats *f = n ? floats_push(d->L, n) : NULL;
    if (!f && n)
        lua_pop(d->L, 3);
    if (!f)
        return false;
    for (size_t i = 0; i < n; i++)
        f->values[i] = (float)numbers[i];
    return true;
}

/* Where the value behind `key` lies. */
static int follow(const struct decoder *d, struct str key)
{
    int from = d->from[d->depth];
    if (!d->path.p || from < 0 || (size_t)from >= d->path.n)
        return -1;
    struct str rest = str_n(d->path.p + from, d->path.n - (size_t)from);
    bool same = key.n <= rest.n && memcmp(rest.p, key.p, key.n) == 0;
    return same && (key.n == rest.n || rest.p[key.n] == '.') ? from + (int)key.n + 1 : -1;
}

/* ---- events ------------------------------------------------------------ */

static bool on_null(void *arg, struct err *err)
{
    struct decoder *d = arg;
    if (!spill(d, err))
        return false;
    lua_pushlightuserdata(d->L, NULL);
    add(d);
    return true;
}

static bool on_boolean(void *arg, bool value, struct err *err)
{
    struct decoder *d = arg;
    if (!spill(d, err))
        return false;
    lua_pushboolean(d->L, value);
    add(d);
    return true;
}

static bool on_number(void *arg, double value, struct str text, struct err *err)
{
    struct decoder *d = arg;
    (void)text;
    if (d->collecting)
        return collect(d, value, err);
    lua_pushnumber(d->L, value);
    add(d);
    return true;
}

static bool on_string(void *arg, struct str value, struct err *err)
{
    struct decoder *d = arg;
    if (!has_room(d, value.n, err) || !spill(d, err))
        return false;
    lua_pushlstring(d->L, value.p, value.n);
    add(d);
    return true;
}

static bool on_key(void *arg, struct str key, struct err *err)
{
    struct decoder *d = arg;
    if (!has_room(d, key.n, err))
        return false;
    lua_pushlstring(d->L, key.p, key.n);
    d->next[d->depth] = follow(d, key);
    return true;
}

enum {
    FIELDS = 4
}; /* room that an object begins with: most have as many, and each growth counts
      them anew */

static bool begin(struct decoder *d, int count, struct err *err)
{
    if (!spill(d, err))
        return false;
    if (d->depth == JSON_DEPTH_MAX || !lua_checkstack(d->L, 6))
        return err_set(err, ERR_LIMIT, "nested too deeply");
    if (!has_room(d, 64 + (count < 0 ? FIELDS * 24 : 0), err))
        return false;
    int from = d->next[d->depth];
    d->collecting = count == 0 && d->path.p && from == (int)d->path.n + 1;
    d->numbers.n = 0;
    if (!d->collecting)
        lua_createtable(d->L, 0, count < 0 ? FIELDS : 0);
    d->count[++d->depth] = count;
    d->from[d->depth] = d->next[d->depth] = d->collecting ? -1 : from;
    return true;
}

static bool on_begin_object(void *arg, struct err *err)
{
    return begin(arg, -1, err);
}

static bool on_begin_array(void *arg, struct err *err)
{
    return begin(arg, 0, err);
}

static bool on_end(void *arg, struct err *err)
{
    struct decoder *d = arg;
    bool floats = d->collecting && push_collected(d);
    if (!floats && !spill(d, err))
        return false;
    d->collecting = false;
    if (!floats && d->count[d->depth] == 0)
        lua_json_mark_array(d->L);
    d->depth--;
    add(d);
    return true;
}

static const struct json_events events = {
    .null = on_null,
    .boolean = on_boolean,
    .number = on_number,
    .string = on_string,
    .key = on_key,
    .begin_object = on_begin_object,
    .end_object = on_end,
    .begin_array = on_begin_array,
    .end_array = on_end,
};

bool lua_json_decode_floats(lua_State *L, struct str text, int max_depth, struct str path,
                            struct err *err)
{
    struct decoder d;
    d.L = L;
    d.vm = vm_of(L);
    d.depth = 0;
    d.path = path;
    d.next[0] = 0;
    d.collecting = false;
    d.numbers = (struct buf){0};
    int top = lua_gettop(L);
    bool enforced = d.vm->enforced;
    d.vm->enforced = false;
    bool ok = json_read(text, max_depth, &events, &d, err);
    d.vm->enforced = enforced;
    buf_free(&d.numbers);
    if (!ok)
        lua_settop(L, top);
    return ok;
}

bool lua_json_decode(lua_State *L, struct str text, int max_depth, struct err *err)
{
    return lua_json_decode_floats(L, text, max_depth, (struct str){0}, err);
}
