#include "jobs/redis/record.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/json_pick.h"
#include "base/mem.h"
#include "jobs/celery/text.h"
#include "observe/log.h"

/* What one ending sends, made before it is tried. */
struct parcel {
    struct ending *e;
    struct celery_follow follow;
    struct buf meta, part, message, list;
    struct celery_message of; /* whose chord the part belongs to */
    struct arena *arena;      /* of `of` */
    char expected[24];
    int pushes, results; /* without the body of the chord */
    bool sent;
};

static struct celery_result result_of(const struct ending *e, int64_t now_wall)
{
    const struct celery_message *m = &e->claim->m;
    struct celery_result r = {.task_id = m->id,
                              .parent_id = m->parent_id,
                              .group = m->group,
                              .result = e->result,
                              .exc_type = str_c(e->exception ? e->exception : "RuntimeError"),
                              .exc_message = e->error,
                              .exc_module = STR("builtins"),
                              .done_wall = now_wall};
    switch (e->kind) {
    case ENDING_DONE:
        r.state = CELERY_SUCCESS;
        break;
    case ENDING_DEAD:
        r.state = CELERY_FAILURE;
        r.traceback = e->traceback.n ? e->traceback : e->error;
        break;
    case ENDING_CANCELLED:
    case ENDING_EXPIRED:
        r.state = CELERY_REVOKED;
        r.exc_type = STR("TaskRevokedError");
        r.exc_message = e->kind == ENDING_EXPIRED ? STR("expired")
                        : e->terminated           ? STR("terminated")
                                                  : STR("revoked");
        break;
    case ENDING_RETRY:
        r.state = CELERY_RETRY;
        r.traceback = e->traceback.n ? e->traceback : e->error;
        r.done_wall = 0;
        break;
    case ENDING_BACK:
    case ENDING_BAD:
        break;
    }
    if (e->exception && e->kind == ENDING_DEAD)
        r.exc_module = STR("celery.exceptions");
    if (e->kind == ENDING_CANCELLED || e->kind == ENDING_EXPIRED)
        r.exc_module = STR("celery.exceptions");
    return r;
}

/* A chain that is a part of a chord tells the chord of its failure: its last task, which would have
 * done so, is not reached. */
static void part_of_chain(struct parcel *p)
{
    const struct celery_message *m = &p->e->claim->m;
    struct json_pick at;
    struct str sig;
    if (!json_pick_open(&at, m->chain, '['))
        return;
    while (json_pick_item(&at, &sig)) {
        struct str options = json_pick_get(sig, "options");
        struct buf group = {0}, id = {0};
        double index = -1;
        if (json_pick_get(options, "chord").n &&
            json_pick_text(json_pick_get(options, "group_id"), &group) &&
            json_pick_text(json_pick_get(options, "task_id"), &id)) {
            json_pick_number(json_pick_get(options, "group_index"), &index);
            p->arena = arena_create();
            p->of = *m;
            p->of.chord = json_pick_get(options, "chord");
            p->of.group = str_n(arena_strdup(p->arena, buf_str(&group)), group.n);
            p->of.id = str_n(arena_strdup(p->arena, buf_str(&id)), id.n);
            p->of.group_index = index >= 0 && index < 1 << 30 ? (int)index : -1;
        }
        buf_free(&group);
        buf_free(&id);
    }
}

static void prepare_over(struct redis_record *rec, struct parcel *p, int64_t now_wall)
{
    struct ending *e = p->e;
    const struct celery_message *m = &e->claim->m;
    struct celery_result r = result_of(e, now_wall);
    p->of = *m;
    if (e->kind == ENDING_DONE) {
        celery_succeeded(&p->follow, m, e->result);
    } else {
        celery_failed(&p->follow, m, &r);
        part_of_chain(p);
    }
    if (p->follow.err.code)
        log_warn("jobs", "%.*s of task %.*s: %s", (int)m->task.n, m->task.p, (int)m->id.n, m->id.p,
                 p->follow.err.message);
    r.children = buf_str(&p->follow.children);
    if (!m->ignore_result)
        celery_result_write(&r, &p->meta);
    if (p->of.chord.n && p->of.group.n) {
        r.task_id = p->of.id;
        celery_part_write(&r, &p->part);
    }
    if (e->kind == ENDING_DEAD)
        buf_add_str(&p->message, e->claim->raw);
    celery_list_name(str_c(e->claim->queue), m->priority, &p->list);
    (void)rec;
}

