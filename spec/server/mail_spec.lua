--- app.mail through the real program, to a real SMTP server; what arrives is read by another's program.
local cjson = require("cjson")
local fault = require("spec.support.fault")
local server = require("spec.support.server")

local PLUGIN = { ["plugin.lua"] = [==[
local M = { name = "m", version = "1.0.0", limits = { task = "60s" } }
M.allow = { mail = { "*@example.com", "*@example.org" } }
M.routes = {
  ["POST /send"] = function(app, req)
    local mail = req:json()
    if mail.base64 then mail.subject, mail.base64 = app.crypto.unbase64(mail.base64), nil end
    for _, file in ipairs(mail.attachments or {}) do
      if file.base64 then file.data, file.base64 = app.crypto.unbase64(file.base64), nil end
    end
    local ok, sent, message, code = pcall(app.mail.send, app.mail, mail)
    if not ok then return 200, { raised = sent } end
    return 200, { sent = sent, message = message, code = code }
  end,
  ["POST /put"] = function(app, req)
    local b = req:json()
    return 200, app.objects:put(b.key, app.crypto.unbase64(b.base64), { type = b.type })
  end,
}
return M
]==] }

--- An SMTP server of its own. @return table with dir, port, stop()
local function smtp(arguments, certificate)
  local dir = server.make_dir()
  if certificate then
    local out, status = server.shell(("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
      .. " -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout %s/key.pem -out %s/cert.pem"):format(dir, dir))
    assert(status == 0, out)
  end
  local pid = server.shell(("/usr/bin/python3 spec/support/smtp.py %s %s >%s/out 2>&1 & echo $!")
    :format(dir, arguments or "", dir)):match("%d+")
  local port = server.wait_for(function()
    return server.read_file(dir .. "/port")
  end)
  assert(port, server.read_file(dir .. "/out"))
  return {
    dir = dir, port = tonumber(port), pid = tonumber(pid),
    stop = function()
      server.shell("kill -9 " .. pid .. "; rm -rf " .. dir)
    end,
    --- What arrived as number n, and its envelope.
    mail = function(n)
      assert.truthy(server.wait_for(function()
        return server.read_file(("%s/mails/%d.json"):format(dir, n))
      end), "mail " .. n .. " did not arrive")
      local out = server.shell(("/usr/bin/python3 spec/support/mail_read.py %s/mails/%d.eml"):format(dir, n))
      return cjson.decode(out), cjson.decode(server.read_file(("%s/mails/%d.json"):format(dir, n))),
        server.read_file(("%s/mails/%d.eml"):format(dir, n))
    end,
  }
end

local function send(node, mail)
  local answer = node:post("/send", mail)
  assert.equal(200, answer.status, answer.error or answer.body)
  return answer.json
end

