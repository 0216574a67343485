#include "search/search.h"

#include "base/list.h"
#include "base/mem.h"
#include "search/private.h"

/* ORDER search_type */
static const char *const type_names[] = {"text", "keyword", "number", "time", "boolean"};

const char *search_type_name(enum search_type type)
{
    return type_names[type];
}

int index_field(const struct search_index *index, struct str name)
{
    for (int i = 0; i < index->field_count; i++)
        if (str_eq_c(name, index->fields[i].name))
            return i;
    return -1;
}

static struct search_index *index_create(const char *plugin, const struct search_schema *schema)
{
    struct search_index *index = mem_zero(1, sizeof *index);
    index->refs = 1;
    index->plugin = mem_strdup(plugin);
    index->name = mem_strdup(schema->name);
    index->fields = mem_zero((size_t)schema->field_count + 1, sizeof *index->fields);
    index->field_count = schema->field_count;
    for (int i = 0; i < schema->field_count; i++) {
        const struct search_field *f = &schema->fields[i];
        index->fields[i] = (struct search_field){mem_strdup(f->name), f->type,
                                                 mem_strdup(f->remote ? f->remote : f->name)};
    }
    return index;
}

void index_unref(struct search_index *index)
{
    if (!index || __atomic_sub_fetch(&index->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (int i = 0; i < index->field_count; i++) {
        mem_free((char *)(uintptr_t)index->fields[i].name);
        mem_free((char *)(uintptr_t)index->fields[i].remote);
    }
    mem_free(index->fields);
    mem_free(index->plugin);
    mem_free(index->name);
    mem_free(index);
}

static struct str key_of(struct buf *key, const char *plugin, struct str name)
{
    buf_printf(key, "%s/%.*s", plugin, (int)(name.n < 100 ? name.n : 100), name.p);
    return buf_str(key);
}

struct search_index *search_find_index(struct search *search, const char *plugin, struct str name,
                                       struct err *err)
{
    struct buf key = {0};
    key_of(&key, plugin, name);
    pthread_mutex_lock(&search->lock);
    struct search_index *index = map_get(search->declared, buf_str(&key));
    if (index)
        __atomic_add_fetch(&index->refs, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&search->lock);
    buf_free(&key);
    if (!index)
        err_set(err, ERR_NOT_FOUND, "there is no index \"%.*s\" in M.search",
                (int)(name.n < 80 ? name.n : 80), name.p);
    return index;
}

/* ---- declarations ------------------------------------------------------ */

static bool same_fields(const struct search_index *index, const struct search_schema *schema)
{
    bool same = index->field_count == schema->field_count;
    for (int i = 0; same && i < index->field_count; i++)
        same = !strcmp(index->fields[i].name, schema->fields[i].name) &&
               index->fields[i].type == schema->fields[i].type;
    return same;
}

static bool check_schema(const struct search_schema *schema, struct err *err)
{
    if (schema->field_count > SEARCH_FIELDS)
        return err_set(err, ERR_LIMIT, "search.%s: more than %d fields", schema->name,
                       SEARCH_FIELDS);
    for (int i = 0; i < schema->field_count; i++)
        for (int k = 0; k < i; k++)
            if (!strcmp(schema->fields[i].name, schema->fields[k].name))
                return err_set(err, ERR_INVALID, "search.%s: the field \"%s\" stands there twice",
                               schema->name, schema->fields[i].name);
    return true;
}

/* Under the lock.  An index that stays as it is keeps what is known of it. */
static void declare_one(struct search *search, const char *plugin,
                        const struct search_schema *schema)
{
    struct buf key = {0};
    key_of(&key, plugin, str_c(schema->name));
    struct search_index *old = map_get(search->declared, buf_str(&key));
    if (!old || !same_fields(old, schema)) {
        map_set(search->declared, buf_str(&key), index_create(plugin, schema));
        index_unref(old);
    }
    buf_free(&key);
}

static bool is_declared(const struct search_schema *schemas, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(schemas[i].name, name))
            return true;
    return false;
}

static void forget_others(struct search *search, const char *plugin,
                          const struct search_schema *schemas, int count)
{
    size_t at = 0;
    struct str key;
    void *value;
    while (map_next(search->declared, &at, &key, &value)) {
        struct search_index *index = value;
        if (strcmp(index->plugin, plugin) != 0 || is_declared(schemas, count, index->name))
            continue;
        map_remove(search->declared, key);
        index_unref(index);
    }
}

bool search_declare(struct search *search, const char *plugin, const struct search_schema *schemas,
                    int count, bool check_only, struct err *err)
{
    for (int i = 0; i < count; i++)
        if (!check_schema(&schemas[i], err))
            return false;
    if (check_only)
        return true;
    pthread_mutex_lock(&search->lock);
    forget_others(search, plugin, schemas, count);
    for (int i = 0; i < count; i++)
        declare_one(search, plugin, &schemas[i]);
    pthread_mutex_unlock(&search->lock);
    return true;
}

/* ---- calls ------------------------------------------------------------- */

static void on_delivered(struct lane_message *message)
{
    struct search_call *call = (struct search_call *)message;
    call->done(call);
}

void search_answer(struct search_call *call)
{
    request_free(call->parsed);
    call->parsed = NULL;
    if (call->err.code != ERR_NONE)
        buf_free(&call->answer);
    call->message.fn = on_delivered;
    if (call->lane)
        lane_post(call->lane, &call->message);
    else
        call->done(call);
}

static void parse_and_run(struct search_call *call)
{
    struct search_index *index =
        search_find_index(call->search, call->plugin, call->index, &call->err);
    if (index)
        call->parsed = request_parse(index, call->op, call->request, &call->err);
    if (call->parsed)
        call->search->driver->run(call->search, call);
    else
        search_answer(call);
}

/* The call may be gone when its work ends, so that the pool's part is not in it. */
struct parsing {
    struct pool_job job;
    struct search *search;
    struct search_call *call;
};

static void parse_docs(struct pool_job *job)
{
    parse_and_run(list_entry(job, struct parsing, job)->call);
}

static void on_parsed(struct pool_job *job)
{
    struct parsing *parsing = list_entry(job, struct parsing, job);
    struct search *search = parsing->search;
    if (job->cancelled) {
        err_set(&parsing->call->err, ERR_CLOSED, "search is closing");
        search_answer(parsing->call);
    }
    mem_free(parsing);
    pthread_mutex_lock(&search->lock);
    if (--search->parsing == 0)
        pthread_cond_broadcast(&search->parsed);
    pthread_mutex_unlock(&search->lock);
}

void search_run(struct search *search, struct search_call *call, struct lane *lane)
{
    call->search = search;
    call->lane = lane;
    call->parsed = NULL;
    call->answer = (struct buf){0};
    err_clear(&call->err);
    if (call->op != SEARCH_INDEX) {
        parse_and_run(call);
        return;
    }
    struct parsing *parsing = mem_zero(1, sizeof *parsing); /* many documents take a while */
    *parsing = (struct parsing){{.work = parse_docs, .done = on_parsed}, search, call};
    pthread_mutex_lock(&search->lock);
    search->parsing++;
    pthread_mutex_unlock(&search->lock);
    pool_submit(search->options.pool, &parsing->job, NULL);
}

/* ---- life -------------------------------------------------------------- */

static void copy_strings(struct search_options *to, const struct search_options *from)
{
    const char **texts[] = {&to->driver,  &to->state_dir, &to->url,    &to->user, &to->password,
                            &to->api_key, &to->ca_file,   &to->prefix, &to->node};
    *to = *from;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        *texts[i] = mem_strdup(*texts[i] ? *texts[i] : "");
}

static void free_strings(struct search_options *o)
{
    const char *texts[] = {o->driver,  o->state_dir, o->url,    o->user, o->password,
                           o->api_key, o->ca_file,   o->prefix, o->node};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        mem_free((char *)(uintptr_t)texts[i]);
}

static void forget_all(struct search *search)
{
    size_t at = 0;
    struct str key;
    void *value;
    while (map_next(search->declared, &at, &key, &value))
        index_unref(value);
    map_destroy(search->declared);
}

void search_setup(struct search *search, const struct search_options *options,
                  const struct search_driver *driver)
{
    search->driver = driver;
    copy_strings(&search->options, options);
    pthread_mutex_init(&search->lock, NULL);
    pthread_cond_init(&search->parsed, NULL);
    search->declared = map_create();
}

void search_discard(struct search *search)
{
    forget_all(search);
    pthread_cond_destroy(&search->parsed);
    pthread_mutex_destroy(&search->lock);
    free_strings(&search->options);
    mem_free(search);
}

struct search *search_create(const struct search_options *options, struct err *err)
{
    if (!strcmp(options->driver, "fts"))
        return fts_create(options, err);
    if (!strcmp(options->driver, "elasticsearch"))
        return elastic_create(options, err);
    err_set(err, ERR_INVALID, "search.driver: \"%s\" is neither fts nor elasticsearch",
            options->driver);
    return NULL;
}

bool search_has_log(const struct search *search)
{
    return search->options.logs;
}

void search_begin(struct search *search)
{
    if (search->options.logs)
        search->logs = logs_start(search);
    if (search->driver->begin)
        search->driver->begin(search);
}

void search_destroy(struct search *search)
{
    if (!search)
        return;
    logs_stop(search->logs);
    pthread_mutex_lock(&search->lock);
    while (search->parsing > 0)
        pthread_cond_wait(&search->parsed, &search->lock);
    pthread_mutex_unlock(&search->lock);
    search->driver->close(search);
}

const char *search_driver(const struct search *search)
{
    return search->driver->name;
}

bool search_is_idle(struct search *search)
{
    return search->driver->is_idle(search);
}