/* The next attempt is the message again, as Celery's retry() sends it. */
static void prepare_retry(struct parcel *p)
{
    struct ending *e = p->e;
    struct celery_message again = e->claim->m;
    struct celery_result r = result_of(e, 0);
    char tag[37];
    celery_uuid(tag);
    again.delivery_tag = str_c(tag);
    again.retries = e->attempt;
    again.eta_wall = e->run_at_wall;
    celery_message_write(&again, &p->message);
    celery_list_name(str_c(e->claim->queue), again.priority, &p->list);
    if (!again.ignore_result)
        celery_result_write(&r, &p->meta);
}

/* The message as it was; what started once does not expire any more. */
static void prepare_back(struct parcel *p)
{
    const struct claim *c = p->e->claim;
    struct celery_message again = c->m;
    again.expires_wall = 0;
    if (p->e->kind == ENDING_BACK && p->e->began && c->m.expires_wall)
        celery_message_write(&again, &p->message);
    else
        buf_add_str(&p->message, c->raw);
    celery_list_name(str_c(c->queue), c->m.priority, &p->list);
}

static void prepare(struct redis_record *rec, struct parcel *p, struct ending *e, int64_t now_wall)
{
    *p = (struct parcel){.e = e};
    p->follow.route = redis_route;
    p->follow.route_arg = rec;
    p->follow.now_wall = now_wall;
    if (e->kind == ENDING_RETRY) {
        prepare_retry(p);
    } else if (e->kind == ENDING_BACK || e->kind == ENDING_BAD) {
        prepare_back(p);
    } else
        prepare_over(rec, p, now_wall);
    p->pushes = p->follow.push_count;
    p->results = p->follow.result_count;
}

static void release(struct parcel *p)
{
    celery_follow_fini(&p->follow);
    buf_free(&p->meta);
    buf_free(&p->part);
    buf_free(&p->message);
    buf_free(&p->list);
    if (p->arena)
        arena_destroy(p->arena);
}

static void add_pairs(struct redis_args *a, const struct celery_pair *pairs, int count)
{
    redis_arg_int(a, count);
    for (int i = 0; i < count; i++) {
        redis_arg_c(a, pairs[i].key);
        redis_arg_c(a, pairs[i].value);
    }
}

static int64_t ttl_of(const struct redis_record *rec, const struct ending *e)
{
    int64_t ns = e->ttl_ns ? e->ttl_ns : rec->jobs->options.result_ttl_ns;
    int64_t seconds = ns / NS_PER_SECOND;
    return seconds > 0 ? seconds : 1;
}

static void add_run_at(struct redis_args *a, const struct ending *e, int64_t now_wall)
{
    if (e->run_at_wall > now_wall)
        redis_arg_score(a, e->run_at_wall);
    else
        redis_arg_c(a, e->kind == ENDING_BACK ? "front" : "");
}

static void add(struct redis_record *rec, struct redis_args *a, const struct parcel *p,
                int64_t now_wall)
{
    /* ORDER ending_kind */
    static const char *const kinds[] = {"over", "over", "over", "over", "again", "again", "bad"};
    static const char *const states[] = {"done", "dead", "cancelled", "expired", "", "", ""};
    const struct ending *e = p->e;
    bool later = e->run_at_wall > now_wall;
    bool again = e->kind == ENDING_RETRY || e->kind == ENDING_BACK;
    redis_arg_int(a, e->claim->id);
    redis_arg_int(a, (int64_t)e->claim->lease);
    redis_arg_c(a, kinds[e->kind]);
    redis_arg_c(a, again ? (later ? "delayed" : "ready") : states[e->kind]);
    redis_arg(a, buf_str(&p->meta));
    redis_arg_int(a, ttl_of(rec, e));
    redis_arg(a, e->error);
    redis_arg(a, e->result);
    redis_arg(a, buf_str(&p->message));
    redis_arg(a, buf_str(&p->list));
    add_run_at(a, e, now_wall);
    redis_arg_int(a, e->attempt);
    redis_arg(a, p->part.n ? p->of.group : str_n("", 0));
    redis_arg(a, buf_str(&p->part));
    if (p->of.group_index >= 0)
        redis_arg_int(a, p->of.group_index);
    else
        redis_arg_c(a, "+inf");
    redis_arg_c(a, p->expected);
    add_pairs(a, p->follow.pushes, p->follow.push_count);
    add_pairs(a, p->follow.results, p->follow.result_count);
}

/* The part would be the last of its chord: the body is made of those that are there and of it, for
 * another try. */
