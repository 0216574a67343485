/* fts_words.c -- what connections to search.db know beyond SQLite: words as text.h cuts them. */
#include <math.h>
#include <sqlite3.h>

#include "search/fts.h"
#include "search/text.h"

struct taking {
    void *arg;
    int (*token)(void *arg, int flags, const char *text, int bytes, int start, int end);
    int rc;
};

static bool take_word(void *arg, const struct text_word *word)
{
    struct taking *t = arg;
    t->rc = t->token(t->arg, word->colocated ? FTS5_TOKEN_COLOCATED : 0, word->text.p,
                     (int)word->text.n, (int)word->start, (int)word->end);
    return t->rc == SQLITE_OK;
}

static int tokenize(Fts5Tokenizer *self, void *arg, int flags, const char *text, int bytes,
                    int (*token)(void *, int, const char *, int, int, int))
{
    struct taking t = {arg, token, SQLITE_OK};
    (void)self;
    text_words(str_n(text, text ? (size_t)bytes : 0),
               flags & FTS5_TOKENIZE_QUERY ? TEXT_QUERY : TEXT_DOCUMENT, take_word, &t);
    return t.rc;
}

static int tokenizer_create(void *arg, const char **words, int count, Fts5Tokenizer **out)
{
    static char it; /* it keeps nothing, but FTS5 takes NULL for a failure */
    (void)arg;
    (void)words;
    (void)count;
    *out = (Fts5Tokenizer *)&it;
    return SQLITE_OK;
}

static void tokenizer_delete(Fts5Tokenizer *self)
{
    (void)self;
}

/* search_decay(at, now, half): 1 now, 0.5 after `half`; 1 without a time. */
static void decay(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count;
    double age = fabs(sqlite3_value_double(values[1]) - sqlite3_value_double(values[0]));
    bool none = sqlite3_value_type(values[0]) == SQLITE_NULL;
    sqlite3_result_double(context, none ? 1 : exp2(-age / sqlite3_value_double(values[2])));
}

static fts5_api *api_of(sqlite3 *db)
{
    fts5_api *api = NULL;
    sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v2(db, "select fts5(?1)", -1, &stmt, NULL) == SQLITE_OK) {
        sqlite3_bind_pointer(stmt, 1, (void *)&api, "fts5_api_ptr", NULL);
        sqlite3_step(stmt);
    }
    sqlite3_finalize(stmt);
    return api;
}

bool fts_opened(sqlite3 *db, struct err *err)
{
    static fts5_tokenizer tokenizer = {tokenizer_create, tokenizer_delete, tokenize};
    fts5_api *api = api_of(db);
    if (!api)
        return err_set(err, ERR_SQL, "this SQLite was built without FTS5");
    int rc = api->xCreateTokenizer(api, "maru", NULL, &tokenizer, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_create_function_v2(db, "search_decay", 3,
                                        SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, NULL,
                                        decay, NULL, NULL, NULL);
    return rc == SQLITE_OK || err_set(err, ERR_SQL, "%s", sqlite3_errmsg(db));
}
