--- A store for specs: the plugin's own migrations and statements on a real SQLite in memory.
local ffi = require("ffi")

ffi.cdef([[
typedef struct sqlite3 sqlite3;
typedef struct sqlite3_stmt sqlite3_stmt;
int sqlite3_open(const char *, sqlite3 **);
int sqlite3_close(sqlite3 *);
int sqlite3_exec(sqlite3 *, const char *, void *, void *, char **);
int sqlite3_prepare_v2(sqlite3 *, const char *, int, sqlite3_stmt **, const char **);
int sqlite3_bind_parameter_index(sqlite3_stmt *, const char *);
int sqlite3_bind_text(sqlite3_stmt *, int, const char *, int, void *);
int sqlite3_bind_double(sqlite3_stmt *, int, double);
int sqlite3_bind_int64(sqlite3_stmt *, int, int64_t);
int sqlite3_step(sqlite3_stmt *);
int sqlite3_finalize(sqlite3_stmt *);
int sqlite3_changes(sqlite3 *);
int sqlite3_column_count(sqlite3_stmt *);
int sqlite3_column_type(sqlite3_stmt *, int);
const char *sqlite3_column_name(sqlite3_stmt *, int);
double sqlite3_column_double(sqlite3_stmt *, int);
const char *sqlite3_column_text(sqlite3_stmt *, int);
int sqlite3_column_bytes(sqlite3_stmt *, int);
const char *sqlite3_errmsg(sqlite3 *);
]])

local C = ffi.load("libsqlite3.so.0")
local ROW, DONE = 100, 101
local COPY = ffi.cast("void *", -1)

local M = {}

local function failure(db)
  return nil, ffi.string(C.sqlite3_errmsg(db)), "sql"
end

local function bind(statement, index, value)
  if type(value) == "string" then
    C.sqlite3_bind_text(statement, index, value, #value, COPY)
  elseif type(value) == "boolean" then
    C.sqlite3_bind_int64(statement, index, value and 1 or 0)
  elseif type(value) == "number" and value % 1 == 0 then
    C.sqlite3_bind_int64(statement, index, value)
  elseif type(value) == "number" then
    C.sqlite3_bind_double(statement, index, value)
  elseif value ~= nil then
    error("a parameter cannot be a " .. type(value), 0)
  end
end

local function row_of(statement)
  local row = {}
  for column = 0, C.sqlite3_column_count(statement) - 1 do
    local kind, value = C.sqlite3_column_type(statement, column), nil
    if kind == 1 or kind == 2 then
      value = C.sqlite3_column_double(statement, column)
    elseif kind ~= 5 then
      local bytes = C.sqlite3_column_bytes(statement, column)
      value = ffi.string(C.sqlite3_column_text(statement, column), bytes)
    end
    row[ffi.string(C.sqlite3_column_name(statement, column))] = value
  end
  return row
end

local function query(db, sql, ...)
  local out = ffi.new("sqlite3_stmt *[1]")
  if C.sqlite3_prepare_v2(db, sql, #sql, out, nil) ~= 0 then
    return failure(db)
  end
  local statement, rows = out[0], {}
  for index = 1, select("#", ...) do
    local place = C.sqlite3_bind_parameter_index(statement, "$" .. index)
    assert(place > 0, "parameter $" .. index .. " is not in the statement: " .. sql)
    bind(statement, place, (select(index, ...)))
  end
  local code = C.sqlite3_step(statement)
  while code == ROW do
    rows[#rows + 1] = row_of(statement)
    code = C.sqlite3_step(statement)
  end
  C.sqlite3_finalize(statement)
  if code ~= DONE then
    return failure(db)
  end
  return rows
end

local function migrate(db, folder, read, names)
  for _, name in ipairs(names) do
    local sql = "\n" .. read(folder .. "/migrations/" .. name)
    sql = sql:gsub("\n%-%- postgres:\n.-\n%-%- all:\n", "\n")
    assert(C.sqlite3_exec(db, sql, nil, nil, nil) == 0, name)
  end
end

local function transaction(db, tx, fn)
  query(db, "begin")
  local ok, result, message, code = pcall(fn, tx)
  query(db, ok and result ~= nil and "commit" or "rollback")
  if not ok then
    error(result, 0)
  end
  return result, message, code
end

--- @param jobs fun(): table  the fake's queue, for tx.jobs
function M.open(folder, read, names, jobs)
  local out = ffi.new("sqlite3 *[1]")
  assert(C.sqlite3_open(":memory:", out) == 0)
  local db, store = out[0], {}
  migrate(db, folder, read, names)
  store.all = function(_, sql, ...) return query(db, sql, ...) end
  store.one = function(_, sql, ...)
    local rows, message, code = query(db, sql, ...)
    if not rows then
      return nil, message, code
    end
    return rows[1] or false
  end
  store.exec = function(_, sql, ...)
    local rows, message, code = query(db, sql, ...)
    if not rows then
      return nil, message, code
    end
    return C.sqlite3_changes(db)
  end
  store.many = function(_, sql, rows)
    for _, row in ipairs(rows) do
      local done, message, code = query(db, sql, unpack(row))
      if not done then
        return nil, message, code
      end
    end
    return #rows
  end
  store.tx = function(_, fn)
    return transaction(db, {
      all = store.all, one = store.one, exec = store.exec, many = store.many, jobs = jobs(),
    }, fn)
  end
  return store
end

return M
