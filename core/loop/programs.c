/* programs.c -- all programs of a process: how many there are, and their end with it. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/sys.h"
#include "loop/program_private.h"

static struct owner *find_owner(struct programs *all, const char *name)
{
    for (int i = 0; i < all->owner_count; i++) {
        if (!strcmp(all->owners[i].name, name))
            return &all->owners[i];
    }
    all->owners = mem_realloc(all->owners, (size_t)(all->owner_count + 1) * sizeof *all->owners);
    struct owner *owner = &all->owners[all->owner_count++];
    owner->count = 0;
    snprintf(owner->name, sizeof owner->name, "%s", name);
    return owner;
}

bool programs_count_in(struct programs *all, const char *name)
{
    pthread_mutex_lock(&all->lock);
    struct owner *owner = find_owner(all, name);
    bool ok = owner->count < PROGRAMS_PER_OWNER;
    owner->count += ok;
    all->total += ok;
    pthread_mutex_unlock(&all->lock);
    return ok;
}

void programs_count_ended(struct programs *all, const char *name)
{
    pthread_mutex_lock(&all->lock);
    find_owner(all, name)->count--;
    pthread_mutex_unlock(&all->lock);
}

void programs_count_out(struct programs *all)
{
    pthread_mutex_lock(&all->lock);
    if (--all->total == 0)
        pthread_cond_signal(&all->ended);
    pthread_mutex_unlock(&all->lock);
}

bool programs_running(const struct programs *all, const struct lane *lane)
{
    return !list_empty(&all->running[lane->index]);
}

struct programs *programs_create(const char *dir, struct lane *const *lanes, int lane_count,
                                 struct pool *pool, struct err *err)
{
    if (!dir_make(dir, 0700, err))
        return NULL;
    struct programs *all = mem_zero(1, sizeof *all);
    all->dir = realpath(dir, NULL);
    all->lanes = lanes;
    all->lane_count = lane_count;
    all->pool = pool;
    all->running = mem_zero((size_t)lane_count, sizeof *all->running);
    for (int i = 0; i < lane_count; i++)
        list_init(&all->running[i]);
    pthread_mutex_init(&all->lock, NULL);
    pthread_cond_init(&all->ended, NULL);
    program_sweep(dir);
    return all;
}

struct killing {
    struct programs *all;
    struct lane *lane;
};

static void kill_all(void *arg)
{
    const struct killing *k = arg;
    list_each_safe (link, &k->all->running[k->lane->index]) {
        struct program *p = list_entry(link, struct program, link);
        p->done = NULL;
        p->killed = true;
        atomic_store(&p->unwanted, true);
        if (p->running)
            program_kill(p);
    }
}

void programs_destroy(struct programs *all)
{
    if (!all)
        return;
    for (int i = 0; i < all->lane_count; i++) {
        struct killing k = {all, all->lanes[i]};
        lane_call_wait(all->lanes[i], kill_all, &k);
    }
    pthread_mutex_lock(&all->lock);
    while (all->total)
        pthread_cond_wait(&all->ended, &all->lock);
    pthread_mutex_unlock(&all->lock);
    pthread_cond_destroy(&all->ended);
    pthread_mutex_destroy(&all->lock);
    free(all->dir);
    mem_free(all->owners);
    mem_free(all->running);
    mem_free(all);
}
