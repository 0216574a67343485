/* cron_record.h -- schedules keep in the queue's record what its nodes share. */
#pragma once

#include "cron/record.h"

struct jobs;

/* For struct cron_options, where jobs_shares_schedules(). */
struct cron_record cron_record_jobs(struct jobs *jobs);
