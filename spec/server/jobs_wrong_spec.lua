--- Wrong and foreign uses of jobs: the author's mistakes, another plugin's jobs, an operator's slip of the finger.
local server = require("spec.support.server")

local SHOP = [==[
local M = { name = "shop", version = "1.0.0" }
M.jobs = {
  work = function(_, job) return { token = "its result" } end,
  open = { export = true, function(_, job) return { of = job.args.of } end },
}
M.routes = {
  ["POST /work"] = function(app, req)
    return 201, { id = assert(app.jobs:push("work", { secret = "its argument" }, req:json().options)) }
  end,
}
return M
]==]

local SPY = [==[
local M = { name = "spy", version = "1.0.0", requires = { "shop" } }
M.allow = { jobs = { "shop.open", "shop.work", "shop.gone" } }
M.jobs = { own = function() end }
M.routes = {
  ["POST /do"] = function(app, req)
    local call = req:json()
    local part = app[call.part or "jobs"]
    local ok, value, message, code = pcall(part[call.verb], part, call.a, call.b, call.c)
    if not ok then
      return 422, { error = value }
    end
    return 200, { value = value == nil and app.json.null or value, message = message, code = code }
  end,
}
M.routes["POST /holes"] = function(app, req)
  local call = req:json()
  local part = app[call.part or "jobs"]
  local lists = { two = { { "own" }, nil, { "own" } }, args = { {}, nil, {} }, ids = { 1, nil, 2 } }
  local first, second = lists[call.what], nil
  if call.name then first, second = call.name, first end
  local _, message = pcall(part[call.verb], part, first, second)
  return 422, { error = message }
end
return M
]==]

