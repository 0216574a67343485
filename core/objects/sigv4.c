#include "objects/sigv4.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"

enum { HASH = crypto_hash_sha256_BYTES };

void sigv4_time(char out[SIGV4_TIME + 1], int64_t at)
{
    time_t seconds = (time_t)at;
    struct tm tm;
    gmtime_r(&seconds, &tm);
    strftime(out, SIGV4_TIME + 1, "%Y%m%dT%H%M%SZ", &tm);
}

void sigv4_hash(char out[SIGV4_HEX + 1], struct str bytes)
{
    unsigned char hash[HASH];
    crypto_hash_sha256(hash, (const unsigned char *)(bytes.p ? bytes.p : ""), bytes.n);
    sodium_bin2hex(out, SIGV4_HEX + 1, hash, HASH);
}

void sigv4_encode(struct buf *out, struct str text, bool slash)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                     (c && strchr("-_.~", c)) || (slash && c == '/');
        if (plain) {
            buf_add_char(out, (char)c);
        } else {
            char coded[3] = {'%', hex[c >> 4], hex[c & 15]};
            buf_add(out, coded, sizeof coded);
        }
    }
}

void sigv4_query(struct buf *out, const struct sigv4_pair *pairs, int count)
{
    for (int i = 0; i < count; i++) {
        if (i)
            buf_add_char(out, '&');
        sigv4_encode(out, pairs[i].name, false);
        buf_add_char(out, '=');
        sigv4_encode(out, pairs[i].value, false);
    }
}

static int compare_text(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

/* An encoded pair: "%" is less than all letters, as the encoded texts are compared. */
struct coded {
    struct buf name, value;
};

static int by_code(const void *a, const void *b)
{
    const struct coded *x = a, *y = b;
    int order = compare_text(buf_str(&x->name), buf_str(&y->name));
    return order ? order : compare_text(buf_str(&x->value), buf_str(&y->value));
}

static void add_query(struct buf *out, const struct sigv4_pair *pairs, int count)
{
    struct coded *coded = mem_zero((size_t)count + 1, sizeof *coded);
    for (int i = 0; i < count; i++) {
        sigv4_encode(&coded[i].name, pairs[i].name, false);
        sigv4_encode(&coded[i].value, pairs[i].value, false);
    }
    qsort(coded, (size_t)count, sizeof *coded, by_code);
    for (int i = 0; i < count; i++) {
        if (i)
            buf_add_char(out, '&');
        buf_add_str(out, buf_str(&coded[i].name));
        buf_add_char(out, '=');
        buf_add_str(out, buf_str(&coded[i].value));
        buf_free(&coded[i].name);
        buf_free(&coded[i].value);
    }
    mem_free(coded);
}

/* Trimmed, and runs of white space are one blank. */
static void add_value(struct buf *out, struct str value)
{
    bool blank = false, any = false;
    for (size_t i = 0; i < value.n; i++) {
        if (strchr(" \t\r\n", value.p[i])) {
            blank = true;
            continue;
        }
        if (blank && any)
            buf_add_char(out, ' ');
        buf_add_char(out, value.p[i]);
        blank = false;
        any = true;
    }
}

struct placed { /* headers of one name stay in their order */
    const struct sigv4_pair *pair;
    int at;
};

static int by_name(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;
    int order = compare_text(x->pair->name, y->pair->name);
    return order ? order : x->at - y->at;
}

static struct placed *sorted_headers(const struct sigv4_request *r)
{
    struct placed *sorted = mem_zero((size_t)r->header_count + 1, sizeof *sorted);
    for (int i = 0; i < r->header_count; i++)
        sorted[i] = (struct placed){&r->headers[i], i};
    qsort(sorted, (size_t)r->header_count, sizeof *sorted, by_name);
    return sorted;
}

static bool is_first(const struct placed *sorted, int i)
{
    return i == 0 || !str_eq(sorted[i].pair->name, sorted[i - 1].pair->name);
}

static void add_names(struct buf *out, const struct sigv4_request *r)
{
    struct placed *sorted = sorted_headers(r);
    for (int i = 0; i < r->header_count; i++) {
        if (!is_first(sorted, i))
            continue;
        if (i)
            buf_add_char(out, ';');
        buf_add_str(out, sorted[i].pair->name);
    }
    mem_free(sorted);
}

static void add_headers(struct buf *out, const struct sigv4_request *r)
{
    struct placed *sorted = sorted_headers(r);
    for (int i = 0; i < r->header_count; i++) {
        if (is_first(sorted, i)) {
            if (i)
                buf_add_char(out, '\n');
            buf_add_str(out, sorted[i].pair->name);
            buf_add_char(out, ':');
        } else
            buf_add_char(out, ',');
        add_value(out, sorted[i].pair->value);
    }
    buf_add_char(out, '\n');
    mem_free(sorted);
}

void sigv4_canonical(struct buf *out, const struct sigv4_request *r)
{
    buf_add_str(out, r->method);
    buf_add_char(out, '\n');
    sigv4_encode(out, r->path, true);
    buf_add_char(out, '\n');
    add_query(out, r->query, r->query_count);
    buf_add_char(out, '\n');
    add_headers(out, r);
    buf_add_char(out, '\n');
    add_names(out, r);
    buf_add_char(out, '\n');
    buf_add_str(out, r->payload);
}

static void add_scope(struct buf *out, const struct sigv4_keys *keys, int64_t at)
{
    char when[SIGV4_TIME + 1];
    sigv4_time(when, at);
    buf_printf(out, "%.8s/%.*s/%.*s/aws4_request", when, (int)keys->region.n, keys->region.p,
               (int)keys->service.n, keys->service.p);
}

void sigv4_to_sign(struct buf *out, const struct sigv4_keys *keys, const struct sigv4_request *r,
                   struct str canonical)
{
    char when[SIGV4_TIME + 1], hash[SIGV4_HEX + 1];
    sigv4_time(when, r->at);
    sigv4_hash(hash, canonical);
    buf_printf(out, "AWS4-HMAC-SHA256\n%s\n", when);
    add_scope(out, keys, r->at);
    buf_printf(out, "\n%s", hash);
}

static void hmac(unsigned char out[HASH], const void *key, size_t key_n, struct str text)
{
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, key, key_n);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)text.p, text.n);
    crypto_auth_hmacsha256_final(&state, out);
}

