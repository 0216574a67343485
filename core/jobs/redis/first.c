/* redis/first.c -- what is asked of a server before anything else. */
#include "jobs/redis/record.h"

#include "base/mem.h"
#include "base/rand.h"
#include "observe/log.h"

/* A line "name:value" of INFO. */
static struct str info_value(struct str info, const char *name)
{
    size_t n = strlen(name);
    while (info.n) {
        struct str line = str_trim(str_split(&info, '\n'));
        if (line.n > n && line.p[n] == ':' && memcmp(line.p, name, n) == 0)
            return str_n(line.p + n + 1, line.n - n - 1);
    }
    return str_n("", 0);
}

/* Celery's own page calls evicting policies acceptable; they take whole queues away. */
static bool check_server(struct redis *conn, struct err *err)
{
    redisReply *reply = redis_command(conn, err, "INFO");
    struct str info = redis_text(reply);
    struct str policy = info_value(info, "maxmemory_policy");
    bool ok = reply && (policy.n == 0 || str_eq_c(policy, "noeviction"));
    if (reply && !ok)
        err_set(err, ERR_INVALID,
                "jobs: Redis may throw queues away: its maxmemory-policy is %.*s, set noeviction",
                (int)policy.n, policy.p);
    if (ok && str_eq_c(info_value(info, "aof_enabled"), "0"))
        log_warn("jobs", "Redis keeps no append-only file: what is queued is lost when it stops "
                         "(set appendonly yes)");
    if (ok && info_value(info, "cluster_enabled").n &&
        !str_eq_c(info_value(info, "cluster_enabled"), "0")) {
        err_set(err, ERR_INVALID, "jobs: Redis Cluster is not supported: a step touches many keys");
        ok = false;
    }
    if (reply)
        freeReplyObject(reply);
    return ok;
}

static bool read_cluster(struct redis_record *rec, struct redis *conn, struct err *err)
{
    uint32_t fresh;
    rand_bytes(&fresh, sizeof fresh);
    redisReply *set = redis_command(conn, err, "SET %scluster %u NX", rec->prefix, fresh);
    redisReply *get = set ? redis_command(conn, err, "GET %scluster", rec->prefix) : NULL;
    rec->cluster = (uint32_t)redis_int(get);
    if (set)
        freeReplyObject(set);
    if (get)
        freeReplyObject(get);
    return get != NULL;
}

/* Once for a keyspace that an older maru made. */
static bool recount(struct redis_record *rec, struct redis *conn, struct err *err)
{
    struct redis_args *a = mem_zero(1, sizeof *a);
    redis_arg_c(a, rec->prefix);
    redisReply *reply = redis_eval(conn, &redis_recount, a, err);
    mem_free(a);
    if (reply)
        freeReplyObject(reply);
    return reply != NULL;
}

bool redis_first_look(struct redis_record *rec, struct err *err)
{
    struct redis *conn = NULL;
    bool ok = redis_reach(rec, &conn, "open", err) && check_server(conn, err) &&
              read_cluster(rec, conn, err) && redis_ids(rec, conn, err) && recount(rec, conn, err);
    redis_close(conn);
    return ok;
}
