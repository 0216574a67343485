--- The handlers of NAME are plain functions; `app` is a table made here.
--- Run with: busted --lua=luajit NAME/spec
package.path = "NAME/?.lua;" .. package.path

describe("NAME", function()
  local plugin = dofile("NAME/plugin.lua")
--@if route

  it("answers with the newest lines", function()
    local app = {
      store = { all = function(_, _, limit) return { { id = 1, text = "hello", at = limit } } end },
      json = { array = function(t) return t end },
    }
    local status, body = plugin.routes["GET /api/NAME"][1](app, { query = { limit = 7 } })
    assert.equal(200, status)
    assert.same({ { id = 1, text = "hello", at = 7 } }, body.lines)
  end)

  it("tells everybody about a new line", function()
    local told
    local app = {
      now = function() return 1000 end,
      store = { one = function(_, _, text, at) return { id = 1, text = text, at = at } end },
      channels = { publish = function(_, topic, line) told = { topic, line } end },
    }
    local post = plugin.routes["POST /api/NAME"][1]
    local status, line = post(app, { body = { text = "hello" } })
    assert.equal(201, status)
    assert.same({ "NAME.lines", line }, told)
  end)
--@end
--@if job

  it("forgets old lines", function()
    local before
    local app = {
      now = function() return 100 * 86400 end, config = { keep_days = 30 }, log = { info = function() end },
      store = { exec = function(_, _, at)
        before = at
        return 3
      end },
    }
    assert.equal(3, plugin.jobs.expire[1](app))
    assert.equal(70 * 86400, before)
  end)
--@end
--@if socket

  it("answers every message with its time", function()
    local sent
    local socket = { send = function(_, message) sent = message end }
    plugin.sockets["/ws/NAME"].message({ now = function() return 5 end }, socket, "hello")
    assert.same({ text = "hello", at = 5 }, sent)
  end)
--@end
--@if page

  it("has its page in both languages", function()
    local page = plugin.pages[1]
    assert.truthy(page.title.ko and page.title.en)
    assert(io.open("NAME/public/" .. page.module)):close()
  end)
--@end
end)
