--- The data explorer: an operator's SQL over the series and the tables, answers to keep as files.
local must = require("must")

local M = {}

local SAVED_MOST = 200
local FILE_ROWS = 100000
local TABLES = { "events", "broadcasts", "changes", "platforms" }

-- The plugin's own mistakes are 500; what the writer of SQL did wrong is told to the writer.
local STATUS = { sql = 422, readonly = 422, forbidden = 422, limit = 422, invalid = 422, memory = 422, timeout = 504,
  busy = 503, io = 503, closed = 503, not_found = 503 }

local function ask(app, body, limit)
  local part = body.source == "series" and app.series or app.store
  local answer, message, code = part:query(body.sql, { limit = limit, timeout = body.timeout })
  if not answer then
    error(app.fail(STATUS[code] or 500, code or "sql", message))
  end
  return answer
end

--- POST /api/explorer/query
function M.query(app, req)
  return 200, ask(app, req.body, req.body.limit)
end

local function csv_text(text)
  -- A spreadsheet computes what begins so; titles are strangers' words.
  if text:find("^[=+%-@\t\r]") then
    text = "'" .. text
  end
  if text:find('[",\r\n]') then
    text = '"' .. text:gsub('"', '""') .. '"'
  end
  return text
end

local function csv_cell(app, value, type)
  if value == nil or value == app.json.null then
    return ""
  elseif type == "time" then
    local whole = math.floor(value)
    local rest = ("%.6f"):format(value - whole):sub(2):gsub("%.?0+$", "")
    return os.date("!%Y-%m-%dT%H:%M:%S", whole) .. rest .. "Z"
  elseif type == "text" then
    return csv_text(tostring(value))
  elseif type == "integer" then
    return ("%.0f"):format(value)
  elseif type == "number" then
    local short = ("%.15g"):format(value)
    return tonumber(short) == value and short or ("%.17g"):format(value)
  end
  return tostring(value)
end

