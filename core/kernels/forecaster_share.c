/* forecaster_share.c -- one copy of a model for the process, found by its content. */
#include <pthread.h>
#include <sodium.h>

#include "base/map.h"
#include "base/mem.h"
#include "kernels/forecaster_private.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct map *open_ones; /* hash -> struct forecaster; NULL while there is none */

enum { HASH_BYTES = crypto_generichash_BYTES };

/* Under the lock. */
static struct forecaster *find(struct str hash)
{
    struct forecaster *f = open_ones ? map_get(open_ones, hash) : NULL;
    if (f)
        f->users++;
    return f;
}

static struct forecaster *keep(struct forecaster *f, struct str hash)
{
    struct forecaster *other = find(hash); /* another thread may have been quicker */
    if (other)
        return other;
    if (!open_ones)
        open_ones = map_create();
    f->hash = mem_dup(hash.p, hash.n);
    f->users = 1;
    map_set(open_ones, hash, f);
    return f;
}

struct forecaster *forecaster_open(struct str bytes, struct err *err)
{
    unsigned char hash[HASH_BYTES];
    struct str key = {(const char *)hash, sizeof hash};
    crypto_generichash(hash, sizeof hash, (const unsigned char *)bytes.p, bytes.n, NULL, 0);
    pthread_mutex_lock(&lock);
    struct forecaster *f = find(key);
    pthread_mutex_unlock(&lock);
    if (f)
        return f;
    struct forecaster *made = forecaster_new(bytes, err);
    if (!made)
        return NULL;
    pthread_mutex_lock(&lock);
    f = keep(made, key);
    pthread_mutex_unlock(&lock);
    if (f != made)
        forecaster_free(made);
    return f;
}

struct forecaster *forecaster_keep(struct forecaster *f)
{
    pthread_mutex_lock(&lock);
    f->users++;
    pthread_mutex_unlock(&lock);
    return f;
}

void forecaster_close(struct forecaster *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&lock);
    bool last = --f->users == 0;
    if (last)
        map_remove(open_ones, (struct str){f->hash, HASH_BYTES});
    if (last && map_count(open_ones) == 0) {
        map_destroy(open_ones);
        open_ones = NULL;
    }
    pthread_mutex_unlock(&lock);
    if (last)
        forecaster_free(f);
}
