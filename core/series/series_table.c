/* series_table.c -- declarations, and the tables that follow them. */
#include <stdlib.h>

#include "base/mem.h"
#include "series/series_private.h"

void series_ref(struct series *s)
{
    __atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
}

static void free_texts(char **texts, int count)
{
    for (int i = 0; i < count; i++)
        mem_free(texts[i]);
    mem_free(texts);
}

void series_unref(struct series *s)
{
    if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    mem_free(s->plugin);
    mem_free(s->name);
    mem_free(s->table);
    free_texts(s->keys, s->key_count);
    free_texts(s->values, s->value_count);
    mem_free(s->layout);
    mem_free(s->parts.starts);
    mem_free(s);
}

static char **copy_texts(char *const *texts, int count)
{
    char **copy = mem_zero((size_t)count + 1, sizeof *copy);
    for (int i = 0; i < count; i++)
        copy[i] = mem_strdup(texts[i]);
    return copy;
}

/* A name that is too long for the driver ends in what tells it from others. */
static char *table_name(const struct series_driver *driver, const char *plugin, const char *name)
{
    static const uint64_t key[2] = {0x6d617275, 0x73657269};
    char *whole = mem_printf("%s__%s", plugin, name);
    if (!driver->names || strlen(whole) <= SERIES_NAME_MOST)
        return whole;
    char *cut = mem_printf("%.*s~%016llx", SERIES_NAME_MOST - 17, whole,
                           (unsigned long long)hash_keyed(key, whole, strlen(whole)));
    mem_free(whole);
    return cut;
}

static struct series *series_make(const struct series_driver *driver, const char *plugin,
                                  const struct series_schema *schema)
{
    struct series *s = mem_zero(1, sizeof *s);
    s->refs = 1;
    s->plugin = mem_strdup(plugin);
    s->name = mem_strdup(schema->name);
    s->table = table_name(driver, plugin, schema->name);
    s->keys = copy_texts(schema->keys, schema->key_count);
    s->key_count = schema->key_count;
    s->values = copy_texts(schema->values, schema->value_count);
    s->value_count = schema->value_count;
    s->retention_ns = schema->retention_ns;
    return s;
}

static bool is_name(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return name[0] >= 'a' && name[0] <= 'z' && name[n] == '\0' && n <= SERIES_NAME_BYTES;
}

static bool check_columns(char *const *names, int count, char *const *others, int other_count,
                          struct err *err)
{
    for (int i = 0; i < count; i++) {
        bool taken = strcmp(names[i], "at") == 0 || strcmp(names[i], "n") == 0 ||
                     strcmp(names[i], "counts") == 0;
        for (int k = 0; k < i; k++)
            taken = taken || strcmp(names[i], names[k]) == 0;
        for (int k = 0; k < other_count; k++)
            taken = taken || strcmp(names[i], others[k]) == 0;
        if (!is_name(names[i]))
            return err_set(err, ERR_INVALID, "column \"%s\" must be like [a-z][a-z0-9_]*",
                           names[i]);
        if (taken)
            return err_set(err, ERR_INVALID,
                           "column \"%s\" is there already (so are at, n, counts)", names[i]);
    }
    return true;
}

static bool check_schema(const struct series_schema *s, struct err *err)
{
    if (!is_name(s->name) || strstr(s->name, "__"))
        return err_set(err, ERR_INVALID, "the name must be like [a-z][a-z0-9_]*, without \"__\"");
    if (s->key_count + s->value_count > SERIES_COLUMNS || s->value_count < 1)
        return err_set(err, ERR_INVALID, "from one value to %d columns in all", SERIES_COLUMNS);
    return check_columns(s->keys, s->key_count, NULL, 0, err) &&
           check_columns(s->values, s->value_count, s->keys, s->key_count, err);
}

int series_index_of(char *const *names, int count, struct str name)
{
    for (int i = 0; i < count; i++)
        if (str_eq_c(name, names[i]))
            return i;
    return -1;
}

static bool same_keys(const struct series *s, const struct series_schema *schema)
{
    bool same = s->key_count == schema->key_count;
    for (int i = 0; same && i < s->key_count; i++)
        same = series_index_of(schema->keys, schema->key_count, str_c(s->keys[i])) >= 0;
    return same;
}

static void full_name(struct buf *out, const char *plugin, struct str name)
{
    buf_clear(out);
    buf_printf(out, "%s/%.*s", plugin, (int)name.n, name.p);
}

