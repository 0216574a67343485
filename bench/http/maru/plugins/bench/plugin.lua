--- The routes every peer of the HTTP benchmark serves.
local M = { name = "bench", version = "1.0.0" }

M.routes = {
  ["GET /hello"] = function()
    return 200, { message = "hello, world" }
  end,

  ["GET /api/items/{id}"] = {
    path = { id = "integer" },
    query = { fields = { type = "string", default = "*" } },
    function(_, req)
      local id, rows = req.params.id, {}
      for k = 0, 15 do
        rows[k + 1] = { k = k, label = "row-" .. k .. "-of-" .. id, value = k * 1.5 + id, ok = k % 2 == 0 }
      end
      return 200, { id = id, fields = req.query.fields, name = "item-" .. id, active = true, price = id * 1.25,
        tags = { "alpha", "beta", "gamma", "delta" }, rows = rows }
    end,
  },

  ["POST /api/v1/inference/submit"] = {
    body = {
      model_name = "string(1,128)",
      data = { type = "array", min = 1, max = 10000, items = "number" },
      metadata = { type = "any", optional = true },
    },
    function(app)
      return 202, { job_id = app.crypto.uuid(), status = "queued" }
    end,
  },

  ["GET /cached"] = { cache = "60s", function()
    return 200, { message = "hello, world" }
  end },
}

return M
