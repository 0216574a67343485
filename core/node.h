/* node.h -- what one process is among others that share its work: a name, and roles. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct config;

enum { NODE_NAME_BYTES = 128 };

struct node {
    char name[NODE_NAME_BYTES + 1]; /* node.name, else "host-pid" of this process */
    bool web, jobs, cron;           /* roles, */
    const char *roles[4];           /* and their names, NULL-terminated */
};

/* From the keys node.name and roles.  False with *err: `roles: there is no role "x" …`. */
bool node_read(const struct config *config, struct node *out, struct err *err);
