--- From an event to a notice, from a notice to its channels.
local quiet = require("quiet")

local M = {}

local LINES = 200 -- of one notice; more are counted
local TITLE, LINE = 600, 4000 -- bytes; what is behind them is not said

--- What the declaration cannot say; a wrong one keeps the old generation serving.
function M.check(app)
  local names = {}
  for _, channel in ipairs(app.config.channels) do
    if channel.kind == "mail" and not (channel.to and channel.to[1]) then
      error(("channel %s: a mail channel needs `to`"):format(channel.name), 0)
    end
    names[channel.name] = true
  end
  for _, rule in ipairs(app.config.rules) do
    local all = { { channels = rule.channels } }
    for _, step in ipairs(rule.escalate or {}) do
      all[#all + 1] = step
    end
    for _, step in ipairs(all) do
      for _, name in ipairs(step.channels) do
        if not names[name] then
          error(("rule %s: there is no channel %s"):format(rule.name, name), 0)
        end
      end
    end
    if rule.quiet and not quiet.read(rule.quiet) then
      error(('rule %s: quiet is like "22:00-08:00"'):format(rule.name), 0)
    end
  end
end

local function fits(pattern, event)
  return pattern == event or pattern == "*"
    or (pattern:sub(-2) == ".*" and event:sub(1, #pattern - 1) == pattern:sub(1, -2))
end

local function find(app, event)
  for _, rule in ipairs(app.config.rules) do
    if fits(rule.event, event) then
      return rule
    end
  end
end

local function named(app, name)
  for _, rule in ipairs(app.config.rules) do
    if rule.name == name then
      return rule
    end
  end
end

--- "{a.b}" is that field of data; what is not there stays as it is.
local function fill(template, data)
  return (template:gsub("{([%w_.]+)}", function(path)
    local value = data
    for name in path:gmatch("[^.]+") do
      value = type(value) == "table" and value[name] or nil
    end
    return value ~= nil and type(value) ~= "table" and tostring(value) or nil
  end))
end

local function one_line(text)
  return (text:gsub("[%c]+", " "))
end

--- At most so many bytes, no letter of them cut, and no zero byte, which no database takes.
local function short(text, most)
  text = text:gsub("%z", " ")
  if #text <= most then
    return text
  end
  local last = most
  while last > most - 3 and text:byte(last + 1) >= 0x80 and text:byte(last + 1) < 0xC0 do
    last = last - 1
  end
  return text:sub(1, last) .. "…"
end

local function add(app, tx, rule, event, title, line)
  local now = app.now()
  local waiting = assert(tx:all("select id, count, lines from notices where rule = $1 and event = $2"
    .. " and state = 'waiting' order by id desc limit 1", rule.name, event.event))[1]
  if waiting then
    local lines = waiting.count < LINES and waiting.lines .. "\n" .. line or waiting.lines
    assert(tx:exec("update notices set count = count + 1, lines = $2, last_at = $3 where id = $1", waiting.id, lines,
      now))
    return
  end
  local due = quiet.ends(now + rule.group, rule.quiet or "", app.config.zone)
  local row = assert(tx:all("insert into notices(rule, event, level, title, lines, count, first_at, last_at, due_at,"
    .. " state, step, acknowledged_at) values ($1, $2, $3, $4, $5, 1, $6, $6, $7, 'waiting', 0, 0) returning id",
    rule.name, event.event, event.level or rule.level or "warn", title, line, now, due))[1]
  assert(tx.jobs:push("say", { notice = row.id }, { delay = due - now }))
end

--- @return integer how many notices say it
function M.hear(app, event)
  if type(event) ~= "table" or type(event.event) ~= "string" then
    error("notify.send(event): event must be a table with `event`, its name", 0)
  end
  local rule = find(app, event.event)
  if not rule then
    return 0
  end
  local data = type(event.data) == "table" and event.data or {}
  local title = one_line(event.title or rule.title and fill(rule.title, data) or event.event)
  local line = short(event.text or rule.text and fill(rule.text, data) or app.json.encode(data), LINE)
  assert(app.store:tx(function(tx)
    add(app, tx, rule, event, short(title, TITLE), line)
    return true
  end))
  return 1
end

--- What is limited together: a webhook, which several channels may share; else the channel.
local function way(app, name)
  for _, channel in ipairs(app.config.channels) do
    if channel.name == name and channel.kind == "slack" then
      return "webhook " .. (channel.webhook or 1)
    end
  end
  return "channel " .. name
end

local function send(app, tx, notice, channels, step)
  for _, name in ipairs(channels) do
    local row = assert(tx:all("insert into deliveries(notice, channel, step, state, attempts, message, at)"
      .. " values ($1, $2, $3, 'waiting', 0, '', $4) returning id", notice, name, step, app.now()))[1]
    assert(tx.jobs:push("deliver", { delivery = row.id, way = way(app, name) }))
  end
end

local function plan_next(tx, notice, rule, step)
  local following = (rule.escalate or {})[step]
  if following then
    assert(tx.jobs:push("escalate", { notice = notice, step = step }, { delay = following.after }))
  end
end

--- The notice is whole: it goes out.
function M.say(app, job)
  assert(app.store:tx(function(tx)
    local notice = assert(tx:all("update notices set state = 'said' where id = $1 and state = 'waiting' returning rule",
      job.args.notice))[1]
    local rule = notice and named(app, notice.rule)
    if rule then
      send(app, tx, job.args.notice, rule.channels, 0)
      plan_next(tx, job.args.notice, rule, 1)
    end
    return true
  end))
end

--- Nobody has acknowledged it: the next ones are told.
function M.escalate(app, job)
  assert(app.store:tx(function(tx)
    local step = job.args.step
    local notice = assert(tx:all("update notices set step = $2 where id = $1 and state = 'said' and step = $2 - 1"
      .. " returning rule", job.args.notice, step))[1]
    local rule = notice and named(app, notice.rule)
    local mine = rule and (rule.escalate or {})[step]
    if mine then
      send(app, tx, job.args.notice, mine.channels, step)
      plan_next(tx, job.args.notice, rule, step + 1)
    end
    return true
  end))
end

--- The newest notices with their deliveries.
function M.newest(app, limit)
  local notices = assert(app.store:all("select * from notices order by id desc limit $1", limit))
  local by_id = {}
  for _, notice in ipairs(notices) do
    notice.deliveries = app.json.array({})
    by_id[notice.id] = notice
  end
  local least = notices[#notices] and notices[#notices].id or 0
  for _, row in ipairs(assert(app.store:all("select * from deliveries where notice >= $1 order by id", least))) do
    if by_id[row.notice] then
      table.insert(by_id[row.notice].deliveries, row)
    end
  end
  return notices
end

return M
