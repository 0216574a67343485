#include "series/duckdb.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    size_t offset; /* of the pointer in struct duckdb */
} functions[] = {
#define FUNCTION(name)                                                                             \
    {                                                                                              \
        "duckdb_" #name, offsetof(struct duckdb, name)                                             \
    }
    FUNCTION(library_version),
    FUNCTION(create_config),
    FUNCTION(set_config),
    FUNCTION(destroy_config),
    FUNCTION(open_ext),
    FUNCTION(close),
    FUNCTION(connect),
    FUNCTION(disconnect),
    FUNCTION(free),
    FUNCTION(query),
    FUNCTION(destroy_result),
    FUNCTION(result_error),
    FUNCTION(rows_changed),
    FUNCTION(prepare),
    FUNCTION(prepare_error),
    FUNCTION(destroy_prepare),
    FUNCTION(bind_int64),
    FUNCTION(bind_timestamp),
    FUNCTION(bind_varchar_length),
    FUNCTION(bind_double),
    FUNCTION(bind_boolean),
    FUNCTION(bind_null),
    FUNCTION(nparams),
    FUNCTION(column_count),
    FUNCTION(column_name),
    FUNCTION(column_type),
    FUNCTION(pending_prepared),
    FUNCTION(pending_execute_task),
    FUNCTION(pending_error),
    FUNCTION(execute_pending),
    FUNCTION(destroy_pending),
    FUNCTION(interrupt),
    FUNCTION(execute_prepared),
    FUNCTION(fetch_chunk),
    FUNCTION(data_chunk_get_size),
    FUNCTION(data_chunk_get_vector),
    FUNCTION(destroy_data_chunk),
    FUNCTION(vector_get_data),
    FUNCTION(vector_get_validity),
    FUNCTION(appender_create),
    FUNCTION(appender_error),
    FUNCTION(appender_close),
    FUNCTION(appender_destroy),
    FUNCTION(append_data_chunk),
    FUNCTION(create_logical_type),
    FUNCTION(destroy_logical_type),
    FUNCTION(create_data_chunk),
    FUNCTION(data_chunk_set_size),
    FUNCTION(data_chunk_reset),
    FUNCTION(vector_ensure_validity_writable),
    FUNCTION(vector_assign_string_element_len),
    FUNCTION(vector_size),
#undef FUNCTION
};

static void *open_beside_binary(void)
{
    static const char *const places[] = {"../lib/libduckdb.so", "lib/libduckdb.so", NULL};
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 64);
    if (n <= 0)
        return NULL;
    path[n] = '\0';
    char *end = strrchr(path, '/') + 1;
    for (int i = 0; places[i]; i++) {
        strcpy(end, places[i]);
        void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (library)
            return library;
    }
    return NULL;
}

bool duckdb_load(struct duckdb *api, const char *path, struct err *err)
{
    void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : open_beside_binary();
    if (!library && !path)
        library = dlopen("libduckdb.so", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return err_set(err, ERR_NOT_FOUND,
                       "time series need DuckDB, and libduckdb.so cannot be loaded (%s): run "
                       "scripts/setup, or set series.library to where it is",
                       path ? dlerror() : "looked in lib/ beside maru and where the system looks");
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *function = dlsym(library, functions[i].name);
        if (!function)
            return err_set(err, ERR_NOT_FOUND,
                           "libduckdb.so has no %s: install DuckDB 1.2 or later",
                           functions[i].name);
        memcpy((char *)api + functions[i].offset, &function, sizeof function);
    }
    return true;
}
