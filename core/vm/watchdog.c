#include "vm/watchdog.h"

#include <errno.h>
#include <lauxlib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "vm/task_internal.h"

static const int64_t tick_ns = 20 * NS_PER_MS;
static const int64_t asleep_ns = 500 * NS_PER_MS;     /* a tick so late: the process was stopped */
static const int64_t last_words_ns = 100 * NS_PER_MS; /* after a deadline, to tidy up */
static const int64_t grace_least_ns = 250 * NS_PER_MS;

enum stage { STAGE_FINE, STAGE_LATE, STAGE_OVER, STAGE_LOST };

/* DESIGN.  `id` names the innermost entry, 0 = the lane is not in Lua; it is
 * cleared before the fields change and set after, so the watchdog's copy is
 * whole if id is the same before and behind it.  The signal handler runs on the
 * lane's thread, between two of its instructions, and compares id with `asked`:
 * equal means that vm and task are those the watchdog saw, alive. */
struct watch_slot {
    /* lane thread, its signal handler included; read by the watchdog */
    _Atomic uint64_t id;
    _Atomic int64_t began, deadline, limit;
    struct vm *volatile vm;
    struct task *volatile task;
    uint64_t last_id;
    /* watchdog → handler */
    _Atomic uint64_t asked;
    _Atomic int asked_stage;
    /* handler → watchdog: who `described` is */
    _Atomic uint64_t described;
    int64_t job;
    char plugin[WATCH_TEXT_BYTES], handler[WATCH_TEXT_BYTES];
    /* watchdog's thread */
    struct lane *lane;
    pthread_t thread;
    clockid_t cpu_clock;
    uint64_t seen;
    int64_t pardon; /* not counted before: the process was stopped meanwhile */
    int64_t cpu_at;
    enum stage stage;
};

struct watchdog {
    struct watchdog_options options;
    struct watch_slot *slots;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping;
};

static _Thread_local struct watch_slot *own_slot;

bool watch_is_over(int64_t held_ns, int64_t cpu_ns, int64_t limit_ns)
{
    return held_ns >= limit_ns && (cpu_ns >= limit_ns / 2 || held_ns >= 4 * limit_ns);
}

/* ---- the lane's side ------------------------------------------------------- */

