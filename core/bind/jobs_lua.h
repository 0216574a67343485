/* jobs_lua.h -- the two halves of app.jobs: pushes and looks; what concerns jobs that exist. */
#pragma once

#include <lua.h>

#include "jobs/jobs.h"

struct vm;

/* Push options of the table at `index` (nil: none) into *spec.  Strings live as long as the
 * table.  Raises. */
void jobs_read_options(lua_State *L, int index, struct job_spec *spec);
/* celery_lua.c: those of a task of a Python worker. */
void jobs_read_celery(lua_State *L, int index, struct job_spec *spec);
void jobs_read_unique(lua_State *L, int options, struct job_spec *spec); /* jobs_unique_lua.c */
/* A push of this kind (external: of this Celery task): raises when it is another plugin's that
 * M.allow.jobs does not name; false with *err when that plugin has no such job for others. */
bool jobs_check_kind(lua_State *L, const struct vm *vm, struct str kind, bool external,
                     const char *usage, struct err *err);
/* jobs_more_lua.c: adds its functions to the table on top. */
void jobs_add_more(lua_State *L);
