/* workflow/redis_time.c -- what the record is asked for now and then: waits that are over, ends
 * that no decision has seen, old runs. */
#include "jobs/workflow/redis.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

enum { DUE_READ = 2000 };

/* Seconds as Redis has them in a score. */
static int64_t score_ns(struct str text)
{
    char number[48];
    snprintf(number, sizeof number, "%.*s", text.n < 40 ? (int)text.n : 40, text.p);
    return (int64_t)(strtod(number, NULL) * (double)NS_PER_SECOND);
}

/* Whether this process knows how the run goes on; of one that is gone anybody does. */
static bool is_known(struct wf *f, int64_t run)
{
    redisReply *r =
        wfr_ask(f, "HMGET %swf:%lld plugin name shape", wfr_of(f)->rec->prefix, (long long)run);
    struct str plugin = redis_item(r, 0), name = redis_item(r, 1), shape = redis_item(r, 2);
    long long number = -1;
    str_int64(shape, &number);
    bool known = number != WORKFLOW_GRAPH || wf_find(f->set, plugin, name);
    if (r)
        freeReplyObject(r);
    return known;
}

bool wfr_due(struct wf *f, struct wf_ref *list, int most, int *count, int64_t *next)
{
    /* Some may be of workflows that only other nodes declare. */
    redisReply *reply =
        wfr_ask(f, "ZRANGE %swf:due 0 %d WITHSCORES", wfr_of(f)->rec->prefix, DUE_READ);
    *count = 0;
    *next = 0;
    for (size_t i = 0; reply && !*next && i + 1 < reply->elements; i += 2) {
        struct str seq = redis_item(reply, i), run = str_split(&seq, ':');
        long long id = 0, number = 0;
        int64_t at = score_ns(redis_item(reply, i + 1));
        str_int64(run, &id);
        str_int64(seq, &number);
        if (at > f->now || *count == most)
            *next = at;
        else if (is_known(f, id))
            list[(*count)++] = (struct wf_ref){.run = id, .seq = (int)number};
    }
    if (reply)
        freeReplyObject(reply);
    return f->err->code == 0;
}

/* Those with an active step wait for its end; they are passed over. */
bool wfr_expired(struct wf *f, enum workflow_state state, int64_t before, int limit,
                 struct wf_ids *ids)
{
    const char *prefix = wfr_of(f)->rec->prefix;
    redisReply *reply = wfr_ask(f, "ZRANGEBYSCORE %swf:over:%d -inf %lld LIMIT 0 %d", prefix,
                                (int)state, (long long)(before / NS_PER_SECOND), limit);
    for (size_t i = 0; reply && i < reply->elements; i++) {
        int64_t id = redis_int(reply->element[i]);
        redisReply *active = wfr_ask(f, "HGET %swf:%lld active", prefix, (long long)id);
        if (active && redis_int(active) == 0)
            wf_ids_add(ids, id);
        if (active)
            freeReplyObject(active);
    }
    if (reply)
        freeReplyObject(reply);
    return f->err->code == 0;
}

static enum job_end end_named(struct str state)
{
    return str_eq_c(state, "done")        ? JOB_END_DONE
           : str_eq_c(state, "cancelled") ? JOB_END_CANCELLED
           : str_eq_c(state, "expired")   ? JOB_END_EXPIRED
                                          : JOB_END_DISCARDED;
}

static bool read_stray(struct wf *f, int64_t id, struct wf_stray *s)
{
    struct job *carrier = job_create(str_n("", 0), str_n("", 0));
    redisReply *r = wfr_ask(f, "HMGET %sjob:%lld state extra started attempt error result",
                            wfr_of(f)->rec->prefix, (long long)id);
    long long started = 0, attempt = 0;
    struct str error = redis_item(r, 4), result = redis_item(r, 5);
    struct err ignored = {0};
    *s = (struct wf_stray){.id = id};
    if (r && extra_parse(carrier, redis_item(r, 1), &ignored)) {
        str_int64(redis_item(r, 2), &started);
        str_int64(redis_item(r, 3), &attempt);
        *s = (struct wf_stray){.ref = {.job = id,
                                       .run = job_extra(carrier)->workflow,
                                       .seq = (int)job_extra(carrier)->step},
                               .id = id,
                               .how = end_named(redis_item(r, 0)),
                               .started_at = started,
                               .attempt = (int)attempt,
                               .error = error.n ? str_dup(error) : NULL,
                               .result = result.n ? str_dup(result) : NULL};
    }
    job_unref(carrier);
    if (r)
        freeReplyObject(r);
    return f->err->code == 0;
}

bool wfr_strays(struct wf *f, struct wf_stray *list, int most, int *count)
{
    redisReply *reply = wfr_ask(f, "ZRANGE %swf:stray 0 %d", wfr_of(f)->rec->prefix, most - 1);
    bool ok = reply != NULL;
    *count = 0;
    for (size_t i = 0; ok && i < reply->elements; i++) {
        ok = read_stray(f, redis_int(reply->element[i]), &list[*count]);
        if (ok && is_known(f, list[*count].ref.run))
            ++*count;
        else {
            mem_free(list[*count].error);
            mem_free(list[*count].result);
        }
    }
    if (reply)
        freeReplyObject(reply);
    return ok;
}

/* -- the keeper -------------------------------------------------------------------------------- */

bool redis_see_workflows(struct redis_record *rec, struct err *err)
{
    int64_t now = clock_steady_ns();
    bool old = rec->runs_old_at && now >= rec->runs_old_at;
    redisReply *reply = redis_command(
        rec->keep, err, "EVAL %s 0 %s",
        "local P, t = ARGV[1], redis.call('TIME')\n"
        "return {redis.call('ZCARD', P .. 'wf:live'), redis.call('SCARD', P .. 'wf:waiting'),\n"
        "  redis.call('ZCARD', P .. 'wf:stray') + redis.call('ZCOUNT', P .. 'wf:due', '-inf', "
        "t[1])}",
        rec->prefix);
    if (!reply)
        return false;
    if (reply->elements == 3) {
        workflow_seen(rec->jobs, reply->element[0]->integer, reply->element[1]->integer);
        if (reply->element[2]->integer || old)
            workflow_poll(rec->jobs);
        if (old || !rec->runs_old_at)
            rec->runs_old_at = now + wf_expire_pause_ns(rec->jobs->workflows);
    }
    freeReplyObject(reply);
    return true;
}
