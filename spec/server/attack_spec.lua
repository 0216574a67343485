--- Attacks over HTTP/1.1 and HTTP/2: each is ended or answered, costs little, and an honest client beside it
--- notices nothing. scripts/bench attacks prints the figures.
local cjson = require("cjson")
local server = require("spec.support.server")

local TARGET = { ["plugin.lua"] = server.read_file("spec/support/attack/target.lua") }
local MIB = 1048576

-- Built with sanitizers, freed memory is kept for a while.
local spare = os.getenv("SPEC_PRESET") == "asan" and 400 * MIB or 0

describe("HTTP attacks", function()
  local maru, pid

  setup(function()
    maru = server.start({ plugins = { target = TARGET }, https = true,
      set = { "http.header_timeout=1s", "http.body_timeout=1s", "http.send_timeout=2s" } })
    pid = maru:server_pid()
  end)

  teardown(function()
    maru:stop()
  end)

  --- Runs one attack; what every attack has to leave alone is checked here.
  local function run(name, scale)
    local command = "ulimit -n $(ulimit -Hn); python3 spec/support/attack/attack.py --http %s --https %s --pid %d"
      .. " --scale %s %s"
    local output, status = server.shell(command:format(maru.url:match("//(.*)"), maru.https:match("//(.*)"), pid,
      scale or 1, name))
    assert.equal(0, status, output)
    local report = cjson.decode(output)
    assert.is_true(report.honest.n > 0, output)
    assert.equal(0, report.honest.failed, name .. ": the honest client's answers: " .. output)
    assert.equal(pid, maru:server_pid(), "the server process died:\n" .. maru:logs():sub(-2000))
    return report.result, report
  end

  local function grew(report)
    return report.rss_after - report.rss_before
  end

  --- The connection was ended by the server, with GOAWAY where it could be heard.
  local function assert_ended(result)
    assert.is_true(result.closed, cjson.encode(result))
    assert.truthy(result.goaway == cjson.null or result.goaway.code ~= 0)
  end

  it("closes a connection that resets its requests and runs hardly any", function()
    local result, report = run("rapid_reset")
    assert_ended(result)
    assert.is_true(report.ran < 500, report.ran)
    assert.is_true(result.sent < 100000, result.sent)
  end)

  it("runs hardly any of 100,000 reset requests over many connections", function()
    local result, report = run("rapid_reset_many_connections")
    assert.equal(100000, result.sent)
    assert.is_true(report.ran < 500, report.ran .. " ran")
    assert.is_true(grew(report) < 64 * MIB + spare, grew(report))
  end)

  it("closes a connection that lets requests begin and cancels them", function()
    local result, report = run("late_reset")
    assert_ended(result)
    assert.is_true(report.ran < 500, report.ran)
  end)

  it("closes a connection that makes the server reset its requests", function()
    local result, report = run("made_you_reset")
    assert_ended(result)
    assert.is_true(report.ran < 500, report.ran)
    assert_ended((run("stream_limit")))
  end)

  for _, name in ipairs({ "continuation", "continuation_empty", "hpack_bomb", "hpack_bomb_small", "hpack_table_updates",
    "settings_flood", "ping_flood", "ping_flood_unread", "empty_data", "priority_flood", "window_update_flood",
    "unknown_frames", "goaway_flood" }) do
    it("ends a " .. name:gsub("_", " "), function()
      local result, report = run(name)
      assert_ended(result)
      assert.is_true(report.rss_peak - report.rss_before < 200 * MIB + spare, report.rss_peak - report.rss_before)
      assert.is_true(grew(report) < 32 * MIB + spare, grew(report))
      assert.equal(0, report.ran)
    end)
  end

  it("ends a connection whose stream ids are used up", function()
    local result = run("stream_ids")
    assert.equal(200, result.status)
    assert_ended(result)
  end)

  it("bounds what one connection leaves unread, and lets it go", function()
    local result = run("zero_window")
    assert.equal(result.connections, result.ended)
    assert.is_true(result.begun < 10 * result.connections, result.begun .. " answers were made")
    assert.is_true(result.held < result.connections * 16 * MIB + spare, result.held)
  end)

  it("takes no body for an address of an object that nobody gave out", function()
    local result, report = run("unsigned_upload")
    for _, status in ipairs(result.statuses) do
      assert.equal(403, status)
    end
    assert.equal(200, result.beside, "another request of the same connection")
    assert.is_true(result.sent_most < 32 * MIB, result.sent_most .. " bytes of one were taken")
    assert.is_true(result.read < result.uploads * 8 * MIB, result.read .. " bytes were read")
    assert.is_true(report.rss_peak - report.rss_before < 64 * MIB + spare, report.rss_peak - report.rss_before)
  end)

  it("answers who is refused while sending, and leaves the connection as it is", function()
    local result = run("eager_uploads")
    for _, status in ipairs(result.statuses) do
      assert.equal(403, status, cjson.encode(result))
    end
    for _, status in ipairs(result.beside) do
      assert.equal(200, status, "another request of the same connection: " .. cjson.encode(result))
    end
    for _, code in ipairs(result.resets) do
      assert.equal(0, code, "NO_ERROR only")
    end
    assert.is_true(result.owed <= 0, result.owed .. " bytes of the connection's window were not given back")
  end)

  it("lets clients go that do not read their answers", function()
    local result = run("slow_reader", 0.5)
    assert.is_true(result.closed, result.ended .. " of " .. result.connections .. " ended")
  end)

  it("lets clients go whose head or body does not arrive", function()
    for _, name in ipairs({ "slow_headers", "slow_body", "slow_body_expected", "slow_chunks" }) do
      local result = run(name, 0.5)
      assert.is_true(result.closed, name .. ": " .. result.ended .. " of " .. result.connections .. " ended")
    end
  end)

  -- The server raises its own limit of descriptors, the client's end is raised here.
  local function connections()
    local limit = tonumber((server.shell("ulimit -Hn"):match("%d+"))) or 20000
    return math.min(1, (limit - 500) / 10000)
  end

  it("holds 10,000 idle connections", function()
    local result = run("idle_connections", connections())
    assert.equal(result.connections, result.alive)
    assert.is_true(result.each < 8192 + spare / 1000, result.each .. " bytes each")
  end)

  it("holds 10,000 idle WebSockets in less than 16 KiB each", function()
    local result = run("idle_sockets", connections())
    assert.equal(result.connections, result.opened)
    assert.equal("hi", result.echo:sub(-2))
    assert.is_true(result.each < 16384 + spare / 1000, result.each .. " bytes each")
  end)

  it("reads HTTP/1.1 in one way only", function()
    local result = run("smuggling")
    assert.same({}, result.wrong)
    assert.is_true(result.sent > 150, result.sent)
  end)

  it("refuses what HTTP/2 forbids", function()
    assert.same({}, (run("odd_frames")).wrong)
  end)

  it("survives frames at random", function()
    run("frame_noise")
  end)
end)
