--- The part of the contract about HTTP: routes, sockets and pages.
local schema = require "maru.schema"
local units = require "maru.units"
local words = require "maru.words"

local find, gmatch, match = string.find, string.gmatch, string.match
local refuse, under = words.refuse, words.under

local M = {}

local METHODS = { GET = true, POST = true, PUT = true, PATCH = true, DELETE = true, HEAD = true,
  OPTIONS = true }
local BODY_METHODS = { POST = true, PUT = true, PATCH = true, DELETE = true }
local OPTIONS = { summary = true, auth = true, rate = true, cache = true, max_body = true,
  timeout = true, path = true, query = true, headers = true, body = true, [1] = true }
local AUTH = { none = true, user = true, admin = true }
local PARTS = { "path", "query", "headers", "body" }

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

--- Compiles what the route declares of path, query, headers and body.
local function compile_parts(keys, route, names, method)
  local checks, described = {}, {}
  for _, part in ipairs(PARTS) do
    if route[part] ~= nil then
      local check, read = schema.compile(route[part], under(keys, part))
      checks[part], described[part] = check, schema.describe_all(read)
      checks.header_names = part == "headers" and read or checks.header_names
      if part == "path" then
        for name in pairs(read) do
          if not names[name] then
            refuse(under(keys, "path", name), "the pattern has no {%s}", name)
          end
        end
      end
    end
  end
  if checks.body and not BODY_METHODS[method] then
    refuse(under(keys, "body"), "a %s request has no body", method)
  end
  return next(checks) and checks, described
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
  local checks, described = compile_parts(keys, route, parameters(keys, pattern), method)
  local rate, burst = option(keys, route, "rate", units.rate, '"10/s" or "60/m"')
  local out = {
    method = method, pattern = pattern,
    summary = option(keys, route, "summary", is_text, "text"),
    auth = option(keys, route, "auth", is_auth, '"none", "user" or "admin"') or "none",
    rate = rate, rate_burst = burst,
    cache = option(keys, route, "cache", units.duration, 'a duration such as "2s"'),
    max_body = option(keys, route, "max_body", units.size, 'a size such as "1M"'),
    timeout = option(keys, route, "timeout", units.duration, 'a duration such as "30s"'),
    schema_json = next(described) and context.encode(described) or nil,
  }
  if out.cache and method ~= "GET" then
    refuse(under(keys, "cache"), "only a GET route can be cached")
  end
  context.handler(out, "handler", "route:" .. key, route[1], checks)
  return out
end

function M.routes(routes, context)
  local out = {}
  local keys = { "routes" }
  for _, key in ipairs(context.keys_of(keys, routes)) do
    out[#out + 1] = read_route(under(keys, key), key, routes[key], context)
  end
  return out
end

local SOCKET = { open = true, message = true, close = true }

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
    for _, event in ipairs({ "open", "message", "close" }) do
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
