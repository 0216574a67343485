-- Behind common.lua and before the scripts that end jobs: an end of a workflow's step that no decision (decide.lua)
-- brought about waits for one.
local deciding = false

local function step_over(id)
  local extra = not deciding and call('HGET', P .. 'job:' .. id, 'extra')
  if extra and string.find(extra, '"workflow":', 1, true) then
    call('ZADD', P .. 'wf:stray', now, id)
  end
end
