--- Chance without state: the same seed and numbers give the same draw in every lane and process.
local M = {}

-- A prime below 2^26, so that products stay exact in a double; cubing permutes its residues.
local PRIME = 67108859

local function cube(h)
  return (h * h % PRIME) * h % PRIME
end

--- A whole number below 2^26 out of some numbers.
function M.hash(...)
  local h = 40503
  for index = 1, select("#", ...) do
    h = cube((h * 31 + math.floor((select(index, ...))) + 1) % PRIME)
    h = cube((h + 24593) % PRIME)
  end
  return h
end

--- A number in [0, 1).
function M.uniform(...)
  return M.hash(...) / PRIME
end

--- One of a list.
function M.pick(list, ...)
  return list[M.hash(...) % #list + 1]
end

--- So many hexadecimal digits.
function M.hex(digits, ...)
  local parts = {}
  for index = 1, math.ceil(digits / 6) do
    parts[index] = string.format("%06x", M.hash(index, ...) % 16777216)
  end
  return table.concat(parts):sub(1, digits)
end

return M
