--- What a plugin can answer, for the specs of http.
local M = { name = "probe", version = "1.0.0" }

M.limits = { memory = "16M", task = "1s" }

M.routes = {
  ["GET /hello"] = function(app, req) return 200, { message = "hello" } end,
  ["GET /items/{id}"] = { query = { fields = "string?" }, path = { id = "integer" }, function(app, req)
    return 200, { id = req.params.id, fields = req.query.fields }
  end },
  ["GET /text"] = function() return 200, "plain" end,
  ["GET /html"] = function() return 200, "<p>", { ["Content-Type"] = "text/html" } end,
  ["GET /nothing"] = function() end,
  ["GET /empty"] = function() return 204 end,
  ["GET /describe/{id}"] = function(app, req)
    return 200, { method = req.method, path = req.path, params = req.params, query = req.query,
      headers = { accept = req.headers.accept, host = req.headers.host }, id = req.id, client = req.client,
      query_string = req.query_string, trace = req.trace_id }
  end,
  ["POST /json"] = function(app, req) return 200, { got = req:json() } end,
  ["POST /checked"] = { body = { name = "string(1,5)", age = "integer(0,150)" }, function(app, req)
    return 201, req.body
  end },
  ["POST /raw"] = function(app, req) return 200, { n = #req.raw_body } end,
  ["GET /fail"] = function(app)
    error(app.fail(404, "not_found", "no such thing", { errors = { { field = "id", message = "unknown" } } }))
  end,
  ["GET /raise"] = function() error("it broke") end,
  ["GET /status"] = function() return 42 end,
  ["GET /mistake"] = function() return { 1 } end,
  ["GET /function"] = function() return 200, { f = print } end,
  ["GET /cookies"] = function() return 200, "x", { ["set-cookie"] = { "a=1", "b=2" }, location = "/x" } end,
  ["GET /inject"] = function() return 200, "x", { ["x-a"] = "a\r\nb: c" } end,
  ["GET /slow"] = function(app) assert(app.sleep(10)) return 200, "late" end,
  ["GET /wait"] = function(app) app.sleep(0.05) return 200, "waited" end,
  ["GET /memory"] = function()
    local t = {}
    for i = 1, 1e9 do t[i] = ("x"):rep(1000) .. i end
  end,
  ["GET /cached"] = { cache = "1s", function(app) return 200, { at = app.now() } end },
  ["GET /stream"] = function(app, req)
    return app.sse(function(stream)
      stream:send("hello", { n = 1 }, { id = "7", retry = 3 })
      stream:send("text", "two\nlines")
    end)
  end,
  ["GET /follow"] = function(app, req)
    return app.sse(function(stream)
      stream:send("hello", {})
      stream:follow("probe.news")
    end)
  end,
  ["POST /news"] = function(app, req)
    return 200, { listeners = app.channels:publish("probe.news", req:json()) }
  end,
  ["GET /endless"] = function(app, req)
    return app.sse(function(stream)
      local n = 0
      while stream:send("tick", ("x"):rep(4000)) do n = n + 1 end
      app.log:info("endless stream ended", { sent = n })
    end)
  end,
  ["GET /kept"] = function(app, req) M.kept = req return 200, "kept" end,
  ["GET /stale"] = function(app, req) return 200, tostring(M.kept.path) end,
}

M.sockets = {
  ["/ws/echo"] = {
    open = function(app, socket, req) socket:send({ hello = req.path }) end,
    message = function(app, socket, text)
      if text == "bye" then
        socket:close(4000, "bye")
      elseif text == "raise" then
        error("socket handler broke")
      elseif text == "wait" then
        app.sleep(0.05)
        socket:send("waited")
      else
        socket:send(text)
      end
    end,
    close = function(app, socket) app.log:info("socket closed", { id = socket:id() }) end,
  },
}

return M
