-- wrk's script: series of 100 points. MODEL says for what; ITEMS: so many in a request, for the route of several.
local model = os.getenv("MODEL") or "moving_average"
local items = tonumber(os.getenv("ITEMS") or 0)
local bodies, at = {}, 0

local function submission(i)
  local points = {}
  for t = 1, 100 do
    points[t] = ("%.3f"):format(50 + 10 * math.sin((t + i) / 24 * 2 * math.pi) + math.random())
  end
  return ('{"model_name":"%s","data":[%s],"metadata":{"pattern":"seasonal"}}'):format(model, table.concat(points, ","))
end

local function several(n)
  local list = {}
  for i = 1, n do
    list[i] = submission(i)
  end
  return '{"items":[' .. table.concat(list, ",") .. "]}"
end

function init()
  for i = 1, 64 do
    bodies[i] = wrk.format("POST", nil, { ["Content-Type"] = "application/json" },
      items > 0 and several(items) or submission(i))
  end
end

function request()
  at = at % #bodies + 1
  return bodies[at]
end
