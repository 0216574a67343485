/* workflow/redis_time.c -- what the record is asked for now and then: waits that are over, ends
 * that no decision has seen, old runs. */
#include "jobs/workflow/redis.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

enum { PAGE = 1000 }; /* of what one call looks through */

/* Seconds as Redis has them in a score. */
static int64_t score_ns(struct str text)
{
    char number[48];
    snprintf(number, sizeof number, "%.*s", text.n < 40 ? (int)text.n : 40, text.p);
    return (int64_t)(strtod(number, NULL) * (double)NS_PER_SECOND);
}

static void print_names(const struct wf_set *set, struct buf *out)
{
    buf_add_char(out, '\n');
    for (int i = 0; set && i < set->count; i++)
        buf_printf(out, "%s %s\n\n", set->list[i].plugin, set->list[i].name);
}

/* The next of those whose runs go on here, behind the first `from`.  Others may be of workflows
 * that other nodes declare, or none any more: however many they are, nobody waits for them. */
static redisReply *ask_known(struct wf *f, const char *zset, int64_t from, int64_t until)
{
    struct wfr *w = wfr_of(f);
    struct redis_args *a = mem_zero(1, sizeof *a);
    struct buf names = {0};
    redisReply *reply = NULL;
    int64_t patience = clock_steady_ns() + WFR_PATIENCE_MS * NS_PER_MS;
    print_names(f->set, &names);
    redis_arg_c(a, w->rec->prefix);
    redis_arg_c(a, zset);
    redis_arg_int(a, from);
    redis_arg_int(a, PAGE);
    if (until)
        redis_arg_score(a, until);
    else
        redis_arg_c(a, "inf");
    redis_arg(a, buf_str(&names));
    do
        if (redis_reach(w->rec, w->conn, "writer", f->err))
            reply = redis_eval(*w->conn, &redis_known, a, f->err);
    while (!reply && wfr_again(w, f->err, patience));
    buf_free(&names);
    mem_free(a);
    return reply;
}

static int64_t first_after(struct wf *f, int64_t wall)
{
    redisReply *reply = wfr_ask(f, "ZRANGEBYSCORE %swf:due (%lld.%06d inf WITHSCORES LIMIT 0 1",
                                wfr_of(f)->rec->prefix, (long long)(wall / NS_PER_SECOND),
                                (int)(wall % NS_PER_SECOND / 1000));
    int64_t at = reply && reply->elements == 2 ? score_ns(redis_item(reply, 1)) : 0;
    if (reply)
        freeReplyObject(reply);
    return at;
}

bool wfr_due(struct wf *f, struct wf_ref *list, int most, int *count, int64_t *next)
{
    int64_t seen = 0, read = PAGE;
    *count = 0;
    *next = 0;
    while (read == PAGE && !*next) {
        redisReply *reply = ask_known(f, "wf:due", seen, f->now);
        if (!reply)
            return false;
        read = redis_int(reply->element[0]);
        seen += read;
        for (size_t i = 1; !*next && i + 1 < reply->elements; i += 2) {
            struct str seq = redis_item(reply, i), run = str_split(&seq, ':');
            long long id = 0, number = 0;
            str_int64(run, &id);
            str_int64(seq, &number);
            if (*count == most)
                *next = score_ns(redis_item(reply, i + 1));
            else
                list[(*count)++] = (struct wf_ref){.run = id, .seq = (int)number};
        }
        freeReplyObject(reply);
    }
    if (!*next)
        *next = first_after(f, f->now);
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
    int64_t seen = 0, read = PAGE;
    bool ok = true;
    *count = 0;
    while (ok && read == PAGE && *count < most) {
        redisReply *reply = ask_known(f, "wf:stray", seen, 0);
        if (!reply)
            return false;
        read = redis_int(reply->element[0]);
        seen += read;
        for (size_t i = 1; ok && *count < most && i + 1 < reply->elements; i += 2) {
            ok = read_stray(f, redis_int(reply->element[i]), &list[*count]);
            *count += ok;
        }
        freeReplyObject(reply);
    }
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