--- RFC 4180, UTF-8; times as ISO 8601, NULL is empty.
function M.csv(app, answer)
  local lines = {}
  local cells = {}
  for i, name in ipairs(answer.columns) do
    cells[i] = csv_text(name)
  end
  lines[1] = table.concat(cells, ",")
  for n, row in ipairs(answer.rows) do
    for i, type in ipairs(answer.types) do
      cells[i] = csv_cell(app, row[i], type)
    end
    lines[n + 1] = table.concat(cells, ",", 1, #answer.types)
  end
  return table.concat(lines, "\r\n") .. "\r\n"
end

--- POST /api/explorer/download
function M.download(app, req)
  local answer = ask(app, req.body, FILE_ROWS)
  local format = req.body.format
  local bytes
  if format == "csv" then
    bytes = M.csv(app, answer)
  else
    local message, code
    bytes, message, code = app.series:parquet(answer)
    if not bytes then
      error(app.fail(STATUS[code] or 500, code or "io", message))
    end
  end
  return 200, bytes, {
    ["content-type"] = format == "csv" and "text/csv; charset=utf-8" or "application/vnd.apache.parquet",
    ["content-disposition"] = ('attachment; filename="streampulse-%s.%s"')
      :format(os.date("!%Y%m%dT%H%M%SZ", math.floor(app.now())), format),
    ["x-rows"] = tostring(answer.n),
    ["x-more"] = tostring(answer.more),
  }
end

local function columns_of(answer)
  local list = {}
  for i, name in ipairs(answer.columns) do
    list[i] = { name = name, type = answer.types[i] }
  end
  return list
end

--- SQLite's columns have no types; the newest row's values tell, if there is one.
local function names_of(app, answer)
  local list = {}
  for i, name in ipairs(answer.columns) do
    list[i] = { name = name, type = answer.n > 0 and answer.types[i] or app.json.null }
  end
  return list
end

--- GET /api/explorer/tables: of series as they are declared, of tables as they are.
function M.tables(app)
  local series, tables = {}, {}
  local viewers = must(app.series:query("select * from viewers limit 0"))
  series[1] = { name = "viewers", columns = columns_of(viewers) }
  for i, name in ipairs(TABLES) do
    tables[i] = { name = name, columns = names_of(app, must(app.store:query("select * from " .. name, { limit = 1 }))) }
  end
  return 200, { series = series, tables = tables }
end

--- GET /api/explorer/saved
function M.saved(app)
  local rows = must(app.store:all("select name, source, sql, saved_at from questions order by name"))
  return 200, { saved = app.json.array(rows) }
end

--- PUT /api/explorer/saved/{name}: under that name, also over what was there.
function M.save(app, req)
  local count = must(app.store:one("select count(*) as n from questions where name <> $1", req.params.name)).n
  if count >= SAVED_MOST then
    error(app.fail(409, "limit", ("at most %d questions are kept; delete one"):format(SAVED_MOST)))
  end
  must(app.store:exec([[insert into questions(name, source, sql, saved_at) values ($1, $2, $3, $4)
    on conflict (name) do update set source = excluded.source, sql = excluded.sql, saved_at = excluded.saved_at]],
    req.params.name, req.body.source, req.body.sql, math.floor(app.now())))
  return 200, { name = req.params.name }
end

--- DELETE /api/explorer/saved/{name}
function M.forget(app, req)
  if must(app.store:exec("delete from questions where name = $1", req.params.name)) == 0 then
    error(app.fail(404, "not_found", "no such question"))
  end
  return 200, { name = req.params.name }
end

local SOURCE = { type = "enum", values = { "series", "tables" },
  help = "series: time series; tables: events and the rest" }
local SQL = { type = "string", min = 1, max = 65536, help = "one SELECT" }
local TIMEOUT = { type = "integer", min = 1, max = 60, default = 10, help = "seconds" }
local NAME = { name = { type = "string", min = 1, max = 80 } }
local TABLE = { columns = "string[]", types = "string[]", rows = { type = "array", items = "any" }, n = "integer",
  more = "boolean", seconds = "number" }

--- Only operators: what is asked may be long work, and whoever asks sees every row.
M.routes = {
  ["POST /api/explorer/query"] = {
    summary = "Rows of an operator's SELECT", auth = "admin", timeout = "65s",
    body = { source = SOURCE, sql = SQL, timeout = TIMEOUT,
      limit = { type = "integer", min = 1, max = 10000, default = 1000, help = "rows" } },
    answers = { [200] = TABLE, [422] = "The SQL is wrong, and where", [504] = "It took longer than timeout" },
    M.query,
  },
  ["POST /api/explorer/download"] = {
    summary = "The rows of an operator's SELECT as a file, at most 100,000", auth = "admin", timeout = "65s",
    body = { source = SOURCE, sql = SQL, timeout = TIMEOUT, format = { type = "enum", values = { "csv", "parquet" } } },
    answers = { [200] = { content = "application/octet-stream", help = "CSV or Parquet" } },
    M.download,
  },
  ["GET /api/explorer/tables"] = {
    summary = "What can be asked for", auth = "admin", query = {},
    answers = { [200] = { series = { type = "array", items = "any" }, tables = { type = "array", items = "any" } } },
    M.tables,
  },
  ["GET /api/explorer/saved"] = {
    summary = "Saved questions", auth = "admin", query = {},
    answers = { [200] = { saved = { type = "array", items = "any" } } }, M.saved,
  },
  ["PUT /api/explorer/saved/{name}"] = {
    summary = "Save a question", auth = "admin", path = NAME, body = { source = SOURCE, sql = SQL },
    answers = { [200] = { name = "string" } }, M.save,
  },
  ["DELETE /api/explorer/saved/{name}"] = {
    summary = "Delete a saved question", auth = "admin", path = NAME,
    answers = { [200] = { name = "string" }, [404] = "There is no such question" }, M.forget,
  },
}

return M
