/* redis/batch.c -- batches in Redis: the script that ends a member counts it, and the one that
 * counts the last of them pushes what follows.
 *
 * A message cannot be put together inside Redis, so that of the last job lies ready from the
 * beginning.  What it has to say at its end, how many succeeded and failed, is in the middle of
 * a body in base64: what stands before it is filled up with blanks to groups of three bytes, so
 * that the two halves can be encoded one after the other. */
#include "jobs/redis/record.h"

#include "base/clock.h"
#include "base/json_pick.h"
#include "base/mem.h"
#include "jobs/celery/text.h"

enum { UNTOUCHED_S = 31 * 24 * 3600 }; /* a batch of which no member ever ended is forgotten */

/* The fields of redis_push that the last job's record has, by their places there. */
static const struct {
    const char *name;
    int at;
} pushed[] = {{"last", 0}, {"uuid", 1},      {"kind", 2}, {"queue", 3},  {"list", 4},
              {"max", 10}, {"priority", 12}, {"key", 13}, {"extra", 14}, {NULL, 0}};
enum { PUSHED_MESSAGE = 5, PUSHED_BEFORE = 4 };

static void field(struct redis_args *a, const char *name, struct str value)
{
    redis_arg_c(a, name);
    redis_arg(a, value);
}

static size_t find_last(struct str text, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = text.n >= n ? text.n - n + 1 : 0; i > 0; i--)
        if (memcmp(text.p + i - 1, word, n) == 0)
            return i - 1;
    return text.n;
}

struct template
{
    struct buf body, head;
};

/* The message in four pieces, and the arguments up to the counts. */
static void add_template(struct redis_args *a, struct template *t, struct str message,
                         struct str args)
{
    struct str coded = json_pick_get(message, "body");
    coded = str_n(coded.p + 1, coded.n - 2);
    celery_unbase64(coded, &t->body);
    size_t at = find_last(buf_str(&t->body), CROWD_COUNTS), n = strlen(CROWD_COUNTS);
    struct buf plain = {0};
    buf_add(&plain, t->body.p, at);
    while (plain.n % 3)
        buf_add_char(&plain, ' ');
    celery_base64(buf_str(&plain), &t->head);
    buf_free(&plain);
    field(a, "args", str_n(args.p, find_last(args, CROWD_COUNTS)));
    field(a, "before", str_n(message.p, (size_t)(coded.p - message.p)));
    field(a, "head", buf_str(&t->head));
    field(a, "tail", str_n(t->body.p + at + n, t->body.n - at - n));
    const char *end = coded.p + coded.n;
    field(a, "after", str_n(end, (size_t)(message.p + message.n - end)));
}

static bool open_one(struct redis_record *rec, struct redis *conn, struct push_op *op,
                     struct redis_pushing *p, struct err *err)
{
    const struct crowd *c = op->crowd;
    struct redis_args *a = mem_zero(1, sizeof *a);
    struct template t = {0};
    int64_t ttl = rec->jobs->options.dead_ttl_ns / NS_PER_SECOND;
    redis_arg_c(a, rec->prefix);
    redis_arg_int(a, c->id);
    redis_arg_int(a, UNTOUCHED_S);
    redis_arg_c(a, "total");
    redis_arg_int(a, c->total);
    redis_arg_c(a, "created_at");
    redis_arg_int(a, c->created_at);
    redis_arg_c(a, "ttl");
    redis_arg_int(a, ttl > 0 ? ttl : 1);
    if (c->description)
        field(a, "description", str_c(c->description));
    if (c->last) {
        redis_pushing_begin(rec, p, "", 0);
        redis_pushing_add(rec, p, op, c->last);
        const char *const *values = p->args.p + PUSHED_BEFORE;
        const size_t *lengths = p->args.n + PUSHED_BEFORE;
        for (int i = 0; pushed[i].name; i++)
            field(a, pushed[i].name, str_n(values[pushed[i].at], lengths[pushed[i].at]));
        add_template(a, &t, str_n(values[PUSHED_MESSAGE], lengths[PUSHED_MESSAGE]),
                     job_args(c->last));
    }
    redisReply *reply = redis_eval(conn, &redis_open_batch, a, err);
    if (reply)
        freeReplyObject(reply);
    buf_free(&t.body);
    buf_free(&t.head);
    mem_free(a);
    return err->code == 0;
}

bool redis_open_batches(struct redis_record *rec, struct redis *conn, struct err *err)
{
    struct redis_pushing *p = NULL;
    bool ok = true;
    for (struct push_op *op = rec->jobs->batch.pushes; op && ok; op = op->next) {
        if (!op->crowd)
            continue;
        if (!p)
            p = mem_zero(1, sizeof *p);
        ok = open_one(rec, conn, op, p, err);
    }
    if (p)
        redis_pushing_end(p);
    mem_free(p);
    return ok;
}

bool redis_look_batch(struct redis_record *rec, struct jobs_query *q, struct err *err)
{
    redisReply *reply =
        redis_command(rec->keep, err,
                      "HMGET %sbatch:%lld total succeeded failed created_at finished_at last"
                      " description",
                      rec->prefix, (long long)q->id);
    long long n[6] = {0};
    for (size_t i = 0; i < 6; i++)
        str_int64(redis_item(reply, i), &n[i]);
    if (reply && n[0])
        crowd_print(&q->out, &(struct crowd_row){.id = q->id,
                                                 .total = n[0],
                                                 .succeeded = n[1],
                                                 .failed = n[2],
                                                 .created_at = n[3],
                                                 .finished_at = n[4],
                                                 .done_job = n[4] ? n[5] : 0,
                                                 .description = redis_item(reply, 6)});
    if (reply)
        freeReplyObject(reply);
    return reply != NULL;
}
