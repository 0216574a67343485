--- The part of the contract about HTTP: routes, sockets and pages.
local fields = require "maru.fields"
local operation = require "maru.operation"
local schema = require "maru.schema"
local units = require "maru.units"
local words = require "maru.words"

local find, gmatch, match = string.find, string.gmatch, string.match
local refuse, under = words.refuse, words.under

local M = {}

local METHODS = { GET = true, POST = true, PUT = true, PATCH = true, DELETE = true, HEAD = true,
  OPTIONS = true }
local BODY_METHODS = { POST = true, PUT = true, PATCH = true, DELETE = true }
local OPTIONS = { summary = true, description = true, deprecated = true, auth = true, rate = true,
  cache = true, max_body = true, timeout = true, path = true, query = true, headers = true, body = true,
  answers = true, [1] = true }
local AUTH = { none = true, user = true, admin = true }
local ANSWER = { content = true, help = true }
local TEXTUAL = { string = true, integer = true, number = true, boolean = true, enum = true, any = true }

--- "/a/{id}/{rest...}" -> set of parameter names.
local function parameters(keys, pattern)
  local names, rest = {}, nil
  for segment in gmatch(pattern, "[^/]+") do
    if rest then
      refuse(keys, "nothing may follow {%s...}", rest)
    end
    local name, dots = match(segment, "^{([%a_][%w_]*)(%.?%.?%.?)}$")
    if name and (dots == "" or dots == "...") then
      if names[name] then
        refuse(keys, "parameter {%s} stands twice", name)
      end
      names[name], rest = true, dots == "..." and name or nil
    elseif find(segment, "[{}]") then
      refuse(keys, "'%s' is no path segment: write {name}, {name...} or plain text", segment)
    end
  end
  return names
end

local function option(keys, route, key, parse, expected)
  local value = route[key]
  if value == nil then
    return nil
  end
  local parsed, second = parse(value)
  if parsed == nil then
    refuse(under(keys, key), "must be %s, got %s", expected,
      type(value) == "string" and '"' .. value .. '"' or type(value))
  end
  return parsed, second
end

local function is_text(value)
  return type(value) == "string" and value or nil
end

local function is_auth(value)
  return AUTH[value] and value or nil
end

local function is_flag(value)
  return value == true or nil
end

--- Path, query and headers are text: what can be read from one text, or from several of one name.
local function check_textual(keys, field)
  if field.type == "array" then
    if not field.items or not TEXTUAL[field.items.type] then
      refuse(keys, "an array in the path, the query or a header needs `items` of text, numbers or booleans")
    end
  elseif field.type == "one_of" then
    for i, alternative in ipairs(field.one_of) do
      check_textual(under(keys, "one_of", i), alternative)
    end
  elseif not TEXTUAL[field.type] then
    refuse(keys, "an %s cannot stand in the path, the query or a header", field.type)
  end
end

local function read_part(keys, part, specs)
  local read = fields.read_all(keys, specs)
  for _, name in ipairs(words.sorted_keys(read)) do
    local at = under(keys, name)
    check_textual(at, read[name])
    if read[name].nullable then
      refuse(under(at, "nullable"), "there is no null in text: make the field optional")
    elseif part == "headers" and find(name, "[^%l%d_-]") then
      refuse(at, "a header's name is in small letters: \"%s\"", string.lower(name))
    end
  end
  return { type = "object", fields = read, bare = true }
end

--- Every parameter of the pattern is declared afterwards, as text where the route says nothing.
local function read_path(keys, specs, names)
  local field = read_part(keys, "path", specs or {})
  for name, inner in pairs(field.fields) do
    if not names[name] then
      refuse(under(keys, name), "the pattern has no {%s}", name)
    elseif inner.optional or inner.default ~= nil then
      refuse(under(keys, name), "a path parameter is always there: it has no default and is not optional")
    end
  end
  for name in pairs(names) do
    field.fields[name] = field.fields[name] or { type = "string" }
  end
  return field
end

local function is_optional(field)
  for _, inner in pairs(field.fields or { true }) do
    if inner == true or not inner.optional and inner.default == nil then
      return false
    end
  end
  return true
end

--- { [200] = fields, [404] = "no such line", [202] = { content = "text/csv", help = "…" } }
local function read_answers(keys, answers)
  if type(answers) ~= "table" then
    refuse(keys, "must be a table of { [status] = … }, got %s", type(answers))
  end
  local out = {}
  for status, spec in pairs(answers) do
    local at = under(keys, status)
    if type(status) ~= "number" or status % 1 ~= 0 or status < 200 or status > 599 then
      refuse(keys, "an answer's key is its status, from 200 to 599, got %s", tostring(status))
    elseif type(spec) == "string" and not fields.is_field(spec) then
      out[status] = { help = spec }
    elseif type(spec) == "table" and type(spec.content) == "string" and find(spec.content, "/", 1, true) then
      words.only(at, spec, ANSWER, "option of an answer")
      out[status] = { content = spec.content, help = spec.help }
    else
      local field = fields.read_body(at, spec)
      out[status] = { field = field, check = schema.compile_field(field, at), help = field.help }
    end
  end
  return out
end

