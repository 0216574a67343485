-- wrk's script: series of 100 points. MODEL says for what.
local model = os.getenv("MODEL") or "moving_average"
local bodies, at = {}, 0

function init()
  for i = 1, 64 do
    local points = {}
    for t = 1, 100 do
      points[t] = ("%.3f"):format(50 + 10 * math.sin((t + i) / 24 * 2 * math.pi) + math.random())
    end
    bodies[i] = wrk.format("POST", nil, { ["Content-Type"] = "application/json" },
      ('{"model_name":"%s","data":[%s],"metadata":{"pattern":"seasonal"}}'):format(model, table.concat(points, ",")))
  end
end

function request()
  at = at % #bodies + 1
  return bodies[at]
end
