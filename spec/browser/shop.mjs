/** A plugin with jobs of every sort, for looking at the pages about jobs; POST /fill makes `count` of them. */
export const SHOP = `
local M = { name = "shop", version = "1.0.0" }
M.jobs = {
  mail = { queue = "mail", function(app, job) return { sent = job.args.to } end },
  charge = { queue = "payments", retries = 0, function(app, job)
    error("gateway refused card of order " .. job.args.order)
  end },
  crawl = { queue = "crawl", timeout = "10m", retries = 2, function(app, job)
    while true do app.sleep(1) end
  end },
  remind = { queue = "low", function() end },
}
M.cron = { ["*/5 * * * *"] = { id = "collect", tz = "Asia/Seoul", job = "mail" }, ["30 2 * * *"] = { id = "backup", tz = "America/New_York", job = "remind" } }
local NAMES = { "kim", "lee", "park", "choi", "jung" }
M.routes = {
  ["POST /fill"] = { timeout = "2m", body = { count = "integer", running = "integer" }, function(app, req)
    local args = {}
    for i = 1, req.body.count do
      args[#args + 1] = { to = NAMES[i % 5 + 1] .. i .. "@example.com", order = i }
      if #args == 5000 or i == req.body.count then
        app.jobs:push_many("remind", args, { delay = "2h", queue = i % 3 == 0 and "low" or "mail" })
        args = {}
      end
    end
    for i = 1, 200 do
      app.jobs:push("mail", { to = NAMES[i % 5 + 1] .. "@example.com" })
    end
    for i = 1, 40 do
      app.jobs:push("charge", { order = i, card = "**** 42" })
    end
    for i = 1, req.body.running do
      app.jobs:push("crawl", { page = i, url = "https://example.com/stores?page=" .. i })
    end
    return 200, {}
  end },
}
return M
`;
