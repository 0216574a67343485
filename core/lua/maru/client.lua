--- app.http: requests to other hosts, over the raw primitive of bind/client_lua.c.

local body_stream = require "maru.client_stream"
local hidden = require "maru.secrets"
local words = require "maru.words"

local METHODS = { "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD" }
local USAGE = "app.http:request(url, [options])"
local STREAM_USAGE = "app.http:stream(url, [options])"

local function escape(text)
  return (tostring(text):gsub("[^%w%-._~]", function(c)
    return ("%%%02X"):format(c:byte())
  end))
end

--- application/x-www-form-urlencoded with sorted keys, so that equal requests are equal text.
local function encode_form(fields)
  local keys, parts = {}, {}
  for key in pairs(fields) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  for _, key in ipairs(keys) do
    parts[#parts + 1] = escape(key) .. "=" .. escape(fields[key])
  end
  return table.concat(parts, "&")
end

local function with_query(url, query)
  if not query or not next(query) then
    return url
  end
  local base, fragment = url:match("^([^#]*)(.*)$")
  return base .. (base:find("?", 1, true) and "&" or "?") .. encode_form(query) .. fragment
end

local function set_body(usage, request, headers, options, json)
  local given = (options.body and 1 or 0) + (options.json ~= nil and 1 or 0) + (options.form and 1 or 0)
  if given > 1 then
    error(usage .. ": give one of options.body, options.json and options.form", 4)
  end
  if options.json ~= nil then
    request.body = json.encode(options.json)
    headers["content-type"] = headers["content-type"] or "application/json"
  elseif options.form then
    request.body = encode_form(options.form)
    headers["content-type"] = headers["content-type"] or "application/x-www-form-urlencoded"
  else
    request.body = options.body
  end
end

return function(raw, info)
  local http = {}
  local secrets

  --- The URL as traces have it: the address of a webhook is a secret itself.
  local function shown(url)
    secrets = secrets or hidden.of(info)
    for _, secret in ipairs(secrets) do
      url = hidden.replace(url, secret, "***")
    end
    return url
  end

  local known = { method = true, headers = true, query = true, body = true, json = true, form = true, timeout = true,
    silence = true, retries = true, backoff = true, max_bytes = true, redirects = true }

  --- The URL and the options of raw.request and raw.stream.
  local function prepare(usage, url, options)
    options = words.options(options, known, usage, 3)
    local headers = { ["user-agent"] = "maru (" .. info.name .. ")" }
    for name, value in pairs(options.headers or {}) do
      headers[name:lower()] = value
    end
    local request = { method = (options.method or "GET"):upper(), headers = headers, timeout = options.timeout,
      silence = options.silence, retries = options.retries, backoff = options.backoff, max_bytes = options.max_bytes,
      redirects = options.redirects }
    set_body(usage, request, headers, options, info.raw.json)
    url = with_query(url, options.query)
    request.shown = type(url) == "string" and shown(url) or nil
    return url, request
  end

  function http:request(url, options)
    if self ~= http then
      error(USAGE .. ": call it with a colon", 2)
    end
    return raw.request(prepare(USAGE, url, options))
  end

  --- An answer whose body is read as it comes.
  function http:stream(url, options)
    if self ~= http then
      error(STREAM_USAGE .. ": call it with a colon", 2)
    end
    return body_stream(raw.stream(prepare(STREAM_USAGE, url, options)))
  end

  for _, method in ipairs(METHODS) do
    http[method:lower()] = function(self, url, options)
      local copy = {}
      for key, value in pairs(options or {}) do
        copy[key] = value
      end
      copy.method = method
      return self:request(url, copy)
    end
  end

  return http
end
