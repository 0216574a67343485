--- app.model whatever answers: the plugin's rules, or a server that speaks OpenAI's protocol (a stand-in, see
--- spec/support/openai.py). Each case drives a real maru with one and the same plugin.
package.path = "core/lua/?.lua;" .. package.path

local cjson = require("cjson")
local contract = require("spec.support.contract")
local openai = require("spec.support.openai")
local server = require("spec.support.server")

local PLUGIN = [[
local M = { name = "asker", version = "1.0.0" }
M.allow = { model = true }
M.config = { token = { type = "string", default = "", secret = true },
  hooks = { type = "array", items = "string", default = {}, secret = true } }
M.model = { rules = function(app, request, reason)
  if request.system == "be wrong" then
    return nil, "no rule fits", "no_rule"
  end
  return { text = "by rule: " .. reason.code, object = request.schema and { a = 1 } or nil }
end }

local function called(app, args)
  if args.a == 13 then
    error("thirteen")
  end
  return { twice = args.a * 2 }
end

local function fill(request)
  for _, tool in pairs(request.tools or {}) do
    if not tool.mine then
      tool[1] = called
    end
    tool.mine = nil
  end
  if request.no_rules then
    request.no_rules, M.model.rules = nil, nil
  end
  return request
end

M.routes = {
  ["POST /chat"] = function(app, req)
    local answer, message, code = app.model:chat(fill(req:json()))
    return 200, { answer = answer, message = message, code = code }
  end,
  ["POST /stream"] = function(app, req)
    local parts = {}
    for part in app.model:stream(fill(req:json())) do
      parts[#parts + 1] = part
    end
    return 200, { parts = parts }
  end,
  ["POST /embed"] = function(app, req)
    local answer, message, code = app.model:embed(req:json().texts)
    return 200, { answer = answer, message = message, code = code }
  end,
  ["POST /raises"] = function(app, req)
    local _, message = pcall(app.model.chat, app.model, req:json())
    return 200, { message = tostring(message) }
  end,
}
return M
]]

local FORBIDDEN = [[
return { name = "meek", version = "1.0.0", routes = { ["GET /meek"] = function(app)
  local _, message, code = app.model:chat({ messages = "x" })
  local last
  for part in app.model:stream({ messages = "x" }) do last = part end
  local _, _, third = app.model:embed({ "x" })
  return 200, { message = message, codes = { code, last.code, third } }
end } }
]]

local SCHEMA = { type = "object", properties = { a = { type = "integer" } }, required = { "a" },
  additionalProperties = false }
local TOOL = { f = { description = "doubles", parameters = SCHEMA } }

local DRIVERS = {
  {
    name = "rules",
    differs = {
      ["runs tools"] = "rules are code of the plugin's own and call what they need",
      ["embeds texts"] = "there is no vector that a rule could give",
      ["counts tokens and cost"] = "a rule's answer costs nothing",
      ["keeps answers"] = "a rule's answer is not worth keeping",
    },
  },
  {
    name = "openai",
    open = function()
      local peer = openai.start()
      return { peer = peer, close = function() peer:stop() end, settings = { "model.providers=["
        .. peer:provider("plain", { name = "main", embed_model = "embed", retries = 2,
          price = { input = 2, output = 8, cached = 1, embed = 0.5 } }) .. "]" } }
    end,
  },
}

for _, driver in ipairs(DRIVERS) do
  local name = driver.name

  describe("app.model by " .. name, function()
    local stage, case = contract.stage(driver,
      { plugins = { asker = { ["plugin.lua"] = PLUGIN }, meek = { ["plugin.lua"] = FORBIDDEN } } })
    local maru

    setup(function()
      maru = stage:node()
    end)

    local function post(path, body)
      local answer = maru:post(path, body)
      assert.equal(200, answer.status, tostring(answer.body) .. maru:logs())
      return answer.json
    end

    case("answers with text, labelled with who said it", function()
      local answer = post("/chat", { messages = "x" }).answer
      assert.equal(name == "rules" and "by rule: not_configured" or "hi", answer.text)
      assert.equal(name == "rules" and "rules" or "main", answer.provider)
      assert.equal(name == "rules", answer.rule_based)
      assert.equal("stop", answer.finish)
      assert.is_false(answer.cached)
      assert.equal("USD", answer.currency)
      assert.equal(1, answer.steps)
    end)

    case("takes a list of messages and a system text", function()
      local answer = post("/chat", { system = "be brief", model = "echo",
        messages = { { role = "user", content = "a" }, { role = "assistant", content = "b" },
          { role = "user", content = "c" } } }).answer
      assert.equal(name == "rules" and "by rule: not_configured" or "be brief / a / b / c", answer.text)
    end)

    case("streams text and then the whole", function()
      local parts = post("/stream", { messages = "x" }).parts
      local text = {}
      for i = 1, #parts - 1 do
        text[i] = parts[i].delta
      end
      local result = parts[#parts].result
      assert.equal(result.text, table.concat(text))
      assert.equal(name == "rules", result.rule_based)
      assert.is_true(#text > (name == "rules" and 0 or 1))
    end)

    case("gives an object that fits a schema", function()
      assert.same({ a = 1 }, post("/chat", { messages = "x", model = "json", schema = SCHEMA }).answer.object)
    end)

    case("says why nobody answered", function()
      local said = post("/chat", { messages = "x", model = "bad", system = "be wrong" })
      assert.is_nil(said.answer)
      assert.equal("no_rule", said.code)
      assert.equal("no rule fits", said.message)
      local parts = post("/stream", { messages = "x", model = "bad", system = "be wrong" }).parts
      assert.same({ { error = "no rule fits", code = "no_rule" } }, parts)
    end)

    case("asks the rules when they are named", function()
      assert.is_true(post("/chat", { messages = "x", provider = "rules" }).answer.rule_based)
    end)

    case("is only for plugins that may", function()
      local said = maru:get("/meek").json
      assert.same({ "forbidden", "forbidden", "forbidden" }, said.codes)
      assert.truthy(said.message:find("allow.model", 1, true))
    end)

    case("says how it is used", function()
      for part, request in pairs({ ["unknown option temprature; did you mean 'temperature'?"] = { messages = "x",
        temprature = 1 }, ["messages must be text or a list"] = { system = "x" },
        ["temperature must be a number"] = { messages = "x", temperature = "hot" },
        ["timeout must be seconds"] = { messages = "x", timeout = "soon" },
        ["messages[1] must be { role, content }"] = { messages = { "x" } } }) do
        local message = post("/raises", request).message
        assert.truthy(message:find(part, 1, true), message)
      end
    end)

    case("runs tools", function()
      local answer = post("/chat", { messages = "x", model = "tools", tools = TOOL }).answer
      assert.equal('got {"twice":2}', answer.text)
      assert.equal(2, answer.steps)
      local parts = post("/stream", { messages = "x", model = "tools", tools = TOOL }).parts
      assert.same({ { tool = "f", arguments = { a = 1 } }, { tool = "f", arguments = { a = 2 } },
        { delta = 'got {"twice":4}' } }, { parts[1], parts[2], parts[3] })
      assert.equal(24, parts[4].result.usage.total)
    end)

    case("embeds texts", function()
      local answer = post("/embed", { texts = { "abc", "defgh" } }).answer
      assert.same({ { 3, 0.5 }, { 5, 0.5 } }, answer.vectors)
      assert.equal(5, answer.usage.input)
      assert.equal(5 * 0.5 / 1e6, answer.cost)
      local again = post("/embed", { texts = { "once-429" } })
      assert.truthy(again.answer, again.message)
      assert.same({ { 8, 0.5 } }, again.answer.vectors)
    end)

    case("counts tokens and cost", function()
      local answer = post("/chat", { messages = "x" }).answer
      assert.same({ input = 10, output = 2, total = 12, cached = 0 }, answer.usage)
      assert.near((10 * 2 + 2 * 8) / 1e6, answer.cost, 1e-12)
      answer = post("/chat", { messages = "x", model = "cached" }).answer
      assert.near((2 * 2 + 8 * 1 + 2 * 8) / 1e6, answer.cost, 1e-12)
      local before = maru:admin("/model")
      post("/chat", { messages = "x" })
      local after = maru:admin("/model")
      local function row_of(view)
        for _, entry in ipairs(view.today) do
          if entry.plugin == "asker" and entry.provider == "main" then
            return entry
          end
        end
      end
      assert.equal(row_of(before).requests + 1, row_of(after).requests)
      assert.near(row_of(before).cost + 36 / 1e6, row_of(after).cost, 1e-9)
      local metrics = maru:get("/metrics").body
      assert.truthy(metrics:find('maru_model_tokens_total{plugin="asker",provider="main",direction="in"}', 1, true))
      assert.truthy(metrics:find('maru_model_seconds_count{provider="main"}', 1, true))
    end)

    case("keeps answers", function()
      local request = { messages = "keep me", temperature = 0 }
      stage.backend.peer:requests()
      assert.is_false(post("/chat", request).answer.cached)
      local again = post("/chat", request).answer
      assert.is_true(again.cached)
      assert.equal(0, again.cost)
      assert.equal("hi", again.text)
      local parts = post("/stream", request).parts
      assert.equal("hi", parts[1].delta)
      assert.is_true(parts[2].result.cached)
      assert.equal(1, #stage.backend.peer:requests())
      request.max_tokens = 5
      assert.is_false(post("/chat", request).answer.cached)
      request.cache = false
      assert.is_false(post("/chat", request).answer.cached)
      assert.is_false(post("/chat", { messages = "warm", temperature = 1 }).answer.cached)
      assert.is_false(post("/chat", { messages = "warm", temperature = 1 }).answer.cached)
      post("/chat", { messages = "warm", cache = "1m" })
      assert.is_true(post("/chat", { messages = "warm", cache = "1m" }).answer.cached)
    end)
  end)
end

describe("a schema", function()
  it("has multiples of fractions", function()
    local json_schema = require("maru.json_schema")
    local function wrong(value, unit)
      return json_schema.check({ null = {} }, { type = "number", multipleOf = unit }, value)
    end
    for value, unit in pairs({ [0.3] = 0.1, [19.99] = 0.01, [4.35] = 0.05, [-0.7] = 0.1, [0] = 0.1, [1e15] = 1 }) do
      assert.is_nil(wrong(value, unit), value .. " of " .. unit)
    end
    for value, unit in pairs({ [0.35] = 0.1, [7] = 2, [0.015] = 0.01, [-5] = 3 }) do
      assert.same({ ("the answer must be a multiple of %s"):format(unit) }, wrong(value, unit), tostring(value))
    end
  end)
end)

describe("a provider that speaks OpenAI's protocol", function()
  local peer, maru

  local function start(set, env)
    return server.start({ plugins = { asker = { ["plugin.lua"] = PLUGIN } }, set = set, env = env })
  end

  setup(function()
    peer = openai.start()
    maru = start({ "model.redact=keys,email,phone", "plugins.asker.token=hush-hush-1",
      'plugins.asker.hooks=["hook-one-1", "hook-two-2"]', "model.providers=["
      .. peer:provider("plain", { name = "main", silence = "0.5s", timeout = "2s", rest = "0s",
        price = { input = 2, output = 8 } }) .. "," .. peer:provider("plain", { name = "old", output = "json_object",
        rest = "0s" }) .. "," .. peer:provider("plain", { name = "bare", output = "text", rest = "0s" }) .. "]" })
  end)

  teardown(function()
    maru:stop()
    peer:stop()
  end)

  local function post(path, body)
    body.provider = body.provider or "main"
    local answer = maru:post(path, body)
    assert.equal(200, answer.status, tostring(answer.body) .. maru:logs())
    return answer.json
  end

  local function ask(model, more)
    local body = { messages = "x", model = model }
    for key, value in pairs(more or {}) do
      body[key] = value
    end
    return post("/chat", body)
  end

  local function stream(model, more)
    local body = { messages = "x", model = model }
    for key, value in pairs(more or {}) do
      body[key] = value
    end
    local text, last = {}, nil
    for _, part in ipairs(post("/stream", body).parts) do
      text[#text + 1], last = part.delta, part
    end
    return table.concat(text), last
  end

  it("is sent what the protocol wants, with the key", function()
    peer:requests()
    ask("plain", { system = "s", temperature = 0.5, max_tokens = 7, stop = { "." }, seed = 3 })
    local sent = peer:requests()[1]
    assert.equal("/v1/chat/completions", sent.path)
    assert.equal("", sent.key)
    assert.same({ model = "plain", messages = { { role = "system", content = "s" }, { role = "user", content = "x" } },
      temperature = 0.5, max_tokens = 7, stop = { "." }, seed = 3 }, sent.body)
    stream("plain")
    sent = peer:requests()[1].body
    assert.is_true(sent.stream)
    assert.is_true(sent.stream_options.include_usage)
  end)

  for model, wanted in pairs({ plain = "hello", crlf = "한국어", torn = "한국어", packed = "hello", keepalive = "late",
    ["no-done"] = "whole", ["no-finish"] = "whole", ["finish-with-text"] = "whole", ["reset-behind"] = "whole",
    ["no-usage"] = "abcdef", continuous = "ab", thinks = "a", ["slow"] = "hi" }) do
    it("may stream as " .. model, function()
      local text, last = stream(model)
      assert.is_nil(last.error)
      assert.equal(wanted, text)
      assert.equal(wanted, last.result.text)
      assert.equal("stop", last.result.finish)
    end)
  end

  it("may say nothing of usage: then it is a guess that says so", function()
    local _, last = stream("no-usage")
    assert.is_true(last.result.usage.estimated)
    assert.equal(2, last.result.usage.output)
    assert.is_true(last.result.usage.input > 10)
    assert.is_true(last.result.cost > 0)
    assert.is_true(ask("no-usage").answer.usage.estimated)
    assert.is_true(ask("null-usage").answer.usage.estimated)
    assert.is_true(ask("odd-usage").answer.usage.estimated)
    assert.is_nil(ask("plain").answer.usage.estimated)
    _, last = stream("continuous")
    assert.equal(2, last.result.usage.output)
  end)

  for model, code in pairs({ cut = "protocol", reset = "protocol", error = "unavailable", frozen = "timeout",
    garbage = "protocol", ["odd-piece"] = "protocol" }) do
    it("whose stream ends by " .. model .. " behind its first words is an error", function()
      local text, last = stream(model)
      assert.equal(model == "garbage" and "by rule: protocol" or "he", text)
      if model == "garbage" then -- nothing was said yet, so the rules could
        assert.is_true(last.result.rule_based)
      else
        assert.equal(code, last.code)
        assert.is_string(last.error)
      end
    end)
  end

  for model, code in pairs({ ["cut-first"] = "protocol", ["error-first"] = "unavailable",
    ["frozen-first"] = "timeout" }) do
    it("whose stream ends by " .. model .. " is answered for by the rules", function()
      local text, last = stream(model)
      assert.equal("by rule: " .. code, text)
      assert.is_true(last.result.rule_based)
    end)
  end

  it("may think aloud", function()
    local _, last = stream("thinks")
    assert.equal("hm", last.result.reasoning)
  end)

  for model, tries in pairs({ seconds = 2, ms = 2, date = 2, ["once-503"] = 2, ["once-409"] = 2, ["do-retry"] = 2 }) do
    it("is asked again after " .. model, function()
      peer:requests()
      assert.equal("hi", ask(model).answer.text)
      local list = peer:requests()
      assert.equal(tries, #list)
      if model == "seconds" then
        assert.is_true(list[2].at - list[1].at >= 0.95)
      end
    end)
  end

  for model, code in pairs({ quota = "quota", bad = "invalid", ["vllm-401"] = "auth", ["vllm-old"] = "invalid",
    detail = "invalid", ["no-retry"] = "unavailable" }) do
    it("is not asked again after " .. model, function()
      peer:requests()
      local answer = ask(model).answer
      assert.equal(code, answer.reason.code)
      assert.is_true(answer.rule_based)
      assert.equal(1, #peer:requests())
    end)
  end

  for model, wanted in pairs({ ["always-500"] = { "unavailable", "status 500" },
    ["llama-503"] = { "unavailable", "Loading model" }, ["error-200"] = { "unavailable", "went wrong" },
    ["no-json"] = { "protocol", "not JSON" }, ["odd-calls"] = { "protocol", "not as the protocol" } }) do
    it("is asked three times when it answers " .. model, function()
      peer:requests()
      local reason = ask(model).answer.reason
      assert.equal(wanted[1], reason.code)
      assert.truthy(reason.message:find(wanted[2], 1, true), reason.message)
      assert.equal(3, #peer:requests())
    end)
  end

  it("is not waited for longer than the request has time", function()
    peer:requests()
    assert.equal("rate", ask("seconds-2", { model = "far", timeout = "0.3s" }).answer.reason.code)
    assert.equal(1, #peer:requests())
    assert.equal("timeout", ask("frozen-first", { timeout = "0.3s" }).answer.reason.code)
  end)

  it("may want the other word for max_tokens, which is remembered", function()
    peer:requests()
    assert.equal("hi", ask("wants-completion", { max_tokens = 5 }).answer.text)
    local list = peer:requests()
    assert.equal(5, list[1].body.max_tokens)
    assert.equal(5, list[2].body.max_completion_tokens)
  end)

  for model, wanted in pairs({ parts = "ab", null = "", eos = "hi" }) do
    it("may answer with " .. model, function()
      local answer = ask(model).answer
      assert.equal(wanted, answer.text)
      assert.equal("stop", answer.finish)
    end)
  end

  for _, model in ipairs({ "refuses", "filter" }) do
    it("may refuse: " .. model, function()
      assert.equal("refused", ask(model).answer.reason.code)
    end)
  end

  for _, model in ipairs({ "tools", "ollama-tools", "old-function" }) do
    it("may call a tool as " .. model, function()
      assert.equal('got {"twice":2}', ask(model, { tools = TOOL }).answer.text)
    end)
  end

  it("is told what is wrong with a call", function()
    for model, part in pairs({ ["bad-arguments"] = "not JSON", ["wrong-arguments"] = "a must be integer, got string",
      ["unknown-tool"] = "there is no tool 'g'" }) do
      local text = ask(model, { tools = TOOL }).answer.text
      assert.truthy(text:find(part, 1, true), text)
      assert.truthy(text:find('got {"error":', 1, true), text)
    end
  end)

  it("may not call tools for ever", function()
    assert.equal("steps", ask("tools-forever", { tools = TOOL, max_steps = 3 }).answer.reason.code)
  end)

  it("leaves calls to the plugin where a tool has no function", function()
    local answer = ask("tools", { tools = { f = { mine = true, parameters = SCHEMA } } }).answer
    assert.equal("tool_calls", answer.finish)
    assert.same({ { id = "call_1", name = "f", arguments = { a = 1 }, arguments_text = '{"a":1}' } }, answer.tool_calls)
  end)

  it("has its objects checked, and is told once what is wrong", function()
    peer:requests()
    assert.same({ a = 1 }, ask("fenced", { schema = SCHEMA }).answer.object)
    assert.equal("json_schema", peer:requests()[1].body.response_format.type)
    assert.same({ a = 1 }, ask("repaired", { schema = SCHEMA }).answer.object)
    local list = peer:requests()
    assert.equal(2, #list)
    local last = list[2].body.messages
    assert.truthy(last[#last].content:find("a must be integer, got string", 1, true))
    assert.equal("schema", ask("never-json", { schema = SCHEMA }).answer.reason.code)
    assert.equal(2, #peer:requests())
    assert.equal("length", ask("length", { schema = SCHEMA }).answer.reason.code)
  end)

  it("gets a schema in its own way", function()
    peer:requests()
    assert.same({ a = 1 }, ask("json", { schema = SCHEMA, provider = "old" }).answer.object)
    assert.same({ a = 1 }, ask("json", { schema = SCHEMA, provider = "bare" }).answer.object)
    local list = peer:requests()
    assert.same({ type = "json_object" }, list[1].body.response_format)
    assert.is_nil(list[2].body.response_format)
    assert.truthy(list[2].body.messages[1].content:find('"additionalProperties":false', 1, true))
  end)

  it("never sees secrets", function()
    local text = ask("echo", { system = "key sk-abcdefghijkl",
      messages = "mail kim@example.co.kr, call 010-1234-5678, token hush-hush-1, "
        .. "Authorization: Bearer abcdefghijklmnopqrstuvw, 2026-11-21 at 13:45, 12,345 viewers" }).answer.text
    assert.equal("key [key] / mail [email], call [phone], token [secret], Authorization: [key], 2026-11-21 at 13:45, "
      .. "12,345 viewers", text)
    text = ask("echo", { messages = "card 1234-5678-1234-5678 id A-77", redact = { "card", "A%-%d+" } }).answer.text
    assert.equal("card [card] id [redacted]", text)
    assert.equal("[secret], [secret]", ask("echo", { messages = "hook-two-2, hook-one-1" }).answer.text)
  end)

  it("keeps words that only look like the end of a key's beginning", function()
    assert.equal("task-oriented, risk-adjusted, [key]", ask("echo", { messages = "task-oriented, risk-adjusted, "
      .. "sk-abcdefghijkl" }).answer.text)
  end)

  it("is asked long texts without a blank, and the lane is not held by looking for secrets in them", function()
    for _, piece in ipairs({ "a", "a@", "eyJ", "-----BEGIN PRIVATE KEY-----" }) do
      local text = piece:rep(math.floor(200000 / #piece))
      assert.equal(text, ask("echo", { messages = text }).answer.text, piece)
    end
    assert.equal("x [key] y [email] [key]", ask("echo", { messages = "x eyJhbGci.eyJzdWIi.c2ln_-x y "
      .. "very.long+tag@mail.example.co.kr -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"
      }).answer.text)
  end)

  it("gets its key from the environment or a file, which nobody sees", function()
    local right = peer:provider("keyed", { name = "right", key_env = "MY_KEY" })
    local wrong = peer:provider("keyed", { name = "wrong", key_file = peer.dir .. "/key" })
    server.write_file(peer.dir .. "/key", "oops-wrong-key-99\n")
    local other = start({ "model.providers=[" .. right .. "," .. wrong .. "]" }, { MY_KEY = "sk-right-key-1234" })
    peer:requests()
    local good = other:post("/chat", { messages = "x", provider = "right" }).json.answer
    local bad = other:post("/chat", { messages = "x", provider = "wrong" }).json.answer
    local logs, view = other:logs(), cjson.encode(other:admin("/model")) .. cjson.encode(other:admin("/drivers"))
    other:stop()
    assert.equal("hi", good.text)
    assert.equal("auth", bad.reason.code)
    assert.equal("Incorrect API key provided: ***.", bad.reason.message)
    local list = peer:requests()
    assert.equal("Bearer sk-right-key-1234", list[1].key)
    assert.equal("Bearer oops-wrong-key-99", list[2].key)
    for _, text in ipairs({ logs, view }) do
      assert.is_nil(text:find("sk-right-key-1234", 1, true))
      assert.is_nil(text:find("oops-wrong-key-99", 1, true))
    end
  end)

  it("is configured with care", function()
    for part, text in pairs({
      ["[1].key: a key does not stand in a configuration"] = '[{"name":"a","model":"m","key":"sk-1"}]',
      ["[1].model: say which model"] = '[{"name":"a"}]',
      ["[1].url: must be a URL"] = '[{"name":"a","model":"m","url":"ftp://x"}]',
      ["[2].name: another provider has it"] = '[{"name":"a","model":"m"},{"name":"a","model":"m"}]',
      ["[1].key_env: the environment has no NOBODY"] = '[{"name":"a","model":"m","key_env":"NOBODY"}]',
      ["[1].timout: no such setting"] = '[{"name":"a","model":"m","timout":"1s"}]',
      ["[1].timeout: "] = '[{"name":"a","model":"m","timeout":"soon"}]',
      ["[1].price.input: must be a number"] = '[{"name":"a","model":"m","price":{"input":"much"}}]',
      ["must be a list of tables"] = '{"name":"a"}',
    }) do
      local _, log = server.try_start({ set = { "model.providers=" .. text } })
      assert.truthy(tostring(log):find(part, 1, true), tostring(log))
    end
  end)

  it("keeps nobody in its line for longer than the request may take", function()
    local other = start({ "model.providers=[" .. peer:provider("frozen-first", { concurrency = 1, timeout = "3s",
      retries = 0 }) .. "]" })
    peer:requests()
    server.shell(("curl -s -d '{\"messages\":\"first\"}' %s/chat >/dev/null 2>&1 &"):format(other.url))
    assert.truthy(server.wait_for(function()
      return #peer:requests() > 0
    end))
    local answer = other:post("/chat", { messages = "second", timeout = 0.2 }).json.answer
    other:stop()
    assert.same({ code = "timeout", message = "the provider had no room within the time allowed" }, answer.reason)
  end)

  it("is limited in what it is asked at a time", function()
    local other = start({ "model.providers=[" .. peer:provider("slow", { concurrency = 1 }) .. "]" })
    peer:requests()
    local command = {}
    for i = 1, 3 do
      command[i] = ("curl -s -d '{\"messages\":\"%d\"}' %s/chat >/dev/null &"):format(i, other.url)
    end
    server.shell(table.concat(command, " ") .. " wait")
    other:stop()
    local list = peer:requests()
    assert.equal(3, #list)
    assert.is_true(list[2].at - list[1].at >= 0.39)
    assert.is_true(list[3].at - list[2].at >= 0.39)
  end)
end)

describe("a budget", function()
  local peer

  setup(function()
    peer = openai.start()
  end)

  teardown(function()
    peer:stop()
  end)

  it("is not passed, and not forgotten by a restart", function()
    -- Each answer takes 10 + 2 tokens; about 30 are set aside meanwhile.
    local maru = server.start({ plugins = { asker = { ["plugin.lua"] = PLUGIN } },
      set = { 'model.budget=[{"plugin":"asker","tokens":100},{"cost":1}]', "model.currency=KRW", "model.providers=["
        .. peer:provider("plain", { name = "main", price = { input = 2000, output = 8000 } }) .. "]" } })
    local function ask()
      return maru:post("/chat", { messages = "x", max_tokens = 5 }).json.answer
    end
    local spent = 0
    for _ = 1, 3 do
      local answer = ask()
      assert.equal("hi", answer.text, maru:logs())
      assert.equal("KRW", answer.currency)
      spent = spent + answer.usage.total
    end
    assert.equal(36, spent)
    local before = maru:admin("/model").today[1]
    maru:kill()
    assert.is_true(maru:restart(), maru:logs())
    assert.same(before, maru:admin("/model").today[1])
    local refused
    for _ = 1, 9 do
      local answer = ask()
      if answer.rule_based then
        refused = answer.reason
        break
      end
      spent = spent + answer.usage.total
    end
    assert.equal("budget", refused.code)
    assert.truthy(refused.message:find("100 tokens a day", 1, true))
    assert.is_true(spent <= 100, tostring(spent))
    maru:stop()
  end)
end)
