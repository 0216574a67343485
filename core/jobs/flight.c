#include "jobs/flight.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"

#define MAGIC "maruflt1"

/* The layout of the file.  A slot counts when its id is not 0; the id is stored
 * last and cleared first, so a torn slot is an empty one. */
struct slot {
    _Atomic int64_t id;
    uint64_t fence;
    int64_t started_wall;
    int64_t attempt;
};
struct image {
    char magic[8];
    char boot_id[40];
    char padding[16];
    struct slot slots[FLIGHT_SLOTS];
};

struct flight {
    struct image *image;
    char boot_id[40]; /* of this boot */
    bool fresh;       /* the file was not there, or not ours */
};

static void read_boot_id(char out[40])
{
    struct buf text = {0};
    struct err err = {0};
    memset(out, 0, 40);
    if (file_read("/proc/sys/kernel/random/boot_id", 64, &text, &err))
        memcpy(out, text.p, text.n < 36 ? text.n : 36);
    buf_free(&text);
}

static struct image *map_file(const char *path, struct err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        err_sys(err, errno, "jobs: open %s", path);
        return NULL;
    }
    /* Every block is there from the start: a full disk must not become a SIGBUS. */
    int failed = posix_fallocate(fd, 0, sizeof(struct image));
    void *p = MAP_FAILED;
    if (failed == 0)
        p = mmap(NULL, sizeof(struct image), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        err_sys(err, failed ? failed : errno, "jobs: map %s", path);
    close(fd);
    return p == MAP_FAILED ? NULL : p;
}

struct flight *flight_open(const char *path, struct err *err)
{
    struct image *image = map_file(path, err);
    if (!image)
        return NULL;
    struct flight *f = mem_zero(1, sizeof *f);
    f->image = image;
    f->fresh = memcmp(image->magic, MAGIC, sizeof image->magic) != 0;
    read_boot_id(f->boot_id);
    return f;
}

int flight_read(const struct flight *f, struct flight_entry *out, int max, bool *same_boot)
{
    int count = 0;
    *same_boot = !f->fresh && memcmp(f->image->boot_id, f->boot_id, sizeof f->boot_id) == 0;
    for (int i = 0; i < FLIGHT_SLOTS && count < max && !f->fresh; i++) {
        const struct slot *slot = &f->image->slots[i];
        int64_t id = atomic_load_explicit(&slot->id, memory_order_acquire);
        if (id > 0)
            out[count++] = (struct flight_entry){.id = id,
                                                 .fence = slot->fence,
                                                 .started_wall = slot->started_wall,
                                                 .attempt = (int)slot->attempt};
    }
    return count;
}

const char *flight_boot(const struct flight *f)
{
    return f->boot_id;
}

void flight_reset(struct flight *f)
{
    for (int i = 0; i < FLIGHT_SLOTS; i++)
        flight_clear(f, i);
    memcpy(f->image->boot_id, f->boot_id, sizeof f->boot_id);
    memcpy(f->image->magic, MAGIC, sizeof f->image->magic);
    f->fresh = false;
}

void flight_set(struct flight *f, int slot, const struct flight_entry *entry)
{
    struct slot *s = &f->image->slots[slot];
    s->fence = entry->fence;
    s->started_wall = entry->started_wall;
    s->attempt = entry->attempt;
    atomic_store_explicit(&s->id, entry->id, memory_order_release);
}

void flight_clear(struct flight *f, int slot)
{
    atomic_store_explicit(&f->image->slots[slot].id, 0, memory_order_release);
}

void flight_close(struct flight *f)
{
    if (!f)
        return;
    munmap(f->image, sizeof *f->image);
    mem_free(f);
}
