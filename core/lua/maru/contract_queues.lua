--- The part of the contract about what bounds jobs: M.queues, and the same options of a job.
local units = require "maru.units"
local words = require "maru.words"

local find = string.find
local refuse, under = words.refuse, words.under

local M = {}

local QUEUE = { concurrency = true, rate = true, weight = true, key_concurrency = true, key_rate = true }
local MOST, WEIGHT_MOST, RATE_MOST = 100000, 1000, 1000000

local function whole(keys, t, key, least, most, otherwise)
  local value = t[key]
  if value == nil then
    return otherwise
  elseif type(value) ~= "number" or value % 1 ~= 0 or value < least or value > most then
    refuse(under(keys, key), "must be a whole number from %d to %d, got %s", least, most, tostring(value))
  end
  return value
end

--- Number and period in seconds; 0, 0 for none.
local function rate(keys, t, key)
  if t[key] == nil then
    return 0, 0
  end
  local per_second, burst = units.rate(t[key])
  if not per_second or burst > RATE_MOST then
    refuse(under(keys, key), 'must be a rate such as "100/s", "10/m" or "1000/h", got %s', tostring(t[key]))
  end
  return burst, burst / per_second
end

--- Adds what bounds jobs of t, a job or a queue, to out.
function M.bounds(keys, t, out)
  out.concurrency = whole(keys, t, "concurrency", 0, MOST, 0)
  out.key_concurrency = whole(keys, t, "key_concurrency", 0, MOST, 0)
  out.rate_count, out.rate_period = rate(keys, t, "rate")
  out.key_rate_count, out.key_rate_period = rate(keys, t, "key_rate")
end

function M.check_name(keys, name)
  if not find(name, "^[%w_.-]+$") or #name > 100 then
    refuse(keys, "a queue's name is 1 to 100 letters, digits, _ . or -")
  end
end

function M.read(queues, context)
  local out = {}
  for _, name in ipairs(context.keys_of({ "queues" }, queues)) do
    local keys, t = { "queues", name }, queues[name]
    M.check_name(keys, name)
    if type(t) ~= "table" then
      refuse(keys, "must be a table such as { concurrency = 4 }, got %s", type(t))
    end
    words.only(keys, t, QUEUE, "queue option")
    local queue = { name = name, weight = whole(keys, t, "weight", 1, WEIGHT_MOST, 1) }
    M.bounds(keys, t, queue)
    out[#out + 1] = queue
  end
  return out
end

return M
