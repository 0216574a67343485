/* pg_statement.c -- texts that were seen on a lane, and what their parameters are. */
#include "base/mem.h"
#include "storage/pg_private.h"
#include "storage/sql.h"

/* Words after which a statement does not only read; set_config and nextval change something. */
bool pgsql_reads(struct str sql)
{
    static const char *const writes[] = {"insert",  "update", "delete", "merge", "into",
                                         "nextval", "setval", "share",  "call"};
    struct str rest = sql, first = sql_token(&rest);
    if (!sql_is_word(first, "select") && !sql_is_word(first, "with") &&
        !sql_is_word(first, "values") && !sql_is_word(first, "table"))
        return false;
    for (struct str token = sql_token(&rest); token.n > 0; token = sql_token(&rest))
        for (size_t i = 0; i < sizeof writes / sizeof *writes; i++)
            if (sql_is_word(token, writes[i]))
                return false;
    return true;
}

static void forget(struct pgsql_lane *pool, struct pgsql_statement *stmt)
{
    map_remove(pool->statements, stmt->sql);
    list_remove(&stmt->link);
    pool->slots[stmt->slot] = NULL;
    mem_free((char *)(uintptr_t)stmt->sql.p);
    mem_free(stmt->params);
    for (int i = 0; i < PGSQL_FOLDS; i++)
        mem_free((char *)(uintptr_t)stmt->folded[i].p);
    mem_free(stmt);
}

/* The slot of what nobody uses and was used longest ago; -1: all are in use. */
static int free_slot(struct pgsql_lane *pool)
{
    if (pool->slot_count < PGSQL_STATEMENTS)
        return pool->slot_count++;
    list_each (link, &pool->used) {
        struct pgsql_statement *stmt = list_entry(link, struct pgsql_statement, link);
        if (stmt->refs)
            continue;
        int slot = stmt->slot;
        forget(pool, stmt);
        return slot;
    }
    return -1;
}

static bool may_run(struct pgsql_lane *pool, struct str sql, bool host, struct err *err)
{
    if (sql.n > STORE_SQL_BYTES)
        return err_set(err, ERR_LIMIT, "the statement is longer than %d bytes", STORE_SQL_BYTES);
    if (memchr(sql.p, 0, sql.n) || !utf8_valid(sql))
        return err_set(err, ERR_SQL, "the statement is not UTF-8 text");
    return host || !pool->db->check || pool->db->check(pool->db->arg, sql, err);
}

struct pgsql_statement *pgstatement_get(struct pgsql_lane *pool, const struct store_call *call,
                                        struct err *err)
{
    struct str sql = call->sql;
    struct pgsql_statement *stmt = map_get(pool->statements, sql);
    if ((!stmt || (stmt->host && !call->host)) && !may_run(pool, sql, call->host, err))
        return NULL;
    int slot = stmt ? stmt->slot : free_slot(pool);
    if (slot < 0) {
        err_set(err, ERR_BUSY, "%d different statements are under way", PGSQL_STATEMENTS);
        return NULL;
    }
    if (!stmt) {
        stmt = mem_zero(1, sizeof *stmt);
        stmt->sql = str_n(str_dup(sql), sql.n);
        stmt->slot = slot;
        stmt->version = ++pool->versions[slot];
        stmt->reads = pgsql_reads(sql);
        stmt->host = call->host;
        list_init(&stmt->waiters);
        list_init(&stmt->link);
        map_set(pool->statements, stmt->sql, stmt);
        pool->slots[slot] = stmt;
    }
    list_remove(&stmt->link);
    list_push_back(&pool->used, &stmt->link);
    stmt->refs++;
    return stmt;
}

void pgstatement_unref(struct pgsql_statement *stmt)
{
    if (stmt)
        stmt->refs--;
}

/* Its tables changed: what is prepared under its name is no longer used. */
void pgstatement_renew(struct pgsql_lane *pool, struct pgsql_statement *stmt)
{
    stmt->version = ++pool->versions[stmt->slot];
    stmt->of = 0;
    if (stmt->state == STMT_KNOWN)
        stmt->state = STMT_UNKNOWN;
}

void pgstatements_free(struct pgsql_lane *pool)
{
    for (int i = 0; i < pool->slot_count; i++)
        if (pool->slots[i])
            forget(pool, pool->slots[i]);
    map_destroy(pool->statements);
}
