--- What is registered, by walking the real thing: app, the handles it gives, and the plugin's globals.
--
-- A leaf is "function", "table" or "field"; a noun is a table of leaves. `maru check` looks up what a plugin
-- names, and a spec compares all of it with maru.d.lua.
local channels = require "maru.channels"
local client_stream = require "maru.client_stream"
local events = require "maru.events"
local jobs = require "maru.jobs"
local store = require "maru.store"
local workflows = require "maru.workflows"

local HOST_CLASSES = { stream = "maru.stream", socket = "maru.socket", request = "maru.request",
  floats = "app.floats" }

local function leaf(value)
  local kind = type(value)
  return (kind == "function" or kind == "table") and kind or "field"
end

--- One level of a table.
local function names(t)
  local out = {}
  for key, value in next, t do
    if type(key) == "string" then
      out[key] = leaf(value)
    end
  end
  return out
end

--- Tables as nouns, the rest as leaves. `open`: tables whose keys are the plugin's own.
local function tree(t, open)
  local out = {}
  for key, value in next, t do
    if type(key) == "string" then
      out[key] = type(value) == "table" and not open[key] and names(value) or leaf(value)
    end
  end
  return out
end

local function methods_of(metatable)
  local out = {}
  for name in string.gmatch(metatable.__fields or "", "%S+") do
    out[name] = "field"
  end
  for key, value in next, type(metatable.__index) == "table" and metatable.__index or {} do
    if type(key) == "string" and not string.find(key, "^__") then
      out[key] = leaf(value)
    end
  end
  return out
end

local function nothing()
  return true
end

--- A transaction as store:tx gives it to its function, over raw functions that do nothing.
local function transaction()
  local info, seen = { name = "", raw = {} }, {}
  jobs({ push = nothing, push_tx = nothing, get = nothing }, info)
  workflows({}, info)
  events({}, info)
  local raw = setmetatable({}, { __index = function() return nothing end })
  store(raw, info):tx(function(tx)
    seen = tree(tx, {})
  end)
  return seen
end

local function subscription()
  local one = channels({ subscribe = function() return {} end }, { raw = {} }):subscribe("")
  return methods_of(getmetatable(one))
end

local function http_stream()
  return methods_of(getmetatable(client_stream({}, 200, {}, "")))
end

--- inside: what boot.lua gives beside the handlers; globals: of the plugin.
return function(inside, globals)
  local registry = debug.getregistry()
  local out = {
    app = tree(inside.app, { config = true, env = true }),
    tx = transaction(),
    subscription = subscription(),
    http_stream = http_stream(),
    globals = tree(globals, { _G = true }),
    modules = names(inside.modules),
  }
  for name, class in pairs(HOST_CLASSES) do
    out[name] = methods_of(registry[class])
  end
  return out
end
