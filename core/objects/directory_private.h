/* directory_private.h -- what directory*.c share. */
#pragma once

#include <pthread.h>

#include "base/list.h"
#include "loop/pool.h"
#include "objects/blob.h"
#include "objects/directory.h"
#include "storage/sqlite.h"

struct directory {
    struct objects objects; /* first */
    char *path;
    struct sqlite *db;
    struct pool *pool;
    pthread_mutex_t lock;
    pthread_cond_t quiet; /* under_way became 0 */
    int64_t under_way;    /* calls, streams, tidying */
    struct list writing;  /* under lock: files that are being written, or have no row yet */
    struct timer sweep;   /* on objects.lane */
};

/* directory.c: pairs around everything that close has to wait for.  Any thread. */
void directory_begin(struct directory *d);
void directory_over(struct directory *d);
/* A file of tmp/ that no sweep is to take for a forgotten one, however slowly it comes; pairs.  Any
 * thread. */
struct writing {
    struct list node;
    const char *id; /* its owner's */
};
void directory_writes(struct directory *d, struct writing *w, const char *id);
void directory_wrote(struct directory *d, struct writing *w);
bool directory_is_written(struct directory *d, const char *id);
/* After a commit: a file to its place, one that lost its row away; either may be "". */
void directory_tidy(struct directory *d, const char *place, const char *gone);

/* directory_sweep.c: on objects.lane */
void directory_sweep_begin(struct objects *store);
void directory_sweep_end(struct objects *store);

/* directory_write.c */
void directory_put(struct directory *d, struct object_call *call);
void directory_delete(struct directory *d, struct object_call *call);
void directory_delete_many(struct directory *d, struct object_call *call);
void directory_upload_begin(struct object_upload *u);
void directory_upload_write(struct object_upload *u, struct str bytes);
void directory_upload_end(struct object_upload *u);

/* directory_read.c */
void directory_read(struct directory *d, struct object_call *call);
void directory_download_begin(struct object_download *d);
void directory_download_next(struct object_download *d);
void directory_download_part(struct object_download *d, int64_t from, int64_t n);
void directory_download_close(struct object_download *d);
