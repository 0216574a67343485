--- DuckDB in this process, to read what maru wrote: duckdb.query(sql) gives rows of texts (nil = NULL).
local ffi = require("ffi")

ffi.cdef([[
typedef struct { uint64_t a[3]; void *columns; char *error; void *internal; } maru_duck_result;
int duckdb_open(const char *path, void **db);
int duckdb_connect(void *db, void **con);
int duckdb_query(void *con, const char *sql, maru_duck_result *out);
const char *duckdb_result_error(maru_duck_result *r);
uint64_t duckdb_row_count(maru_duck_result *r);
uint64_t duckdb_column_count(maru_duck_result *r);
char *duckdb_value_varchar(maru_duck_result *r, uint64_t column, uint64_t row);
void duckdb_free(void *p);
void duckdb_destroy_result(maru_duck_result *r);
]])

local M = {}
local lib, connection

function M.query(sql)
  if not connection then
    lib = ffi.load("build/lib/libduckdb.so")
    local db, con = ffi.new("void *[1]"), ffi.new("void *[1]")
    assert(lib.duckdb_open(nil, db) == 0 and lib.duckdb_connect(db[0], con) == 0)
    connection = con[0]
  end
  local result = ffi.new("maru_duck_result")
  if lib.duckdb_query(connection, sql, result) ~= 0 then
    error(ffi.string(lib.duckdb_result_error(result)), 2)
  end
  local rows = {}
  for row = 1, tonumber(lib.duckdb_row_count(result)) do
    rows[row] = {}
    for column = 1, tonumber(lib.duckdb_column_count(result)) do
      local text = lib.duckdb_value_varchar(result, column - 1, row - 1)
      rows[row][column] = text ~= nil and ffi.string(text) or nil
      lib.duckdb_free(text)
    end
  end
  lib.duckdb_destroy_result(result)
  return rows
end

return M