/* Under lock. */
static bool check_known(struct series_store *store, const char *plugin,
                        const struct series_schema *schema, struct err *err)
{
    struct buf name = {0};
    full_name(&name, plugin, str_c(schema->name));
    const struct series *known = map_get(store->declared, buf_str(&name));
    buf_free(&name);
    bool seen = known && __atomic_load_n(&known->state, __ATOMIC_ACQUIRE) == SERIES_READY;
    return !seen || same_keys(known, schema) ||
           err_set(err, ERR_CONFLICT,
                   "its keys differ from those it was made with; "
                   "give the new series another name");
}

/* Under lock: forgets what the plugin declared before. */
static void forget_plugin(struct series_store *store, const char *plugin)
{
    size_t at = 0;
    struct str key;
    void *value;
    while (map_next(store->declared, &at, &key, &value)) {
        struct series *s = value;
        if (strcmp(s->plugin, plugin) != 0)
            continue;
        map_remove(store->declared, key);
        series_unref(s);
    }
}

bool series_declare(struct series_store *store, const char *plugin,
                    const struct series_schema *schemas, int count, bool check_only,
                    struct err *err)
{
    bool ok = true;
    struct buf name = {0};
    pthread_mutex_lock(&store->lock);
    for (int i = 0; ok && i < count; i++) {
        ok = check_schema(&schemas[i], err) && check_known(store, plugin, &schemas[i], err);
        if (!ok)
            err_wrap(err, "series \"%s\"", schemas[i].name);
    }
    if (ok && !check_only) {
        forget_plugin(store, plugin);
        for (int i = 0; i < count; i++) {
            full_name(&name, plugin, str_c(schemas[i].name));
            series_unref(map_set(store->declared, buf_str(&name),
                                 series_make(store->driver, plugin, &schemas[i])));
        }
    }
    pthread_mutex_unlock(&store->lock);
    buf_free(&name);
    return ok;
}

struct series *series_find(struct series_store *store, const char *plugin, struct str name,
                           struct err *err)
{
    struct buf full = {0};
    full_name(&full, plugin, name);
    pthread_mutex_lock(&store->lock);
    struct series *s = map_get(store->declared, buf_str(&full));
    if (s)
        series_ref(s);
    pthread_mutex_unlock(&store->lock);
    buf_free(&full);
    if (!s)
        err_set(err, ERR_NOT_FOUND, "series \"%.*s\" is not declared by plugin \"%s\"",
                (int)(name.n < 80 ? name.n : 80), name.p, plugin);
    return s;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct series *const *)a)->name, (*(struct series *const *)b)->name);
}

struct series **series_of_plugin(struct series_store *store, const char *plugin, int *count)
{
    size_t at = 0;
    struct str key;
    void *value;
    *count = 0;
    pthread_mutex_lock(&store->lock);
    struct series **list = mem_zero(map_count(store->declared) + 1, sizeof(struct series *));
    while (map_next(store->declared, &at, &key, &value)) {
        struct series *s = value;
        if (strcmp(s->plugin, plugin) != 0)
            continue;
        series_ref(s);
        list[(*count)++] = s;
    }
    pthread_mutex_unlock(&store->lock);
    qsort(list, (size_t)*count, sizeof(struct series *), by_name);
    return list;
}

bool series_keys_differ(const struct series *s, struct err *err)
{
    return err_set(err, ERR_CONFLICT,
                   "series \"%s\": its keys differ from those it was made with; give the new "
                   "series another name",
                   s->name);
}

void series_add_names(struct buf *sql, char *const *names, int count, const char *before)
{
    for (int i = 0; i < count; i++)
        buf_printf(sql, "%s\"%s\"", before, names[i]);
}

bool series_ensure(struct series_conn *conn, struct series *s, struct err *err)
{
    int state = __atomic_load_n(&s->state, __ATOMIC_ACQUIRE);
    if (state == SERIES_REFUSED)
        *err = s->err;
    if (state != SERIES_UNSEEN)
        return state == SERIES_READY;
    bool ok = conn->store->driver->ensure(conn, s, err);
    if (ok) {
        state = SERIES_READY;
    } else if (err->code == ERR_CONFLICT) {
        s->err = *err;
        state = SERIES_REFUSED;
    }
    __atomic_store_n(&s->state, state, __ATOMIC_RELEASE);
    return ok;
}
