--- The commands: what they print, what they answer, what they refuse.
local cjson = require("cjson")
local server = require("spec.support.server")

local GOOD = { ["plugin.lua"] = [[
local M = { name = "good", version = "1.0.0" }
M.routes = { ["GET /good"] = function() return 200, {} end }
M.jobs = { work = function() end, fail = { retries = 0, function(_, job) error(job.args.text or "no") end } }
M.routes["POST /push"] = function(app, req)
  return 200, { id = assert(app.jobs:push(req:json().name, req:json().args, req:json().options)) }
end
M.workflows = { trip = { start = "go", steps = { go = { retries = 0, function(app)
  if not app.cache:get("mended") then error("the bridge is out") end
end } } } }
M.routes["POST /trip"] = function(app) return 200, { id = app.workflows:start("trip") } end
M.routes["POST /mend"] = function(app) return 200, { ok = app.cache:set("mended", true) } end
M.cron = { ["0 4 * * *"] = { job = "work" } }
return M
]] }

describe("maru", function()
  it("tells its version and its commands", function()
    local output, status = server.maru("version")
    assert.equal(0, status)
    assert.truthy(output:find("^maru %d"), output)
    output, status = server.maru("--help")
    assert.equal(0, status)
    for _, command in ipairs({ "serve", "check", "reload", "plugins", "jobs", "new plugin", "version" }) do
      assert.truthy(output:find(command, 1, true), command)
    end
  end)

  it("refuses what it does not know with usage and status 2", function()
    local output, status = server.maru("swim")
    assert.equal(2, status)
    assert.truthy(output:find("swim", 1, true))
    output, status = server.maru("serve --colour red")
    assert.equal(2, status)
    assert.truthy(output:find("colour", 1, true), output)
  end)

  it("names file, line and key of a wrong configuration, with status 3", function()
    local dir = server.make_dir()
    server.write_file(dir .. "/a.lua", "return {\n  http = { lisen = 1 },\n}\n")
    local output, status = server.maru("serve -c " .. dir .. "/a.lua")
    assert.equal(3, status)
    assert.truthy(output:find("http.lisen", 1, true) and output:find("http.listen", 1, true), output)
    server.write_file(dir .. "/b.lua", "return {\n  http = {,\n}\n")
    output, status = server.maru("check -c " .. dir .. "/b.lua")
    assert.equal(3, status)
    assert.truthy(output:find("b.lua:2:", 1, true), output)
    server.shell("rm -rf " .. dir)
  end)

  it("prints a configuration that it accepts", function()
    local dir = server.make_dir()
    local output = server.maru("config")
    assert.truthy(output:find("http.listen", 1, true))
    server.write_file(dir .. "/maru.lua", output)
    server.write_plugins(dir .. "/plugins", { good = GOOD })
    local text, status = server.maru(("check -c %s/maru.lua --set plugins.path=%s/plugins --set state.dir=%s/state")
      :format(dir, dir, dir))
    assert.equal(0, status, text)
    server.shell("rm -rf " .. dir)
  end)

  it("checks plugins without starting them", function()
    local dir = server.make_dir()
    local bad = "return {\n  name = \"bad\",\n  version = 7,\n}\n"
    server.write_plugins(dir, { good = GOOD, bad = { ["plugin.lua"] = bad } })
    local set = (" --set plugins.path=%s --set state.dir=%s/state"):format(dir, dir)
    local output, status = server.maru("check" .. set)
    assert.equal(4, status, output)
    assert.truthy(output:find("bad/plugin.lua:3", 1, true), output)
    server.shell("rm -rf " .. dir .. "/bad")
    output, status = server.maru("check" .. set)
    assert.equal(0, status, output)
    assert.truthy(output:find("good", 1, true), output)
    server.shell("rm -rf " .. dir)
  end)

  it("makes a plugin that passes its check at once", function()
    local dir = server.make_dir()
    local set = (" --set plugins.path=%s --set state.dir=%s/state"):format(dir, dir)
    local output, status = server.maru("new plugin hello" .. set)
    assert.equal(0, status, output)
    assert.truthy(server.read_file(dir .. "/hello/plugin.lua"))
    output, status = server.maru("check" .. set)
    assert.equal(0, status, output)
    assert.not_equal(0, select(2, server.maru("new plugin hello" .. set)))
    output, status = server.maru("new plugin Bad-Name" .. set)
    assert.not_equal(0, status)
    assert.truthy(output:find("Bad%-Name"), output)
    server.shell("rm -rf " .. dir)
  end)

  it("says when no server answers, with status 5", function()
    local dir = server.make_dir()
    local output, status = server.maru("reload --set state.dir=" .. dir)
    assert.equal(5, status)
    assert.truthy(output:find(dir, 1, true), output)
    server.shell("rm -rf " .. dir)
  end)
end)

