--- M.allow: what a plugin may reach outside of itself; whatever stands nowhere here is out of reach.
--- "config:KEY" stands for what that config value names. Each entry keeps where it came from: "" is the plugin
--- itself, "config:KEY" a value that the operator gave, "default:KEY" the plugin's own default for it.
local words = require "maru.words"

local find, gmatch, lower, match, sub = string.find, string.gmatch, string.lower, string.match, string.sub
local refuse = words.refuse

local M = {}

local PORTS = { http = 80, https = 443, ws = 80, wss = 443 }
local PARTS = { env = true, events = true, exec = true, exports = true, fs = true, jobs = true, mail = true,
  model = true, net = true }
local PRIVATE = "private:"
-- What other plugins offer.
local OTHERS = { { "exports", "fn", "a plugin may call what it exports itself" },
  { "jobs", "job", "a plugin may push its own jobs" } }

--- "https://host:8443/path" -> "host:8443"
local function host_of_url(keys, url)
  local scheme, authority = match(url, "^(%a[%w+.-]*)://([^/?#]+)")
  local port = scheme and PORTS[lower(scheme)]
  if not port then
    refuse(keys, "'%s' is not a URL with http or https", url)
  end
  authority = match(authority, "([^@]*)$")
  local host, given = match(authority, "^(%[[%x:.]+%])(.*)$")
  if not host then
    host, given = match(authority, "^([^:]+)(.*)$")
  end
  if not host or not (given == "" or find(given, "^:%d+$")) then
    refuse(keys, "'%s' is not a URL with a host", url)
  end
  return lower(host) .. (given ~= "" and given or ":" .. port)
end

--- The one spelling of a host that requests are compared with.
local function check_host(keys, entry, host)
  local last = match(host, "([^.]*)$")
  if find(host, "^%[") then
    return
  elseif find(host, "^%.") or find(host, "..", 1, true) or last == "" then
    refuse(keys, 'the host of "%s" has an empty part', entry)
  elseif (find(last, "^%d+$") or find(last, "^0[xX]%x*$"))
    and not (find(host, "^%d+%.%d+%.%d+%.%d+$") and not find("." .. host, "%.0%d")) then
    refuse(keys, 'an address is written like "192.0.2.1", got "%s"', entry)
  end
end

local function net_entry(keys, entry)
  local host, port = match(entry, "^(%*?%.?[%w_][%w_.%-]*):(%d+)$")
  if not host then
    host, port = match(entry, "^(%[[%x:.]+%]):(%d+)$")
  end
  if not host or (sub(host, 1, 1) == "*") ~= (sub(host, 1, 2) == "*.") then
    refuse(keys, 'must be "host:port", "*.host:port" or "config:KEY", got "%s"', entry)
  elseif tonumber(port) < 1 or tonumber(port) > 65535 then
    refuse(keys, "a port is from 1 to 65535, got %s", port)
  end
  check_host(keys, entry, host)
  return lower(host) .. ":" .. tonumber(port)
end

local function path_value(keys, path)
  if find(path, "%c") then
    refuse(keys, "a path has no control characters")
  end
  return path
end

local function absolute(keys, entry)
  if not find(entry, "^/") then
    refuse(keys, 'must be an absolute path or "config:KEY", got "%s"', entry)
  elseif find(entry .. "/", "/%.%.?/") then
    refuse(keys, 'a path has no "." and ".." in it, got "%s"', entry)
  end
  return path_value(keys, entry)
end

local function program(keys, entry)
  absolute(keys, entry)
  if find(entry, "/$") then
    refuse(keys, 'must be a program, not a folder, got "%s"', entry)
  end
  return entry
end

