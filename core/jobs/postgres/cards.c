/* postgres/cards.c -- what the nodes say of themselves, once a second. */
#include "jobs/driver.h"
#include "jobs/postgres/postgres.h"

/* Those of yesterday are forgotten. */
bool pg_see_cards(struct pg *pg, struct err *err)
{
    struct pg_args a = {0};
    struct shared_cards all = {0};
    pg_text(&a, pg->outbox.home);
    pg_int(&a, pg->lease_ns);
    PGresult *r =
        pg_call(&pg->to_ask,
                "WITH old AS (DELETE FROM maru.card WHERE seen_at < maru.now() - 86400000000000)"
                " SELECT card, seen_at, maru.now() - seen_at > $2 FROM maru.card"
                " WHERE home <> $1 AND seen_at >= maru.now() - 86400000000000 ORDER BY card",
                &a, err);
    for (int i = 0; r && i < PQntuples(r); i++)
        shared_cards_add(&all, pg_get(r, i, 0), pg_get_int(r, i, 1), *PQgetvalue(r, i, 2) == 't');
    if (r)
        shared_cards_end(pg->jobs, &all);
    PQclear(r);
    return r != NULL;
}
