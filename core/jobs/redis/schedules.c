/* redis/schedules.c -- schedules' memory and the lease of who fires; redis/scripts.h has the keys.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rand.h"
#include "jobs/redis/record.h"
#include "jobs/schedules_thread.h"

struct redis_schedules {
    struct redis_record *rec;
    struct redis *conn;
    char owner[40];
    struct schedules_thread thread;
    struct redis_script lead, load, since, pause;
};

/* P owner epoch lease_us (0 gives it up) → mine, epoch, version. */
static const char lead_text[] =
    "local k, lease = ARGV[1] .. 'cron:lease', tonumber(ARGV[4])\n"
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000000 + t[2]\n"
    "local h = redis.call('HMGET', k, 'owner', 'epoch', 'until', 'version')\n"
    "local epoch, mine = tonumber(h[2] or 0), 0\n"
    "if h[1] == ARGV[2] and epoch > 0 and epoch == tonumber(ARGV[3]) then\n"
    "  redis.call('HSET', k, 'until', lease > 0 and string.format('%.0f', now + lease) or 0)\n"
    "  mine = lease > 0 and 1 or 0\n"
    "elseif lease > 0 and tonumber(h[3] or 0) <= now then\n"
    "  epoch, mine = epoch + 1, 1\n"
    "  redis.call('HSET', k, 'owner', ARGV[2], 'epoch', epoch, 'until',\n"
    "    string.format('%.0f', now + lease))\n"
    "end\n"
    "return { mine, epoch, tonumber(h[4] or 0) }\n";

static const char load_text[] =
    "local P = ARGV[1] .. 'cron:'\n"
    "return { redis.call('HGETALL', P .. 'last'), redis.call('HGETALL', "
    "P .. 'since'), redis.call('SMEMBERS', P .. 'paused') }\n";

/* P, then pairs of schedule and instant. */
static const char since_text[] =
    "local k = ARGV[1] .. 'cron:since'\n"
    "for i = 2, #ARGV, 2 do\n"
    "  if tonumber(redis.call('HGET', k, ARGV[i]) or 0) < tonumber(ARGV[i + 1]) then\n"
    "    redis.call('HSET', k, ARGV[i], ARGV[i + 1])\n"
    "  end\n"
    "end\n"
    "return 1\n";

/* P, 1 or 0, then schedules. */
static const char pause_text[] =
    "for i = 3, #ARGV do\n"
    "  redis.call(ARGV[2] == '1' and 'SADD' or 'SREM', ARGV[1] .. 'cron:paused', ARGV[i])\n"
    "end\n"
    "return redis.call('HINCRBY', ARGV[1] .. 'cron:lease', 'version', 1)\n";

static redisReply *eval(struct redis_schedules *r, const struct redis_script *script,
                        const struct redis_args *a, struct jobs_schedules *s)
{
    redisReply *reply = redis_eval(r->conn, script, a, &s->err);
    if (!reply)
        redis_failed(r->rec, &r->conn, &s->err);
    return reply;
}

static void lead(struct redis_schedules *r, struct redis_args *a, struct jobs_schedules *s)
{
    redis_arg_c(a, r->owner);
    redis_arg_int(a, s->epoch);
    redis_arg_int(a, s->ask == SCHEDULES_RESIGN ? 0 : s->lease_ns / 1000);
    redisReply *reply = eval(r, &r->lead, a, s);
    if (reply && reply->elements == 3) {
        s->held = redis_int(reply->element[0]) == 1;
        s->epoch = redis_int(reply->element[1]);
        s->version = redis_int(reply->element[2]);
    }
    if (reply)
        freeReplyObject(reply);
}

/* The row of a schedule, made when it is not there: map values are one more than its place. */
static struct jobs_schedule *row_of(struct jobs_schedules *s, struct map *places, struct str name)
{
    uintptr_t place = (uintptr_t)map_get(places, name);
    if (!place) {
        s->rows[s->count] = (struct jobs_schedule){.name = str_dup(name)};
        place = (uintptr_t)++s->count;
        map_set(places, name, (void *)place);
    }
    return &s->rows[place - 1];
}

