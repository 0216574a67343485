--- The model moving_average: the series smoothed, its last value as forecast, and bands as wide as what the
--- average missed the next point by. Only the end of a long series is looked at.
local series = require("series")

local floor, sqrt, abs, max, min = math.floor, math.sqrt, math.abs, math.max, math.min

local M = { NAME = "moving_average", VERSION = "1", KIND = "moving_average" }

M.HORIZON, M.LONGEST = 12, 1000 -- of a forecast, by default and at most
M.WINDOW = 5
M.QUANTILES = { 0.1, 0.5, 0.9 }

local SHOWN, HISTORY = 1000, 48 -- smoothed values, and points of the input, that a result has
local SPREAD = 1.2815515655446004 -- of a normal distribution between its middle and its 0.9 quantile

--- The last n points of an array or of floats, as an array.
local function tail(data, n)
  if type(data) == "userdata" then
    local list = data:table(max(#data - n + 1, 1), #data)
    for i, value in ipairs(list) do
      list[i] = tonumber(("%.7g"):format(value)) -- they have no more digits
    end
    return list
  elseif #data <= n then
    return data
  end
  local out, first = {}, #data - n
  for i = 1, n do
    out[i] = data[first + i]
  end
  return out
end
M.tail = tail

--- @param data number[] not empty
--- @return table result
function M.run(app, data, horizon, window)
  local points = tail(data, SHOWN + window)
  local n = #points
  local smooth = app.kernels.moving_average(points, window, 1)
  local largest, missed, squares = 0, 0, 0
  for i = 1, n do
    largest = max(largest, abs(points[i]))
    if i > 1 then
      local off = points[i] - smooth[i - 1]
      missed, squares = missed + 1, squares + off * off
    end
  end
  local scale = series.rounding(largest)
  local function round(value)
    return floor(value * scale + 0.5) / scale
  end
  local last = smooth[n]
  local spread = missed > 0 and SPREAD * sqrt(squares / missed) or 0
  local middle, low, high = round(last), round(last - spread), round(last + spread)
  local forecast, lows, highs = {}, {}, {}
  for i = 1, horizon do
    forecast[i], lows[i], highs[i] = middle, low, high
  end
  local values, first = {}, n - min(n, SHOWN)
  for i = 1, n - first do
    values[i] = round(smooth[first + i])
  end
  return {
    horizon = horizon, quantiles = M.QUANTILES, forecast = forecast, bands = { lows, forecast, highs },
    history = tail(data, HISTORY), values = values, window = window,
  }
end

return M