static void prepare_body(struct parcel *p, const redisReply *there)
{
    size_t count = there->elements / 2, n = 0;
    struct str *parts = mem_alloc((count + 1) * sizeof *parts);
    bool placed = false;
    for (size_t i = 0; i < count; i++) {
        struct str member = redis_item(there, 2 * i);
        long long score = INT64_MAX;
        str_int64(redis_item(there, 2 * i + 1), &score);
        if (str_eq(member, buf_str(&p->part)))
            continue;
        if (!placed && p->of.group_index >= 0 && score > p->of.group_index) {
            parts[n++] = buf_str(&p->part);
            placed = true;
        }
        parts[n++] = member;
    }
    snprintf(p->expected, sizeof p->expected, "%zu", placed ? n - 1 : n);
    if (!placed)
        parts[n++] = buf_str(&p->part);
    celery_follow_cut(&p->follow, p->pushes, p->results);
    celery_chord(&p->follow, &p->of, parts, n);
    mem_free(parts);
}

/* Reads how each of them went; a parcel that has to go again is left unsent. */
static void read_replies(struct parcel **sent, int count, const redisReply *reply)
{
    for (int i = 0; i < count && (size_t)i < reply->elements; i++) {
        const redisReply *one = reply->element[i];
        if (one->type == REDIS_REPLY_ARRAY) {
            prepare_body(sent[i], one);
            continue;
        }
        sent[i]->sent = true;
        bool refused = str_starts(redis_text(one), STR("error "));
        sent[i]->e->stale = refused || str_eq_c(redis_text(one), "stale");
        if (refused) /* what was not done of it comes again when the lease is over */
            log_error("jobs", "the end of job %lld: %.*s", (long long)sent[i]->e->claim->id,
                      (int)redis_text(one).n, redis_text(one).p);
    }
}

/* One call with as many as fit; *any: some are left. */
static bool send_some(struct redis_record *rec, struct redis *conn, struct parcel *parcels,
                      int count, bool *any, struct err *err)
{
    struct redis_args *a = mem_alloc(sizeof *a);
    struct parcel *sent[REDIS_ENDS];
    char number[24];
    int64_t now_wall = clock_wall_ns();
    int n = 0;
    a->count = a->number_count = 0;
    redis_arg_c(a, rec->prefix);
    redis_arg_int(a, now_wall);
    redis_arg_c(a, ""); /* the count, once it is known */
    *any = false;
    for (int i = 0; i < count; i++) {
        struct parcel *p = &parcels[i];
        int more = REDIS_END_FIELDS + 2 + 2 * (p->follow.push_count + p->follow.result_count);
        if (p->sent)
            continue;
        if (n == REDIS_ENDS || (n > 0 && redis_args_full(a, more))) {
            *any = true;
            break;
        }
        add(rec, a, p, now_wall);
        sent[n++] = p;
    }
    snprintf(number, sizeof number, "%d", n);
    a->p[2] = number;
    a->n[2] = strlen(number);
    redisReply *reply = n ? redis_eval(conn, &redis_end, a, err) : NULL;
    mem_free(a);
    if (reply) {
        read_replies(sent, n, reply);
        for (int i = 0; i < n; i++)
            *any |= !sent[i]->sent;
        freeReplyObject(reply);
    }
    return n == 0 || reply;
}

struct redis_parcel {
    struct parcel parcel; /* first */
};

struct redis_parcel *redis_parcel_make(struct redis_record *rec, struct ending *e)
{
    struct redis_parcel *p = mem_zero(1, sizeof *p);
    prepare(rec, &p->parcel, e, clock_wall_ns());
    return p;
}

void redis_parcel_args(struct redis_record *rec, const struct redis_parcel *p,
                       struct redis_args *args)
{
    add(rec, args, &p->parcel, clock_wall_ns());
}

void redis_parcel_complete(struct redis_parcel *p, const redisReply *there)
{
    prepare_body(&p->parcel, there);
}

void redis_parcel_free(struct redis_parcel *p)
{
    release(&p->parcel);
    mem_free(p);
}

bool redis_ends_all(struct redis_record *rec, struct redis *conn, struct ending *endings, int count,
                    struct err *err)
{
    struct parcel *parcels = mem_alloc((size_t)count * sizeof *parcels + 1);
    int64_t now_wall = clock_wall_ns();
    bool any = count > 0, ok = true;
    for (int i = 0; i < count; i++)
        prepare(rec, &parcels[i], &endings[i], now_wall);
    while (ok && any)
        ok = send_some(rec, conn, parcels, count, &any, err);
    for (int i = 0; i < count; i++)
        release(&parcels[i]);
    mem_free(parcels);
    return ok;
}