describe("app.jobs, used wrongly", function()
  local maru

  setup(function()
    maru = server.start({ plugins = { shop = { ["plugin.lua"] = SHOP }, spy = { ["plugin.lua"] = SPY } } })
  end)

  teardown(function()
    maru:stop()
  end)

  local function ask(verb, a, b, c)
    return maru:post("/do", { verb = verb, a = a, b = b, c = c })
  end

  local function refused(what, verb, a, b, c)
    local answer = ask(verb, a, b, c)
    assert.equal(422, answer.status, answer.body)
    assert.match(what, answer.json.error)
  end

  it("takes no list of which it would pass over a part", function()
    local two, named = { { "own" }, { "own" } }, { a = { "own" } }
    for _, call in ipairs({ { "batch", "two" }, { "push_many", "own", "args" }, { "wait", "ids" } }) do
      local answer = maru:post("/holes", { verb = call[1], name = call[3] and call[2], what = call[3] or call[2] })
      assert.equal(422, answer.status, answer.body)
      assert.match("without holes, but has an item at 3", answer.json.error)
    end
    for _, shape in ipairs({ "chain", "group" }) do
      local answer = maru:post("/holes", { part = "workflows", verb = shape, what = "two" })
      assert.match("no holes, but has an item at 3", answer.json.error)
    end
    refused("an item at a", "push_many", "own", named)
    assert.equal(200, ask("batch", two).status)
  end)

  it("names the option, and the author's line", function()
    for _, queue in ipairs({ "", "a b", "a\nb", ("q"):rep(101), "큐" }) do
      refused("^plugins/spy/plugin.lua:.*options.queue must be", "push", "own", {}, { queue = queue })
    end
    refused("options.retries must be", "push", "own", {}, { retries = -1 })
    refused("^plugins/spy/plugin.lua:.*options.priority must be", "push", "own", {}, { priority = "" })
    refused("options.unique must be text, not empty", "push", "own", {}, { unique = "" })
    refused("app.jobs:batch.*options must be a table, got string", "batch", { { "own" } }, "x")
    refused("options of list%[1%] must be a table, got string", "batch", { { "own", {}, "x" } })
    for _, name in ipairs({ "timeout", "expires", "result_ttl" }) do
      refused("options." .. name .. " must be longer than 0", "push", "own", {}, { [name] = 0 })
    end
    refused("options.delay or options.at, not both", "push", "own", {}, { delay = "1s", at = 4e9 })
    refused("app.jobs:wait.*got nil", "wait")
    refused("app.jobs:cancel%(id%).*got nil", "cancel")
    assert.equal(200, ask("push", "own", {}, { queue = "a.b_c-1", retries = 0, priority = "low", unique = "x" }).status)
  end)

  it("pushes another plugin's job where both say so", function()
    local usage = "'other.job' is another plugin's job: list \"other.job\" in M.allow.jobs and its plugin in M.requires"
    refused(usage, "push", "other.job")
    refused(usage, "push_many", "other.job", { {} })
    refused(usage, "batch", { { "own" }, { "other.job" } })
    refused(usage, "batch", { { "own" } }, { done = { "other.job" } })
    local chain = maru:post("/do", { part = "workflows", verb = "chain", a = { { "own" }, { "other.job" } } })
    assert.match(usage, chain.json.error, 1, true)
    refused("there is no job 'nothing' in M.jobs", "push", "spy.nothing")
    local answer = ask("push", "shop.work").json
    assert.equal("forbidden", answer.code)
    assert.equal("the job shop.work does not say export = true", answer.message)
    assert.equal("not_found", ask("push", "shop.gone").json.code)
    assert.equal("not_found", ask("batch", { { "own" }, { "shop.gone" } }).json.code)
    local group = maru:post("/do", { part = "workflows", verb = "group", a = { { "shop.work" } } })
    assert.equal("forbidden", group.json.code)
    local id = assert(ask("push", "shop.open", { of = "spy" }).json.value)
    assert.equal("done", ask("wait", id, 10).json.value.state)
    assert.truthy(ask("push", "spy.own").json.value)
  end)

  it("tells how another plugin's job stands, not what is in it", function()
    local id = maru:post("/work", { options = { delay = "1h", key = "whose" } }).json.id
    local job = ask("get", id).json.value
    assert.equal("delayed", job.state)
    assert.equal("shop.work", job.kind)
    assert.is_nil(job.args)
    assert.is_nil(job.key)
    assert.equal("its argument", maru:admin("/jobs/" .. id).args.secret)
    local done = maru:post("/work", {}).json.id
    job = ask("wait", done, 10).json.value
    assert.equal("done", job.state)
    assert.is_nil(job.result)
    assert.equal("forbidden", ask("cancel", id).json.code)
  end)

  it("does not take a word for all jobs", function()
    for _, id in ipairs({ "abc", "0", "-1", "1e9", "9223372036854775808" }) do
      assert.equal(400, maru:admin("/jobs/" .. id).status)
    end
    for _, limit in ipairs({ "0", "501", "x" }) do
      local output, status = maru:command_output("jobs --limit " .. limit)
      assert.equal(2, status)
      assert.match("%-%-limit is a number from 1 to 500", output)
    end
  end)

  it("changes nothing when a filter or a limit is misspelt, or --dry stands alone", function()
    local id = maru:post("/work", { options = { delay = "1h" } }).json.id
    local filter = { kind = "shop.work" }
    for _, body in ipairs({ { action = "cancel", filter = { kind = "shop.work", stat = "dead" } },
      { action = "cancel", filter = filter, dry = "yes" }, { action = "cancel", filter = filter, dryrun = true },
      { action = "cancel", filter = filter, ids = id } }) do
      assert.equal(400, maru:admin("/jobs/bulk", "POST", body).status)
    end
    assert.equal(400, maru:admin("/queues/default/limits", "POST", { concurency = 1 }).status)
    local output, status = maru:command_output("jobs cancel " .. id .. " --dry")
    assert.equal(2, status)
    assert.match("%-%-dry goes with %-%-all", output)
    assert.equal("delayed", maru:admin("/jobs/" .. id).state)
  end)
end)