describe("app.mail", function()
  local post, node, count

  setup(function()
    post = smtp()
    count = 0
    node = server.start({ plugins = { m = PLUGIN },
      set = { "mail.url=smtp://127.0.0.1:" .. post.port, "mail.from=Maru <maru@example.com>" } })
  end)
  teardown(function()
    if node then node:stop() end
    if post then post.stop() end
  end)

  local function received(mail)
    local answer = send(node, mail)
    assert.truthy(answer.sent, answer.message)
    count = count + 1
    return answer.sent, post.mail(count)
  end

  it("sends text that its receiver reads as it was written", function()
    local subject = "한국어 제목입니다 — 아주 긴 제목이라서 여러 조각으로 나뉘어야 하고, 어느 글자도 잘리면 안 됩니다 🎉"
    local text = "안녕하세요.\n.점으로 시작하는 줄\n..\n\nFrom here\n" .. ("긴 줄 "):rep(300) .. "\n"
    local sent, mail, envelope, raw = received({ to = "김 철수 <kim@example.com>", cc = { "b@example.org" },
      bcc = "hidden@example.org", reply_to = "답장 <r@example.com>", subject = subject, text = text,
      headers = { ["X-Maru"] = "값", ["List-Id"] = "news" } })
    assert.same({}, mail.defects)
    assert.equal(subject, mail.headers.subject)
    assert.equal(text, (mail.text:gsub("\r\n", "\n")))
    assert.equal(cjson.null, mail.html)
    assert.equal("김 철수 <kim@example.com>", mail.headers.to)
    assert.equal("b@example.org", mail.headers.cc)
    assert.equal("답장 <r@example.com>", mail.headers["reply-to"])
    assert.equal("Maru <maru@example.com>", mail.headers.from)
    assert.equal("값", mail.headers["x-maru"])
    assert.equal(sent.id, mail.headers["message-id"])
    assert.truthy(mail.headers.date:find("^%a%a%a, %d%d %a%a%a %d%d%d%d %d%d:%d%d:%d%d [+-]0000$"), mail.headers.date)
    assert.same({ "kim@example.com", "b@example.org", "hidden@example.org" }, envelope.to)
    assert.equal("maru@example.com", envelope.from)
    assert.falsy(raw:find("hidden@example.org", 1, true), "bcc is nobody's to see")
    for line in raw:gmatch("[^\r\n]+") do
      assert.truthy(#line <= 998)
    end
  end)

  it("sends a subject that is no UTF-8", function()
    for _, bytes in ipairs({ "a" .. ("\128"):rep(200), ("\128"):rep(200), ("\255"):rep(200) }) do
      local answer = send(node, { to = "a@example.com", base64 = require("mime").b64(bytes), text = "text" })
      assert.truthy(answer.sent, answer.message or answer.raised)
      count = count + 1
      assert.truthy(server.wait_for(function()
        return server.read_file(("%s/mails/%d.json"):format(post.dir, count))
      end))
      local raw = server.read_file(("%s/mails/%d.eml"):format(post.dir, count))
      local found = ""
      for word in raw:match("\nSubject: (.-)\r?\n%u"):gmatch("=%?UTF%-8%?B%?(.-)%?=") do
        found = found .. require("mime").unb64(word)
      end
      assert.equal(bytes, found)
    end
  end)

  it("sends text and HTML and files, byte by byte", function()
    local bytes = {}
    for i = 0, 255 do bytes[#bytes + 1] = string.char(i) end
    local all = table.concat(bytes):rep(40)
    local data = require("mime").b64(all)
    node:post("/put", { key = "보고서", base64 = data, type = "application/pdf" })
    local _, mail = received({ to = "a@example.com", subject = "plain", text = "text", html = "<p>글 &amp; text</p>",
      attachments = { { name = "보고서 1.bin", base64 = data }, { name = "b.pdf", object = "보고서" },
        { name = "empty.txt", type = "text/plain", base64 = "" } } })
    assert.same({}, mail.defects)
    assert.equal("text", (mail.text:gsub("%s+$", "")))
    assert.equal("<p>글 &amp; text</p>", (mail.html:gsub("%s+$", "")))
    assert.equal(3, #mail.files)
    assert.same({ name = "보고서 1.bin", type = "application/octet-stream", data = data }, mail.files[1])
    assert.same({ name = "b.pdf", type = "application/pdf", data = data }, mail.files[2])
    assert.same({ name = "empty.txt", type = "text/plain", data = "" }, mail.files[3])
    assert.equal("not_found", send(node, { to = "a@example.com",
      attachments = { { name = "x", object = "none" } } }).code)
  end)

  it("lets nothing into the head that is not a header's value", function()
    for field, mail in pairs({
      subject = { subject = "x\r\nBcc: evil@example.com" },
      from = { from = "a@example.com\nX: y" },
      ["to[1]"] = { to = { "a@example.com\r\n" } },
      ["headers.X-A"] = { headers = { ["X-A"] = "1\nY: 2" } },
      ["attachments[1].name"] = { attachments = { { name = "a\r\nb", base64 = "" } } },
    }) do
      mail.to = mail.to or "a@example.com"
      local answer = send(node, mail)
      assert.equal("invalid", answer.code, field)
      assert.equal(1, answer.message:find(field, 1, true), answer.message)
    end
    assert.equal("invalid", send(node, { to = "a b@example.com" }).code)
    assert.equal("invalid", send(node, { to = "a@example.com> <b@example.com" }).code)
    assert.equal("invalid", send(node, { to = {} }).code)
    local many = {}
    for i = 1, 101 do many[i] = "a" .. i .. "@example.com" end
    assert.equal("invalid", send(node, { to = many }).code)
    assert.truthy(send(node, { to = "a@example.com", headers = { Subject = "x" } }).raised:find("by app.mail itself"))
    assert.truthy(send(node, { to = "a@example.com", sujet = "x" }).raised:find("there is no field sujet", 1, true))
    assert.equal("forbidden", send(node, { to = "a@elsewhere.com" }).code)
  end)

  it("says whom the server refused, and whether it is worth another try", function()
    local sent, _, envelope = received({ to = { "a@example.com", "never@example.com", "later@example.com" },
      subject = "some", text = "x" })
    assert.same({ "a@example.com" }, envelope.to)
    assert.same({ { to = "never@example.com", message = "550 5.1.1 no such user here", code = "forbidden" },
      { to = "later@example.com", message = "451 4.2.1 mailbox busy, try later", code = "busy" } }, sent.refused)
    local answer = send(node, { to = "later@example.com", text = "x" })
    assert.equal("busy", answer.code, answer.message)
    answer = send(node, { to = "never@example.com", text = "x" })
    assert.equal("forbidden", answer.code)
    assert.truthy(answer.message:find("no such user here", 1, true), answer.message)
    answer = send(node, { to = "a@example.com", subject = "full", text = "x" })
    assert.equal("forbidden", answer.code)
    assert.truthy(answer.message:find("552 5.2.2 mailbox full", 1, true), answer.message)
  end)
end)

describe("the way to the mail server", function()
  local things

  before_each(function() things = {} end)
  after_each(function()
    for i = #things, 1, -1 do things[i]() end
  end)

  local function start(set, env)
    local node = server.start({ plugins = { m = PLUGIN }, set = set, env = env })
    table.insert(things, function() node:stop() end)
    return node
  end
  local function open(arguments, certificate)
    local post = smtp(arguments, certificate)
    table.insert(things, post.stop)
    return post
  end

  it("is said to be missing when none is configured", function()
    local answer = send(start({ "mail.from=a@example.com" }), { to = "a@example.com", text = "x" })
    assert.equal("closed", answer.code)
    assert.truthy(answer.message:find("mail.url", 1, true), answer.message)
  end)

  it("is TLS before the password is told, and the password never seen", function()
    local post = open("--starttls --login", true)
    local set = { "mail.url=smtp://localhost:" .. post.port, "mail.from=a@example.com", "mail.user=maru",
      "mail.ca=" .. post.dir .. "/cert.pem" }
    local node = start(set, { MARU_MAIL_PASSWORD = "s3cret" })
    local answer = send(node, { to = "a@example.com", text = "x" })
    assert.truthy(answer.sent, answer.message)
    local _, envelope = post.mail(1)
    assert.is_true(envelope.tls)
    assert.equal("maru", envelope.user)
    assert.falsy(node:logs():find("s3cret", 1, true))
    node = start(set, { MARU_MAIL_PASSWORD = "wrong" })
    answer = send(node, { to = "a@example.com", text = "x" })
    assert.equal("forbidden", answer.code, answer.message)
    assert.falsy(answer.message:find("wrong", 1, true))
    set[4] = "mail.timeout=20s"
    answer = send(start(set, { MARU_MAIL_PASSWORD = "s3cret" }), { to = "a@example.com", text = "x" })
    assert.equal("forbidden", answer.code, answer.message)
    assert.truthy(answer.message:find("certificate", 1, true), answer.message)
  end)

  it("is not gone without TLS when there is a password", function()
    local post = open("--login")
    local node = start({ "mail.url=smtp://localhost:" .. post.port, "mail.from=a@example.com", "mail.user=maru" },
      { MARU_MAIL_PASSWORD = "s3cret" })
    local answer = send(node, { to = "a@example.com", text = "x" })
    assert.equal("forbidden", answer.code, answer.message)
    assert.truthy(answer.message:find("STARTTLS", 1, true), answer.message)
  end)

  it("is waited for no longer than its time, and heals", function()
    local post = open()
    local proxy = fault.proxy(post.port)
    table.insert(things, function() proxy:stop() end)
    local node = start({ "mail.url=smtp://127.0.0.1:" .. proxy.port, "mail.from=a@example.com", "mail.timeout=2s" })
    proxy:freeze()
    local answer = send(node, { to = "a@example.com", text = "x" })
    assert.equal("timeout", answer.code, answer.message)
    local ready = node:get("/readyz")
    assert.equal(200, ready.status)
    assert.truthy(ready.body:find('"kind":"mail"', 1, true), ready.body)
    proxy:refuse()
    assert.equal("io", send(node, { to = "a@example.com", text = "x" }).code)
    proxy:heal()
    answer = send(node, { to = "a@example.com", text = "x" })
    assert.truthy(answer.sent, answer.message)
    assert.falsy(node:get("/readyz").body:find('"kind":"mail"', 1, true))
  end)
end)
