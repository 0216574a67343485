#include "objects/object.h"

#include <sodium.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "objects/checksum.h"
#include "objects/ticket.h"

bool object_key_check(struct str key, struct err *err)
{
    if (key.n == 0 || key.n > OBJECT_KEY_BYTES)
        return err_set(err, ERR_LIMIT, "a key has 1 to %d bytes, not %zu", OBJECT_KEY_BYTES, key.n);
    if (!utf8_valid(key))
        return err_set(err, ERR_INVALID, "a key is UTF-8");
    for (size_t i = 0; i < key.n; i++)
        if ((unsigned char)key.p[i] < 0x20 || key.p[i] == 0x7f)
            return err_set(err, ERR_INVALID, "a key has no control characters");
    return true;
}

bool object_type_check(struct str type, struct err *err)
{
    if (type.n > OBJECT_TYPE_BYTES)
        return err_set(err, ERR_LIMIT, "a type has at most %d bytes", OBJECT_TYPE_BYTES);
    for (size_t i = 0; i < type.n; i++)
        if (type.p[i] < 0x20 || type.p[i] > 0x7e)
            return err_set(err, ERR_INVALID, "a type is printable ASCII, like image/png");
    return true;
}

static bool check_keys(const struct object_call *c, struct err *err)
{
    if (c->key_count > OBJECT_LIST)
        return err_set(err, ERR_LIMIT, "at most %d keys at once, not %d", OBJECT_LIST,
                       c->key_count);
    for (int i = 0; i < c->key_count; i++)
        if (!object_key_check(c->keys[i], err))
            return false;
    return true;
}

static bool check(const struct object_call *c, struct err *err)
{
    if (c->op == OBJECT_LIST_KEYS)
        return (c->key.n == 0 || object_key_check(c->key, err)) &&
               (c->after.n == 0 || object_key_check(c->after, err)) &&
               (c->delimiter.n == 0 || object_key_check(c->delimiter, err));
    if (c->op == OBJECT_DELETE_MANY)
        return check_keys(c, err);
    if (!object_key_check(c->key, err) || !object_type_check(c->type, err) ||
        (c->sha256.n && !checksum_hex_check(c->sha256, err)))
        return false;
    if (c->op == OBJECT_PUT && c->body.n > OBJECT_BODY_BYTES)
        return err_set(err, ERR_LIMIT,
                       "an object that is put at once has at most %d bytes, not %zu",
                       OBJECT_BODY_BYTES, c->body.n);
    return c->op != OBJECT_GET || (c->from >= 0 && c->n >= 0) ||
           err_set(err, ERR_INVALID, "from and n are not negative");
}

bool object_after_is_prefix(const struct object_call *c)
{
    size_t n = c->delimiter.n;
    return n && c->after.n >= c->key.n + n && str_starts(c->after, c->key) &&
           memcmp(c->after.p + c->after.n - n, c->delimiter.p, n) == 0;
}

void object_run(struct objects *store, struct object_call *call, struct lane *lane)
{
    call->store = store;
    call->lane = lane;
    call->err = (struct err){0};
    call->info = (struct object_info){0};
    call->out = call->text = (struct buf){0};
    call->items = NULL;
    call->count = 0;
    call->more = false;
    int before = atomic_fetch_add_explicit(&store->under_way, 1, memory_order_relaxed);
    if (before >= OBJECT_QUEUE)
        err_set(&call->err, ERR_BUSY, "%d calls of the object store are under way already", before);
    if (!call->err.code && check(call, &call->err))
        store->driver->run(store, call);
    else
        object_answer(call);
}

void object_call_free(struct object_call *call)
{
    buf_free(&call->out);
    buf_free(&call->text);
    mem_free(call->items);
    call->items = NULL;
}

static void on_call(struct lane_message *message)
{
    struct object_call *call = (struct object_call *)(void *)message;
    atomic_fetch_sub_explicit(&call->store->under_way, 1, memory_order_relaxed);
    call->done(call);
}

void object_answer(struct object_call *call)
{
    call->message.fn = on_call;
    lane_post(call->lane, &call->message);
}

/* -- uploads -- */

static void upload_finish(struct object_upload *u)
{
    u->busy = true;
    u->store->driver->upload_end(u);
}

static void on_upload(struct lane_message *message)
{
    struct object_upload *u = (struct object_upload *)(void *)message;
    u->busy = false;
    if (!u->store)
        u->ended(u);
    else if (u->ending)
        upload_finish(u);
    else
        u->ready(u);
}

void object_upload_answer(struct object_upload *u)
{
    u->message.fn = on_upload;
    lane_post(u->lane, &u->message);
}

void object_upload_begin(struct objects *store, struct object_upload *u, struct lane *lane)
{
    u->store = store;
    u->lane = lane;
    u->state = NULL;
    u->err = (struct err){0};
    u->info = (struct object_info){0};
    u->ending = u->commit = false;
    u->busy = true;
    if (object_key_check(u->key, &u->err) && object_type_check(u->type, &u->err))
        store->driver->upload_begin(u);
    else
        object_upload_answer(u);
}

