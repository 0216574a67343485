--- The part of the contract about M.workflows: graphs of named steps. Every step becomes a job
-- "plugin.flow:workflow.step"; what can be wrong with a graph is found here.
local steps_of = require "maru.workflow_run"
local words = require "maru.words"
local work = require "maru.contract_work"

local concat, find, format = table.concat, string.find, string.format
local refuse, under = words.refuse, words.under

local M = {}

local WORKFLOW = { start = true, version = true, max_steps = true, steps = true }
local NAME_BYTES, KIND_BYTES, MAX_STEPS = 64, 128, 100000
local STEPS, STEPS_EACH = 1000, 20000 -- by default: with a step that has many items

-- Steps are started by their run, and each has a state of its own.
local NOT_OF_STEPS = { export = true, batch = true, wait = true }

local function step_options()
  local options = { next = true, join = true, on_error = true, each = true }
  for key in pairs(work.JOB) do
    options[key] = not NOT_OF_STEPS[key] or nil
  end
  return options
end

local function check_name(keys, name, what)
  if not find(name, "^[a-z][a-z0-9_]*$") or #name > NAME_BYTES then
    refuse(keys, "a %s's name is [a-z][a-z0-9_]*, at most %d bytes", what, NAME_BYTES)
  end
end

local function whole(keys, value, otherwise, most)
  if value == nil then
    return otherwise
  elseif type(value) ~= "number" or value % 1 ~= 0 or value < 1 or value > most then
    refuse(keys, "must be a whole number from 1 to %d, got %s", most, tostring(value))
  end
  return value
end

--- A step's name that stands somewhere in the declaration.
local function named(keys, name, steps)
  if type(name) ~= "string" then
    refuse(keys, "must be a step's name, got %s", type(name))
  elseif steps[name] == nil then
    refuse(keys, "there is no step '%s'%s", name, words.suggest(name, steps))
  end
  return name
end

local function list(keys, value, steps, context)
  local out, seen = {}, {}
  for i, name in ipairs(context.list_of(keys, value)) do
    out[i] = named(under(keys, i), name, steps)
    if seen[name] then
      refuse(under(keys, i), "the step '%s' is there twice", name)
    end
    seen[name] = true
  end
  return out
end

--- join = { "a", { "b", "c" } }: a, and one of b and c. As texts: "a", "b c".
local function join_of(keys, value, steps, context)
  local out = {}
  for i, entry in ipairs(context.list_of(keys, value)) do
    local place = under(keys, i)
    local either = type(entry) == "table" and list(place, entry, steps, context)
      or { named(place, entry, steps) }
    if #either == 0 then
      refuse(place, "names no step")
    end
    out[i] = concat(either, " ")
  end
  local only = #out == 1 and steps[out[1]]
  if #out < 2 and not (type(only) == "table" and only.each) then
    refuse(keys, "a join waits for two steps or more, or for one with each = true")
  end
  return out
end

local function read_step(keys, name, t, steps, context)
  if type(t) == "function" then
    return { name = name }
  elseif type(t) ~= "table" then
    refuse(keys, "must be a function or a table, got %s", type(t))
  end
  words.only(keys, t, step_options(), "step option")
  local step = { name = name }
  step.next = t.next ~= nil and list(under(keys, "next"), t.next, steps, context) or nil
  step.join = t.join ~= nil and join_of(under(keys, "join"), t.join, steps, context) or nil
  step.on_error = t.on_error ~= nil and named(under(keys, "on_error"), t.on_error, steps) or nil
  if t.each ~= nil and type(t.each) ~= "boolean" then
    refuse(under(keys, "each"), "must be a boolean, got %s", type(t.each))
  end
  step.each = t.each == true
  if step.each and step.join then
    refuse(under(keys, "join"), "a step with each = true is begun by run:each")
  elseif step.each and step.next and #step.next > 1 then
    refuse(under(keys, "next"), "one step at most follows when all items have ended")
  end
  step.next = step.next or step.each and {} or nil
  if step.on_error == name then
    refuse(under(keys, "on_error"), "a step cannot follow itself after an error: its retries do that")
  end
  return step
end