static void sign(char out[SIGV4_HEX + 1], const struct sigv4_keys *keys,
                 const struct sigv4_request *r)
{
    struct buf canonical = {0}, text = {0}, secret = {0};
    unsigned char key[HASH];
    char when[SIGV4_TIME + 1];
    sigv4_canonical(&canonical, r);
    sigv4_to_sign(&text, keys, r, buf_str(&canonical));
    sigv4_time(when, r->at);
    buf_add_c(&secret, "AWS4");
    buf_add_str(&secret, keys->secret);
    hmac(key, secret.p, secret.n, str_n(when, 8));
    hmac(key, key, HASH, keys->region);
    hmac(key, key, HASH, keys->service);
    hmac(key, key, HASH, STR("aws4_request"));
    hmac(key, key, HASH, buf_str(&text));
    sodium_bin2hex(out, SIGV4_HEX + 1, key, HASH);
    sodium_memzero(secret.p, secret.n);
    buf_free(&secret);
    buf_free(&canonical);
    buf_free(&text);
}

void sigv4_authorization(struct buf *out, const struct sigv4_keys *keys,
                         const struct sigv4_request *r)
{
    char signature[SIGV4_HEX + 1];
    sign(signature, keys, r);
    buf_printf(out, "AWS4-HMAC-SHA256 Credential=%.*s/", (int)keys->id.n, keys->id.p);
    add_scope(out, keys, r->at);
    buf_add_c(out, ", SignedHeaders=");
    add_names(out, r);
    buf_printf(out, ", Signature=%s", signature);
}

void sigv4_presign(struct buf *out, const struct sigv4_keys *keys, const struct sigv4_request *r,
                   int64_t expires)
{
    struct buf credential = {0}, names = {0};
    char when[SIGV4_TIME + 1], seconds[24], signature[SIGV4_HEX + 1];
    int count = r->query_count;
    struct sigv4_pair *pairs = mem_zero((size_t)count + 6, sizeof *pairs);
    sigv4_time(when, r->at);
    snprintf(seconds, sizeof seconds, "%lld", (long long)expires);
    buf_printf(&credential, "%.*s/", (int)keys->id.n, keys->id.p);
    add_scope(&credential, keys, r->at);
    add_names(&names, r);
    if (count)
        memcpy(pairs, r->query, (size_t)count * sizeof *pairs);
    pairs[count++] = (struct sigv4_pair){STR("X-Amz-Algorithm"), STR("AWS4-HMAC-SHA256")};
    pairs[count++] = (struct sigv4_pair){STR("X-Amz-Credential"), buf_str(&credential)};
    pairs[count++] = (struct sigv4_pair){STR("X-Amz-Date"), str_c(when)};
    pairs[count++] = (struct sigv4_pair){STR("X-Amz-Expires"), str_c(seconds)};
    pairs[count++] = (struct sigv4_pair){STR("X-Amz-SignedHeaders"), buf_str(&names)};
    if (keys->token.n)
        pairs[count++] = (struct sigv4_pair){STR("X-Amz-Security-Token"), keys->token};
    struct sigv4_request signed_request = *r;
    signed_request.query = pairs;
    signed_request.query_count = count;
    sign(signature, keys, &signed_request);
    sigv4_query(out, pairs, count);
    buf_printf(out, "&X-Amz-Signature=%s", signature);
    mem_free(pairs);
    buf_free(&names);
    buf_free(&credential);
}
