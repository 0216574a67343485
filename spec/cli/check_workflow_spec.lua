--- What `maru check` says of graphs that cannot work.
local server = require("spec.support.server")

local HEAD = 'local M = { name = "flow", version = "1.0.0" }\nlocal function f() end\n'

--- @return string output of `maru check` for a plugin with these workflows
local function check(workflows)
  local dir = server.make_dir()
  server.write_plugins(dir .. "/plugins", { flow = { ["plugin.lua"] = HEAD .. "M.workflows = " .. workflows
    .. "\nreturn M\n" } })
  local output, status = server.maru(("check --set plugins.path=%s/plugins --set state.dir=%s/state"):format(dir, dir))
  server.shell("rm -rf " .. dir)
  return output, status
end

local function refuses(steps, message, rest)
  local output, status = check("{ w = { start = \"a\", steps = " .. steps .. (rest or "") .. " } }")
  assert.equal(4, status, output)
  assert.truthy(output:find(message, 1, true), output)
end

describe("maru check", function()
  it("takes a graph with branches, a join, a loop and either-or", function()
    local output, status = check([[{ w = { start = "a", version = 2, max_steps = 50, steps = {
      a = { f, next = { "b", "c" }, retries = 1, queue = "slow", timeout = "5s" },
      b = { f, next = { "b", "d" } },
      c = { f, next = { "x", "y" } },
      x = { f, next = { "d" } }, y = { f, next = { "d" }, on_error = "e" },
      d = { f, next = {}, join = { "b", { "x", "y" } } },
      e = f,
    } } }]])
    assert.equal(0, status, output)
  end)

  it("names what is not there", function()
    refuses('{ a = { f, next = { "bb" } }, b = f }', "next[1]: there is no step 'bb'; did you mean 'b'?")
    refuses('{ a = { f, on_error = "oops" } }', "on_error: there is no step 'oops'")
    refuses('{ a = { f, next = { "b" } }, b = { f, join = { "a", "zz" } } }', "join[2]: there is no step 'zz'")
    refuses("{ b = f }", "start: there is no step 'a'")
    refuses("{}", "steps: must be a table of steps by their names")
  end)

  it("names a step that nothing leads to", function()
    refuses('{ a = { f, next = { "b" } }, b = { f, next = {} }, c = { f, next = {} } }', "steps.c: no step leads here")
  end)

  it("knows what a step of many items may be", function()
    local output, status = check([[{ w = { start = "a", steps = {
      a = { f, next = { "b" } },
      b = { f, each = true, next = { "c" }, on_error = "c" },
      c = { f, join = { "b" }, next = { "a" } },
    } } }]])
    assert.equal(0, status, output)
    refuses('{ a = { f, each = true } }', "start: the step 'a' has each = true: run:each of another begins it")
    refuses('{ a = { f }, b = { f, each = true, next = { "c", "d" } }, c = f, d = f }', "one step at most follows")
    refuses('{ a = { f }, b = { f, each = 1 } }', "each: must be a boolean, got number")
    refuses('{ a = { f }, b = { f, each = true, join = { "a", "c" } }, c = f }', "is begun by run:each")
    refuses('{ a = { f }, b = { f, join = { "a" } } }', "or for one with each = true")
  end)

  it("names a join that is never met", function()
    refuses('{ a = { f, next = { "b", "c" } }, b = { f, next = { "d" } }, c = { f, next = {} }, '
      .. 'd = { f, next = {}, join = { "b", "c" } } }', "the step 'c' never leads to 'd'")
    refuses('{ a = { f, next = { "b", "d" } }, b = { f, next = { "d" } }, c = f, '
      .. 'd = { f, join = { "b", "c" } } }', "the join 'd' does not wait for 'a'")
    refuses('{ a = { f, join = { "b", "c" } }, b = f, c = f }', "the step 'a' is a join")
    refuses('{ a = f, b = { f, join = { "a" } } }', "a join waits for two steps or more")
  end)

  it("names options that do not exist and values out of range", function()
    refuses('{ a = { f, nxt = {} } }', "steps.a.nxt: unknown step option; did you mean 'next'?")
    refuses('{ a = { f, retries = -1 } }', "retries: must be a whole number from 0 to")
    refuses("{ a = { next = {} } }", "needs a function")
    refuses("{ A = f, a = f }", "a step's name is [a-z][a-z0-9_]*")
    refuses("{ a = f }", "max_steps: must be a whole number from 1 to", ", max_steps = 0")
    refuses("{ a = f }", "begin: unknown field of a workflow", ", begin = true")
  end)
end)
