--- What ended is counted once, in whatever order the transactions come that store it.
local tally = require("tally")

local ENDED = { status = "completed", ms = 1 }

--- One transaction, in which something ended in each of these minutes.
local function ended_in(...)
  local app, before, writer, minutes = test:app(), tally.take(), nil, { ... }
  assert(app.store:tx(function(tx)
    writer = tally.copy(before)
    for _, minute in ipairs(minutes) do
      tally.count(app, writer, minute, "moving_average", ENDED, 2)
    end
    tally.write(app, tx, writer)
    return true
  end))
  tally.give_back(writer)
end

local function counted()
  local by = {}
  for _, row in ipairs(test:app().store:all("select minute, sum(completed) as n from tallies group by minute")) do
    by[row.minute] = row.n
  end
  return by
end

describe("tallies", function()
  it("have both minutes of a transaction that a minute ended in", function()
    ended_in(60, 120, 60)
    assert.same({ [60] = 2, [120] = 1 }, counted())
  end)

  it("lose nothing to a transaction that comes late", function()
    ended_in(180)
    ended_in(240)
    ended_in(180, 180)
    ended_in(240)
    assert.same({ [60] = 2, [120] = 1, [180] = 3, [240] = 2 }, counted())
  end)

  it("of one minute take one row while transactions come one after another", function()
    for _ = 1, 5 do
      ended_in(300)
    end
    assert.equal(1, test:app().store:one("select count(*) as n from tallies where minute = 300").n)
  end)
end)
