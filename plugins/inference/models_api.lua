--- The models as clients see them, and what operators change: versions, the one that answers, the one beside it.
local average = require("average")
local models = require("models")
local must = require("must")
local request = require("request")
local times = require("times")

local M = {}

local function find(app, name)
  local model = models.find(app, name)
  if not model then
    error(app.fail(404, "not_found", "there is no such model"))
  end
  return model
end

local function view(app, model)
  local null, versions = app.json.null, {}
  for _, version in pairs(model.versions) do
    versions[#versions + 1] = { version = version.version, bytes = version.bytes, sha256 = version.sha256,
      source = version.source, created_at = version.created_at and times.iso(version.created_at) or null }
  end
  table.sort(versions, function(a, b) return a.version < b.version end)
  return {
    name = model.name, kind = model.kind, current = model.current, shadow = model.shadow ~= "" and model.shadow or null,
    versions = versions, lookback = model.lookback, min_points = model.min_points, horizon = model.horizon,
    default_horizon = model.default, longest_horizon = model.longest, quantiles = model.quantiles,
    scores = model.scores or null, note = model.note,
  }
end

--- GET /api/v1/models
function M.list(app)
  local list = {}
  for _, model in pairs(models.all(app)) do
    list[#list + 1] = view(app, model)
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return 200, { models = list }
end

local function inspect(app, name, version, bytes)
  local forecaster, message = app.kernels.forecaster(bytes)
  if not forecaster then
    request.refuse(app, "", "model", "this is no model file: " .. message:gsub("^model: ", ""))
  end
  local info = forecaster:info()
  if info.name ~= name or info.version ~= version then
    request.refuse(app, "", "model", ("the file says that it is %s %s"):format(info.name, info.version))
  end
  return info
end

--- PUT /api/v1/models/{name}/versions/{version}
function M.upload(app, req)
  local name, version, bytes = req.params.name, req.params.version, req.raw_body
  if name == average.NAME then
    error(app.fail(409, "conflict", "this model has no file"))
  elseif (req.headers["content-type"] or ""):match("^[^;%s]*") ~= "application/octet-stream" then
    request.refuse(app, "content-type", "content_type", "the body must be application/octet-stream")
  end
  local model = models.find(app, name)
  if model and model.versions[version] then
    error(app.fail(409, "conflict", "there is such a version; versions do not change"))
  end
  local info = inspect(app, name, version, bytes)
  local digest = app.crypto.sha256(bytes)
  must(app.objects:put(models.key(name, version), bytes, { sha256 = digest }))
  local n, message, code = app.store:exec("insert into versions (model_name, version, bytes, sha256, info, created_at) "
    .. "values ($1, $2, $3, $4, $5, $6)", name, version, #bytes, digest, app.json.encode(info), app.now())
  if not n and code == "unique" then
    error(app.fail(409, "conflict", "there is such a version; versions do not change"))
  end
  must(n, message)
  models.forget()
  app.log:info("a model version was uploaded", { model_name = name, version = version, sha256 = digest })
  return 201, view(app, find(app, name))
end

--- Writes what answers and what runs beside it; both are versions that can be loaded. (waits)
local function choose(app, model, current, shadow)
  if model.name == average.NAME then
    error(app.fail(409, "conflict", "this model has one version"))
  end
  for _, version in ipairs({ current, shadow }) do
    if version ~= "" then
      if not model.versions[version] then
        request.refuse(app, "version", "unknown_version", "there is no such version of this model")
      end
      must(models.forecaster(app, model.name, version))
    end
  end
  must(app.store:exec("insert into choices (model_name, current, shadow) values ($1, $2, $3) on conflict (model_name) "
    .. "do update set current = excluded.current, shadow = excluded.shadow", model.name, current, shadow))
  models.forget()
  app.log:info("a model's versions were chosen", { model_name = model.name, current = current, shadow = shadow })
  return 200, view(app, find(app, model.name))
end

--- POST /api/v1/models/{name}/current
function M.current(app, req)
  local model, version = find(app, req.params.name), req.body.version
  return choose(app, model, version, model.shadow ~= version and model.shadow or "")
end

--- POST /api/v1/models/{name}/shadow
function M.shadow(app, req)
  local model, version = find(app, req.params.name), req.body.version
  if version == model.current then
    request.refuse(app, "version", "range", "this version is the one that answers")
  end
  return choose(app, model, model.current, version ~= app.json.null and version or "")
end

return M
