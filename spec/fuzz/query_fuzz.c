/* Queries: whatever was typed is refused with a column or makes an expression that FTS5 accepts,
 * and marking text by it stays inside of the text. */
#include <sqlite3.h>

#define TEST_WITHOUT_MAIN
#include "search/fts.h"
#include "test.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int field_of(void *arg, struct str name)
{
    (void)arg;
    return str_eq_c(name, "title") ? 0 : str_eq_c(name, "n") ? QUERY_NOT_TEXT : QUERY_NO_FIELD;
}

static sqlite3_stmt *prepare(void)
{
    static sqlite3_stmt *stmt;
    struct err err;
    sqlite3 *db;
    if (stmt)
        return stmt;
    if (sqlite3_open(":memory:", &db) != SQLITE_OK || !fts_opened(db, &err) ||
        sqlite3_exec(db,
                     "create virtual table t using fts5(f_title, tokenize='maru');"
                     "insert into t values('맛집 star 서울 a')",
                     NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(db, "select bm25(t) from t where t match ?1", -1, &stmt, NULL) !=
            SQLITE_OK)
        abort();
    return stmt;
}

static void check_match(const struct query_node *root)
{
    struct search_field fields[] = {{"title", SEARCH_TEXT, NULL}};
    struct search_index index = {.fields = fields, .field_count = 1};
    struct buf match = {0};
    fts_match(&match, &index, root);
    sqlite3_stmt *stmt = prepare();
    sqlite3_reset(stmt);
    sqlite3_bind_text(stmt, 1, match.p, (int)match.n, SQLITE_STATIC);
    int rc = sqlite3_step(stmt);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        abort();
    sqlite3_reset(stmt);
    buf_free(&match);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str text = str_n((const char *)data, n);
    struct arena *arena = arena_create();
    struct query_node *root = NULL;
    struct err err = {0};
    if (query_parse(arena, text, field_of, NULL, &root, &err)) {
        struct buf out = {0};
        struct json w = json_to(&out);
        highlight_write(&w, root, 0, text);
        buf_free(&out);
        if (root)
            check_match(root);
    } else if (!err.code || !err.message[0]) {
        abort();
    }
    arena_destroy(arena);
    return 0;
}
