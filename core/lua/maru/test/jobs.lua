--- test:run_jobs, test:job, test:cron. The queue is held, so that a job runs when the spec says so.
local JOBS_MOST = 10000 -- runs of one run_jobs(), which a job that pushes itself would never end

local UNFINISHED = { ready = true, running = true }

return function(test, context, state)
  local raw, json, name = context.raw, context.json, context.name

  --- { id, kind, state, attempt, result, error, … } as it is now.
  local function look(id)
    local text, message = raw.jobs.get(id)
    if not text or text == "" then
      error("job " .. tostring(id) .. ": " .. tostring(message or "not found"), 0)
    end
    local job = json.decode(text)
    if job.result == json.null then
      job.result = nil
    end
    if job.error == json.null then
      job.error = nil
    end
    return job
  end

  --- Lets time pass until `over()`; a job may sleep.
  local function wait_until(over, what)
    raw.test.settle()
    while not over() do
      if not raw.test.step() then
        error(what .. ": nothing is left that could end it", 0)
      end
    end
  end

  --- Ids of the jobs that ran since the last call, each once, without `but`.
  local function ran(but)
    local seen, list = { [but or 0] = true }, {}
    for _, id in ipairs(raw.test.jobs_ran()) do
      state.ran[#state.ran + 1] = id
    end
    for _, id in ipairs(state.ran) do
      if not seen[id] then
        seen[id] = true
        list[#list + 1] = id
      end
    end
    state.ran = but and list or {}
    return list
  end

  --- Runs what is due, and what that pushes, until nothing is due. The jobs that ran since the last call, also while
  --- the clock advanced, as they are now.
  function test:run_jobs() -- luacheck: no self
    state.ensure()
    raw.test.settle()
    raw.test.jobs_hold(false)
    state.in_flight()
    local steps = 0
    wait_until(function()
      steps = steps + 1
      return raw.test.jobs_busy() == 0 or steps > JOBS_MOST
    end, "test:run_jobs()")
    raw.test.jobs_hold(true)
    if steps > JOBS_MOST then
      error("test:run_jobs(): jobs push jobs without end", 2)
    end
    local jobs = {}
    for i, id in ipairs(ran()) do
      jobs[i] = look(id)
    end
    return jobs
  end

  --- One run of one job: the queue's other jobs stay where they are.
  local function run_one(id, what)
    local job
    raw.test.settle()
    if not raw.test.jobs_claim(id) then
      job = look(id)
      error(("%s: the job is %s and cannot run now"):format(what, job.state), 3)
    end
    state.in_flight()
    wait_until(function()
      job = look(id)
      return not UNFINISHED[job.state]
    end, what)
    ran(id)
    return job
  end

  --- result (true when it returned nothing), or nil and the error; the job itself is third.
  local function outcome(job)
    if job.state ~= "done" then
      return nil, job.error or job.state, job
    end
    return job.result == nil and true or job.result, nil, job
  end

  function test:job(job_name, args, options) -- luacheck: no self
    local usage = "test:job(name, [args], [options])"
    if type(job_name) ~= "string" then
      error(usage .. ": name must be a string, got " .. type(job_name), 2)
    elseif args ~= nil and type(args) ~= "table" then
      error(usage .. ": args must be a table, got " .. type(args), 2)
    end
    state.ensure()
    local id, message = test:app().jobs:push(job_name, args, options)
    if not id then
      return nil, message
    end
    return outcome(run_one(id, "test:job(\"" .. job_name .. "\")"))
  end

  function test:cron(id) -- luacheck: no self
    if type(id) ~= "string" then
      error("test:cron(id): id must be a schedule's pattern or id, got " .. type(id), 2)
    end
    state.ensure()
    local job_id, message = raw.test.control("cron", name .. "\n" .. id)
    if not job_id then
      error("test:cron(\"" .. id .. "\"): " .. tostring(message), 2)
    end
    return outcome(run_one(tonumber(job_id), "test:cron(\"" .. id .. "\")"))
  end
end
