/* cron_push.h -- a schedule's fire becomes a job: the one place where cron and jobs meet. */
#pragma once

#include "cron/cron.h"
#include "jobs/jobs.h"

/* For struct cron_options: push = cron_push_job, arg = the struct jobs *.  Runs on
 * the control lane; the job's unique key is the schedule, so that an unfinished
 * earlier one makes this fire `skipped`. */
void cron_push_job(struct cron_push *push, void *jobs);
