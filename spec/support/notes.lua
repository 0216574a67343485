--- A plugin that uses every driver a server may have: its jobs write notes, a row and a cache entry each, and a route
--- writes a point of a series.
---
---   local maru = server.start({ plugins = notes.plugins, set = … })
---   notes.write(maru, 2)      -- by both ways into the queue; raises when one does not come through
local server = require("spec.support.server")

local M = {}

M.plugins = {
  notes = {
    ["migrations/0001_notes.sql"] = "create table notes(id bigint primary key);",
    ["plugin.lua"] = [[
local M = { name = "notes", version = "1.0.0", series = { level = { values = { "v" } } } }
M.jobs = { note = function(app, job)
  assert(app.cache:set("note:" .. job.args.id, "kept", "10m"))
  assert(app.store:exec("insert into notes(id) values ($1) on conflict do nothing", job.args.id))
end }
M.routes = {
  ["POST /push"] = { body = { id = "integer" }, function(app, req)
    local id, message = app.jobs:push("note", { id = req.body.id })
    return id and 202 or 503, { message = message }
  end },
  ["POST /push_in_tx"] = { body = { id = "integer" }, function(app, req)
    local ok, message = app.store:tx(function(tx)
      return tx.jobs:push("note", { id = req.body.id })
    end)
    return ok and 202 or 503, { message = message }
  end },
  ["POST /level"] = { body = { v = "number" }, function(app, req)
    local n, message = app.series:append("level", { { at = app.now(), v = req.body.v } })
    return n and 200 or 503, { message = message }
  end },
  ["GET /notes"] = function(app)
    local row, message = app.store:one("select count(*) as n from notes")
    return row and 200 or 503, { n = row and row.n, message = message }
  end,
  ["GET /cached/{id}"] = function(app, req)
    return 200, { value = app.cache:get("note:" .. req.params.id) }
  end,
}
return M
]],
  },
}

--- Notes 1 to count, pushed in turns by itself and in a transaction; until all of them are written.
function M.write(maru, count)
  for id = 1, count do
    local answer = maru:post(id % 2 == 1 and "/push" or "/push_in_tx", { id = id })
    assert(answer.status == 202, answer.body)
  end
  assert(server.wait_for(function()
    local answer = maru:get("/notes")
    assert(answer.status == 200, answer.body)
    return answer.json.n == count
  end), maru:logs())
  assert(maru:get("/cached/" .. count).json.value == "kept", "the cache has lost a note")
end

return M
