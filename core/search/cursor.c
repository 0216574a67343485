/* cursor.c -- the place behind a hit: the values it was sorted by, as base64url of a JSON array. */
#include <sodium.h>

#include "base/json_pick.h"
#include "base/mem.h"
#include "search/private.h"

enum {
    CURSOR_BYTES = 32 << 10, /* of values whose letters are all escaped */
    VARIANT = sodium_base64_VARIANT_URLSAFE_NO_PADDING
};

void cursor_write(struct json *w, const struct search_value *values, int count,
                  const struct search_value *tie)
{
    struct buf text = {0};
    struct json list = json_to(&text);
    json_open(&list, '[');
    for (int i = 0; i < count; i++)
        value_write(&list, NULL, &values[i]);
    value_write(&list, NULL, tie);
    json_close(&list, ']');
    size_t bytes = sodium_base64_encoded_len(text.n, VARIANT);
    char *encoded = mem_alloc(bytes);
    sodium_bin2base64(encoded, bytes, (const unsigned char *)text.p, text.n, VARIANT);
    json_cstr(w, encoded);
    mem_free(encoded);
    buf_free(&text);
}

static void read_value(struct arena *arena, struct str json, struct search_value *out)
{
    *out = (struct search_value){.kind = SEARCH_ABSENT};
    if (json.p[0] == '"')
        *out = (struct search_value){.kind = SEARCH_STRING, .text = value_text(arena, json)};
    else if (json_pick_number(json, &out->number))
        out->kind = SEARCH_DOUBLE;
    else if (json.p[0] == 't' || json.p[0] == 'f')
        *out = (struct search_value){.kind = SEARCH_BOOL, .yes = json.p[0] == 't'};
}

bool cursor_read(struct arena *arena, struct str text, int count, struct search_value *values,
                 struct search_value *tie, struct err *err)
{
    static const struct json_events nothing;
    struct json_pick p;
    struct str item;
    size_t n = 0;
    int i = 0;
    char *bytes = arena_alloc(arena, text.n + 1);
    if (text.n > CURSOR_BYTES || sodium_base642bin((unsigned char *)bytes, text.n, text.p, text.n,
                                                   NULL, &n, NULL, VARIANT) != 0)
        return err_set(err, ERR_INVALID, "after is none of the places that find gave as next");
    struct str json = str_n(bytes, n);
    bool ok = json_read(json, 2, &nothing, NULL, err) && json_pick_open(&p, json, '[');
    for (; ok && json_pick_item(&p, &item); i++)
        if (i <= count)
            read_value(arena, item, i < count ? &values[i] : tie);
    if (!ok || i != count + 1)
        return err_set(err, ERR_INVALID, "after is a place of another query's");
    return true;
}
