/* duckdb.h -- the part of DuckDB's C API that series needs, found at run time.
 *
 * The declarations are ours, after DuckDB's documented C API (stable since
 * 1.2); nothing of DuckDB is needed to compile maru.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"

typedef uint64_t duck_idx;
typedef int duck_state; /* 0 = success */

/* Opaque handles. */
typedef struct duck_database_ *duck_database;
typedef struct duck_connection_ *duck_connection;
typedef struct duck_config_ *duck_config;
typedef struct duck_statement_ *duck_statement;
typedef struct duck_appender_ *duck_appender;
typedef struct duck_chunk_ *duck_chunk;
typedef struct duck_vector_ *duck_vector;
typedef struct duck_type_ *duck_type;
typedef struct duck_pending_ *duck_pending;

/* Passed by value to fetch_chunk; only DuckDB reads it. */
typedef struct {
    duck_idx unused[3];
    void *columns;
    char *error;
    void *internal;
} duck_result;

typedef struct {
    int64_t us; /* since 1970 */
} duck_time;

/* Text in a vector: up to 12 bytes lie in the struct itself. */
typedef struct {
    uint32_t length;
    char inlined[4]; /* and 8 more, or the pointer */
    char *pointer;
} duck_text;

enum { DUCK_INLINE_BYTES = 12 };
enum {
    DUCK_BOOLEAN = 1,
    DUCK_TINYINT = 2,
    DUCK_BIGINT = 5,
    DUCK_UINTEGER = 8,
    DUCK_UBIGINT = 9,
    DUCK_DOUBLE = 11,
    DUCK_TIMESTAMP = 12,
    DUCK_HUGEINT = 16,
    DUCK_VARCHAR = 17,
    DUCK_DECIMAL = 19,
    DUCK_TIMESTAMP_S = 20,
    DUCK_TIMESTAMP_NS = 22,
    DUCK_TIMESTAMP_TZ = 31,
    DUCK_UHUGEINT = 32
};
enum duck_progress { DUCK_RESULT_READY, DUCK_RESULT_NOT_READY, DUCK_FAILED, DUCK_NO_TASKS };

struct duckdb {
    const char *(*library_version)(void);
    duck_state (*create_config)(duck_config *out);
    duck_state (*set_config)(duck_config config, const char *name, const char *value);
    void (*destroy_config)(duck_config *config);
    duck_state (*open_ext)(const char *path, duck_database *out, duck_config config, char **error);
    void (*close)(duck_database *db);
    duck_state (*connect)(duck_database db, duck_connection *out);
    void (*disconnect)(duck_connection *con);
    void (*free)(void *p);
    duck_state (*query)(duck_connection con, const char *sql, duck_result *out);
    void (*destroy_result)(duck_result *result);
    const char *(*result_error)(duck_result *result);
    duck_idx (*rows_changed)(duck_result *result);
    duck_state (*prepare)(duck_connection con, const char *sql, duck_statement *out);
    const char *(*prepare_error)(duck_statement stmt);
    void (*destroy_prepare)(duck_statement *stmt);
    duck_state (*bind_int64)(duck_statement stmt, duck_idx index, int64_t value);
    duck_state (*bind_timestamp)(duck_statement stmt, duck_idx index, duck_time value);
    duck_state (*bind_varchar_length)(duck_statement stmt, duck_idx index, const char *p,
                                      duck_idx n);
    duck_state (*bind_double)(duck_statement stmt, duck_idx index, double value);
    duck_state (*bind_boolean)(duck_statement stmt, duck_idx index, bool value);
    duck_state (*bind_null)(duck_statement stmt, duck_idx index);
    duck_idx (*nparams)(duck_statement stmt);
    duck_idx (*column_count)(duck_result *result);
    const char *(*column_name)(duck_result *result, duck_idx column);
    int (*column_type)(duck_result *result, duck_idx column);
    duck_state (*pending_prepared)(duck_statement stmt, duck_pending *out);
    int (*pending_execute_task)(duck_pending pending); /* enum duck_progress */
    const char *(*pending_error)(duck_pending pending);
    duck_state (*execute_pending)(duck_pending pending, duck_result *out);
    void (*destroy_pending)(duck_pending *pending);
    void (*interrupt)(duck_connection con);
    duck_state (*execute_prepared)(duck_statement stmt, duck_result *out);
    duck_chunk (*fetch_chunk)(duck_result result);
    duck_idx (*data_chunk_get_size)(duck_chunk chunk);
    duck_vector (*data_chunk_get_vector)(duck_chunk chunk, duck_idx column);
    void (*destroy_data_chunk)(duck_chunk *chunk);
    void *(*vector_get_data)(duck_vector vector);
    uint64_t *(*vector_get_validity)(duck_vector vector); /* NULL = all valid */
    duck_state (*appender_create)(duck_connection con, const char *schema, const char *table,
                                  duck_appender *out);
    const char *(*appender_error)(duck_appender appender);
    duck_state (*appender_close)(duck_appender appender);
    duck_state (*appender_destroy)(duck_appender *appender);
    duck_state (*append_data_chunk)(duck_appender appender, duck_chunk chunk);
    duck_type (*create_logical_type)(int type);
    void (*destroy_logical_type)(duck_type *type);
    duck_chunk (*create_data_chunk)(duck_type *types, duck_idx count);
    void (*data_chunk_set_size)(duck_chunk chunk, duck_idx size);
    void (*data_chunk_reset)(duck_chunk chunk);
    void (*vector_ensure_validity_writable)(duck_vector vector);
    void (*vector_assign_string_element_len)(duck_vector vector, duck_idx row, const char *p,
                                             duck_idx n);
    duck_idx (*vector_size)(void);
};

/* Loads the library once per process; path NULL looks beside the binary
 * (../lib, lib) and where the system looks.  False with *err (ERR_NOT_FOUND)
 * saying what to install. */
bool duckdb_load(struct duckdb *api, const char *path, struct err *err);
