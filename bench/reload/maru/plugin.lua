--- What scripts/bench reload replaces while it serves: a route, a socket and a job that leaves a row.
local M = { name = "shop", version = "1.0.VERSION" }

M.allow = {}

M.routes = {
  ["GET /v"] = function()
    return 200, { v = VERSION, message = "hello, world" }
  end,

  ["POST /push"] = { body = { n = "integer" }, function(app, req)
    return 202, { id = assert(app.jobs:push("run", { n = req.body.n })) }
  end },

  ["GET /runs"] = function(app)
    return 200, assert(app.store:one("select count(*) as runs, count(distinct n) as jobs from shop_runs"))
  end,
}

M.jobs = {
  run = function(app, job)
    assert(app.store:exec("insert into shop_runs(n) values ($1)", job.args.n))
  end,
}

M.sockets = {
  ["/ws"] = {
    message = function(_, socket, text)
      socket:send(text .. " VERSION")
    end,
  },
}

return M
