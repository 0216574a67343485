#include "storage/store.h"

#include "storage/migrate.h"

void store_run(struct store *store, struct store_call *call, struct lane *lane)
{
    call->lane = lane;
    call->rows = NULL;
    call->changed = 0;
    err_clear(&call->err);
    store->driver->run(store, call);
}

void store_tx_begin(struct store *store, struct store_tx *tx, struct lane *lane)
{
    tx->store = store;
    tx->lane = lane;
    tx->again = tx->ending = false;
    list_init(&tx->followers);
    err_clear(&tx->err);
    store->driver->tx_begin(store, tx);
}

void store_tx_run(struct store_tx *tx, struct store_call *call)
{
    call->lane = tx->lane;
    call->rows = NULL;
    call->changed = 0;
    err_clear(&call->err);
    tx->store->driver->tx_run(tx, call);
}

void store_tx_end(struct store_tx *tx, bool commit)
{
    tx->ending = true;
    tx->store->driver->tx_end(tx, commit);
}

void store_tx_follow(struct store_tx *tx, struct store_follower *follower)
{
    list_push_back(&tx->followers, &follower->link);
}

void store_tx_tell(struct store_tx *tx, bool committed)
{
    list_each_safe (link, &tx->followers) {
        list_remove(link);
        struct store_follower *follower = list_entry(link, struct store_follower, link);
        follower->ended(follower, committed);
    }
}

bool store_migrate(struct store *store, const char *plugin, const struct migration *migrations,
                   int count, struct err *err)
{
    return store->driver->migrate(store, plugin, migrations, count, false, err);
}

bool store_migrate_check(struct store *store, const char *plugin,
                         const struct migration *migrations, int count, struct err *err)
{
    return store->driver->migrate(store, plugin, migrations, count, true, err);
}

bool store_migrations_ahead(struct store *store, const char *plugin,
                            const struct migration *migrations, int count, struct buf *names,
                            struct err *err)
{
    return store->driver->ahead(store, plugin, migrations, count, names, err);
}

void store_close(struct store *store)
{
    if (store)
        store->driver->close(store);
}
