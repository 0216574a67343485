/* check.h -- what the files of `maru check` share. */
#pragma once

#include "cli/author.h"
#include "cli/findings.h"
#include "reload/generation.h"
#include "reload/scan.h"
#include "vm/host.h"

struct config;
struct scratch;

/* The scratch: one lane of its own, a control lane on this thread. */
struct check {
    const struct config *config;
    const char *only; /* the one plugin that is asked about; NULL = all */
    struct host host;
    struct generation_lanes on;
    struct lane *lane;
    struct author author;
    struct scratch *scratch;
    struct scan scan;
    const struct bundle **bundles; /* by index of the scan; NULL = cannot be read, or disabled */
    struct generation **loaded;    /* the same; NULL when broken */
    int left;                      /* loads that have not answered */
    struct findings findings;
    int plugins, statements, unchecked;
};

/* Adds an error of the plugin with that index of the scan. */
void check_complain(struct check *c, int index, const char *code, const char *message);

/* check_sources.c: migrations on the scratch database, then every source. */
void check_sources(struct check *c);
/* check_together.c: what only shows when all are there. */
void check_together(struct check *c);
