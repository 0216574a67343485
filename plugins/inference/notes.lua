--- What a model is good for, said from its own scores beside those of the naive forecasts on the same test.
local M = {}

--- Mean squared errors on ETTh1, 7 channels, standard split: what the same hour of the day before scores, and the
--- ridge regression that is hard to beat.
local NAIVE = { ["24"] = 0.424, ["48"] = 0.465, ["96"] = 0.512, ["168"] = 0.571, ["192"] = 0.581, ["336"] = 0.650,
  ["720"] = 0.655 }
local RIDGE = { ["24"] = 0.318, ["48"] = 0.342, ["96"] = 0.370, ["168"] = 0.396, ["192"] = 0.403, ["336"] = 0.427,
  ["720"] = 0.433 }

local function compare(scores, line)
  local won, all = {}, 0
  for horizon, score in pairs(scores) do
    if line[horizon] and type(score.mse) == "number" then
      all = all + 1
      won[#won + 1] = score.mse < line[horizon] and tonumber(horizon) or nil
    end
  end
  table.sort(won)
  return won, all
end

local function say(won, all, name)
  local horizons = table.concat(won, ", ")
  if #won == all then
    return ("%s보다 모든 길이에서 낫습니다."):format(name.ko), ("It beats %s at every horizon."):format(name.en)
  elseif #won == 0 then
    return ("%s보다 어느 길이에서도 못합니다."):format(name.ko), ("It does not beat %s at any horizon."):format(name.en)
  end
  return ("%s보다 길이 %s에서만 낫습니다."):format(name.ko, horizons),
    ("It beats %s at horizons %s only."):format(name.en, horizons)
end

--- @return table { ko, en }
function M.of(info)
  local scores = type(info.scores) == "table" and info.scores.ETTh1
  if type(info.note) == "table" and info.note.ko and info.note.en then
    return info.note
  elseif type(scores) ~= "table" then
    return { ko = "파일에 점수가 없습니다.", en = "The file says no scores." }
  end
  local won, all = compare(scores, NAIVE)
  local ko, en = say(won, all, { ko = "계절 단순 예측(전날 같은 시각)",
    en = "the seasonal naive forecast (same hour yesterday)" })
  local won_ridge, all_ridge = compare(scores, RIDGE)
  local ko_ridge, en_ridge = say(won_ridge, all_ridge, { ko = "닫힌 형식의 릿지 회귀", en = "closed-form ridge regression" })
  return { ko = "ETTh1 시험 구간(MSE): " .. ko .. " " .. ko_ridge, en = "ETTh1 test (MSE): " .. en .. " " .. en_ridge }
end

return M
