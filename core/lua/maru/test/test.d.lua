---@meta maru.test
--- What a spec has besides busted's own words: the object `test`, a global of every file that `maru test`
--- runs (also `require "maru.test"`). Editors read this file; it is the reference.
---
---   describe("guestbook", function()
---     it("keeps a line", function()
---       local answer = test:post("/api/lines", { text = "hello" })
---       assert.equal(201, answer.status)
---       assert.equal("hello", test:app().store:one("select text from lines").text)
---     end)
---   end)
---
--- Specs are plugins/NAME/spec/*_spec.lua. Each file runs in a host of its own: an empty database with the
--- plugin's migrations, the plugin and what it requires loaded as a server loads them, real routes, jobs,
--- schedules, sockets. Tests of one file share it, one after another. A spec is no plugin: it has all of Lua,
--- and `require "parse"` finds the plugin's own parse.lua.
---
--- Time stands still. It begins at 2026-01-05T09:00:00Z (a Monday), and moves by `test.clock`, or when the test
--- waits for something that only time can bring: then it jumps there. So a handler that sleeps for an hour is
--- through at once, nothing ever waits for real, and app.now() is the same before and after a request.
---
--- Jobs wait until the test runs them (test:run_jobs, test:job) or lets time pass (test.clock:advance).
---
--- No request leaves the machine: app.http is answered from cassettes, see test:cassette.

---@class maru.Test
test = {}

---@class maru.TestRequest
---@field headers? table<string, string>
---@field query? table<string, any>      added to the path, sorted
---@field body? string|table             a table is sent as JSON
---@field json? any                      sent as JSON, whatever it is
---@field as? "operator"                 comes in by the admin socket: passes routes with auth = "user" or "admin"
---@field timeout? number|string         of the test's time, default "1h"

---@class maru.TestAnswer
---@field status integer
---@field headers table<string, string>  lower-case names
---@field body string
---@field json any                       when the content type says JSON

--- A request through the whole server: limits, gate, router, validation, the handler. Raises when there is no
--- answer within the timeout.
---@param path string @param options? maru.TestRequest @return maru.TestAnswer
function test:get(path, options) end
---@param path string @param options? maru.TestRequest @return maru.TestAnswer
function test:head(path, options) end
---@param path string @param options? maru.TestRequest @return maru.TestAnswer
function test:delete(path, options) end
---@param path string @param body? string|table @param options? maru.TestRequest @return maru.TestAnswer
function test:post(path, body, options) end
---@param path string @param body? string|table @param options? maru.TestRequest @return maru.TestAnswer
function test:put(path, body, options) end
---@param path string @param body? string|table @param options? maru.TestRequest @return maru.TestAnswer
function test:patch(path, body, options) end
---@param method string @param path string @param options? maru.TestRequest @return maru.TestAnswer
function test:request(method, path, options) end

---@class maru.TestSocket
---@field is_open boolean
---@field code? integer          with which the server closed it
---@field reason? string
local TestSocket = {}
--- Text as it is, a table as JSON. @return maru.TestSocket
function TestSocket:send(message) end
--- The next message, within so much of the test's time (default "5s").
---@return string|nil text, string? why "timeout" or "closed"
function TestSocket:receive(timeout) end
--- The same, decoded. @return any|nil, string?
function TestSocket:receive_json(timeout) end
function TestSocket:close(code) end

--- Opens a WebSocket; raises when it is refused. It is closed at the end of the test. @return maru.TestSocket
function test:socket(path, options) end

---@class maru.TestEvents   status, headers, and what follows
local TestEvents = {}
--- The next event, within so much of the test's time (default "5s").
---@return { event: string, data: string?, id: string?, json: any }|nil, string? why "timeout" or "closed"
function TestEvents:receive(timeout) end
function TestEvents:close() end

--- Opens a stream of server-sent events. @return maru.TestEvents
function test:events(path, options) end

--- The plugin's own `app`, in the spec: store, cache, channels, jobs, series, call … see the same data and the same
--- rules as in a handler. @return maru.App
function test:app() end

--- Runs every job that is due, and what these push, until nothing is due; jobs may sleep, time then passes.
--- Returns the jobs that ran since the last call (also while the clock advanced), as they are now:
--- { id, kind = "plugin.job", state = "done"|"delayed"|"dead"|…, attempt, result, error, … }.
---@return table[]
function test:run_jobs() end
--- Pushes a job and runs it once, whatever else is queued. The result (true when it returned none), or nil and the
--- error; the job is third. options: as app.jobs:push. @return any|nil, string? error, table job
function test:job(name, args, options) end
--- Fires a schedule now (by its id; without one the pattern is the id) and runs its job once. @return any|nil, string? error, table job
function test:cron(id) end

---@class maru.TestClock
test.clock = {}
--- @return number seconds since 1970, as app.now()
function test.clock:now() end
--- Lets time pass: timers, sleeps, schedules and jobs come when they are due. duration: "5m", "2h" or seconds. @return number now
function test.clock:advance(duration) end
--- Sets the clock, as an operator would: no time passes, and schedules in between do not fire. time: "2026-01-31T09:00:00Z" or seconds. @return number now
function test.clock:set(time) end

--- Settings of this file: before the first request they are the plugin's from the start, later it is reloaded with them.
--- plugin: another one, that this one requires.
---@param settings table<string, any> @param plugin? string
function test:config(settings, plugin) end

--- Lines the plugin logged since the test began: { level, area, plugin, message, fields }. level: the least, default "debug".
---@return table[]
function test:log(level) end
--- Messages published to a channel since the test began. @return any[]
function test:published(topic) end
--- Waits until nothing is left to do without time passing, e.g. after app.spawn.
function test:settle() end
--- Reloads the plugin, as an operator would; raises when it cannot be.
function test:reload() end

--- Puts spec/cassettes/NAME.json in, until another one or the end of the file: requests of app.http are answered
--- from it. Method, URL and body have to be the same; of several alike each is played once, the last one again and
--- again. A request that is not there fails its test and is named.
--- `maru test --record` makes the requests for real and writes the file anew. Secret settings, variables of
--- M.allow.env, and values of headers and query fields named like secrets never stand in it.
---@param name string
function test:cassette(name) end