describe("maru model", function()
  local FILE = "plugins/inference/models/nlinear_timeseries.safetensors"
  local dir
  setup(function() dir = server.make_dir() end)
  teardown(function() server.shell("rm -rf " .. dir) end)

  it("says what a file is", function()
    local output, status = server.maru("model inspect " .. FILE)
    assert.equal(0, status)
    for _, part in ipairs({ "nlinear_timeseries, version", "quantiles 0.1 0.5 0.9", "head.weight", "float32" }) do
      assert.truthy(output:find(part, 1, true), output)
    end
    output, status = server.maru("model inspect --json " .. FILE)
    assert.equal(0, status)
    assert.equal("nlinear", cjson.decode(output).kind)
  end)

  it("writes the same one smaller and tells what that costs, once", function()
    for word, weights in pairs({ bf16 = "bfloat16", int8 = "int8" }) do
      local new = dir .. "/" .. word
      local output, status = server.maru("model quantize " .. FILE .. " " .. word .. " " .. new)
      assert.equal(0, status, output)
      assert.truthy(output:find("deviations of the window", 1, true), output)
      assert.truthy(server.maru("model inspect " .. new):find(weights, 1, true))
      output, status = server.maru("model quantize " .. new .. " int8 " .. new .. "2")
      assert.equal(1, status)
      assert.truthy(output:find("tensor head.weight: dtype", 1, true), output)
    end
  end)

  it("names the field that is wrong, or the file", function()
    local text = server.read_file(FILE):gsub('(horizo)n(\\":)', '%1m%2', 1)
    server.write_file(dir .. "/wrong", text)
    local output, status = server.maru("model inspect " .. dir .. "/wrong")
    assert.equal(1, status)
    assert.truthy(output:find("/wrong: model: __metadata__.maru: horizon must be a whole number", 1, true), output)
    output, status = server.maru("model bench " .. dir .. "/none")
    assert.equal(1, status)
    assert.truthy(output:find("/none: No such file", 1, true), output)
    output, status = server.maru("model quantize " .. FILE .. " int4 " .. dir .. "/x")
    assert.equal(2, status)
    assert.truthy(output:find("bf16|int8", 1, true), output)
  end)
end)

