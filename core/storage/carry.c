#include "storage/carry.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "storage/carry_private.h"
#include "storage/postgres.h"

/* The comment makes the text nobody's but ours: store_call.host. */
static const char insert_sql[] =
    "/* maru */ insert into maru_outbox(id, home, noun, body) values ($1, $2, $3, $4)";

/* `at` is when it came, then when it was last claimed.  By seq, which has the index.  Rows behind
 * the first CARRY_BYTES are left for the next time. */
static const char claim_format[] =
    "/* maru */ with p as (select seq, octet_length(body) as n from \"%s\".maru_outbox"
    " where seq > $2 and (taker = $1 or at < now() - interval '%d seconds' or taker is null and"
    " (home = $1 or at < now() - interval '%d seconds')) order by seq limit %d for update skip "
    "locked),"
    " q as (select seq from (select seq, sum(n) over (order by seq) - n as before from p) w"
    " where before < %d), c as (update \"%s\".maru_outbox o set taker = $1, at = now()"
    " from q"
    " where o.seq = q.seq returning o.seq, o.id, o.home, o.noun, o.body)"
    " select id, home, noun, body, seq from c order by seq";
static const char delete_format[] = "/* maru */ delete from \"%s\".maru_outbox where seq = $1";

/* -- fields ----------------------------------------------------------------------------------- */

void carry_text(struct buf *body, struct str text)
{
    buf_printf(body, "%zu:", text.n);
    buf_add_str(body, text);
}

void carry_int(struct buf *body, int64_t n)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)n);
    carry_text(body, str_c(text));
}

struct str carry_next(struct str *body)
{
    long long n = 0;
    if (!str_int64(str_split(body, ':'), &n) || n < 0 || (size_t)n > body->n) {
        *body = STR("");
        return STR("");
    }
    struct str field = str_n(body->p, (size_t)n);
    *body = str_n(body->p + n, body->n - (size_t)n);
    return field;
}

int64_t carry_next_int(struct str *body)
{
    long long n = 0;
    str_int64(carry_next(body), &n);
    return n;
}

/* -- a row into a transaction ----------------------------------------------------------------- */

static void on_wake(struct lane_message *message)
{
    struct carry *carry = list_entry(message, struct carry, message);
    size_t at = 0;
    struct str name;
    void *value;
    pthread_mutex_lock(&carry->lock);
    carry->posted = false;
    while (map_next(carry->plugins, &at, &name, &value)) {
        struct carried *c = value;
        if (!c->wanted || c->busy || carry->stopped)
            continue;
        c->after = c->fails ? c->last : 0;  /* behind those that wait */
        pthread_mutex_unlock(&carry->lock); /* only this lane changes the map */
        carried_begin(c);
        pthread_mutex_lock(&carry->lock);
    }
    pthread_mutex_unlock(&carry->lock);
}

static void wake(struct carry *carry, const char *plugin)
{
    pthread_mutex_lock(&carry->lock);
    struct carried *c = map_get(carry->plugins, str_c(plugin));
    if (c)
        c->wanted = true;
    bool post = c && !carry->posted;
    carry->posted = carry->posted || post;
    pthread_mutex_unlock(&carry->lock);
    if (post) {
        carry->message.fn = on_wake;
        lane_post(carry->options.lane, &carry->message);
    }
}

static void on_ended(struct store_follower *follower, bool committed)
{
    struct carry_put *put = list_entry(follower, struct carry_put, follower);
    struct carry *carry = put->carry;
    char *plugin = put->plugin;
    bool kept = committed && !put->call.err.code;
    buf_free(&put->body);
    put->plugin = NULL;
    put->ended(put, kept);
    if (kept)
        wake(carry, plugin);
    mem_free(plugin);
}

static void on_inserted(struct store_call *call)
{
    struct carry_put *put = list_entry(call, struct carry_put, call);
    put->ran(put);
}

static struct value text_value(struct str s)
{
    return (struct value){.type = VALUE_TEXT, .s = s.p ? s : STR("")};
}

bool carry_insert(struct carry *carry, struct carry_put *put, struct store_tx *tx, const char *noun,
                  struct buf *body, struct err *err)
{
    if (body->n > CARRY_BYTES) {
        buf_free(body);
        return err_set(err, ERR_LIMIT,
                       "what one call gives a transaction of PostgreSQL has at most %d MB",
                       CARRY_BYTES >> 20);
    }
    rand_uuid7(put->id);
    put->carry = carry;
    put->plugin = mem_strdup(tx->plugin);
    put->body = *body;
    *body = (struct buf){0};
    put->values[0] = text_value(str_c(put->id));
    put->values[1] = text_value(str_c(carry->home));
    put->values[2] = text_value(str_c(noun));
    put->values[3] = text_value(buf_str(&put->body));
    put->follower.ended = on_ended;
    store_tx_follow(tx, &put->follower);
    put->call = (struct store_call){.sql = str_c(insert_sql),
                                    .mode = STORE_EXEC,
                                    .host = true,
                                    .params = put->values,
                                    .param_count = 4,
                                    .done = on_inserted};
    store_tx_run(tx, &put->call);
    return true;
}

