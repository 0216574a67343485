--- Is the newest count of a channel a surge? Moving average for the size of the jump, median and
--- MAD for how unusual it is. Pure.
local M = {}

-- The median absolute deviation of a normal distribution is this part of its standard deviation.
local MAD_TO_SIGMA = 1.4826

-- Counts are cached upstream and come in steps: less than this part of the median is no deviation.
local STEP = 0.02

local function median(sorted)
  local n = #sorted
  local middle = math.floor((n + 1) / 2)
  return n % 2 == 1 and sorted[middle] or (sorted[middle] + sorted[middle + 1]) / 2
end

local function robust(values)
  local sorted = {}
  for index, value in ipairs(values) do
    sorted[index] = value
  end
  table.sort(sorted)
  local centre = median(sorted)
  for index, value in ipairs(sorted) do
    sorted[index] = math.abs(value - centre)
  end
  table.sort(sorted)
  -- A count of viewers scatters at least as a Poisson count does.
  local sigma = math.max(MAD_TO_SIGMA * median(sorted), STEP * centre, math.sqrt(centre), 1)
  return centre, sigma
end

local function smallest(values, from)
  local least = math.huge
  for index = math.max(1, from), #values do
    least = math.min(least, values[index])
  end
  return least
end

--- @param values number[]  the channel's counts since its last gap, newest last
--- @param rules { min_points, min_viewers, min_gain, min_ratio, min_zscore, average_window }
--- @param average fun(values: number[], window: integer, min_periods: integer): number[]
--- @return { viewers, previous, baseline, ratio, zscore }|nil
function M.surge(values, rules, average)
  local count = #values
  local viewers = values[count]
  if count <= rules.min_points or viewers < rules.min_viewers then
    return nil
  end
  local before = {}
  for index = 1, count - 1 do
    before[index] = values[index]
  end
  -- No mean is below its smallest value, so most channels end here, before the sorting.
  if viewers < rules.min_ratio * smallest(before, count - rules.average_window) then
    return nil
  end
  local baseline = average(before, rules.average_window, 1)[count - 1]
  local ratio = viewers / math.max(baseline, 1)
  if ratio < rules.min_ratio or viewers - baseline < rules.min_gain then
    return nil
  end
  local centre, sigma = robust(before)
  local zscore = (viewers - centre) / sigma
  if zscore < rules.min_zscore then
    return nil
  end
  return {
    viewers = viewers, previous = before[count - 1], baseline = baseline, ratio = ratio,
    zscore = zscore,
  }
end

--- Columns of one platform as one list of counts a channel, cut at its last gap.
--- @return table<string, { at: number, values: number[] }>
function M.lines(columns, gap)
  local lines = {}
  for index = 1, columns.n do
    local channel_id, at, viewers =
      columns.channel_id[index], columns.at[index], columns.viewers[index]
    if type(viewers) == "number" then
      local line = lines[channel_id]
      if not line or at - line.at > gap then
        line = { values = {} } -- off the air in between: the earlier level says nothing
        lines[channel_id] = line
      end
      line.at = at
      line.values[#line.values + 1] = viewers
    end
  end
  return lines
end

return M
