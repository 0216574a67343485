--- The plugin notify in the real program: events of another plugin to Slack (a stand-in), mail (a real server) and the
--- log.
local cjson = require("cjson")
local server = require("spec.support.server")

local SHOP = { ["plugin.lua"] = [==[
local M = { name = "shop", version = "1.0.0", requires = { "notify >= 1" }, allow = { exports = { "notify.send" } } }
M.routes = {
  ["POST /sold"] = function(app, req)
    return 200, { offset = assert(app.events:emit("shop.sold", req:json())) }
  end,
  ["POST /call"] = function(app, req) return 200, { n = assert(app.call("notify.send", req:json())) } end,
}
return M
]==] }

local CONFIG = [==[
return {
  ["plugins.notify"] = {
    topics = { "shop.sold" },
    webhooks = { "http://127.0.0.1:%d/services/ok", "http://127.0.0.1:%d/services/limited",
      "http://127.0.0.1:%d/services/gone", "http://127.0.0.1:%d/services/broken" },
    channels = {
      { name = "ok", kind = "slack", webhook = 1 }, { name = "same", kind = "slack", webhook = 1 },
      { name = "limited", kind = "slack", webhook = 2 },
      { name = "gone", kind = "slack", webhook = 3 }, { name = "broken", kind = "slack", webhook = 4 },
      { name = "post", kind = "mail", to = { "김 <kim@example.com>" } }, { name = "log", kind = "log" },
      { name = "grey", kind = "mail", to = { "kim@example.com", "once@example.com", "never@example.com" } },
    },
    rules = {
      { name = "sales", event = "shop.sold", channels = { "ok", "post", "log" }, title = "{what} sold to <{who}>",
        text = "{what} & more" },
      { name = "many", event = "many.*", channels = { "ok", "same" }, title = "{n} of many" },
      { name = "put off", event = "grey.*", channels = { "grey" }, title = "{name}" },
      { name = "rest", event = "x.*", channels = { "limited", "gone", "broken" }, title = "{name}" },
    },
  },
}
]==]

describe("the plugin notify", function()
  local node, slack, post

  setup(function()
    slack, post = server.make_dir(), server.make_dir()
    slack = { dir = slack, pid = server.shell(("node spec/support/slack.mjs %s >%s/out 2>&1 & echo $!")
      :format(slack, slack)):match("%d+") }
    post = { dir = post, pid = server.shell(("/usr/bin/python3 spec/support/smtp.py %s >%s/out 2>&1 & echo $!")
      :format(post, post)):match("%d+") }
    for _, one in ipairs({ slack, post }) do
      one.port = server.wait_for(function() return server.read_file(one.dir .. "/port") end)
      assert(one.port, server.read_file(one.dir .. "/out"))
    end
    local p = tonumber(slack.port)
    node = server.start({ plugins = { shop = SHOP }, config = CONFIG:format(p, p, p, p),
      plugins_path = "%DIR%/plugins:plugins",
      set = { "plugins.disable=simulator", "mail.url=smtp://127.0.0.1:" .. post.port, "mail.from=maru@example.com" } })
  end)
  teardown(function()
    if node then node:stop() end
    for _, one in ipairs({ slack, post }) do
      server.shell(("kill -9 %s; rm -rf %s"):format(one.pid, one.dir))
    end
  end)

  local function posted(n)
    local text = server.wait_for(function() return server.read_file(("%s/%d.json"):format(slack.dir, n)) end)
    assert.truthy(text, "nothing was posted")
    return cjson.decode(text)
  end

  local function all_posted()
    local list = {}
    for n = 1, 50 do
      local text = server.read_file(("%s/%d.json"):format(slack.dir, n))
      list[n] = text and cjson.decode(text)
    end
    return list
  end

  it("passes its own specs", function()
    local out, status = server.maru("test notify --set plugins.disable=simulator")
    assert.equal(0, status, out)
  end)

  it("hears an event, and tells Slack, the mailbox and the log", function()
    assert.equal(200, node:post("/sold", { what = "책", who = "!channel" }).status)
    local message = posted(1)
    assert.equal("/services/ok", message.path)
    assert.equal("application/json", message.type)
    assert.equal("책 sold to &lt;!channel&gt;", message.body.blocks[1].text.text)
    assert.equal("책 &amp; more", message.body.blocks[2].text.text)
    assert.truthy(server.wait_for(function() return server.read_file(post.dir .. "/mails/1.json") end))
    local read = server.shell(("/usr/bin/python3 spec/support/mail_read.py %s/mails/1.eml"):format(post.dir))
    local mail = cjson.decode(read)
    assert.equal("책 sold to <!channel>", mail.headers.subject)
    assert.truthy(mail.text:find("책 & more", 1, true))
    assert.truthy(server.wait_for(function() return node:logs():find("책 sold to", 1, true) end))
    assert.falsy(node:logs():find("/services/", 1, true), "a webhook is a secret")
  end)

  it("waits as long as Slack says, tries again what may help, and gives up what cannot", function()
    assert.equal(1, node:post("/call", { event = "x.y", data = { name = "again" } }).json.n)
    assert.truthy(server.wait_for(function()
      local count = {}
      for _, message in ipairs(all_posted()) do
        count[message.path .. message.status] = message
      end
      return count["/services/limited200"] and count["/services/broken200"] and count["/services/gone404"]
    end))
    local at, gone = {}, 0
    for _, message in ipairs(all_posted()) do
      at[message.path] = at[message.path] or {}
      table.insert(at[message.path], message.at)
      gone = gone + (message.path == "/services/gone" and 1 or 0)
    end
    assert.truthy(at["/services/limited"][2] - at["/services/limited"][1] >= 1000)
    assert.equal(1, gone)
  end)

  it("writes again to those alone who were put off", function()
    assert.equal(1, node:post("/call", { event = "grey.list", data = { name = "grey" } }).json.n)
    local function grey()
      local list = {}
      for n = 1, 20 do
        local mail = server.read_file(("%s/mails/%d.json"):format(post.dir, n))
        mail = mail and cjson.decode(mail).to or {}
        local text = mail[1] and server.read_file(("%s/mails/%d.eml"):format(post.dir, n)) or ""
        if text:find("ubject: grey", 1, true) then
          list[#list + 1] = mail
        end
      end
      return #list >= 2 and list
    end
    local list = server.wait_for(grey, 60)
    assert.same({ { "kim@example.com" }, { "once@example.com" } }, list)
  end)

  it("posts to a webhook once in a second, whichever channels it is for", function()
    for n = 1, 2 do
      assert.equal(1, node:post("/call", { event = "many." .. n, data = { n = n } }).json.n)
    end
    local at
    assert.truthy(server.wait_for(function()
      at = {}
      for _, message in ipairs(all_posted()) do
        if message.body.text:find("of many", 1, true) then
          at[#at + 1] = message.at
        end
      end
      return #at == 4
    end))
    table.sort(at)
    assert.truthy(at[4] - at[1] > 2500, "four messages in " .. at[4] - at[1] .. " ms")
  end)
end)
