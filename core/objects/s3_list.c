/* s3_list.c -- what is about many keys at once. */
#include <openssl/evp.h>
#include <sodium.h>
#include <stdlib.h>

#include "base/mem.h"
#include "objects/s3_private.h"

/* Behind every key that begins with a prefix: the last code point of all. */
static const char last_letter[] = "\xf4\x8f\xbf\xbf";

static struct s3 *store_of(const struct object_call *c)
{
    return (struct s3 *)c->store;
}

/* -- list -- */

/* Texts are offsets until all are there, since the buffer moves.  Keys that no plugin of maru can
 * have put are passed over. */
static struct object_info *add_key(struct object_call *c, struct str coded)
{
    struct buf key = {0};
    struct object_info *item = NULL;
    size_t plugin = strlen(c->plugin) + 1;
    if (url_decode(&key, coded) && key.n > plugin) {
        item = &c->items[c->count++];
        item->key.n = key.n - plugin;
        buf_add(&c->text, key.p + plugin, item->key.n);
    }
    buf_free(&key);
    return item;
}

static void add_item(struct object_call *c, struct str contents)
{
    struct object_info *item = add_key(c, xml_find(contents, "Key"));
    struct buf etag = {0};
    if (!item)
        return;
    xml_decode(&etag, xml_find(contents, "ETag"));
    struct str tag = buf_str(&etag), size = xml_find(contents, "Size");
    if (tag.n >= 2 && tag.p[0] == '"')
        tag = str_n(tag.p + 1, tag.n - 2);
    snprintf(item->etag, sizeof item->etag, "%.*s", (int)tag.n, tag.p ? tag.p : "");
    item->size = size.n ? strtoll(size.p, NULL, 10) : 0;
    item->at = xml_time(xml_find(contents, "LastModified"));
    buf_free(&etag);
}

static int by_key(const void *a, const void *b)
{
    return str_cmp(((const struct object_info *)a)->key, ((const struct object_info *)b)->key);
}

static void on_list(void *arg, const struct s3_answer *a)
{
    struct object_call *c = arg;
    if (a->err.code) {
        s3_call_failed(c, a);
        return;
    }
    struct str rest = a->body, inside;
    int limit = c->limit > 0 && c->limit < OBJECT_LIST ? c->limit : OBJECT_LIST;
    c->items = mem_zero((size_t)limit, sizeof *c->items);
    while (c->count < limit && xml_next(&rest, "Contents", &inside))
        add_item(c, inside);
    rest = a->body;
    while (c->count < limit && xml_next(&rest, "CommonPrefixes", &inside)) {
        struct object_info *item = add_key(c, xml_find(inside, "Prefix"));
        if (item)
            item->is_prefix = true;
    }
    const char *p = c->text.p;
    for (int i = 0; i < c->count; p += c->items[i++].key.n)
        c->items[i].key.p = p;
    if (c->count)
        qsort(c->items, (size_t)c->count, sizeof *c->items, by_key);
    c->more = str_eq_c(xml_find(a->body, "IsTruncated"), "true");
    object_answer(c);
}

void s3_list(struct object_call *c)
{
    struct s3_request r = {.method = "GET", .max_bytes = 16 << 20};
    char limit[16];
    struct buf prefix = {0}, after = {0};
    buf_printf(&prefix, "%s/%.*s", c->plugin, (int)c->key.n, c->key.p ? c->key.p : "");
    buf_printf(&after, "%s/%.*s%s", c->plugin, (int)c->after.n, c->after.p ? c->after.p : "",
               object_after_is_prefix(c) ? last_letter : "");
    snprintf(limit, sizeof limit, "%d",
             c->limit > 0 && c->limit < OBJECT_LIST ? c->limit : OBJECT_LIST);
    if (c->delimiter.n)
        s3_query(&r, "delimiter", c->delimiter);
    s3_query(&r, "encoding-type", STR("url")); /* XML cannot carry every key */
    s3_query(&r, "list-type", STR("2"));
    s3_query(&r, "max-keys", str_c(limit));
    s3_query(&r, "prefix", buf_str(&prefix));
    if (c->after.n)
        s3_query(&r, "start-after", buf_str(&after));
    s3_send(store_of(c), c->lane, &r, on_list, c);
    buf_free(&prefix);
    buf_free(&after);
}

/* -- delete many -- */

static void on_deleted(void *arg, const struct s3_answer *a)
{
    struct object_call *c = arg;
    if (a->err.code) {
        s3_call_failed(c, a);
        return;
    }
    c->count = c->key_count;
    object_answer(c);
}

void s3_delete_many(struct object_call *c)
{
    struct s3_request r = {.method = "POST"};
    struct buf body = {0};
    unsigned char md5[16];
    char sum[sodium_base64_ENCODED_LEN(sizeof md5, sodium_base64_VARIANT_ORIGINAL)];
    buf_add_c(&body, "<Delete><Quiet>true</Quiet>");
    for (int i = 0; i < c->key_count; i++) {
        buf_printf(&body, "<Object><Key>%s/", c->plugin);
        xml_encode(&body, c->keys[i]);
        buf_add_c(&body, "</Key></Object>");
    }
    buf_add_c(&body, "</Delete>");
    EVP_Digest(body.p, body.n, md5, NULL, EVP_md5(), NULL);
    sodium_bin2base64(sum, sizeof sum, md5, sizeof md5, sodium_base64_VARIANT_ORIGINAL);
    s3_query(&r, "delete", STR(""));
    s3_add_header(&r, "content-md5", str_c(sum));
    s3_add_header(&r, "content-type", STR("application/xml"));
    r.body = buf_str(&body);
    if (c->key_count)
        s3_send(store_of(c), c->lane, &r, on_deleted, c);
    else
        object_answer(c);
    buf_free(&body);
}