void object_upload_write(struct object_upload *u, struct str bytes)
{
    invariant(!u->busy && !u->ending && !u->err.code);
    u->busy = true;
    if (u->checksum)
        checksum_add(u->checksum, bytes);
    u->store->driver->upload_write(u, bytes);
}

void object_upload_end(struct object_upload *u, bool commit)
{
    invariant(!u->ending && !(commit && (u->busy || u->err.code)));
    u->ending = true;
    u->commit = commit && (!u->checksum || checksum_holds(u->checksum, &u->err));
    if (!u->busy)
        upload_finish(u);
}

/* -- downloads -- */

static void download_finish(struct object_download *d)
{
    d->busy = true;
    if (d->state)
        d->store->driver->download_close(d);
    d->store = NULL;
    d->bytes = STR("");
    object_download_answer(d);
}

static void on_download(struct lane_message *message)
{
    struct object_download *d = (struct object_download *)(void *)message;
    d->busy = false;
    if (!d->store) {
        buf_free(&d->text);
        d->closed(d);
    } else if (d->closing)
        download_finish(d);
    else
        d->got(d);
}

void object_download_answer(struct object_download *d)
{
    d->message.fn = on_download;
    lane_post(d->lane, &d->message);
}

void object_download_begin(struct objects *store, struct object_download *d, struct lane *lane)
{
    d->store = store;
    d->lane = lane;
    d->state = NULL;
    d->err = (struct err){0};
    d->info = (struct object_info){0};
    d->bytes = STR("");
    d->text = (struct buf){0};
    d->closing = false;
    d->busy = true;
    if (!object_key_check(d->key, &d->err))
        object_download_answer(d);
    else if (d->from < 0 || d->n < 0) {
        err_set(&d->err, ERR_INVALID, "from and n are not negative");
        object_download_answer(d);
    } else
        store->driver->download_begin(d);
}

void object_download_next(struct object_download *d)
{
    invariant(!d->busy && !d->closing && !d->err.code);
    d->busy = true;
    d->store->driver->download_next(d);
}

void object_download_close(struct object_download *d)
{
    invariant(!d->closing);
    d->closing = true;
    if (!d->busy)
        download_finish(d);
}

void object_download_part(struct object_download *d, int64_t from, int64_t n)
{
    invariant(!d->busy && !d->closing && !d->err.code);
    d->store->driver->download_part(d, from, n);
}

/* -- URLs -- */

static bool check_presign(const struct object_presign *p, struct err *err)
{
    if (!object_key_check(p->key, err) || !object_type_check(p->type, err))
        return false;
    if (p->expires_s < 1 || p->expires_s > TICKET_SECONDS)
        return err_set(err, ERR_INVALID, "expires is 1 to %d seconds", TICKET_SECONDS);
    if (p->name.n > TICKET_NAME_BYTES)
        return err_set(err, ERR_LIMIT, "name has at most %d bytes", TICKET_NAME_BYTES);
    return p->name.n == 0 || object_key_check(p->name, err);
}

bool object_presign(struct objects *store, const struct object_presign *p, struct buf *out,
                    struct err *err)
{
    if (!check_presign(p, err))
        return false;
    if (store->driver->presign && store->driver->presign(store, p, out))
        return true;
    buf_add_c(out, store->public_url ? store->public_url : "");
    ticket_write(out,
                 &(struct ticket){.plugin = str_c(p->plugin),
                                  .key = p->key,
                                  .type = p->type,
                                  .name = p->name,
                                  .expires = clock_wall_ns() / NS_PER_SECOND + p->expires_s,
                                  .max = p->max_bytes,
                                  .put = p->put,
                                  .shown = p->shown},
                 store->ticket_key);
    return true;
}

void object_derive_key(unsigned char key[OBJECT_TICKET_KEY_BYTES], struct str secret)
{
    static const char label[] = "maru objects";
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, (const unsigned char *)secret.p, secret.n);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)label, sizeof label - 1);
    crypto_auth_hmacsha256_final(&state, key);
}

void objects_set_tickets(struct objects *store, const unsigned char *key, const char *url)
{
    memcpy(store->ticket_key, key, sizeof store->ticket_key);
    mem_free(store->public_url);
    store->public_url = mem_strdup(url);
}

static void begin_upkeep(void *arg)
{
    struct objects *store = arg;
    store->driver->begin(store);
}

static void end_upkeep(void *arg)
{
    struct objects *store = arg;
    store->driver->end(store);
}

void objects_begin(struct objects *store, struct lane *lane, const struct object_upkeep *upkeep)
{
    store->lane = lane;
    store->begun = true;
    store->upkeep = *upkeep;
    lane_call_wait(lane, begin_upkeep, store);
}

void objects_end(struct objects *store)
{
    if (store->begun)
        lane_call_wait(store->lane, end_upkeep, store);
    store->begun = false;
}

void objects_close(struct objects *store)
{
    if (!store)
        return;
    objects_end(store);
    mem_free(store->public_url);
    store->driver->close(store);
}
