/* cmd_queues.c -- maru queues, maru workers: what waits where, what runs where. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "cli/admin.h"
#include "cli/cli.h"
#include "cli/flat.h"

static int post(const struct cli_options *o, const char *verb, struct str content)
{
    struct buf path = {0};
    buf_add_c(&path, "/queues/");
    cli_add_encoded(&path, o->words[1]);
    buf_printf(&path, "/%s", verb);
    int code = cli_change(o, path.p, content, NULL);
    buf_free(&path);
    return code;
}

static bool is_count(const char *name)
{
    return !strcmp(name, "concurrency") || !strcmp(name, "weight") ||
           !strcmp(name, "key_concurrency");
}

/* "rate=10/m" as a member; nothing behind the sign goes back to what is declared. */
static bool add_limit(struct json *w, const char *word)
{
    const char *sign = strchr(word, '=');
    char name[32];
    long long n;
    if (!sign || (size_t)(sign - word) >= sizeof name)
        return false;
    snprintf(name, sizeof name, "%.*s", (int)(sign - word), word);
    if (!is_count(name) && strcmp(name, "rate") != 0 && strcmp(name, "key_rate") != 0)
        return false;
    json_key(w, name);
    if (!sign[1])
        json_null(w);
    else if (is_count(name) && str_int64(str_c(sign + 1), &n))
        json_int(w, n);
    else
        json_cstr(w, sign + 1);
    return true;
}

static int limit(const struct cli_options *o)
{
    struct buf content = {0};
    struct json w = json_to(&content);
    bool good = o->word_count > 2;
    json_open(&w, '{');
    for (int i = 2; i < o->word_count && good; i++)
        good = add_limit(&w, o->words[i]);
    json_close(&w, '}');
    int code =
        good ? post(o, "limits", buf_str(&content))
             : cli_fail(EXIT_USAGE, "queues limit NAME takes concurrency=N, rate=N/s, weight=N, "
                                    "key_concurrency=N or key_rate=N/s");
    buf_free(&content);
    return code;
}

int cmd_queues(const struct cli_options *o)
{
    static const char *const columns[] = {
        "queue", "oldest_s",   "ready",        "delayed", "running",     "held", "held_s",
        "dead",  "done_total", "failed_total", "paused",  "concurrency", "rate", NULL};
    const char *verb = o->word_count ? o->words[0] : "list";
    if (!strcmp(verb, "list") && o->word_count <= 1)
        return cli_show(o, "/queues", "", columns);
    if ((!strcmp(verb, "pause") || !strcmp(verb, "resume")) && o->word_count == 2)
        return post(o, verb, (struct str){"", 0});
    if (!strcmp(verb, "limit") && o->word_count >= 2)
        return limit(o);
    return cli_fail(EXIT_USAGE, "queues takes nothing, pause NAME, resume NAME or limit NAME …");
}

/* -- workers -------------------------------------------------------------------------------- */

static void print_workers(const struct flat *f)
{
    const char *lane, *id;
    for (int i = 0; (lane = flat_get(f, "%d.lane", i)); i++) {
        printf("%s %s: %s of %s in use%s\n", flat_get(f, "%d.node", i), lane,
               flat_get(f, "%d.used", i), flat_get(f, "%d.capacity", i),
               strcmp(flat_get(f, "%d.lost", i), "true") ? "" : ", does not answer");
        for (int k = 0; (id = flat_get(f, "%d.running.%d.id", i, k)); k++) {
            const char *progress = flat_get(f, "%d.running.%d.progress", i, k);
            const char *message = flat_get(f, "%d.running.%d.message", i, k);
            printf("  %-10s %-32s attempt %s since %s", id, flat_get(f, "%d.running.%d.kind", i, k),
                   flat_get(f, "%d.running.%d.attempt", i, k),
                   flat_get(f, "%d.running.%d.started_at", i, k));
            if (progress && strcmp(progress, "-") != 0)
                printf("  %.0f%%", strtod(progress, NULL) * 100);
            printf("%s%s\n", message ? "  " : "", message ? message : "");
        }
    }
}

int cmd_workers(const struct cli_options *o)
{
    if (o->word_count)
        return cli_fail(EXIT_USAGE, "workers takes no words");
    return cli_look(o, "/workers", print_workers);
}
