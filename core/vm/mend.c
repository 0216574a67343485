#include "vm/mend.h"

#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include "vm/blocks.h"

/* Words of a lua_State, as in every LuaJIT 2.1 with 64-bit pointers to objects; verified below. */
enum { WORD_GLOBAL = 2, WORD_BASE = 4, WORD_TOP, WORD_MOST, WORD_STACK };
/* The shared structure behind WORD_GLOBAL is longer than what is searched of it. */
enum { GLOBAL_WORDS = 200, GLOBAL_HALVES = 2 * GLOBAL_WORDS };
/* What the shared structure says is going on; compiled code says its number, from 1, or only 0
 * where it is for ARM. */
enum { STATE_INTERPRETED = -1, STATE_C = -2, STATE_COLLECTING = -3, TRACES_MOST = 1000 };
#ifdef __x86_64__
enum { TRACES_LEAST = 1 };
#else
enum { TRACES_LEAST = 0 };
#endif

/* Places in the shared structure; 0 = not known. */
static int running_word; /* the running lua_State; behind it the base of compiled code, or 0 */
static int state_half;   /* what is going on, a half word */

/* What each place could be, from what stood there while it was known what was going on. */
struct trial {
    struct blocks blocks;
    uintptr_t coroutine; /* that runs the trial */
    bool collecting;
    bool may_name[GLOBAL_WORDS], had_base[GLOBAL_WORDS];
    bool may_state[GLOBAL_HALVES], had_trace[GLOBAL_HALVES], had_collecting[GLOBAL_HALVES];
};

static uintptr_t *words_of(uintptr_t state)
{
    return (uintptr_t *)state;
}

static uintptr_t *shared_of(uintptr_t state)
{
    return (uintptr_t *)words_of(state)[WORD_GLOBAL];
}

static const int32_t *halves_of(const uintptr_t *shared)
{
    return (const int32_t *)(const void *)shared;
}

static bool layout_is_known(lua_State *L)
{
    const uintptr_t *w = words_of((uintptr_t)L);
    size_t bytes = (size_t)lua_gettop(L) * sizeof(lua_Number);
    return sizeof(void *) == 8 && w[WORD_STACK] < w[WORD_BASE] && w[WORD_BASE] < w[WORD_MOST] &&
           w[WORD_TOP] - w[WORD_BASE] == bytes;
}

/* Called in a coroutine by interpreted code: what names it, and what says "in C". */
static int look(lua_State *L)
{
    struct trial *trial = lua_touserdata(L, 1);
    bool known = layout_is_known(L);
    lua_pushnil(L);
    if (!known || !layout_is_known(L))
        return 0;
    const uintptr_t *shared = shared_of((uintptr_t)L);
    trial->coroutine = (uintptr_t)L;
    for (int i = 0; i + 1 < GLOBAL_WORDS; i++)
        trial->may_name[i] = shared[i] == (uintptr_t)L && shared[i + 1] == 0;
    for (int i = 0; i < GLOBAL_HALVES; i++)
        trial->may_state[i] = halves_of(shared)[i] == STATE_C;
    return 0;
}

static int collect(lua_State *L)
{
    struct trial *trial = lua_touserdata(L, 1);
    trial->collecting = true;
    lua_gc(L, LUA_GCCOLLECT, 0);
    trial->collecting = false;
    return 0;
}

static void watch_states(struct trial *trial, bool compiled)
{
    const int32_t *halves = halves_of(shared_of(trial->coroutine));
    for (int i = 0; i < GLOBAL_HALVES; i++) {
        if (!trial->may_state[i])
            continue;
        bool is_trace = halves[i] >= TRACES_LEAST && halves[i] < TRACES_MOST;
        bool collects = halves[i] == STATE_COLLECTING;
        if (compiled && !is_trace && !collects)
            trial->may_state[i] = false;
        if (trial->collecting && !collects)
            trial->may_state[i] = false;
        trial->had_trace[i] = trial->had_trace[i] || (compiled && is_trace);
        trial->had_collecting[i] = trial->had_collecting[i] || (trial->collecting && collects);
    }
}

/* Every time that the trial takes or gives memory. */
static void watch(struct trial *trial)
{
    const uintptr_t *w = words_of(trial->coroutine), *shared = shared_of(trial->coroutine);
    bool compiled = false;
    for (int i = 0; i + 1 < GLOBAL_WORDS; i++) {
        if (!trial->may_name[i] || shared[i] != trial->coroutine || shared[i + 1] == 0)
            continue;
        trial->may_name[i] = shared[i + 1] > w[WORD_STACK] && shared[i + 1] < w[WORD_MOST];
        trial->had_base[i] = true;
        compiled = compiled || trial->may_name[i];
    }
    watch_states(trial, compiled);
}

static void *allocate(void *ud, void *p, size_t before, size_t after)
{
    struct trial *trial = ud;
    if (trial->coroutine)
        watch(trial);
    return blocks_resize(&trial->blocks, p, before, after);
}

/* The one place that was all it had to be, or 0. */
static void choose(const struct trial *trial)
{
    int word = 0, words = 0, half = 0, halves = 0;
    for (int i = 0; i < GLOBAL_WORDS; i++)
        if (trial->may_name[i] && trial->had_base[i]) {
            word = i;
            words++;
        }
    for (int i = 0; i < GLOBAL_HALVES; i++)
        if (trial->may_state[i] && trial->had_trace[i] && trial->had_collecting[i]) {
            half = i;
            halves++;
        }
    running_word = words == 1 && halves == 1 ? word : 0;
    state_half = words == 1 && halves == 1 ? half : 0;
}

static void try_out(void)
{
    static const char text[] = "local look, collect, trial = ...\n"
                               "coroutine.wrap(function()\n"
                               "  look(trial)\n"
                               "  local t = {}\n"
                               "  for i = 1, 1000 do t[i % 10 + 1] = { i, tostring(i) } end\n"
                               "  collect(trial)\n"
                               "end)()\n";
    struct trial trial = {0};
    lua_State *L = lua_newstate(allocate, &trial);
    if (!L)
        return;
    luaL_openlibs(L);
    if (luaL_loadstring(L, text) == 0) {
        lua_pushcfunction(L, look);
        lua_pushcfunction(L, collect);
        lua_pushlightuserdata(L, &trial);
        if (lua_pcall(L, 3, 0, 0) == 0)
            choose(&trial);
    }
    trial.coroutine = 0;
    lua_close(L);
    blocks_free_all(&trial.blocks);
}

bool mend_find(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, try_out);
    return running_word != 0;
}

bool mend_can_fail(lua_State *L)
{
    if (state_half == 0)
        return true;
    int32_t state = halves_of(shared_of((uintptr_t)L))[state_half];
    return state == STATE_INTERPRETED || state == STATE_C;
}

/* A step of the collector that may take as long as it likes comes to where it asks compiled code
 * to leave. */
void mend_hurry(lua_State *L)
{
    lua_gc(L, LUA_GCSETSTEPMUL, 0);
    lua_gc(L, LUA_GCRESTART, 0);
}

void mend_frame(lua_State *L)
{
    const uintptr_t *shared = shared_of((uintptr_t)L);
    if (running_word != 0 && shared[running_word + 1] != 0)
        words_of(shared[running_word])[WORD_BASE] = shared[running_word + 1];
}
