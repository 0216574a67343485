--- Why did the viewers come? Rules over what is known around a surge, each with a weight and a
--- sentence in Korean and English. Pure; a model can take its place with the same result.
local M = {}

M.ENGINE = "rule-based"

local function number(value)
  local text = string.format("%d", math.floor(value + 0.5))
  return (text:reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", ""))
end

local function quoted(text)
  return "“" .. text .. "”"
end

local RULES = {}

--- Somebody's broadcast ended just before and most viewers came at once.
RULES[#RULES + 1] = function(facts)
  local from = facts.ended
  if from and facts.sudden >= 0.6 then
    return {
      code = "raid", weight = 0.75,
      ko = string.format("직전에 방송을 마친 %s 채널(%s명)에서 시청자가 한꺼번에 넘어온 것으로 보입니다.",
        from.channel_name, number(from.viewers)),
      en = string.format("Viewers seem to have come over at once from %s, whose broadcast (%s "
        .. "viewers) had just ended.", from.channel_name, number(from.viewers)),
    }
  end
end

RULES[#RULES + 1] = function(facts)
  if facts.fresh then
    return {
      code = "stream_start", weight = 0.65,
      ko = "방송을 시작한 지 얼마 되지 않아 시청자가 모이는 중입니다.",
      en = "The broadcast has only just started and its audience is gathering.",
    }
  end
end

RULES[#RULES + 1] = function(facts)
  local change = facts.changes.category
  if change then
    local old = change.old ~= "" and quoted(change.old) or "없음"
    local new = change.new ~= "" and quoted(change.new) or "없음"
    local none = function(text) return text == "없음" and "none" or text end
    return {
      code = "category_change", weight = 0.6,
      ko = string.format("급증 직전에 카테고리가 바뀌었습니다: %s → %s", old, new),
      en = string.format("The category changed just before: %s → %s", none(old), none(new)),
    }
  end
end

RULES[#RULES + 1] = function(facts)
  local change = facts.changes.title
  if change then
    return {
      code = "title_change", weight = 0.5,
      ko = "급증 직전에 방송 제목이 바뀌었습니다: " .. quoted(change.new),
      en = "The title changed just before: " .. quoted(change.new),
    }
  end
end

RULES[#RULES + 1] = function(facts)
  local peers = facts.category
  if peers and peers.lives >= 3 and peers.growth >= 1.15 then
    local percent = math.floor((peers.growth - 1) * 100 + 0.5)
    return {
      code = "category_rise", weight = 0.55,
      ko = string.format("같은 카테고리(%s)의 다른 방송 %d개도 평소보다 %d%% 늘었습니다.",
        peers.name, peers.lives, percent),
      en = string.format("%d other broadcasts in the same category (%s) are up by %d%% as well.",
        peers.lives, peers.name, percent),
    }
  end
end

RULES[#RULES + 1] = function(facts)
  local all = facts.platform
  if all and all.lives >= 10 and all.growth >= 1.15 then
    local percent = math.floor((all.growth - 1) * 100 + 0.5)
    return {
      code = "platform_rise", weight = 0.4,
      ko = string.format("플랫폼 전체 시청자가 평소보다 %d%% 늘어난 시간대입니다.", percent),
      en = string.format("Viewers of the whole platform are up by %d%% at this time.", percent),
    }
  end
end

RULES[#RULES + 1] = function(facts)
  if facts.sudden >= 0.8 and not facts.ended then
    return {
      code = "sudden_jump", weight = 0.35,
      ko = "한 번의 수집 간격 사이에 시청자가 한꺼번에 늘었습니다. 다른 방송의 이동이나 외부 공유일 수 있습니다.",
      en = "Viewers came all at once between two collections, as after a raid or a shared link.",
    }
  end
end

local function by_weight(a, b)
  if a.weight ~= b.weight then
    return a.weight > b.weight
  end
  return a.code < b.code
end

local function causes_of(facts)
  local causes, doubt = {}, 1
  for _, rule in ipairs(RULES) do
    local cause = rule(facts)
    if cause then
      causes[#causes + 1] = cause
      doubt = doubt * (1 - cause.weight)
    end
  end
  table.sort(causes, by_weight)
  if #causes == 0 then
    causes[1] = {
      code = "unknown", weight = 0.1,
      ko = "여러 차례에 걸쳐 꾸준히 늘었고, 뚜렷한 계기는 찾지 못했습니다.",
      en = "Viewers rose over several collections; no clear trigger was found.",
    }
    return causes, 0.1
  end
  return causes, math.min(0.95, 1 - doubt)
end

--- @param facts { event, changes, ended?, category?, platform?, fresh, sudden }
function M.analyse(facts)
  local event = facts.event
  local causes, confidence = causes_of(facts)
  local was, is = number(event.baseline), number(event.viewers)
  local ratio = string.format("%.1f", event.ratio)
  return {
    engine = M.ENGINE,
    summary = {
      ko = string.format("%s 채널의 시청자가 평소 약 %s명에서 %s명으로 늘었습니다(%s배). %s",
        event.channel_name, was, is, ratio, causes[1].ko),
      en = string.format("%s went from about %s to %s viewers, %s times its usual level. %s",
        event.channel_name, was, is, ratio, causes[1].en),
    },
    causes = causes,
    confidence = math.floor(confidence * 100 + 0.5) / 100,
  }
end

return M