--- Every step that can be reached from `from`, by what the steps say; nil when one does not say.
local function reached(from, by_name)
  local seen, todo = { [from] = true }, { from }
  while #todo > 0 do
    local step = by_name[table.remove(todo)]
    if not step.next then
      return nil
    end
    local ways = { step.on_error }
    for _, name in ipairs(step.next) do
      ways[#ways + 1] = name
    end
    for _, name in ipairs(ways) do
      if not seen[name] then
        seen[name], todo[#todo + 1] = true, name
      end
    end
  end
  return seen
end

--- A join that a step can never lead to is never met.
local function check_join(keys, join, by_name)
  for i, entry in ipairs(join.join) do
    for name in string.gmatch(entry, "%S+") do
      local step, leads = by_name[name], false
      for _, to in ipairs(step.next or {}) do
        leads = leads or to == join.name
      end
      if step.next and not leads and step.on_error ~= join.name then
        refuse(under(under(keys, "join"), i), "the step '%s' never leads to '%s': its next does not name it",
          name, join.name)
      elseif name == join.name then
        refuse(under(under(keys, "join"), i), "a join cannot wait for itself")
      end
    end
  end
end

--- A step that leads to a join which does not wait for it.
local function check_next(keys, step, by_name)
  for i, name in ipairs(step.next or {}) do
    local join = by_name[name].join
    local all = join and " " .. concat(join, " ") .. " "
    if join and not find(all, " " .. step.name .. " ", 1, true) then
      refuse(under(under(keys, "next"), i), "the join '%s' does not wait for '%s'", name, step.name)
    end
  end
end

local function check_graph(keys, out, by_name)
  local start = by_name[out.start]
  if start.join then
    refuse(under(keys, "start"), "the step '%s' is a join: nothing can lead to it before the start", out.start)
  elseif start.each then
    refuse(under(keys, "start"), "the step '%s' has each = true: run:each of another begins it", out.start)
  end
  local seen = reached(out.start, by_name)
  for _, step in ipairs(out.steps) do
    local place = { keys[1], keys[2], "steps", step.name }
    if seen and not seen[step.name] then
      refuse(place, "no step leads here")
    end
    if step.join then
      check_join(place, step, by_name)
    end
    check_next(place, step, by_name)
  end
end

local function read_steps(keys, name, t, context, jobs)
  local out, by_name, many = {}, {}, false
  local place = under(keys, "steps")
  for i, step_name in ipairs(context.keys_of(place, t.steps)) do
    local at = under(place, step_name)
    check_name(at, step_name, "step")
    local step = read_step(at, step_name, t.steps[step_name], t.steps, context)
    local kind = format("%s.flow:%s.%s", context.name, name, step_name)
    if #kind > KIND_BYTES then
      refuse(at, "the job's name '%s' has more than %d bytes", kind, KIND_BYTES)
    end
    local label = format("flow:%s.%s", name, step_name)
    jobs[#jobs + 1] = work.job(at, kind, label, steps_of.declare(t, step_name), context)
    out[i], by_name[step_name] = step, step
    many = many or step.each
  end
  return out, by_name, many
end

--- Steps become jobs, appended to `jobs`.
function M.workflows(workflows, context, jobs)
  local out = {}
  for _, name in ipairs(context.keys_of({ "workflows" }, workflows)) do
    local keys, t = { "workflows", name }, workflows[name]
    check_name(keys, name, "workflow")
    if type(t) ~= "table" then
      refuse(keys, "must be a table, got %s", type(t))
    end
    words.only(keys, t, WORKFLOW, "field of a workflow")
    if type(t.steps) ~= "table" or next(t.steps) == nil then
      refuse(under(keys, "steps"), "must be a table of steps by their names")
    end
    local entry = { plugin = context.name, name = name }
    entry.start = named(under(keys, "start"), t.start, t.steps)
    entry.version = whole(under(keys, "version"), t.version, 1, 1e9)
    local steps, by_name, many = read_steps(keys, name, t, context, jobs)
    entry.steps = steps
    entry.max_steps = whole(under(keys, "max_steps"), t.max_steps, many and STEPS_EACH or STEPS, MAX_STEPS)
    check_graph(keys, entry, by_name)
    out[#out + 1] = entry
  end
  return out
end

return M