--- Config values: one text (paths: with colons between them) or a list of them.
local function each_value(keys, name, value, what, separated)
  if value ~= nil and type(value) ~= "string" and type(value) ~= "table" then
    refuse(keys, "config.%s must be %s, it is %s", name, what, type(value))
  end
  local list = {}
  for _, text in ipairs(type(value) == "table" and value or { value }) do
    for item in gmatch(text, separated and "[^:]+" or ".+") do
      list[#list + 1] = item
    end
  end
  return list
end

local READERS = {
  net = { what = "a URL", entry = net_entry, value = host_of_url },
  fs = { what = "a path", entry = absolute, value = path_value, separated = true },
  exec = { what = "a program's path", entry = program, value = program },
}

local function add(out, from, text, source)
  out[#out + 1], from[#from + 1] = text, source
end

--- Entries that may be "config:KEY".
local function read_part(plugin, part, list, config, settings)
  local reader, out, from = READERS[part], {}, {}
  for i, whole in ipairs(list) do
    local keys = { "allow", part, i }
    local private = part == "net" and sub(whole, 1, #PRIVATE) == PRIVATE and PRIVATE or ""
    local entry = sub(whole, #private + 1)
    local name = match(entry, "^config:(.+)$")
    if not name then
      add(out, from, private .. reader.entry(keys, entry), "")
    elseif (plugin.config or {})[name] == nil then
      refuse(keys, "M.config has no '%s'%s", name, words.suggest(name, plugin.config or {}))
    else
      local source = (settings[name] ~= nil and "config:" or "default:") .. name
      for _, text in ipairs(each_value(keys, name, config[name], reader.what, reader.separated)) do
        add(out, from, private .. reader.value(keys, text), source)
      end
    end
  end
  return out, from
end

--- "plugin.name" or "plugin.*", of plugins that `requires` names; what: { part, "fn", why not of its own }.
local function check_others(plugin, list, needed, what)
  for i, entry in ipairs(list) do
    local keys = { "allow", what[1], i }
    local other, name = match(entry, "^([a-z][a-z0-9_]*)%.([%w_*]+)$")
    if not other or not (name == "*" or find(name, "^[%a_][%w_]*$")) then
      refuse(keys, 'must be "plugin.%s" or "plugin.*", got "%s"', what[2], entry)
    elseif other == plugin.name then
      refuse(keys, what[3])
    elseif not needed[other] then
      refuse(keys, "'%s' is not in this plugin's requires%s", other, words.suggest(other, needed))
    end
  end
  return list
end

--- text_list(keys, value, pattern, expected) checks a list of texts; requires: checked entries.
--- Returns { net = { list, from }, … }: each part's entries, and where each came from.
function M.read(plugin, config, settings, requires, text_list)
  local allow, needed = plugin.allow, {}
  if allow == nil then
    allow = {}
  elseif type(allow) ~= "table" then
    refuse({ "allow" }, "must be a table, got %s", type(allow))
  end
  words.only({ "allow" }, allow, PARTS, "permission")
  for _, entry in ipairs(requires) do
    needed[match(entry, "^[a-z0-9_]+")] = true
  end
  local out = {}
  for _, part in ipairs({ "net", "fs", "exec" }) do
    local list = text_list({ "allow", part }, allow[part], ".", "text")
    out["allow_" .. part], out["allow_" .. part .. "_from"] =
      read_part(plugin, part, list, config, settings or {})
  end
  out.allow_env = text_list({ "allow", "env" }, allow.env, "^[%a_][%w_]*$", "a variable's name")
  out.allow_events = text_list({ "allow", "events" }, allow.events, "^[%w_-][%w_.-]*%*?$",
    'a topic, or the beginning of topics such as "orders.*"')
  for i, entry in ipairs(out.allow_events) do
    if find(entry, "*", 1, true) and not find(entry, "%.%*$") then
      refuse({ "allow", "events", i }, 'must be "topic" or "prefix.*", got "%s"', entry)
    end
  end
  if allow.model ~= nil and type(allow.model) ~= "boolean" then
    refuse({ "allow", "model" }, "must be true or false, got %s", type(allow.model))
  end
  out.allow_model = allow.model and { "*" } or {}
  out.allow_mail = allow.mail == true and { "*" }
    or text_list({ "allow", "mail" }, allow.mail or nil, "^[^%s@]*@?[^%s@]+$", '"*@domain" or an address')
  for _, what in ipairs(OTHERS) do
    out["allow_" .. what[1]] =
      check_others(plugin, text_list({ "allow", what[1] }, allow[what[1]], ".", "text"), needed, what)
  end
  return out
end

return M
