#include "objects/ticket.h"

#include <sodium.h>
#include <string.h>

#include "base/mem.h"
#include "http/request.h"
#include "objects/sigv4.h"

enum { HEX = 2 * crypto_auth_hmacsha256_BYTES };

static void sign(char out[HEX + 1], const struct ticket *t, const unsigned char *key)
{
    unsigned char sum[crypto_auth_hmacsha256_BYTES];
    struct buf text = {0};
    buf_printf(&text, "%s\n%.*s\n%.*s\n%lld\n%lld\n%.*s\n%.*s\n%d", t->put ? "PUT" : "GET",
               (int)t->plugin.n, t->plugin.p, (int)t->key.n, t->key.p, (long long)t->expires,
               (long long)t->max, (int)t->type.n, t->type.n ? t->type.p : "", (int)t->name.n,
               t->name.n ? t->name.p : "", t->shown);
    crypto_auth_hmacsha256(sum, (const unsigned char *)text.p, text.n, key);
    sodium_bin2hex(out, HEX + 1, sum, sizeof sum);
    buf_free(&text);
}

static void add(struct buf *out, const char *name, struct str value)
{
    buf_printf(out, "&%s=", name);
    sigv4_encode(out, value, false);
}

void ticket_write(struct buf *out, const struct ticket *t, const unsigned char *key)
{
    char signature[HEX + 1];
    sign(signature, t, key);
    buf_printf(out, "/objects/%.*s?key=", (int)t->plugin.n, t->plugin.p);
    sigv4_encode(out, t->key, false);
    buf_printf(out, "&expires=%lld", (long long)t->expires);
    if (t->type.n)
        add(out, "type", t->type);
    if (t->max)
        buf_printf(out, "&max=%lld", (long long)t->max);
    if (t->name.n)
        add(out, "name", t->name);
    if (t->shown)
        buf_add_c(out, "&inline=1");
    buf_printf(out, "&signature=%s", signature);
}

/* Where a value is in the text, until all are there and it does not move any more. */
struct span {
    size_t at, n;
};

struct raw {
    struct span key, type, name, signature;
    long long expires, max;
    bool shown, bad;
};

static void take(struct raw *raw, struct buf *text, struct str name, struct str value)
{
    static const char *const texts[] = {"key", "type", "name", "signature"};
    struct span *spans[] = {&raw->key, &raw->type, &raw->name, &raw->signature};
    for (int i = 0; i < 4; i++)
        if (str_eq_c(name, texts[i])) {
            *spans[i] = (struct span){text->n, value.n};
            buf_add_str(text, value);
            return;
        }
    if (str_eq_c(name, "expires"))
        raw->bad = raw->bad || !str_int64(value, &raw->expires);
    else if (str_eq_c(name, "max"))
        raw->bad = raw->bad || !str_int64(value, &raw->max);
    else if (str_eq_c(name, "inline"))
        raw->shown = str_eq_c(value, "1");
}

bool ticket_read(struct ticket *t, struct str plugin, bool put, struct str query, int64_t now,
                 const unsigned char *key, struct buf *text, struct err *err)
{
    struct raw raw = {.bad = false};
    struct buf scratch = {0};
    struct str name, value;
    size_t at = 0;
    bool bad = false;
    while (query_next(query, &at, &scratch, &name, &value, &bad))
        take(&raw, text, name, value);
    buf_free(&scratch);
    if (bad || raw.bad || !raw.key.n || !raw.expires || raw.signature.n != HEX)
        return err_set(err, ERR_INVALID, "this is no address that was given out");
    *t = (struct ticket){.plugin = plugin,
                         .key = str_n(text->p + raw.key.at, raw.key.n),
                         .type = str_n(text->p + raw.type.at, raw.type.n),
                         .name = str_n(text->p + raw.name.at, raw.name.n),
                         .expires = raw.expires,
                         .max = raw.max,
                         .put = put,
                         .shown = raw.shown};
    char wanted[HEX + 1];
    sign(wanted, t, key);
    if (sodium_memcmp(wanted, text->p + raw.signature.at, HEX) != 0)
        return err_set(err, ERR_FORBIDDEN, "the signature is not one of this address and method");
    return now < t->expires ||
           err_set(err, ERR_TIMEOUT, "the address was good until %lld", (long long)t->expires);
}

bool ticket_is_harmless(struct str type)
{
    static const char *const known[] = {"image/png",  "image/jpeg", "image/gif",  "image/webp",
                                        "image/avif", "text/plain", "audio/mpeg", "audio/ogg",
                                        "video/mp4",  "video/webm"};
    struct str bare = str_n(type.p, str_find(type, ';'));
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_eq_c(str_trim(bare), known[i]))
            return true;
    return false;
}

void ticket_disposition(struct buf *out, struct str name, bool shown)
{
    buf_add_c(out, shown ? "inline" : "attachment");
    if (!name.n)
        return;
    buf_add_c(out, "; filename*=UTF-8''");
    sigv4_encode(out, name, false);
}
