/* sqlite.c -- the driver of the embedded queue: this process's own database. */
#include "jobs/driver.h"
#include "jobs/private.h"

#include "observe/log.h"

static void write_batch(struct jobs *jobs)
{
    sqlite_write(jobs->db, &jobs->write, NULL);
}

static bool final_work(struct sqlite_conn *conn, void *arg, struct err *err)
{
    return record_next_id(arg, conn, err);
}

static void close_record(struct jobs *jobs)
{
    struct err err = {0};
    if (!jobs->failed.code && !sqlite_work_wait(jobs->db, final_work, jobs, &err))
        log_error("jobs", "close: %s", err.message);
}

const struct jobs_driver jobs_sqlite = {
    .name = "sqlite",
    .open = jobs_recover,
    .write = write_batch,
    .close = close_record,
};

const struct jobs_driver *jobs_driver_named(const char *name)
{
    static const struct jobs_driver *const drivers[] = {&jobs_sqlite, &jobs_postgres, &jobs_redis};
    for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++)
        if (strcmp(drivers[i]->name, name) == 0)
            return drivers[i];
    return NULL;
}
