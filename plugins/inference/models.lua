--- The models: what each is, which of its versions answers, and the versions' weights, which are read once for
--- each thread. A choice that was made elsewhere is seen within a second.
local average = require("average")
local must = require("must")
local notes = require("notes")

local M = {}

M.HORIZON = 24 -- points of a forecast that nobody gave a length

local FRESH = 1 -- seconds
local FOLDER = "models/"

local shipped -- name → version → { bytes, info, … } of the plugin's own files
local memo -- the registry as of memo.at
local loaded = {} -- "name@version" → forecaster

--- Key of an uploaded version's bytes in app.objects.
function M.key(name, version)
  return ("models/%s/%s.safetensors"):format(name, version)
end

local function read_shipped(app)
  local all = {}
  for _, path in ipairs(app.files(FOLDER)) do
    if path:match("%.safetensors$") then
      local bytes = must(app.file(path))
      local forecaster, message = app.kernels.forecaster(bytes)
      if not forecaster then
        error(path .. ": " .. message, 0)
      end
      local info = forecaster:info()
      all[info.name] = all[info.name] or {}
      all[info.name][info.version] = { version = info.version, bytes = #bytes, sha256 = app.crypto.sha256(bytes),
        source = "shipped", info = info }
      loaded[info.name .. "@" .. info.version] = forecaster
    end
  end
  return all
end

--- The fields of a model that come from its current version.
local function describe(model, info)
  model.kind, model.horizon, model.quantiles = info.kind, info.horizon, info.quantiles
  model.lookback, model.min_points = info.lookback, info.min_points
  model.default, model.longest = math.min(info.horizon, M.HORIZON), 10 * info.horizon
  model.scores, model.note = info.scores, notes.of(info)
end

local function average_model()
  return {
    name = average.NAME, kind = average.KIND, current = average.VERSION, shadow = "", min_points = 1,
    lookback = average.LONGEST, horizon = average.HORIZON, default = average.HORIZON, longest = average.LONGEST,
    quantiles = average.QUANTILES,
    versions = { [average.VERSION] = { version = average.VERSION, bytes = 0, sha256 = "", source = "shipped" } },
    note = {
      ko = "평활용입니다. 예측은 마지막 평균을 그대로 이은 선이라서, 계절성이 있는 자료에서는 계절 단순 예측보다 못합니다.",
      en = "For smoothing. Its forecast is the last average carried on, so on seasonal data it is worse than the "
        .. "seasonal naive forecast.",
    },
  }
end

local function by_order(a, b)
  return #a ~= #b and #a < #b or #a == #b and a < b
end

--- The last version in the order of their names, "2" before "10".
local function newest(versions)
  local names = {}
  for name in pairs(versions) do
    names[#names + 1] = name
  end
  table.sort(names, by_order)
  return names[#names]
end

local function read(app)
  local all = { [average.NAME] = average_model() }
  local function model_of(name)
    all[name] = all[name] or { name = name, versions = {}, shadow = "" }
    return all[name]
  end
  shipped = shipped or read_shipped(app)
  for name, versions in pairs(shipped) do
    local model = model_of(name)
    for version, one in pairs(versions) do
      model.versions[version] = one
    end
  end
  for _, row in ipairs(must(app.store:all("select * from versions"))) do
    model_of(row.model_name).versions[row.version] = { version = row.version, bytes = row.bytes, sha256 = row.sha256,
      source = "uploaded", created_at = row.created_at, info = must(app.json.decode(row.info)) }
  end
  local chosen = {}
  for _, row in ipairs(must(app.store:all("select * from choices"))) do
    chosen[row.model_name] = row
  end
  for name, model in pairs(all) do
    if name ~= average.NAME then
      local choice = chosen[name]
      model.current = choice and model.versions[choice.current] and choice.current
        or newest(shipped[name] or model.versions)
      model.shadow = choice and model.versions[choice.shadow] and choice.shadow or ""
      describe(model, model.versions[model.current].info)
    end
  end
  return all
end

--- Every model by name. (waits, at most once a second)
function M.all(app)
  local now = app.now()
  if not memo or now - memo.at >= FRESH or now < memo.at then
    memo = { at = now, models = read(app) }
  end
  return memo.models
end

--- After a change that this thread is to see at once.
function M.forget()
  memo = nil
end

--- @return table|nil model
function M.find(app, name)
  return M.all(app)[name]
end

--- The forecaster of a version. (waits, the first time)
--- @return userdata|nil, string? message
function M.forecaster(app, name, version)
  shipped = shipped or read_shipped(app)
  local key = name .. "@" .. version
  local forecaster = loaded[key]
  if forecaster then
    return forecaster
  end
  local bytes, message = app.objects:get(M.key(name, version))
  if bytes then
    forecaster, message = app.kernels.forecaster(bytes)
  end
  loaded[key] = forecaster
  return forecaster, message
end

--- A version was uploaded again, or is gone.
function M.unload(name, version)
  loaded[name .. "@" .. version] = nil
end

return M
