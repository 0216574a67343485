--- The README's plugin is taken from the page and run.
local server = require("spec.support.server")

describe("the README's plugin", function()
  local readme = server.read_file("README.md")
  local maru

  setup(function()
    maru = server.start({ plugins = { guestbook = {
      ["plugin.lua"] = readme:match("```lua\n(.-)```"),
      ["migrations/0001_lines.sql"] = readme:match("`(create table lines[^`]+)`"),
    } } })
  end)

  teardown(function()
    maru:stop()
  end)

  it("keeps a line, shows it and refuses one that is too long", function()
    local line = maru:post("/api/v1/lines", { text = "마루에 다녀갑니다" })
    assert.equal(201, line.status, line.body)
    assert.equal("마루에 다녀갑니다", maru:get("/api/v1/lines?limit=1").json.lines[1].text)
    local refused = maru:post("/api/v1/lines", { text = ("가"):rep(281) })
    assert.equal(422, refused.status)
    assert.equal("body.text", refused.json.errors[1].field)
  end)

  it("moderates in a job that is committed with the line", function()
    local id = maru:post("/api/v1/lines", { text = "cheap spam here" }).json.id
    assert(server.wait_for(function()
      for _, line in ipairs(maru:get("/api/v1/lines").json.lines) do
        if line.id == id then
          return false
        end
      end
      return true
    end), maru:logs())
  end)

  it("shows a line live", function()
    local file = maru.dir .. "/stream"
    server.shell(("curl -sN --max-time 5 %s/api/v1/lines/stream >%s 2>/dev/null &"):format(maru.url, file))
    server.shell("sleep 0.5")
    maru:post("/api/v1/lines", { text = "live" })
    assert(server.wait_for(function()
      local text = server.read_file(file) or ""
      return text:find("event: line", 1, true) and text:find('"text":"live"', 1, true)
    end), server.read_file(file))
  end)

  it("is served in its new form when it is saved", function()
    local text = server.read_file(maru:plugin_path("guestbook"))
    server.write_file(maru:plugin_path("guestbook"), (text:gsub("string%(1,280%)", "string(1,3)")))
    assert(server.wait_for(function()
      return maru:post("/api/v1/lines", { text = "four" }).status == 422
    end), maru:logs())
  end)
end)
