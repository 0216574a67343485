--- What etc/ offers for Prometheus and Grafana is made of metrics that a server prints.
local cjson = require("cjson")
local server = require("spec.support.server")

local WORK = { ["plugin.lua"] = [[
local M = { name = "work", version = "1.0.0" }
M.jobs = {
  fine = { queue = "mail", function() end },
  fails = { queue = "mail", retries = 0, function() error("no") end },
}
M.routes = { ["POST /push"] = function(app)
  app.jobs:push("fine", {})
  app.jobs:push("fails", {})
  return 200, {}
end }
return M
]] }

--- Only of a record that servers share, which spec/contract/jobs_spec.lua looks at: its sibling here.
local SHARED = {}
for _, part in ipairs({ "bucket", "sum", "count" }) do
  SHARED["maru_jobs_claim_seconds_" .. part] = "maru_jobs_commit_seconds_" .. part
end
for _, name in ipairs({ "dead_tuples", "oldest_xact_seconds" }) do
  SHARED["maru_jobs_postgres_" .. name] = "maru_jobs_commit_seconds_count"
end

--- PromQL's own words, and labels and variables of the dashboard, are no metrics.
local function metrics_of(expression)
  local found = {}
  for name in expression:gsub('"[^"]*"', ""):gmatch("maru_[%w_]+") do
    found[name] = true
  end
  return found
end

describe("etc/", function()
  local maru, printed

  setup(function()
    maru = server.start({ plugins = { work = WORK } })
    maru:post("/push", {})
    printed = server.wait_for(function()
      local text = maru:get("/metrics").body
      return text:find('end="dead"} 1', 1, true) and text:find('state="dead"} 1', 1, true) and text
    end)
  end)

  teardown(function()
    maru:stop()
  end)

  --- Most of what drivers count is there only with their servers: the name, and the labels chosen by, stand in the
  --- sources.
  local sources
  local function check_sources(expression)
    sources = sources or server.shell("cat $(find core -name '*.c')")
    for name in pairs(metrics_of(expression)) do
      local plain = name:gsub("_bucket$", ""):gsub("_count$", "")
      assert.truthy(sources:find('"' .. plain .. '"', 1, true), name .. " is not in the sources")
    end
    for label in expression:gmatch("by %(([%w_, ]+)%)") do
      for one in label:gmatch("[%w_]+") do
        assert.truthy(("job instance le"):find(one, 1, true) or sources:find('"' .. one .. '"', 1, true)
          or sources:find('"' .. one .. '=\\"', 1, true), one .. " is no label")
      end
    end
  end

  local function check(expression)
    local names = metrics_of(expression)
    assert.truthy(next(names), "no metric in " .. expression)
    for name in pairs(names) do
      name = SHARED[name] or name
      assert.truthy(printed:find("\n" .. name .. "[ {]"), name .. " is not in /metrics")
    end
    for value in expression:gmatch('%f[%w]e?n?d?s?t?a?t?e?=~?"(%l[%l|]*)"') do
      for one in value:gmatch("[^|]+") do
        assert.truthy(printed:find('"' .. one .. '"', 1, true), one .. " is no value of a label")
      end
    end
  end

  for file, look in pairs({ jobs = check, drivers = check_sources }) do
    it("has a Grafana dashboard over metrics that are there: " .. file, function()
      local board = cjson.decode(server.read_file("etc/grafana/" .. file .. ".json"))
      assert.equal("maru-" .. file, board.uid)
      local panels, ids = 0, {}
      for _, panel in ipairs(board.panels) do
        assert.is_nil(ids[panel.id])
        ids[panel.id] = true
        assert.truthy(#panel.title > 0 and panel.gridPos.w > 0 and panel.gridPos.x + panel.gridPos.w <= 24)
        for _, target in ipairs(panel.targets) do
          look(target.expr)
        end
        panels = panels + 1
      end
      assert.is_true(panels >= 12)
      for _, variable in ipairs(board.templating.list) do
        if variable.type == "query" then
          look(variable.query.query)
        end
      end
    end)

    it("has alarms over metrics that are there: " .. file, function()
      local text = server.read_file("etc/prometheus/" .. file .. ".yml")
      local rules = 0
      for line in text:gmatch("[^\n]+") do
        local expression = line:match("^        expr: (.+)$")
        if expression then
          look(expression)
          rules = rules + 1
        end
        assert.is_nil(line:find("\t", 1, true), "YAML knows no tabs: " .. line)
      end
      local _, alerts = text:gsub("\n      %- alert: %w+\n", "")
      local _, summaries = text:gsub('\n          summary: ".-"\n', "")
      assert.equal(alerts, rules)
      assert.equal(alerts, summaries)
      local said = server.shell([[python3 -c 'import sys, yaml; yaml.safe_load(sys.stdin); print("read")' \
        <etc/prometheus/]] .. file .. ".yml 2>&1")
      assert.truthy(said:find("read", 1, true), said)
    end)
  end
end)
