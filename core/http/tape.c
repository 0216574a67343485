#include "http/tape.h"

#include <ctype.h>
#include <pthread.h>

#include "base/mem.h"

_Atomic int tape_state = TAPE_OUT;

enum { EXCHANGE_TEXTS = 7, HIDDEN_LEAST = 4 /* shorter secrets would hide words */ };

struct entry {
    struct tape_exchange exchange; /* its texts are in `texts` */
    char *texts[EXCHANGE_TEXTS];
    bool played;
};

struct hidden {
    char *text, *name;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all below */
static struct entry **entries;
static int count;
static struct hidden *hidden;
static int hidden_count;
static struct buf misses;

void tape_insert(enum tape_mode mode)
{
    atomic_store(&tape_state, (int)mode);
}

void tape_clear(void)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < EXCHANGE_TEXTS; k++)
            mem_free(entries[i]->texts[k]);
        mem_free(entries[i]);
    }
    mem_free(entries);
    entries = NULL;
    count = 0;
    buf_free(&misses);
    pthread_mutex_unlock(&lock);
}

/* -- hiding ---------------------------------------------------------------------------------- */

void tape_hide(struct str text, const char *name)
{
    if (text.n < HIDDEN_LEAST)
        return;
    pthread_mutex_lock(&lock);
    hidden = mem_realloc(hidden, (size_t)(hidden_count + 1) * sizeof *hidden);
    hidden[hidden_count++] = (struct hidden){str_dup(text), mem_printf("<%s>", name)};
    pthread_mutex_unlock(&lock);
}

static const struct hidden *hidden_at(struct str text)
{
    for (int i = 0; i < hidden_count; i++) {
        if (str_starts(text, str_c(hidden[i].text)))
            return &hidden[i];
    }
    return NULL;
}

static void add_hidden(struct buf *out, struct str text)
{
    while (text.n) {
        const struct hidden *h = hidden_at(text);
        size_t step = h ? strlen(h->text) : 1;
        if (h)
            buf_add_c(out, h->name);
        else
            buf_add_char(out, *text.p);
        text = str_n(text.p + step, text.n - step);
    }
}

/* A name in a query or among headers whose value nobody else is to see. */
static bool is_secret_name(struct str name)
{
    static const char *const words[] = {"key",       "token",  "secret",       "password",
                                        "signature", "cookie", "authorization"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n = strlen(words[i]);
        for (size_t at = 0; at + n <= name.n; at++) {
            size_t k = 0;
            while (k < n && tolower((unsigned char)name.p[at + k]) == words[i][k])
                k++;
            if (k == n)
                return true;
        }
    }
    return false;
}

static void add_value(struct buf *out, struct str name, struct str value)
{
    if (is_secret_name(name))
        buf_add_c(out, "REDACTED");
    else
        add_hidden(out, value);
}

/* "https://host/path?a=1&api_key=REDACTED" */
static char *plain_url(struct str url)
{
    struct buf out = {0};
    size_t question = str_find(url, '?');
    add_hidden(&out, str_n(url.p, question));
    struct str query = str_n(url.p + question, url.n - question);
    if (query.n) {
        query = str_n(query.p + 1, query.n - 1);
        for (char mark = '?'; query.n; mark = '&') {
            struct str value = str_split(&query, '&'), name = str_split(&value, '=');
            buf_add_char(&out, mark);
            buf_add_str(&out, name);
            if (value.p && value.p > name.p + name.n)
                buf_add_char(&out, '=');
            add_value(&out, name, value);
        }
    }
    return buf_take(&out, &(size_t){0});
}

static char *plain_text(struct str text, size_t *n)
{
    struct buf out = {0};
    add_hidden(&out, text);
    return buf_take(&out, n);
}

static char *plain_headers(struct str lines)
{
    struct buf out = {0};
    while (lines.n) {
        struct str value = str_split(&lines, '\n'), name = str_split(&value, ':');
        buf_add_str(&out, name);
        buf_add_c(&out, ": ");
        add_value(&out, name, str_trim(value));
        buf_add_char(&out, '\n');
    }
    return buf_take(&out, &(size_t){0});
}

/* -- exchanges ------------------------------------------------------------------------------- */

static void keep(const struct tape_exchange *x)
{
    struct entry *e = mem_zero(1, sizeof *e);
    const struct str given[EXCHANGE_TEXTS] = {
        x->method, x->url, x->request_headers, x->request_body, x->error, x->headers, x->body};
    struct tape_exchange *own = &e->exchange;
    struct str *const places[EXCHANGE_TEXTS] = {
        &own->method,  &own->url, &own->request_headers, &own->request_body, &own->error,
        &own->headers, &own->body};
    for (int i = 0; i < EXCHANGE_TEXTS; i++) {
        e->texts[i] = str_dup(given[i]);
        *places[i] = str_n(e->texts[i], given[i].n);
    }
    own->status = x->status;
    entries = mem_realloc(entries, (size_t)(count + 1) * sizeof *entries);
    entries[count++] = e;
}

void tape_add(const struct tape_exchange *exchange)
{
    pthread_mutex_lock(&lock);
    keep(exchange);
    pthread_mutex_unlock(&lock);
}

void tape_note(const struct tape_exchange *x)
{
    struct tape_exchange plain = *x;
    size_t body_n, answer_n;
    pthread_mutex_lock(&lock);
    char *texts[] = {plain_url(x->url), plain_headers(x->request_headers),
                     plain_text(x->request_body, &body_n), plain_headers(x->headers),
                     plain_text(x->body, &answer_n)};
    plain.url = str_c(texts[0]);
    plain.request_headers = str_c(texts[1]);
    plain.request_body = str_n(texts[2], body_n);
    plain.headers = str_c(texts[3]);
    plain.body = str_n(texts[4], answer_n);
    keep(&plain);
    pthread_mutex_unlock(&lock);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        mem_free(texts[i]);
}

static struct entry *choose(struct str method, struct str url, struct str body)
{
    struct entry *last = NULL;
    for (int i = 0; i < count; i++) {
        const struct tape_exchange *x = &entries[i]->exchange;
        if (!str_eq(x->method, method) || !str_eq(x->url, url) || !str_eq(x->request_body, body))
            continue;
        last = entries[i];
        if (!last->played)
            return last;
    }
    return last;
}

bool tape_find(struct str method, struct str url, struct str body, struct tape_exchange *out)
{
    size_t body_n;
    pthread_mutex_lock(&lock);
    char *plain = plain_url(url), *text = plain_text(body, &body_n);
    struct entry *e = choose(method, str_c(plain), str_n(text, body_n));
    if (e) {
        e->played = true;
        *out = e->exchange;
    } else {
        buf_printf(&misses, "%.*s %s\n", (int)method.n, method.p, plain);
    }
    pthread_mutex_unlock(&lock);
    mem_free(plain);
    mem_free(text);
    return e != NULL;
}

int tape_count(void)
{
    pthread_mutex_lock(&lock);
    int n = count;
    pthread_mutex_unlock(&lock);
    return n;
}

bool tape_at(int index, struct tape_exchange *out)
{
    pthread_mutex_lock(&lock);
    bool there = index < count;
    if (there)
        *out = entries[index]->exchange;
    pthread_mutex_unlock(&lock);
    return there;
}

void tape_take_misses(struct buf *out)
{
    pthread_mutex_lock(&lock);
    buf_add_str(out, buf_str(&misses));
    buf_clear(&misses);
    pthread_mutex_unlock(&lock);
}