static void publish(struct watch_slot *slot, const struct watch_entry *e)
{
    atomic_store_explicit(&slot->id, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    slot->vm = e->vm;
    slot->task = e->task;
    atomic_store_explicit(&slot->began, e->began_ns, memory_order_relaxed);
    atomic_store_explicit(&slot->deadline, e->deadline_ns, memory_order_relaxed);
    atomic_store_explicit(&slot->limit, e->limit_ns, memory_order_relaxed);
    atomic_store_explicit(&slot->id, e->id, memory_order_release);
}

void watch_enter(struct lane *lane, const struct watch_entry *mine, struct watch_entry *outer)
{
    struct watch_slot *slot = lane->watch;
    outer->id = 0;
    if (!slot)
        return;
    struct watch_entry e = *mine;
    outer->id = atomic_load_explicit(&slot->id, memory_order_relaxed);
    if (outer->id)
        *outer = (struct watch_entry){
            .id = outer->id,
            .vm = slot->vm,
            .task = slot->task,
            .began_ns = atomic_load_explicit(&slot->began, memory_order_relaxed),
            .deadline_ns = atomic_load_explicit(&slot->deadline, memory_order_relaxed),
            .limit_ns = atomic_load_explicit(&slot->limit, memory_order_relaxed)};
    e.id = ++slot->last_id;
    publish(slot, &e);
}

void watch_leave(struct lane *lane, struct vm *vm, const struct watch_entry *outer)
{
    struct watch_slot *slot = lane->watch;
    if (!slot)
        return;
    if (outer->id)
        publish(slot, outer);
    else
        atomic_store_explicit(&slot->id, 0, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    if (vm->armed != STAGE_FINE) {
        lua_sethook(vm->L, NULL, 0, 0);
        lua_gc(vm->L, LUA_GCRESTART, 0);
        vm->armed = STAGE_FINE;
    }
}

/* The innermost place in the plugin's own files. */
static void push_place(lua_State *L)
{
    lua_Debug where;
    for (int level = 0; lua_getstack(L, level, &where); level++) {
        lua_getinfo(L, "Sl", &where);
        if (where.currentline > 0 && !library_is_source(where.short_src)) {
            lua_pushfstring(L, "%s:%d: ", where.short_src, where.currentline);
            return;
        }
    }
    lua_pushliteral(L, "");
}

static char *keep_text(lua_State *L)
{
    char *copy = mem_strdup(lua_tostring(L, -1));
    lua_pop(L, 1);
    return copy;
}

/* The first time it fires is where the handler was; later ones are in its pcalls. */
static void describe_kill(struct vm *vm, lua_State *L)
{
    char text[64];
    int64_t ms = vm->watchdog_ns / NS_PER_MS;
    if (ms % 1000)
        snprintf(text, sizeof text, "ran longer than %d ms without waiting", (int)ms);
    else
        snprintf(text, sizeof text, "ran longer than %d s without waiting", (int)(ms / 1000));
    vm->enforced = false; /* its words must not run into its memory limit */
    push_place(L);
    lua_pushfstring(L, "%s%s %s", lua_tostring(L, -1), task_label(vm->running), text);
    mem_free(vm->kill_text);
    mem_free(vm->kill_trace);
    vm->kill_text = keep_text(L);
    lua_pop(L, 1);
    luaL_traceback(L, L, NULL, 0);
    vm->kill_trace = keep_text(L);
    vm->enforced = true;
}

/* Raises what no message handler sees: xpcall would run its own while hooks are off. */
static void end_task(struct vm *vm, lua_State *L)
{
    lua_gc(L, LUA_GCSTOP, 0); /* nothing but this allocation is to fail */
    vm->starved = true;
    lua_newuserdata(L, 1);
}

static void on_hook(lua_State *L, lua_Debug *where)
{
    struct vm *vm = vm_of(L);
    struct task *task = vm->running;
    (void)where;
    if (!task || vm->armed == STAGE_FINE)
        return;
    if (vm->armed == STAGE_LATE && task->stop == STOP_NO)
        task->stop = STOP_DEADLINE;
    vm->starved = false; /* of the time before */
    if (vm->armed == STAGE_OVER && !vm->fired) {
        vm->fired = true;
        atomic_store_explicit(&vm->broken, true, memory_order_relaxed);
        describe_kill(vm, L);
    }
    end_task(vm, L);
}

/* Async-signal-safe; lua_sethook is meant for such a place. */
static void copy_text(char out[WATCH_TEXT_BYTES], const char *text)
{
    size_t n = 0;
    for (; text && text[n] && n < WATCH_TEXT_BYTES - 1; n++)
        out[n] = text[n];
    out[n] = 0;
}

static void on_signal(int signal)
{
    struct watch_slot *slot = own_slot;
    int saved = errno;
    (void)signal;
    uint64_t id = slot ? atomic_load_explicit(&slot->id, memory_order_relaxed) : 0;
    if (id && id == atomic_load_explicit(&slot->asked, memory_order_acquire)) {
        struct vm *vm = slot->vm;
        if (atomic_load_explicit(&slot->described, memory_order_relaxed) != id) {
            copy_text(slot->plugin, vm->options.label);
            copy_text(slot->handler, slot->task->options.label);
            slot->job = slot->task->options.job;
            atomic_store_explicit(&slot->described, id, memory_order_release);
        }
        vm->armed = atomic_load_explicit(&slot->asked_stage, memory_order_relaxed);
        lua_sethook(vm->L, on_hook, LUA_MASKCOUNT, 1);
    }
    errno = saved;
}

/* ---- the watchdog's side ---------------------------------------------------- */

static int64_t cpu_ns(const struct watch_slot *slot)
{
    struct timespec t;
    if (clock_gettime(slot->cpu_clock, &t) < 0)
        return 0;
    return (int64_t)t.tv_sec * NS_PER_SECOND + t.tv_nsec;
}

/* Sent with every tick: a hook that was set while the state changed its dispatch may be lost. */
static void ask(struct watch_slot *slot, enum stage stage)
{
    atomic_store_explicit(&slot->asked_stage, (int)stage, memory_order_relaxed);
    atomic_store_explicit(&slot->asked, slot->seen, memory_order_release);
    pthread_kill(slot->thread, WATCH_SIGNAL);
}

static void log_held(const struct watch_slot *slot, enum log_level level, int64_t held,
                     const char *what)
{
    char text[2 * WATCH_TEXT_BYTES + 128];
    int n = snprintf(text, sizeof text, "%s has held %s for %.2f s without waiting%s",
                     slot->handler, slot->lane->name, (double)held / 1e9, what);
    log_write(level, "watchdog", slot->plugin, str_n(text, (size_t)n), STR(""));
}

static void lose(struct watchdog *w, struct watch_slot *slot, int64_t held)
{
    slot->stage = STAGE_LOST;
    atomic_store(&slot->lane->lost, true);
    log_held(slot, LOG_ERROR, held, " and cannot be stopped");
    struct watch_report report = {slot->lane, slot->plugin, slot->handler, slot->job, held};
    if (w->options.runaway)
        w->options.runaway(w->options.arg, &report);
}

static void judge(struct watchdog *w, struct watch_slot *slot, const struct watch_entry *e,
                  int64_t now)
{
    int64_t from = e->began_ns > slot->pardon ? e->began_ns : slot->pardon;
    int64_t held = now - from, cpu = cpu_ns(slot) - slot->cpu_at;
    int64_t grace = e->limit_ns / 4 > grace_least_ns ? e->limit_ns / 4 : grace_least_ns;
    bool described = atomic_load_explicit(&slot->described, memory_order_acquire) == e->id;
    if (slot->stage == STAGE_OVER && described && watch_is_over(held, cpu, e->limit_ns + grace)) {
        lose(w, slot, held);
    } else if (watch_is_over(held, cpu, e->limit_ns)) {
        if (slot->stage < STAGE_OVER && described)
            log_held(slot, LOG_WARN, held, "");
        if (slot->stage < STAGE_OVER && described)
            slot->stage = STAGE_OVER;
        ask(slot, STAGE_OVER);
    } else if (now >= e->deadline_ns && held >= last_words_ns && slot->stage < STAGE_OVER) {
        slot->stage = STAGE_LATE;
        ask(slot, STAGE_LATE);
    }
}

static void look(struct watchdog *w, struct watch_slot *slot, int64_t now)
{
    struct watch_entry e = {.id = atomic_load_explicit(&slot->id, memory_order_acquire)};
    e.began_ns = atomic_load_explicit(&slot->began, memory_order_relaxed);
    e.deadline_ns = atomic_load_explicit(&slot->deadline, memory_order_relaxed);
    e.limit_ns = atomic_load_explicit(&slot->limit, memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    if (!e.id || atomic_load_explicit(&slot->id, memory_order_relaxed) != e.id)
        return;
    if (slot->seen != e.id) {
        slot->seen = e.id;
        slot->stage = STAGE_FINE;
        slot->cpu_at = cpu_ns(slot);
    }
    if (slot->stage != STAGE_LOST)
        judge(w, slot, &e, now);
}

static void look_at_all(struct watchdog *w, int64_t *last)
{
    int64_t now = clock_steady_ns();
    for (int i = 0; i < w->options.count; i++) {
        struct watch_slot *slot = &w->slots[i];
        if (now - *last > asleep_ns)
            slot->pardon = now;
        look(w, slot, now);
    }
    *last = now;
}

static void *run(void *arg)
{
    struct watchdog *w = arg;
    int64_t last = clock_steady_ns();
    pthread_setname_np(pthread_self(), "watchdog");
    pthread_mutex_lock(&w->lock);
    while (!w->stopping) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += tick_ns;
        until.tv_sec += until.tv_nsec / NS_PER_SECOND;
        until.tv_nsec %= NS_PER_SECOND;
        pthread_cond_timedwait(&w->wake, &w->lock, &until);
        pthread_mutex_unlock(&w->lock);
        look_at_all(w, &last);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static void attach(void *arg)
{
    struct watch_slot *slot = arg;
    own_slot = slot;
    slot->thread = pthread_self();
    pthread_getcpuclockid(slot->thread, &slot->cpu_clock);
    slot->lane->watch = slot;
}

static void detach(void *arg)
{
    struct watch_slot *slot = arg;
    own_slot = NULL;
    slot->lane->watch = NULL;
}

static void watchdog_free(struct watchdog *w)
{
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    mem_free(w->slots);
    mem_free(w);
}

struct watchdog *watchdog_start(const struct watchdog_options *options, struct err *err)
{
    struct watchdog *w = mem_zero(1, sizeof *w);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    pthread_condattr_t clock;
    w->options = *options;
    w->slots = mem_zero((size_t)options->count + 1, sizeof *w->slots);
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &clock);
    pthread_condattr_destroy(&clock);
    sigaction(WATCH_SIGNAL, &action, NULL);
    for (int i = 0; i < options->count; i++) {
        w->slots[i].lane = options->lanes[i];
        lane_call_wait(options->lanes[i], attach, &w->slots[i]);
    }
    int failed = pthread_create(&w->thread, NULL, run, w);
    if (!failed)
        return w;
    err_sys(err, failed, "start the watchdog's thread");
    watchdog_free(w);
    return NULL;
}

void watchdog_stop(struct watchdog *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    for (int i = 0; i < w->options.count; i++)
        lane_call_wait(w->slots[i].lane, detach, &w->slots[i]);
    watchdog_free(w);
}
