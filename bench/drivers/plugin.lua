--- Asks its drivers as fast as so many tasks on one lane can, for a while.
local M = { name = "bench", version = "1.0.0", limits = { task = "120s", tasks = 2000 } }

local ROWS = 100000

local ASK = {
  select = function(app)
    return app.store:one("select ts, channel_id, viewers from bench_point where id = $1", math.random(ROWS))
  end,
  insert = function(app)
    return app.store:exec("insert into bench_entry(channel_id, viewers) values ($1, $2)", math.random(10000),
      math.random(50000))
  end,
  get = function(app)
    return app.cache:get("bench:" .. math.random(ROWS))
  end,
  set = function(app)
    return app.cache:set("bench:" .. math.random(ROWS), string.rep("x", 64))
  end,
}

M.routes = {
  ["POST /fill"] = { timeout = "120s", function(app)
    local rows = {}
    for i = 1, ROWS do
      rows[i] = { i, i, i % 10000, i % 50000 }
    end
    local filled, message = app.store:many(
      "insert into bench_point(id, ts, channel_id, viewers) values ($1, $2, $3, $4)", rows)
    return filled and 200 or 500, { filled = filled, error = message }
  end },
  ["POST /ask"] = { timeout = "120s", body = { what = "string", at_once = "integer", seconds = "number" },
    function(app, req)
      local ask, till = ASK[req.body.what], app.now() + req.body.seconds
      local asked, failed, running, why = 0, 0, req.body.at_once, nil
      for _ = 1, req.body.at_once do
        app.spawn(function()
          while app.now() < till do
            local answer, message = ask(app)
            if answer == nil and message then
              failed, why = failed + 1, message
            end
            asked = asked + 1
          end
          running = running - 1
        end)
      end
      while running > 0 do
        app.sleep(0.01)
      end
      return 200, { asked = asked, failed = failed, error = why }
    end },
}
return M
