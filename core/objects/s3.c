#include "objects/s3.h"

#include <stdlib.h>

#include "base/mem.h"
#include "objects/s3_private.h"

static void s3_close(struct objects *store)
{
    struct s3 *s3 = (struct s3 *)store;
    s3_cancel_all(s3);
    driver_health_unregister(s3->health);
    pthread_cond_destroy(&s3->quiet);
    pthread_mutex_destroy(&s3->lock);
    mem_free(s3->origin);
    mem_free(s3->host);
    mem_free(s3->base);
    mem_free(s3->allow);
    mem_free(s3->region);
    mem_free(s3->id);
    mem_free(s3->secret);
    mem_free(s3->token);
    mem_free(s3);
}

static void s3_objects_begin(struct objects *store)
{
    s3_sweep_begin((struct s3 *)store);
    s3_probe_begin((struct s3 *)store);
}

static void s3_objects_end(struct objects *store)
{
    struct s3 *s3 = (struct s3 *)store;
    s3->ended = true;
    s3_sweep_end(s3);
    s3_probe_end(s3);
}

static const struct objects_driver driver = {
    .name = "s3",
    .run = s3_run,
    .upload_begin = s3_upload_begin,
    .upload_write = s3_upload_write,
    .upload_end = s3_upload_end,
    .download_begin = s3_download_begin,
    .download_next = s3_download_next,
    .download_part = s3_download_part,
    .presign = s3_presign,
    .download_close = s3_download_close,
    .begin = s3_objects_begin,
    .end = s3_objects_end,
    .close = s3_close,
};

static bool given(const char *text)
{
    return text && *text;
}

static bool check(const struct s3_options *o, struct err *err)
{
    if (!given(o->url) || !given(o->bucket))
        return err_set(err, ERR_INVALID,
                       "objects.driver is \"s3\": objects.url and objects.bucket say where");
    if (!given(o->id) || !given(o->secret))
        return err_set(err, ERR_INVALID,
                       "objects.driver is \"s3\": AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are "
                       "not in the environment");
    return true;
}

/* "https://host[:port]" into its parts; nothing may follow. */
static bool read_url(struct s3 *s3, const struct s3_options *o, struct err *err)
{
    struct str rest = str_c(o->url), scheme = STR("https");
    if (str_starts(rest, STR("https://")))
        rest = str_n(rest.p + 8, rest.n - 8);
    else if (str_starts(rest, STR("http://"))) {
        rest = str_n(rest.p + 7, rest.n - 7);
        scheme = STR("http");
    } else
        rest.n = 0;
    while (rest.n && rest.p[rest.n - 1] == '/')
        rest.n--;
    if (rest.n == 0 || memchr(rest.p, '/', rest.n) || memchr(rest.p, '@', rest.n))
        return err_set(err, ERR_INVALID, "objects.url is https://host[:port], without a path");
    bool port = rest.p[rest.n - 1] != ']' && memchr(rest.p, ':', rest.n) &&
                (rest.p[0] != '[' || memchr(rest.p, ']', rest.n));
    const char *dot = o->path_style ? "" : ".", *bucket = o->path_style ? "" : o->bucket;
    s3->host = mem_printf("%s%s%.*s", bucket, dot, (int)rest.n, rest.p);
    s3->origin = mem_printf("%.*s://%s", (int)scheme.n, scheme.p, s3->host);
    s3->base = o->path_style ? mem_printf("/%s", o->bucket) : mem_strdup("");
    s3->allow = mem_printf("private:%s%s", s3->host,
                           port                       ? ""
                           : str_eq_c(scheme, "http") ? ":80"
                                                      : ":443");
    return true;
}

struct objects *s3_open(const struct s3_options *o, struct err *err)
{
    struct s3 *s3 = mem_zero(1, sizeof *s3);
    s3->objects.driver = &driver;
    pthread_mutex_init(&s3->lock, NULL);
    pthread_cond_init(&s3->quiet, NULL);
    list_init(&s3->uploads);
    if (!check(o, err) || !read_url(s3, o, err)) {
        s3_close(&s3->objects);
        return NULL;
    }
    s3->region = mem_strdup(given(o->region) ? o->region : "us-east-1");
    s3->id = mem_strdup(o->id);
    s3->secret = mem_strdup(o->secret);
    s3->token = mem_strdup(o->token ? o->token : "");
    s3->clients = o->clients;
    s3->timeout_ns = o->timeout_ns;
    s3->health = driver_health_register("objects", "s3", false);
    driver_health_address(s3->health, s3->origin);
    return &s3->objects;
}
