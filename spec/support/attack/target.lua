--- What attacks are aimed at: it counts how often its handlers ran.
local M = { name = "target", version = "1.0.0" }

local big = ("x"):rep(1048576)

local function hit(app)
  app.cache:incr("hits")
  return 200, { ok = true }
end

M.routes = {
  ["GET /ok"] = function() return 200, { ok = true } end,
  ["GET /hit"] = hit,
  ["GET /hit/{any}"] = hit,
  ["POST /hit/{any}"] = hit,
  ["GET /hits"] = function(app) return 200, { n = app.cache:get("hits") or 0 } end,
  ["GET /slow"] = function(app)
    app.cache:incr("hits")
    app.sleep(2)
    return 200, {}
  end,
  ["GET /big"] = function() return 200, big end,
  ["POST /echo"] = { max_body = "1M", function(_, req) return 200, { bytes = #(req.body or "") } end },
}

M.sockets = { ["/ws"] = { message = function(_, socket, text) socket:send(text) end } }

return M
