--- app.mail: reads a mail and writes its headers (RFC 5322, 2047), over bind/mail_lua.c.
local words = require "maru.words"



local USAGE = "app.mail:send(mail)"
local FIELDS = { to = true, cc = true, bcc = true, from = true, reply_to = true, subject = true, text = true,
  html = true, attachments = true, headers = true }
local FILE = { name = true, type = true, data = true, object = true }
-- What is written here, or by the encoder of bodies.
local OWN = { from = true, to = true, cc = true, bcc = true, ["reply-to"] = true, subject = true, date = true,
  ["message-id"] = true, ["mime-version"] = true, sender = true, received = true }
local RECIPIENTS, FILES, HEADERS, LINE, WORD = 100, 32, 32, 900, 45

local function wrong(format, ...)
  error(USAGE .. ": " .. format:format(...), 0)
end

--- What a user may have typed is refused with this; what only the author can have written raises.
local function refuse(format, ...)
  error({ refused = format:format(...) }, 0)
end

local function text_of(value, name, most)
  if type(value) ~= "string" then
    wrong("%s must be a string, got %s", name, type(value))
  elseif value:find("[%z\1-\8\10-\31\127]") then
    refuse("%s has a line break or another control character", name)
  elseif #value > (most or LINE) then
    refuse("%s has %d bytes, the most is %d", name, #value, most or LINE)
  end
  return value
end

--- A header's value: words of another alphabet in base64, at most 75 letters each, none cut inside a letter.
local function encoded(raw, text)
  if not text:find("[\128-\255]") and not text:find("=?", 1, true) then
    return text
  end
  local parts, at = {}, 1
  while at <= #text do
    local last = math.min(at + WORD - 1, #text)
    for _ = 1, 3 do -- what is no UTF-8 may have no letter's beginning at all
      local next_byte = text:byte(last + 1)
      if next_byte and next_byte >= 0x80 and next_byte < 0xC0 then
        last = last - 1
      end
    end
    parts[#parts + 1] = "=?UTF-8?B?" .. raw.base64(text:sub(at, last)) .. "?="
    at = last + 1
  end
  return table.concat(parts, "\r\n ")
end

--- "Name <a@b>" or "a@b" -> address, header's text
local function address(raw, text, name)
  text_of(text, name, 320)
  local label, bare = text:match("^%s*(.-)%s*<([^<>]*)>%s*$")
  bare = bare or text:match("^%s*(.-)%s*$")
  if not bare:find("^[%w!#$%%&'*+/=?^_`{|}~.-]+@[%w.-]+$") then
    refuse("%s: %q is no mail address", name, text)
  end
  label = label and label:match('^"(.*)"$') or label
  if not label or label == "" then
    return bare, bare
  elseif label:find("[\128-\255]") or label:find("=?", 1, true) then
    return bare, encoded(raw, label) .. " <" .. bare .. ">"
  end
  return bare, '"' .. label:gsub('[\\"]', "\\%0") .. '" <' .. bare .. ">"
end

local function addresses(raw, list, name, all)
  local shown = {}
  if list == nil then
    return shown
  end
  for i, text in ipairs(type(list) == "table" and list or { list }) do
    local bare, text_shown = address(raw, text, type(list) == "table" and ("%s[%d]"):format(name, i) or name)
    all[#all + 1], shown[#shown + 1] = bare, text_shown
  end
  return shown
end

local function own_headers(raw, headers, lines)
  local count = 0
  for name, value in pairs(headers or {}) do
    count = count + 1
    if type(name) ~= "string" or not name:find("^[%w-]+$") then
      wrong("headers: %s is no header's name", tostring(name))
    elseif OWN[name:lower()] or name:lower():find("^content%-") then
      wrong("headers: %s is written by app.mail itself", name)
    elseif count > HEADERS then
      wrong("headers: at most %d", HEADERS)
    end
    lines[#lines + 1] = name .. ": " .. encoded(raw, text_of(value, "headers." .. name))
  end
end

local function read_file(app, file, i)
  local name = ("attachments[%d]"):format(i)
  if type(file) ~= "table" then
    wrong("%s must be a table, got %s", name, type(file))
  end
  for key in pairs(file) do
    if not FILE[key] then
      wrong("%s: there is no %s%s", name, tostring(key), words.suggest(tostring(key), FILE))
    end
  end
  if (file.data == nil) == (file.object == nil) then
    wrong("%s has either data or object", name)
  end
  local out = { name = text_of(file.name, name .. ".name", 200), type = file.type, data = file.data }
  if file.object then
    local bytes, info, code = app.objects:get(file.object)
    if not bytes then
      error({ refused = name .. ": " .. info, code = code }, 0)
    end
    out.data, out.type = bytes, out.type or info.type
  end
  if type(out.data) ~= "string" then
    wrong("%s.data must be a string, got %s", name, type(out.data))
  elseif out.type ~= nil and not text_of(out.type, name .. ".type", 200):find("^[%w.+-]+/[%w.+-]+[ -~]*$") then
    wrong("%s.type is a media type such as application/pdf", name)
  end
  return out
end

local function read_files(app, list)
  local files = {}
  for i, file in ipairs(list or {}) do
    if i > FILES then
      wrong("attachments: at most %d", FILES)
    end
    files[i] = read_file(app, file, i)
  end
  return files
end

local function body(mail, name)
  local text = mail[name] or ""
  if type(text) ~= "string" then
    wrong("%s must be a string, got %s", name, type(text))
  end
  return (text:gsub("\r?\n", "\r\n"))
end

local function add_list(lines, name, shown)
  if #shown > 0 then
    lines[#lines + 1] = name .. ": " .. table.concat(shown, ",\r\n ")
  end
end

--- The envelope and the lines of the head.
local function read(raw, mail, sender)
  if type(mail) ~= "table" then
    wrong("mail must be a table, got %s", type(mail))
  end
  for key in pairs(mail) do
    if not FIELDS[key] then
      wrong("there is no field %s%s", tostring(key), words.suggest(tostring(key), FIELDS))
    end
  end
  local out = { to = {}, lines = {} }
  local from = mail.from or sender
  if from == "" then
    refuse("from: neither the mail nor mail.from says who sends it")
  end
  local shown_from
  out.from, shown_from = address(raw, from, "from")
  local to, cc = addresses(raw, mail.to, "to", out.to), addresses(raw, mail.cc, "cc", out.to)
  addresses(raw, mail.bcc, "bcc", out.to)
  if #out.to == 0 or #out.to > RECIPIENTS then
    refuse("to, cc and bcc name %d recipients, they may be 1 to %d", #out.to, RECIPIENTS)
  end
  out.id = ("<%s@%s>"):format(raw.uuid(), out.from:match("@(.+)$"))
  out.lines = { "Date: " .. os.date("!%a, %d %b %Y %H:%M:%S +0000"), "Message-ID: " .. out.id, "From: " .. shown_from }
  add_list(out.lines, "To", to)
  add_list(out.lines, "Cc", cc)
  add_list(out.lines, "Reply-To", addresses(raw, mail.reply_to, "reply_to", {}))
  out.lines[#out.lines + 1] = "Subject: " .. encoded(raw, text_of(mail.subject or "", "subject"))
  own_headers(raw, mail.headers, out.lines)
  return out
end

local function may_write(allowed, to)
  for _, entry in ipairs(allowed) do
    if entry == to or (entry:sub(1, 1) == "*" and to:lower():sub(-#entry + 1) == entry:sub(2):lower())
      or entry == "*" then
      return true
    end
  end
end

return function(raw, info)
  local mail = {}
  local tools = { base64 = info.raw.crypto.base64, uuid = info.raw.crypto.uuid }

  --- Sends one mail; the id, and who was refused.
  function mail:send(message) -- luacheck: no self
    local sender, configured = raw.sender()
    if sender == "" and not configured then
      sender = "nobody@localhost" -- what is missing is said at the end, by what sends
    end
    local ok, out = pcall(read, tools, message, sender)
    local files
    if ok then
      for _, to in ipairs(out.to) do
        if not may_write(info.declaration.allow_mail, to) then
          return nil, ("M.allow.mail does not name %s"):format(to), "forbidden"
        end
      end
      ok, files = pcall(read_files, info.app, message.attachments)
      out = ok and out or files
    end
    local text = ok and body(message, "text")
    local html = ok and body(message, "html")
    if not ok then
      if type(out) == "table" and out.refused then
        return nil, out.refused, out.code or "invalid"
      end
      error(out, 2)
    end
    local refused, why, code = raw.send(out.from, out.to, out.lines, text, html, files)
    if not refused then
      return nil, why, code
    end
    for _, one in ipairs(refused) do
      one.to, one.at = out.to[one.at], nil
    end
    return { id = out.id, refused = refused }
  end

  return mail
end
