/* server_objects.c -- where the objects of plugins are. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rand.h"
#include "base/sys.h"
#include "config/config.h"
#include "objects/directory.h"
#include "objects/s3.h"
#include "server_parts.h"
#include "storage/sqlite.h"

static struct objects *directory_start(struct server *s, struct err *err)
{
    const char *dir = config_text(s->config, "objects.dir");
    char *path = *dir ? mem_strdup(dir) : mem_printf("%s/objects", s->state_dir);
    struct objects *objects = directory_open(path, store_sqlite(s->store), s->pool, err);
    mem_free(path);
    return objects;
}

/* The configuration's, or the one that every tool of S3 looks for in the environment. */
static const char *credential(const struct config *c, const char *key, const char *variable)
{
    const char *text = config_text(c, key);
    return *text ? text : getenv(variable);
}

static struct objects *s3_start(struct server *s, struct err *err)
{
    const struct config *c = s->config;
    return s3_open(
        &(struct s3_options){.url = config_text(c, "objects.url"),
                             .bucket = config_text(c, "objects.bucket"),
                             .region = config_text(c, "objects.region"),
                             .path_style = config_boolean(c, "objects.path_style"),
                             .id = credential(c, "objects.key", "AWS_ACCESS_KEY_ID"),
                             .secret = credential(c, "objects.secret", "AWS_SECRET_ACCESS_KEY"),
                             .token = credential(c, "objects.token", "AWS_SESSION_TOKEN"),
                             .timeout_ns = config_ns(c, "objects.timeout"),
                             .clients = &s->clients},
        err);
}

/* Signs the host's own URLs.  Made at the first start; nodes that share a bucket share the key that
 * comes from its secret. */
static bool ticket_key(struct server *s, unsigned char key[OBJECT_TICKET_KEY_BYTES],
                       struct err *err)
{
    const char *secret = strcmp(config_text(s->config, "objects.driver"), "s3") == 0
                             ? credential(s->config, "objects.secret", "AWS_SECRET_ACCESS_KEY")
                             : NULL;
    if (secret) {
        object_derive_key(key, str_c(secret));
        return true;
    }
    char *path = mem_printf("%s/objects.key", s->state_dir);
    struct buf bytes = {0};
    bool ok = true;
    if (access(path, F_OK)) {
        rand_bytes(key, OBJECT_TICKET_KEY_BYTES);
        ok = file_write(path, str_n((const char *)key, OBJECT_TICKET_KEY_BYTES), 0600, err);
    } else if ((ok = file_read(path, 4096, &bytes, err))) {
        if (bytes.n == OBJECT_TICKET_KEY_BYTES)
            memcpy(key, bytes.p, OBJECT_TICKET_KEY_BYTES);
        else
            ok = err_set(err, ERR_INVALID, "%s has %zu bytes, not %d", path, bytes.n,
                         OBJECT_TICKET_KEY_BYTES);
    }
    buf_free(&bytes);
    mem_free(path);
    return ok;
}

bool objects_start(struct server *s, struct err *err)
{
    const char *driver = config_text(s->config, "objects.driver");
    unsigned char key[OBJECT_TICKET_KEY_BYTES];
    if (strcmp(driver, "directory") == 0)
        s->objects = directory_start(s, err);
    else if (strcmp(driver, "s3") == 0)
        s->objects = s3_start(s, err);
    else
        err_set(err, ERR_INVALID, "objects.driver is \"directory\" or \"s3\", not \"%s\"", driver);
    if (!s->objects)
        return false;
    if (!ticket_key(s, key, err)) {
        objects_close(s->objects);
        s->objects = NULL;
        return false;
    }
    objects_set_tickets(s->objects, key, config_text(s->config, "objects.public_url"));
    return true;
}

static void each_plugin(void *arg, void (*each)(void *to, const char *plugin), void *to)
{
    struct server *s = arg;
    const struct set *set = reload_current(s->reload);
    for (int i = 0; set && i < set->count; i++)
        each(to, set->generations[i]->name);
}

void objects_upkeep_begin(struct server *s)
{
    objects_begin(s->objects, s->lanes[0],
                  &(struct object_upkeep){.every_ns = config_ns(s->config, "objects.sweep"),
                                          .ttl_ns = config_ns(s->config, "objects.upload_ttl"),
                                          .plugins = each_plugin,
                                          .arg = s});
}

void objects_stop(struct server *s)
{
    objects_close(s->objects);
    s->objects = NULL;
}