static void fill_rows(struct jobs_schedules *s, redisReply *const parts[3])
{
    struct map *places = map_create();
    for (size_t i = 0; i + 1 < parts[0]->elements; i += 2) {
        struct jobs_schedule *row = row_of(s, places, redis_item(parts[0], i));
        char *end;
        row->last = strtoll(parts[0]->element[i + 1]->str, &end, 10);
        row->job = *end == ':' ? strtoll(end + 1, NULL, 10) : 0;
    }
    for (size_t i = 0; i + 1 < parts[1]->elements; i += 2)
        row_of(s, places, redis_item(parts[1], i))->since =
            strtoll(parts[1]->element[i + 1]->str, NULL, 10);
    for (size_t i = 0; i < parts[2]->elements; i++)
        row_of(s, places, redis_item(parts[2], i))->paused = true;
    map_destroy(places);
}

static void load(struct redis_schedules *r, struct redis_args *a, struct jobs_schedules *s)
{
    redisReply *reply = eval(r, &r->load, a, s);
    bool whole = reply && reply->elements == 3;
    size_t most = 0;
    for (size_t i = 0; whole && i < 3; i++)
        most += reply->element[i]->elements;
    s->rows = mem_zero(most + 1, sizeof *s->rows);
    if (whole)
        fill_rows(s, reply->element);
    if (reply)
        freeReplyObject(reply);
}

/* As many schedules as one call takes. */
static bool keep_since(struct redis_schedules *r, struct redis_args *a, struct jobs_schedules *s)
{
    for (int i = 0; i < s->count;) {
        a->count = a->number_count = 0;
        redis_arg_c(a, r->rec->prefix);
        for (; i < s->count && a->number_count < 500; i++) {
            redis_arg_c(a, s->rows[i].name);
            redis_arg_int(a, s->rows[i].since);
        }
        redisReply *reply = eval(r, &r->since, a, s);
        if (!reply)
            return false;
        freeReplyObject(reply);
    }
    return true;
}

static void keep_pause(struct redis_schedules *r, struct redis_args *a, struct jobs_schedules *s)
{
    for (int i = 0; i < s->count && keep_since(r, a, s) && s->err.code == ERR_NONE; i++) {
        a->count = a->number_count = 0;
        redis_arg_c(a, r->rec->prefix);
        redis_arg_c(a, s->rows[i].paused ? "1" : "0");
        redis_arg_c(a, s->rows[i].name);
        redisReply *reply = eval(r, &r->pause, a, s);
        if (reply)
            freeReplyObject(reply);
    }
}

/* Fires' own keys expire, so there is nothing to prune. */
static void ask(struct redis_schedules *r, struct jobs_schedules *s)
{
    struct redis_args *a = mem_zero(1, sizeof *a);
    err_clear(&s->err);
    redis_arg_c(a, r->rec->prefix);
    if (!redis_reach(r->rec, &r->conn, "cron", &s->err))
        s->held = false;
    else if (s->ask == SCHEDULES_LOAD)
        load(r, a, s);
    else if (s->ask <= SCHEDULES_RESIGN)
        lead(r, a, s);
    else if (s->ask == SCHEDULES_SINCE)
        keep_since(r, a, s);
    else if (s->ask == SCHEDULES_PAUSE)
        keep_pause(r, a, s);
    mem_free(a);
}

/* A connection that was lost while nobody asked is found out by the first who does; every request
 * may be repeated. */
static void answer(void *arg, struct jobs_schedules *s)
{
    struct redis_schedules *r = arg;
    bool connected = r->conn != NULL;
    ask(r, s);
    if (s->err.code != ERR_IO || !connected)
        return;
    if (s->ask == SCHEDULES_LOAD) {
        mem_free(s->rows);
        s->rows = NULL;
    }
    ask(r, s);
}

struct redis_schedules *redis_schedules_create(struct redis_record *rec)
{
    struct redis_schedules *r = mem_zero(1, sizeof *r);
    r->rec = rec;
    r->lead.text = lead_text;
    r->load.text = load_text;
    r->since.text = since_text;
    r->pause.text = pause_text;
    struct redis_script *scripts[] = {&r->lead, &r->load, &r->since, &r->pause};
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
        redis_script_init(scripts[i]);
    rand_uuid7(r->owner);
    schedules_thread_init(&r->thread, answer, r);
    return r;
}

void redis_schedules_free(struct redis_schedules *r)
{
    if (!r)
        return;
    schedules_thread_stop(&r->thread);
    redis_close(r->conn);
    mem_free(r);
}

void redis_ask_schedules(struct jobs *jobs, struct jobs_schedules *s)
{
    schedules_thread_ask(&record_of(jobs)->schedules->thread, s);
}
