--- The admin API: who may enter, and the shapes that the operations page relies on.
local cjson = require("cjson")
local server = require("spec.support.server")

local GOOD = { ["plugin.lua"] = [[
local M = { name = "good", version = "1.2.0" }
M.routes = {
  ["GET /good"] = { summary = "Good news", query = { q = "string?" }, function() return 200, {} end },
  ["GET /secret"] = { auth = "admin", function() return 200, { secret = true } end },
  ["POST /secret"] = { auth = "admin", function() return 200, { changed = true } end },
}
M.pages = { { path = "/good", title = { ko = "좋음", en = "Good" }, module = "page.js" } }
return M
]], ["public/page.js"] = "export function mount() {}\n" }

describe("the admin port", function()
  local maru, admin, token

  setup(function()
    maru = server.start({ plugins = { good = GOOD }, set = { "admin.listen=127.0.0.1:0" } })
    admin = maru.ready.admin_http
    token = server.read_file(maru.dir .. "/state/admin.token"):match("%x+")
  end)

  teardown(function()
    maru:stop()
  end)

  local function get(path, headers, method)
    return maru:request(admin .. path, { headers = headers, method = method })
  end

  it("keeps its token and socket to their owner", function()
    for _, file in ipairs({ "admin.token", "viewer.token", "admin.sock" }) do
      assert.equal("600", (server.shell("stat -c %a " .. maru.dir .. "/state/" .. file):gsub("%s", "")))
    end
    assert.equal(64, #token)
  end)

  it("asks for the token", function()
    assert.equal(401, get("/admin/v1/status").status)
    assert.equal(401, get("/admin/v1/status", { authorization = "Bearer " .. ("0"):rep(64) }).status)
    assert.equal(401, get("/admin/login?token=wrong").status)
    assert.equal(200, get("/admin/v1/status", { authorization = "Bearer " .. token }).status)
  end)

  it("logs a browser in by link", function()
    local answer = get("/admin/login?token=" .. token)
    assert.equal(303, answer.status)
    assert.equal("/#/operations", answer.headers.location)
    local cookie = answer.headers["set-cookie"]
    assert.truthy(cookie:find("HttpOnly", 1, true) and cookie:find("SameSite=Strict", 1, true))
    assert.equal(200, get("/admin/v1/status", { cookie = cookie:match("^[^;]+") }).status)
  end)

  it("refuses changes that another origin's page asks for", function()
    local headers = { authorization = "Bearer " .. token, origin = "http://evil.example" }
    assert.equal(403, get("/admin/v1/reload", headers, "POST").status)
    headers.origin = admin
    assert.equal(200, get("/admin/v1/reload", headers, "POST").status)
  end)

  it("refuses them for plugins' routes as well: a cookie goes along from any port of this host", function()
    local headers = { cookie = get("/admin/login?token=" .. token).headers["set-cookie"]:match("^[^;]+"),
      origin = "http://127.0.0.1:1" }
    local answer = get("/secret", headers, "POST")
    assert.same({ 403, "forbidden" }, { answer.status, answer.json.code })
    assert.equal(200, get("/secret", headers).status)
    headers.origin = admin
    assert.equal(200, get("/secret", headers, "POST").status)
    headers.origin = nil
    assert.equal(200, get("/secret", headers, "POST").status)
  end)

  it("lets a viewer look and change nothing", function()
    local viewer = server.read_file(maru.dir .. "/state/viewer.token"):match("%x+")
    local headers = { authorization = "Bearer " .. viewer }
    assert.equal("viewer", get("/admin/v1/status", headers).json.role)
    assert.equal("operator", get("/admin/v1/status", { authorization = "Bearer " .. token }).json.role)
    assert.equal(403, get("/admin/v1/reload", headers, "POST").status)
    assert.equal(401, get("/secret", headers).status)
    local cookie = get("/admin/login?token=" .. viewer).headers["set-cookie"]:match("^[^;]+")
    assert.equal(200, get("/admin/v1/plugins", { cookie = cookie }).status)
    assert.equal(403, get("/admin/v1/jobs/1/retry", { cookie = cookie }, "POST").status)
    local link = maru:command_output("admin-url --viewer --set admin.listen=" .. admin:match("//(.*)$"))
    assert.truthy(link:find(viewer, 1, true))
  end)

  it("serves the public routes too, and lets an operator through auth", function()
    assert.equal(200, get("/good").status)
    assert.equal(401, get("/secret").status)
    assert.is_true(get("/secret", { authorization = "Bearer " .. token }).json.secret)
    assert.equal(401, maru:get("/secret").status)
  end)

  it("prints its link", function()
    local output, status = maru:command_output("admin-url --set admin.listen=" .. admin:match("//(.*)$"))
    assert.equal(0, status, output)
    assert.equal(303, maru:request(output:match("%S+")).status)
  end)
end)

describe("the admin API", function()
  local maru

  setup(function()
    maru = server.start({ plugins = { good = GOOD } })
  end)

  teardown(function()
    maru:stop()
  end)

  it("tells the status", function()
    local status = maru:admin("/status")
    assert.equal(maru.pid, status.pid)
    assert.equal(maru:server_pid(), status.server_pid)
    assert.is_true(status.ready)
    assert.is_false(status.simulated)
    assert.is_true(status.memory.rss_bytes > 1e6)
    local kinds = {}
    for _, lane in ipairs(status.lanes) do
      kinds[lane.kind] = (kinds[lane.kind] or 0) + 1
      assert.is_number(lane.tasks)
      assert.is_number(lane.connections)
    end
    assert.is_true(kinds.web >= 1 and kinds.job >= 1)
  end)

  it("lists plugins with their last error", function()
    maru:get("/good")
    local good = maru:admin("/plugins")[1]
    assert.equal("good", good.name)
    assert.equal("1.2.0", good.version)
    assert.equal("serving", good.state)
    assert.equal(12, #good.generation)
    assert.equal(3, good.routes)
    assert.is_true(good.requests >= 1)
    assert.is_true(good.memory_bytes > 1000)
    assert.equal(cjson.null, good.last_error)
  end)

  it("tells what a plugin takes, in its row and in the metrics", function()
    for _ = 1, 20 do
      maru:get("/good")
    end
    local good = maru:admin("/plugins")[1]
    assert.is_true(good.p50_ms > 0 and good.p99_ms >= good.p50_ms and good.p99_ms < 60000)
    assert.is_true(good.hold_p50_ms > 0 and good.hold_p99_ms >= good.hold_p50_ms)
    assert.is_true(good.cpu_seconds > 0)
    assert.equal(0, good.kills)
    assert.same({ tasks = 0, timers = 0, sockets = 0, connections = 0 }, good.limited)
    local metrics = server.shell(("curl -sS --unix-socket %s/state/admin.sock http://maru/metrics"):format(maru.dir))
    local function value(name, more)
      local labels = ('plugin="good",generation="%s"%s'):format(good.generation, more or "")
      local at = metrics:match("\nmaru_plugin_" .. name .. "{" .. labels .. "} ([%d.e+-]+)\n")
      return tonumber(at) or error(name .. " is not in\n" .. metrics)
    end
    assert.is_true(value("tasks_started_total") >= 20)
    assert.equal(value("tasks_started_total"), value("tasks_ended_total") + value("tasks"))
    assert.equal(0, value("tasks_failed_total"))
    assert.equal(0, value("vms_killed_total"))
    local families = {}
    for family in metrics:gmatch("# TYPE (%S+)") do
      assert.is_nil(families[family], family .. " is described twice")
      families[family] = true
    end
    assert.is_true(value("memory_bytes") > 1000)
    assert.is_true(value("cpu_seconds_total") > 0)
    assert.is_true(value("task_seconds", ',quantile="0.99"') > 0)
    assert.is_true(value("hold_seconds_count") >= 20)
    assert.equal(0, value("refused_total", ',limit="sockets"'))
  end)

  it("answers a reload with its plan, and a failed one with file and line", function()
    local answer = maru:admin("/plugins/good/reload", "POST")
    assert.is_true(answer.ok)
    assert.equal("replace", answer.plan[1].action)
    assert.is_number(answer.took_ms)
    local text = server.read_file(maru:plugin_path("good"))
    server.write_file(maru:plugin_path("good"), "return {\n  name = = 1\n}\n")
    answer = maru:admin("/plugins/good/reload", "POST")
    assert.is_false(answer.ok)
    assert.equal("good", answer.errors[1].plugin)
    assert.truthy(answer.errors[1].message:find("good/plugin.lua:2:", 1, true))
    assert.truthy(answer.errors[1].kept:find("^good@"))
    assert.truthy(maru:admin("/plugins")[1].last_error.message:find("plugin.lua:2:", 1, true))
    server.write_file(maru:plugin_path("good"), text)
    assert.is_true(maru:admin("/plugins/good/reload", "POST").ok)
    assert.equal(cjson.null, maru:admin("/plugins")[1].last_error)
  end)

  it("writes every change to the audit table", function()
    maru:admin("/plugins/good/reload", "POST")
    local entry = server.wait_for(function()
      return maru:admin("/audit?limit=1").entries[1]
    end)
    assert.equal("reload", entry.action)
    assert.equal("good", entry.target)
    assert.equal("unix", entry.who)
    assert.equal("200 ok", entry.result)
  end)

  it("shows the log, queues, schedules and jobs", function()
    local logs = maru:admin("/logs?limit=5")
    assert.is_true(#logs.lines > 0 and logs.last > 0)
    assert.is_table(maru:admin("/queues"))
    assert.is_table(maru:admin("/schedules"))
    assert.is_table(maru:admin("/jobs").jobs)
    assert.equal(404, maru:admin("/jobs/999999").status)
    assert.equal(400, maru:admin("/jobs?state=asleep").status)
  end)

  it("offers pages and OpenAPI", function()
    assert.same({ plugin = "good", path = "/good", title = { ko = "좋음", en = "Good" },
      module = "/plugins/good/page.js" }, maru:get("/api/pages").json[1])
    assert.equal(200, maru:get("/plugins/good/page.js").status)
    assert.equal("Good news", maru:get("/api/openapi.json").json.paths["/good"].get.summary)
  end)
end)

describe("what the admin API counts as faults", function()
  it("is what went wrong, not what a handler answers with 4xx", function()
    local maru = server.start({ plugins = { shop = { ["plugin.lua"] = [[
return { name = "shop", version = "1.0.0", routes = {
  ["GET /absent"] = function(app) error(app.fail(404, "not_found", "no such thing")) end,
  ["GET /busy"] = function(app) error(app.fail(503, "busy", "later")) end,
  ["GET /broken"] = function() error("dry") end,
} }
]] } } })
    finally(function() maru:stop() end)
    for path, status in pairs({ absent = 404, busy = 503, broken = 500 }) do
      assert.equal(status, maru:get("/" .. path).status)
    end
    local shop = maru:admin("/plugins")[1]
    assert.equal(2, shop.faults)
    assert.is_nil(shop.errors)
    local metrics = server.shell(("curl -sS --unix-socket %s/state/admin.sock http://maru/metrics"):format(maru.dir))
    assert.equal("2", metrics:match("\nmaru_plugin_faults_total{plugin=\"shop\"[^\n]*} (%d+)\n"))
    assert.equal("3", metrics:match("\nmaru_plugin_tasks_failed_total{plugin=\"shop\"[^\n]*} (%d+)\n"))
    assert.match("faults", (maru:command_output("plugins")))
  end)
end)
