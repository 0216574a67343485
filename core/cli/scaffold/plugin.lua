--@if route
--- NAME: visitors leave a line, everybody reads the newest.
--@end
--@if !route
--- NAME: what it is for, in one sentence.
--@end
local M = { name = "NAME", version = "0.1.0" }
--@if job

M.config = {
  keep_days = { type = "integer", default = 30, min = 1, help = "days a line is kept" },
}
--@end
--@if route

M.routes = {
  ["GET /api/NAME"] = {
    summary = "Newest lines",
    query = { limit = { type = "integer", min = 1, max = 200, default = 50 } },
    function(app, req)
      local lines = assert(app.store:all([[
        select id, text, at from NAME_lines order by id desc limit $1]], req.query.limit))
      return 200, { lines = app.json.array(lines) }
    end,
  },

  ["POST /api/NAME"] = {
    summary = "Leave a line",
    rate = "60/m",
    body = { text = "string(1,280)" },
    function(app, req)
      local line = assert(app.store:one([[
        insert into NAME_lines(text, at) values ($1, $2) returning id, text, at]],
        req.body.text, app.now()))
      app.channels:publish("NAME.lines", line)
      return 201, line
    end,
  },

  ["GET /api/NAME/stream"] = {
    summary = "Lines as they come",
    function(app)
      return app.sse(function(stream)
        stream:follow("NAME.lines", "line")
      end)
    end,
  },
}
--@end
--@if job

M.jobs = {
--@if !route
  add = function(app, job)
    return app.store:one([[
      insert into NAME_lines(text, at) values ($1, $2) returning id]], job.args.text, app.now())
  end,

--@end
  expire = { retries = 2, function(app)
    local before = app.now() - app.config.keep_days * 86400
    local gone = assert(app.store:exec("delete from NAME_lines where at < $1", before))
    app.log:info("lines expired", { count = gone })
    return gone
  end },
}

M.cron = { ["0 4 * * *"] = { job = "expire" } }
--@end
--@if socket

M.sockets = {
  ["/ws/NAME"] = {
    open = function(app, socket)
      socket:send({ hello = app.name })
    end,
    message = function(app, socket, text)
      socket:send({ text = text, at = app.now() })
    end,
  },
}
--@end
--@if page

M.pages = {
  {
    path = "/NAME",
    title = { ko = "NAME", en = "NAME" },
    module = "page.js",
  },
}
--@end

return M
