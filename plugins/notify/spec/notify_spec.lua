--- Rules, seen from outside: events go in, deliveries come out. Mail and Slack's own answers: the real program's
--- spec/server/notify_spec.lua.
test:config({
  zone = "+09:00",
  channels = { { name = "log", kind = "log" }, { name = "second", kind = "log" }, { name = "third", kind = "log" } },
  rules = {
    { name = "surges", event = "pulse.surge", channels = { "log" }, title = "{channel} surged",
      text = "{channel}: {viewers}", group = 60 },
    { name = "nightly", event = "night.*", channels = { "log" }, quiet = "22:00-08:00", title = "At night" },
    { name = "long", event = "long", channels = { "log" }, title = "{name}" },
    { name = "urgent", event = "down", channels = { "log" }, title = "{name.of} is down",
      escalate = { { after = 300, channels = { "second" } }, { after = 600, channels = { "third" } } } },
  },
})

local function send(event, data)
  return test:app().call("notify.send", { event = event, data = data })
end

local function shown(title)
  for _, notice in ipairs(test:get("/api/notify", { as = "operator" }).json.notices) do
    if notice.title == title then
      return notice
    end
  end
end

local function channels(notice)
  local names = {}
  for _, delivery in ipairs(notice.deliveries) do
    names[#names + 1] = delivery.channel .. " " .. delivery.state
  end
  return names
end

describe("notify", function()
  it("says nothing of what no rule names", function()
    assert.equal(0, send("other", {}))
    assert.equal(0, send("nightly", {}))
  end)

  it("puts what comes in a row into one message", function()
    for i = 1, 5 do
      assert.equal(1, send("pulse.surge", { channel = "가", viewers = 100 * i }))
    end
    local notice = shown("가 surged")
    assert.equal("waiting", notice.state)
    assert.equal(5, notice.count)
    test.clock:advance("61s")
    notice = shown("가 surged")
    assert.equal("said", notice.state)
    assert.equal("가: 100\n가: 200\n가: 300\n가: 400\n가: 500", notice.lines)
    assert.same({ "log sent" }, channels(notice))
    send("pulse.surge", { channel = "나", viewers = 1 })
    assert.equal(1, shown("나 surged").count)
  end)

  it("cuts long titles and lines between letters", function()
    assert.equal(1, send("long", { name = "a" .. ("가"):rep(300), log = ("x"):rep(100000) }))
    local notice = shown("a" .. ("가"):rep(199) .. "…")
    assert.truthy(notice)
    assert.truthy(#notice.lines <= 4003)
  end)

  it("waits for the end of quiet hours", function()
    test.clock:set("2026-03-01T14:00:00Z") -- 23:00 in Seoul
    send("night.watch", {})
    local notice = shown("At night")
    assert.equal(1772406000, notice.due_at) -- 08:00 in Seoul
    test.clock:advance("539m")
    assert.equal("waiting", shown("At night").state)
    test.clock:advance("2m")
    assert.equal("said", shown("At night").state)
  end)

  it("goes on to others until somebody acknowledges", function()
    send("down", { name = { of = "db" } })
    test:run_jobs()
    assert.same({ "log sent" }, channels(shown("db is down")))
    test.clock:advance("301s")
    assert.same({ "log sent", "second sent" }, channels(shown("db is down")))
    local id = shown("db is down").id
    local path = "/api/notify/" .. id .. "/acknowledge"
    assert.equal(401, test:post(path).status)
    assert.equal(200, test:post(path, nil, { as = "operator" }).status)
    assert.equal(409, test:post(path, nil, { as = "operator" }).status)
    test.clock:advance("1h")
    assert.same({ "log sent", "second sent" }, channels(shown("db is down")))
    assert.equal("acknowledged", shown("db is down").state)
  end)

  it("forgets after a month", function()
    assert.truthy(shown("db is down"))
    test.clock:advance("32d")
    assert.is_nil(shown("db is down"))
  end)
end)
