--- Does an analysis say what the data say? Every number of three digits or more in its sentences, and every claim, must
--- be one that is known. Pure.
local M = {}

local TOLERANCE = 0.03

local function add(known, value)
  if type(value) == "number" then
    known[#known + 1] = value
    known[#known + 1] = math.abs(value)
  end
end

--- All numbers anywhere in a value, and those in its texts (a title may have some).
local function collect(known, value)
  if type(value) == "table" then
    for _, one in pairs(value) do
      collect(known, one)
    end
  elseif type(value) == "string" then
    for digits in value:gsub("(%d),(%d%d%d)", "%1%2"):gmatch("%d+%.?%d*") do
      add(known, tonumber(digits))
    end
  else
    add(known, value)
  end
end

--- @param facts table of facts.gather @param seen any what tools told the model
function M.known(facts, seen)
  local known, event = {}, facts.event
  collect(known, facts)
  collect(known, seen)
  add(known, event.viewers - event.baseline)
  add(known, event.viewers - event.previous)
  add(known, (event.ratio - 1) * 100)
  for _, peers in ipairs({ facts.category or false, facts.platform or false }) do
    if peers then
      add(known, (peers.growth - 1) * 100)
    end
  end
  return known
end

local function is_known(known, value)
  for _, one in ipairs(known) do
    if math.abs(one - value) <= math.max(1, TOLERANCE * math.abs(value)) then
      return true
    end
  end
  return false
end

--- Each number of the texts that nobody told the model, once.
local function check_texts(wrong, known, texts)
  local seen = {}
  for _, text in ipairs(texts) do
    for digits in text:gsub("(%d),(%d%d%d)", "%1%2"):gsub("(%d),(%d%d%d)", "%1%2"):gmatch("%d+%.?%d*") do
      local value = tonumber(digits)
      if value >= 100 and not seen[value] and not is_known(known, value) then
        wrong[#wrong + 1] = ("the number %s is not in the data"):format(value)
      end
      seen[value] = true
    end
  end
end

local NAMED = {
  viewers = function(facts) return facts.event.viewers end,
  baseline = function(facts) return facts.event.baseline end,
  previous = function(facts) return facts.event.previous end,
  ratio = function(facts) return facts.event.ratio end,
}

local function check_claim(wrong, facts, claim)
  local real = NAMED[claim.name] and NAMED[claim.name](facts)
  if real and math.abs(real - claim.value) > math.max(0.1, TOLERANCE * math.abs(real)) then
    wrong[#wrong + 1] = ("%s is %g, not %g"):format(claim.name, real, claim.value)
  end
end

--- A cause that the data speak against. @return string|nil
local function unfounded(facts, cause)
  local peers = facts.category
  if cause.code == "title_change" and not facts.changes.title then
    return "the title did not change"
  elseif cause.code == "category_change" and not facts.changes.category then
    return "the category did not change"
  elseif cause.code == "raid" and not facts.ended then
    return "no broadcast ended just before that could have brought the viewers"
  elseif cause.code == "stream_start" and not facts.fresh then
    return "the broadcast did not start lately"
  elseif cause.code == "category_rise" and not (peers and peers.growth > 1) then
    return "the category did not rise"
  end
  return nil
end

--- What is wrong with an answer, as sentences; empty when nothing is.
function M.check(answer, facts, seen)
  local wrong, known = {}, M.known(facts, seen)
  for _, claim in ipairs(answer.claims or {}) do
    check_claim(wrong, facts, claim)
  end
  local texts = { answer.summary.ko, answer.summary.en }
  for _, cause in ipairs(answer.causes) do
    texts[#texts + 1], texts[#texts + 2] = cause.ko, cause.en
    wrong[#wrong + 1] = unfounded(facts, cause)
  end
  check_texts(wrong, known, texts)
  return wrong
end

return M