describe("commands to a running server", function()
  local maru

  setup(function()
    maru = server.start({ plugins = { good = GOOD }, set = { "admin.listen=127.0.0.1:0" } })
  end)

  teardown(function()
    maru:stop()
  end)

  it("list plugins, reload them and show what changed", function()
    local output, status = maru:command_output("plugins")
    assert.equal(0, status)
    assert.truthy(output:find("good", 1, true) and output:find("serving", 1, true), output)
    output, status = maru:command_output("reload good")
    assert.equal(0, status, output)
    output, status = maru:command_output("reload nobody")
    assert.not_equal(0, status)
    assert.truthy(output:find("nobody", 1, true), output)
  end)

  it("list queues and jobs", function()
    local output, status = maru:command_output("jobs")
    assert.equal(0, status, output)
  end)

  local function push(name, args, options)
    return ("%d"):format(maru:post("/push", { name = name, args = args, options = options }).json.id)
  end

  it("print what jobs say in one line, and nothing that steers a terminal", function()
    local id = push("fail", { text = "가게\nbreak\27[31m" })
    local output
    assert.is_true(server.wait_for(function()
      output = maru:command_output("jobs list dead")
      return output:find(id, 1, true) ~= nil
    end))
    assert.match("가게 break%?%[31m\n", output)
    assert.not_match("\27", output .. maru:command_output("jobs show " .. id))
  end)

  it("show a job however deep its arguments are, and say in words why it waits", function()
    local deep = { 1 }
    for _ = 1, 50 do
      deep = { deep }
    end
    local id = push("work", { deep = deep }, { delay = "1h", queue = "later" })
    local output, status = maru:command_output("jobs show " .. id)
    assert.equal(0, status, output)
    assert.match("\nargs%.deep%.0%.0", output)
    assert.match("\nwaits +it is not due until %d+%-", output)
    assert.equal(0, select(2, maru:command_output("queues pause later")))
    assert.equal(0, select(2, maru:command_output("jobs retry " .. id)))
    assert.match("\nwaits +queue later is paused\n", (maru:command_output("jobs show " .. id)))
    assert.match("^" .. id .. ": cancelled", (maru:command_output("jobs cancel " .. id)))
  end)

  it("push a job by hand", function()
    local id, status = maru:command_output([[jobs push good.fail '{"text":"by hand"}']])
    assert.equal(0, status, id)
    assert.is_true(server.wait_for(function()
      return maru:command_output("jobs list dead --search 'by hand'"):find(id:match("%d+"), 1, true) ~= nil
    end))
    local entry = maru:admin("/audit").entries[1]
    assert.equal("job.push", entry.action)
    for words, problem in pairs({ ["good.nothing"] = "has a job 'good.nothing'",
      ["good.work 5"] = "args must be an object",
      ["good.work '{bad'"] = "is not JSON", ["good.work 1 2"] = "takes KIND", ["good.flow:trip.go"] = "is a step" }) do
      local output, code = maru:command_output("jobs push " .. words)
      assert.is_true(code > 0, output)
      assert.truthy(output:find(problem, 1, true), output)
    end
    assert.match("no field 'queu'", maru:admin("/jobs", "POST", { kind = "good.work", queu = "x" }).detail)
  end)

  it("let a failed run of a workflow go on", function()
    local id = ("%d"):format(maru:post("/trip", {}).json.id)
    local function comes_to(state)
      return server.wait_for(function()
        return maru:command_output("workflows show " .. id):find("state +" .. state) ~= nil
      end)
    end
    assert.is_true(comes_to("failed"))
    maru:post("/mend", {})
    local output, status = maru:command_output("workflows retry " .. id)
    assert.equal(0, status, output)
    assert.equal(id .. ": to run again with 1 job\n", output)
    assert.is_true(comes_to("done"))
    output, status = maru:command_output("workflows retry " .. id)
    assert.equal(1, status)
    assert.match("is done, not failed", output)
    assert.equal(1, select(2, maru:command_output("workflows retry 999")))
  end)

  it("fail where the server refuses, also for whoever reads JSON", function()
    local output, status = maru:command_output("jobs --state often --json")
    assert.equal(1, status)
    assert.match("^maru: .*expired, dead", output)
    for _, words in ipairs({ "jobs cancel --all", "jobs --dry", "jobs list --all" }) do
      output, status = maru:command_output(words)
      assert.equal(2, status, output)
    end
    assert.match("%-%-all takes? %-%-state", (maru:command_output("jobs cancel --all")))
  end)

  it("say which setting the index of the log wants", function()
    for _, words in ipairs({ "--search finch", "--since 1h" }) do
      local output, status = maru:command_output("logs " .. words)
      assert.equal(1, status)
      assert.match("set logs%.search = true", output)
    end
  end)

  it("list the servers of a queue, and say that no driver reaches another server", function()
    local output, status = maru:command_output("nodes")
    assert.equal(0, status)
    assert.match("^name +state +roles", output)
    assert.match(" ready +web,jobs,cron +%d+ +%d+ +yes ", output)
    assert.is_true(cjson.decode((maru:command_output("nodes --json")))[1].self)
    output, status = maru:command_output("drivers")
    assert.equal(0, status)
    local drivers = cjson.decode((maru:command_output("drivers --json")))
    if os.getenv("SPEC_SERVERS") then
      assert.match("\nstore +postgres +up ", output)
      assert.equal(4, #drivers)
    else
      assert.match("every driver is embedded", output)
      assert.same({}, drivers)
    end
    assert.equal(2, select(2, maru:command_output("drivers redis")))
    assert.equal(2, select(2, maru:command_output("nodes all")))
  end)

  it("print the link that logs an operator in", function()
    local output, status = maru:command_output("admin-url")
    assert.equal(0, status, output)
    local link = output:gsub("%s+$", "")
    assert.truthy(link:find(maru.ready.admin_http .. "/admin/login?token=", 1, true), link)
    local answer = maru:get(link)
    assert.equal(303, answer.status)
    assert.truthy(answer.headers["set-cookie"]:find("HttpOnly", 1, true))
  end)

  it("refuse a second server on the same state", function()
    local output, status = server.maru(("serve --set state.dir=%s/state --set http.listen=127.0.0.1:0 "
      .. "--set https.listen= --set plugins.path=%s/plugins"):format(maru.dir, maru.dir))
    assert.not_equal(0, status)
    assert.truthy(output:find(maru.dir, 1, true), output)
    assert.equal(200, maru:get("/good").status)
  end)

  it("refuse an address that is taken, naming it", function()
    local dir = server.make_dir()
    local port = maru.url:match(":(%d+)$")
    local output, status = server.maru(("serve --set state.dir=%s/s --set http.listen=127.0.0.1:%s --set https.listen=")
      :format(dir, port))
    assert.not_equal(0, status)
    assert.truthy(output:find("127.0.0.1:" .. port, 1, true), output)
    server.shell("rm -rf " .. dir)
  end)
end)

describe("maru drivers", function()
  local function start(set)
    local maru = server.start({ plugins = { good = GOOD }, set = set })
    finally(function() maru:stop() end)
    return maru
  end

  --- Until what it prints matches: a driver says what it found out when it has.
  local function drivers(maru, pattern, words)
    local output, status
    assert.is_truthy(server.wait_for(function()
      output, status = maru:command_output("drivers " .. (words or ""))
      return output:find(pattern)
    end, 60), output)
    return status, output
  end

  it("names a cache that is away, without failing", function()
    local maru = start({ "cache.driver=redis", "cache.url=redis://127.0.0.1:1/0" })
    local status, output = drivers(maru, "cache +redis +d[eo]")
    assert.equal(0, status, output)
    assert.match("127%.0%.0%.1:1", output)
    assert.match("cache redis d[eo]", (maru:command_output("nodes")))
  end)

  it("fails while a required one is down, also for whoever reads JSON", function()
    local maru = start({ "store.driver=postgres", "store.url=postgres://nobody@127.0.0.1:1/none" })
    local status, output = drivers(maru, "store +postgres +down +true")
    assert.equal(1, status, output)
    assert.match("store %(postgres%) is down, and this server is not ready without it", output)
    status, output = drivers(maru, '"state":"down"', "--json")
    assert.equal(1, status, output)
  end)
end)