/* -- life ------------------------------------------------------------------------------------- */

static bool make_tables(struct sqlite_conn *conn, void *arg, struct err *err)
{
    struct carry *carry = arg;
    static const char tables[] =
        "CREATE TABLE IF NOT EXISTS maru_job_home(home TEXT PRIMARY KEY);"
        "CREATE TABLE IF NOT EXISTS maru_outbox_taken(id TEXT PRIMARY KEY) WITHOUT ROWID";
    if (!sqlite_exec(conn, tables, err))
        return false;
    sqlite3_stmt *s = sqlite_prepared(conn, "SELECT home FROM maru_job_home", err);
    bool there = s && sqlite_step(conn, s, err) == SQLITE_ROW;
    if (there)
        snprintf(carry->home, sizeof carry->home, "%s", (const char *)sqlite3_column_text(s, 0));
    sqlite3_reset(s);
    if (there || !s)
        return there;
    rand_uuid7(carry->home);
    if (!(s = sqlite_prepared(conn, "INSERT INTO maru_job_home VALUES(?1)", err)))
        return false;
    sqlite3_bind_text(s, 1, carry->home, -1, SQLITE_STATIC);
    int rc = sqlite_step(conn, s, err);
    sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

struct carry *carry_open(const struct carry_options *options, struct err *err)
{
    struct carry *carry = mem_zero(1, sizeof *carry);
    carry->options = *options;
    carry->db = store_sqlite(options->local);
    carry->plugins = map_create();
    pthread_mutex_init(&carry->lock, NULL);
    if (sqlite_work_wait(carry->db, make_tables, carry, err))
        return carry;
    carry_close(carry);
    return NULL;
}

void carry_add(struct carry *carry, const struct carry_noun *noun)
{
    invariant(carry->noun_count < CARRY_NOUNS);
    carry->nouns[carry->noun_count++] = *noun;
}

static void on_time(struct timer *timer)
{
    struct carried *c = list_entry(timer, struct carried, timer);
    c->after = c->again_ns = 0;
    if (!c->busy && !c->carry->stopped)
        carried_begin(c);
}

void carry_follow(struct carry *carry, const char *plugin)
{
    char schema[POSTGRES_NAME_BYTES + 1];
    pthread_mutex_lock(&carry->lock);
    struct carried *c = map_get(carry->plugins, str_c(plugin));
    bool fresh = c == NULL;
    if (fresh) {
        c = mem_zero(1, sizeof *c);
        c->carry = carry;
        c->plugin = mem_strdup(plugin);
        postgres_schema(schema, plugin);
        c->claim_sql = mem_printf(claim_format, schema, CARRY_LOST_S, CARRY_ALONE_S, CARRY_ROWS,
                                  CARRY_BYTES, schema);
        c->delete_sql = mem_printf(delete_format, schema);
        c->timer.fire = on_time;
        c->timer.upkeep = true;
        map_set(carry->plugins, str_c(c->plugin), c);
    }
    pthread_mutex_unlock(&carry->lock);
    if (fresh && !carry->stopped)
        carried_begin(c);
}

void carry_stop(struct carry *carry)
{
    size_t at = 0;
    struct str name;
    void *value;
    carry->stopped = true;
    while (map_next(carry->plugins, &at, &name, &value))
        timer_stop(carry->options.lane, &((struct carried *)value)->timer);
}

bool carry_is_quiet(const struct carry *carry)
{
    size_t at = 0;
    struct str name;
    void *value;
    while (map_next(carry->plugins, &at, &name, &value))
        if (((struct carried *)value)->busy)
            return false;
    return true;
}

void carry_close(struct carry *carry)
{
    size_t at = 0;
    struct str name;
    void *value;
    while (map_next(carry->plugins, &at, &name, &value)) {
        struct carried *c = value;
        rows_free(c->rows);
        mem_free(c->plugin);
        mem_free(c->claim_sql);
        mem_free(c->delete_sql);
        mem_free(c);
    }
    map_destroy(carry->plugins);
    pthread_mutex_destroy(&carry->lock);
    mem_free(carry);
}
