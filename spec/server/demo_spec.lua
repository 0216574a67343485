--- `maru serve --demo`: both platforms on the board, an analysed surge, everything marked simulated.
local server = require("spec.support.server")

describe("the demo", function()
  local maru

  setup(function()
    maru = server.start({ demo = true, plugins_path = "plugins" })
  end)

  teardown(function()
    maru:stop()
  end)

  it("lists both platforms and says that it is simulated", function()
    local seen = server.wait_for(function()
      local chzzk = maru:get("/api/live?platform=chzzk").json
      local soop = maru:get("/api/live?platform=soop").json
      return chzzk and soop and chzzk.total_lives > 50 and soop.total_lives > 50 and chzzk
    end, 60)
    assert(seen, "not both platforms within a minute:\n" .. maru:logs())
    assert.is_true(seen.simulated)
  end)

  it("finds a surge and analyses it once", function()
    local event = server.wait_for(function()
      local answer = maru:get("/api/events?status=ANALYZED").json
      return answer and answer.events[1]
    end, 180)
    assert(event, "no analysed surge within three minutes:\n" .. maru:logs())
    assert.equal("rule-based", event.analysis.engine)
    assert.is_true(event.ratio >= 1.5)
    assert.equal(event.id, maru:get("/api/events/" .. event.id).json.id)
  end)

  it("says a surge by the rule of the demo's own", function()
    local notice = server.wait_for(function()
      return maru:command_output("logs --plugin notify --limit 50"):match("notify@%x+  ([^\n]+ → %d+)")
    end, 180)
    assert(notice, "nothing said within three minutes:\n" .. maru:logs())
    assert.match(": %d+ → %d+$", notice)
  end)
end)

describe("without the demo and without a network", function()
  it("the summary says which platform cannot be reached and why", function()
    local maru = server.start({ plugins_path = "plugins", set = {
      "plugins.chzzk.web_base=http://chzzk.invalid", "plugins.soop.web_base=http://soop.invalid",
      "plugins.chzzk.retries=0", "plugins.soop.retries=0", "plugins.streampulse.retry_delay=1s",
    } })
    finally(function()
      maru:stop()
    end)
    local platforms = server.wait_for(function()
      local answer = maru:get("/api/live/summary").json
      return answer and answer.platforms[1].status == "error" and answer.platforms[2].status == "error"
        and answer.platforms
    end)
    assert(platforms, maru:logs())
    assert.equal("CHZZK unreachable: could not resolve host", platforms[1].error)
    assert.equal("SOOP unreachable: could not resolve host", platforms[2].error)
    assert.equal(404, maru:get("/sim/chzzk/service/v1/lives").status)
  end)
end)
