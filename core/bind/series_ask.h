/* series_ask.h -- what the files of app.series share. */
#pragma once

#include <lua.h>

#include "series/series.h"

struct task;

#define SERIES_TIME_MOST 2.5e11 /* seconds that a timestamp can hold */

/* One block: the call, its conditions, its text. */
struct series_ask {
    struct series_call call; /* first */
    struct task *task;       /* NULL when nobody waits */
    size_t charged;          /* to its VM, while the task waits */
    int64_t began_ns;
    struct value *params; /* its own, or NULL */
    struct series_where where[SERIES_COLUMNS];
    char plugin[80];
    char text[];
};
/* Room for text_bytes behind the name, which is copied.  Its bytes and `charged` more, which
 * the call holds beside it, count against the plugin's memory.  NULL with *err when there
 * is no room. */
struct series_ask *series_ask_make(lua_State *L, enum series_op op, struct str name,
                                   size_t text_bytes, size_t charged, struct err *err);
void series_ask_drop(lua_State *L, struct series_ask *ask); /* one that was not run */
/* Runs it and waits: the binding's last act. */
int series_ask_run(struct task *task, struct series_ask *ask, struct series_store *series);

struct series_store *series_check_part(lua_State *L, const char *usage);  /* raises without one */
const char *series_column_name(const struct series_frame *f, int column); /* keys, then values */
/* Copies the string at index to *to and moves *to behind it. */
struct str series_copy_text(lua_State *L, int index, char **to);

int series_lua_append(lua_State *L);
int series_lua_query(lua_State *L);
int series_lua_parquet(lua_State *L);
