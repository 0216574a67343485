--- The model moving_average: the series smoothed, its last value as forecast, and bands as wide as what the
--- average missed the next point by. Only the end of a long series is looked at.
local series = require("series")

local floor = math.floor

local M = { NAME = "moving_average", VERSION = "1", KIND = "moving_average" }

M.HORIZON, M.LONGEST = 12, 1000 -- of a forecast, by default and at most
M.WINDOW = 5
M.QUANTILES = { 0.1, 0.5, 0.9 }

local SHOWN, HISTORY = 1000, 48 -- smoothed values, and points of the input, that a result has
local SPREAD = 1.2815515655446004 -- of a normal distribution between its middle and its 0.9 quantile

--- The last n points of floats.
local function tail(data, n)
  return #data > n and data:slice(#data - n + 1) or data
end
M.tail = tail

--- A forecast that stays at one value, of 1 / scale.
local function level(app, horizon, value, scale)
  return app.kernels.full(horizon, floor(value * scale + 0.5) / scale)
end

--- @param data number[]|userdata not empty
--- @return table result, with floats for lists
function M.run(app, data, horizon, window)
  local points = tail(type(data) == "table" and app.kernels.floats(data) or data, SHOWN + window)
  local smooth = app.kernels.moving_average(points, window, 1)
  local decimals = series.decimals(points)
  local _, missed = app.kernels.errors(points, smooth, 1)
  local last, spread, scale = smooth[#smooth], SPREAD * missed, 10 ^ decimals
  local middle = level(app, horizon, last, scale)
  return {
    horizon = horizon, quantiles = M.QUANTILES, forecast = middle,
    bands = { level(app, horizon, last - spread, scale), middle, level(app, horizon, last + spread, scale) },
    history = tail(points, HISTORY), values = tail(smooth, SHOWN):round(decimals), window = window,
  }
end

return M