--- Compiles what the route declares: how to check a request, and what it says for the document.
local function compile_parts(keys, route, names, method)
  local checks, declared = {}, {}
  if route.path ~= nil or next(names) then
    declared.path = read_path(under(keys, "path"), route.path, names)
    checks.path = route.path ~= nil and schema.compile_field(declared.path, under(keys, "path")) or nil
  end
  for _, part in ipairs({ "query", "headers" }) do
    if route[part] ~= nil then
      declared[part] = read_part(under(keys, part), part, route[part])
      checks[part] = schema.compile_field(declared[part], under(keys, part))
    end
  end
  checks.header_names = declared.headers and declared.headers.fields
  if route.body ~= nil then
    if not BODY_METHODS[method] then
      refuse(under(keys, "body"), "a %s request has no body", method)
    end
    declared.body = fields.read_body(under(keys, "body"), route.body)
    checks.body = schema.compile_field(declared.body, under(keys, "body"))
    checks.body_optional = is_optional(declared.body)
    declared.check_body, declared.body_optional = checks.body, checks.body_optional
  end
  if route.answers ~= nil then
    declared.answers = read_answers(under(keys, "answers"), route.answers)
    checks.answers = declared.answers
  end
  return next(checks) and checks, declared
end

local function read_route(keys, key, route, context)
  local method, pattern = match(key, "^(%u+) (/[^%s?#]*)$")
  if not METHODS[method] then
    refuse(keys, "a route is \"METHOD /path\" with GET, POST, PUT, PATCH, DELETE, HEAD or OPTIONS")
  elseif type(route) == "function" then
    route = { route }
  elseif type(route) ~= "table" then
    refuse(keys, "must be a function or a table, got %s", type(route))
  end
  words.only(keys, route, OPTIONS, "route option")
  if type(route[1]) ~= "function" then
    refuse(keys, "needs a function(app, req), got %s", type(route[1]))
  end
  local checks, declared = compile_parts(keys, route, parameters(keys, pattern), method)
  local rate, burst = option(keys, route, "rate", units.rate, '"10/s" or "60/m"')
  local out = {
    method = method, pattern = pattern,
    summary = option(keys, route, "summary", is_text, "text"),
    auth = option(keys, route, "auth", is_auth, '"none", "user" or "admin"') or "none",
    rate = rate, rate_burst = burst,
    cache = option(keys, route, "cache", units.duration, 'a duration such as "2s"'),
    max_body = option(keys, route, "max_body", units.size, 'a size such as "1M"'),
    timeout = option(keys, route, "timeout", units.duration, 'a duration such as "30s"'),
  }
  if out.cache and method ~= "GET" then
    refuse(under(keys, "cache"), "only a GET route can be cached")
  end
  option(keys, route, "description", is_text, "text")
  option(keys, route, "deprecated", is_flag, "true")
  out.operation_json = context.encode and context.encode(operation(out, route, declared, context))
  context.handler(out, "handler", "route:" .. key, route[1], checks)
  return out
end

function M.routes(routes, context)
  local out = {}
  local keys = { "routes" }
  context.operation_ids = {}
  for _, key in ipairs(context.keys_of(keys, routes)) do
    out[#out + 1] = read_route(under(keys, key), key, routes[key], context)
  end
  return out
end

local SOCKET = { open = true, message = true, close = true, upgrade = true }

function M.sockets(sockets, context)
  local out = {}
  for _, path in ipairs(context.keys_of({ "sockets" }, sockets)) do
    local keys, socket = { "sockets", path }, sockets[path]
    if not find(path, "^/[^%s?#]*$") then
      refuse(keys, "a socket's key is its path, \"/ws/things\"")
    elseif type(socket) ~= "table" or next(socket) == nil then
      refuse(keys, "must be a table with open, message or close")
    end
    words.only(keys, socket, SOCKET, "socket handler")
    parameters(keys, path)
    local entry = { path = path }
    for _, event in ipairs({ "open", "message", "close", "upgrade" }) do
      if socket[event] ~= nil then
        if type(socket[event]) ~= "function" then
          refuse(under(keys, event), "must be a function, got %s", type(socket[event]))
        end
        context.handler(entry, event, "socket:" .. path .. ":" .. event, socket[event])
      end
    end
    out[#out + 1] = entry
  end
  return out
end

local PAGE = { path = "string(1,200)", module = "string(1,200)",
  title = { type = "object", fields = { ko = "string(1,80)?", en = "string(1,80)?" } } }
local read_page = schema.compile(PAGE)

function M.pages(pages, context)
  local out = {}
  for i, page in ipairs(context.list_of({ "pages" }, pages)) do
    local checked, errors = read_page(page, "")
    if not checked then
      local at = match(errors[1].field, "^%.(.*)$")
      refuse(at and { "pages", i, at } or { "pages", i }, "%s", errors[1].message)
    elseif not find(checked.path, "^/") then
      refuse({ "pages", i, "path" }, "must begin with /")
    elseif not (checked.title.ko or checked.title.en) then
      refuse({ "pages", i, "title" }, "needs ko or en")
    elseif not context.source("public/" .. checked.module) then
      refuse({ "pages", i, "module" }, "there is no file public/%s", checked.module)
    end
    out[i] = { path = checked.path, module = checked.module,
      title_ko = checked.title.ko or checked.title.en,
      title_en = checked.title.en or checked.title.ko }
  end
  return out
end

return M
