---@meta maru
--- The host as a plugin sees it. Editors read this file for completion; it is the reference manual.
---
--- Conventions
---   * Every handler is `function(app, event)`. `app` is this plugin's handle on the host.
---   * A caller's mistake (wrong type, unknown option) raises, naming the right usage.
---   * An expected failure returns `nil, message, code`; `code` is a short stable word.
---   * Times are numbers in seconds; an instant is seconds since 1970-01-01 UTC (fraction allowed).
---     A duration option also accepts text: "250ms", "30s", "5m", "2h", "1d". Sizes: "64K", "16M", "1G".
---   * Functions marked (waits) suspend the task: other tasks run meanwhile. They raise when called
---     while the file is loading, inside `table.sort`/`string.gsub` callbacks, or inside a
---     `coroutine.wrap` of your own.
---   * A plugin's Lua variables live once per lane (thread). What must be shared belongs in
---     `app.cache`, `app.store` or a channel.

--- What a plugin.lua returns --------------------------------------------------------------------

---@class maru.Plugin   made of plain tables: one that has a metatable is refused
---@field name string              folder name, [a-z][a-z0-9_]*
---@field version string           "1.2.3"
---@field requires? string[]       { "accounts", "accounts >= 1" }
---@field config? table<string, maru.Field>   settings, filled from the configuration file's `plugins.<name>`
---@field limits? maru.Limits
---@field jit? boolean              false: nothing of it is compiled, so that a loop without end can be stopped with an error; default true
---@field allow? maru.Allow       what this plugin may reach outside of itself; nothing else is reachable
---@field series? table<string, maru.SeriesDeclaration>
---@field search? table<string, maru.IndexDeclaration>   { reviews = { text = { "title" }, keyword = { "store" } } }
---@field routes? table<string, function|maru.Route>      ["GET /api/things/{id}"]; `{rest...}` takes the rest of the path
---@field jobs? table<string, function|maru.JobDeclaration>
---@field workflows? table<string, maru.Workflow>           graphs of steps whose state is on disk after each
---@field queues? table<string, maru.QueueDeclaration>    ["mail"] = { rate = "100/s" }; one plugin only declares a queue
---@field cron? table<string, function|maru.CronDeclaration>   ["*/5 * * * *"] = { job = "collect" }
---@field on? table<string, function|maru.OnDeclaration>    topic of events → durable job: ["orders.placed"] = function(app, event); "config:KEY": the topics in that array
---@field sockets? table<string, maru.Socket>             ["/ws/things"]
---@field pages? maru.Page[]                            shown in the dashboard
---@field model? maru.ModelDeclaration
---@field exports? table<string, function>                what others reach with app.call("name.fn", …): function(app, …)
---@field start? fun(app, previous: table?)               once per generation, in its home lane (waits allowed)
---@field stop? fun(app): table?                          once per generation; what it returns reaches the next start
---@field health? fun(app): boolean, string?

---@class maru.Limits
---@field memory? string         of one VM, default "64M"
---@field task? string           how long one handler may take, default "30s"
---@field watchdog? string       how long one handler may hold its lane without waiting, default the configuration's `watchdog` ("1s")
---@field tasks? integer         that run or wait at once on one lane, also those of app.spawn and app.sse; over it routes answer 503, app.spawn and app.call nil, message, "limit", and jobs wait; default 1000. As many subscriptions may be open
---@field timers? integer        app.sleep and timeouts of subscription:receive at once on one lane; over it nil, message, "limit"; default 1000
---@field sockets? integer       open WebSockets on one lane; over it 503; default 10000
---@field connections? integer   requests of app.http at once on one lane; over it nil, message, "limit"; default 64

--- What a plugin may reach. A reload that would let it reach more is refused until the operator says
--- `maru reload NAME --allow`. "config:KEY" stands for what that config value names.
---@class maru.Allow
---@field net? string[]      for app.http: "host:port", "*.host:port" (names below host), "[::1]:port" or "config:KEY" (the host
--- and port of the URL in that value). Names lead to public addresses only, whatever DNS or a redirect says; private ones
--- are reached when the entry is an address or localhost, or with "private:" in front ("private:db.internal:8080",
--- "private:config:base"). Link-local addresses and those of cloud metadata services are never reached.
---@field fs? string[]       for app.read: a file, a folder ending in "/", or "config:KEY" (colon-separated paths, or a list)
---@field env? string[]      names of variables in app.env
---@field exec? string[]     for app.exec: absolute paths of programs, or "config:KEY"
---@field exports? string[]  for app.call: "plugin.fn" or "plugin.*", of plugins in `requires`
---@field model? boolean     true: app.model may be asked
---@field jobs? string[]     for app.jobs:push and what else pushes: "plugin.job" or "plugin.*", of plugins in `requires`, whose
--- job says `export = true`. A plugin may always push its own
---@field events? string[]   topics that app.events:emit and :read may name: "topic" or "prefix.*". Those that begin with the
--- plugin's own name and a dot need not stand here, nor, to be read, those in M.on
---@field mail? true|string[]  whom app.mail:send may write to: "*@example.com", an address, or true: anybody

---@class maru.Page
---@field path string            "/guestbook": the dashboard shows it at #/guestbook
---@field title { ko: string, en: string }
---@field module string          file in public/ that exports mount(root, ctx) and returns its own clean-up

--- One setting, or one field of a request or an answer, as text or as a table.
---
--- Text: a type or a format, then what narrows it, then "|null" (null is a value), then "?" (may be absent):
---   "string" "string(1,280)" "string(,80)?"     length in characters
---   "integer(0,100)" "number(>0,1)" "number(,<1)"     least and most; > and < leave the bound itself out
---   "boolean"   "enum(open,paid)|null"   "any"
---   "uuid" "email?" "date" "datetime" "time" "url(,500)" "hostname" "ipv4" "ipv6" "base64"     formats of text
---   "number[]" "string(1,20)[1,5]" "integer[][3,3]?"     arrays with their least and most items
--- Table: { type = "string", min = 1, max = 280, help = "…" }, with the options below.
---
--- Whole numbers are exact: from -(2^53 - 1) to 2^53 - 1. A field that is neither optional nor has a default is
--- required. null in a field that is not nullable is an absent one. Unknown fields of an object are refused.
---@class maru.Field
---@field type? "string"|"integer"|"number"|"boolean"|"array"|"object"|"enum"|"one_of"|"any"|string   a format's name means text of that format
---@field default? any           checked when the plugin loads; defaults inside it are filled in
---@field optional? boolean      a field with a default is optional anyway
---@field nullable? boolean      null is a value of its own: app.json.null
---@field min? number            value, or length in characters, items or entries
---@field max? number
---@field above? number          the value is over it (integer, number)
---@field below? number
---@field step? integer          a whole number is a multiple of it
---@field values? string[]|number[]|maru.Field|string   the words of an enum; of an object without `fields`: what each entry is
---@field items? maru.Field|string        what each item of an array is
---@field unique? boolean        no two items are the same; items are text, numbers or booleans
---@field fields? table<string, maru.Field|string>    of an object
---@field open? boolean          an object's unknown fields are kept instead of refused
---@field one_of? (maru.Field|string)[]   the first that fits; `type` may be left out
---@field pattern? string        Lua pattern the whole text must match
---@field format? "uuid"|"email"|"date"|"datetime"|"time"|"url"|"hostname"|"ipv4"|"ipv6"|"base64"
---@field secret? boolean        config only: never shown or logged
---@field help? string           said in the API document
---@field example? any           shown in the API document and filled in on the reference page
---@field deprecated? boolean

--- Path, query and headers come as text: "10" becomes 10, "true" becomes true, `a=1&a=2` or `a=1,2` an array. A
--- request that does not fit is answered 422 with every wrong field at once (RFC 9457); see maru.Problem. The
--- same declarations make the document at /api/openapi.json and the dashboard's API page.
---@class maru.Route
---@field [1] fun(app, req: maru.Request): integer, any, table?    status, body (table → JSON, string as is), headers
---@field summary? string
---@field description? string
---@field deprecated? true
---@field auth? "none"|"user"|"admin"     (default "none")
---@field rate? string           "10/s", "60/m" per client address; of all servers together where cache.driver is redis
---@field cache? string          answer kept that long, keyed by path and query; GET only
---@field max_body? string       default "1M"
---@field timeout? string        default the plugin's limits.task
---@field path? table<string, maru.Field|string>     path parameters; those left out stay text
---@field query? table<string, maru.Field|string>    unknown parameters are refused when given
---@field headers? table<string, maru.Field|string>  names in small letters; other headers pass
---@field body? table<string, maru.Field|string>|maru.Field|string     fields of a JSON object; or one field: "number[]", { type = "array", items = … }, { type = "object", values = … }, { one_of = … }, "any"
---@field answers? table<integer, maru.Answer>      by status; in development an answer that does not fit is a 500 that says why

--- Fields or one field as for a body; a sentence for what is said without JSON of its own ("no such line");
--- or { content = "text/csv", help = "…" } for other content.
---@alias maru.Answer table<string, maru.Field|string>|maru.Field|string|{ content: string, help?: string }

--- Every error, as application/problem+json.
---@class maru.Problem
---@field type string            "about:blank"
---@field title string           the status in words
---@field status integer
---@field detail? string         what is wrong with this request
---@field code? string           a short stable word
---@field instance string        the request's id
---@field errors? { ["in"]: string, field: string, pointer: string, code: string, message: string, expected?: table }[]   in = "body", field = "body.items[3].price" (counted from 1), pointer = "/items/2/price" (RFC 6901), expected = JSON Schema
---@field errors_left_off? integer   wrong fields beyond the first 50

---@class maru.Request
---@field method string
---@field path string            decoded, without query
---@field params table<string, any>      path parameters, validated
---@field query table<string, any>       query parameters, validated when declared
---@field headers table<string, string>  lower-case names
---@field body any               JSON body, validated when declared; nil otherwise
---@field raw_body string        the bytes
---@field id string              request id (in the x-request-id answer header; over HTTP/2 only if sent, or with an error)
---@field trace_id string        W3C trace id, given by traceparent or made
---@field user string            who calls, as the authorization found out; "" = nobody
---@field client string          address of the client
---@field query_string string
local Request = {}
--- Body as JSON; ends the request with 400 problem+json by itself if it is not JSON. @return any
function Request:json() end

--- Answer with a stream of server-sent events: `return app.sse(function(stream) … end)`; (waits) inside.
---@class maru.Stream
local Stream = {}
---@class maru.SendOptions
---@field id? string             what a returning client names as the last it saw
---@field retry? number          seconds after which a client that lost us comes back

--- Sends one event; data table → JSON. False when the client has gone. (waits for a slow client)
---@param event string
---@param data any
---@param options? maru.SendOptions
---@return boolean ok
function Stream:send(event, data, options) end
--- Sends every message of a channel until the client goes: event = topic's last word. (waits)
--- When the plugin is reloaded meanwhile the stream goes on without this task: nil, message, "reloaded".
function Stream:follow(topic, event) end

---@class maru.JobDeclaration
---@field [1] fun(app, job: maru.Job): any      returns the result (kept for a day); raising, or returning nil, message, code, retries.
---With `batch` it is fun(app, jobs: maru.Job[]): table|nil, where [i] of the table is the result of jobs[i], or an app.fail,
---app.retry or app.discard, which is for that job alone; those it does not name are done. Raising, or nil, message, code, is for all
---@field queue? string          default "default"
---@field priority? "high"|"normal"|"low"       default "normal"
---@field retries? integer       default 3 (so at most 4 runs); 0 = once
---@field backoff? string|number|maru.Backoff   first delay, or a table; default "2s", doubled each time
---@field timeout? string        default the plugin's limits.task
---@field result_ttl? string|number   how long a result is kept; default the configuration's jobs.result_ttl (1 day)
---@field hard_timeout? string   a handler that has not ended so long after its start, although its waits fail from `timeout` on, is ended by force with its VM; default timeout + 10s
---@field batch? integer         2 … 1024: one call of the handler takes a list of so many jobs at most, as far as limits and
---jobs.concurrency, which count jobs, let them run. Each has its own id, attempts and end. A job is in a list by itself in the
---last of several attempts, and after a crash that it was there at
---@field wait? string           with `batch`: how long the first of them waits for others, at most "1m"; default "0s", what is there
---@field expires? string        a job that has not started so long after it was due ends as "expired"; its handler never runs
---@field concurrency? integer   at most so many run at once in this process
---@field export? boolean        other plugins may push it, those whose `allow.jobs` names it; default false
---@field celery? string         the task's name for Python, such as "tasks.add"; default "plugin.job" (jobs.driver = "redis")
---@field rate? string           "100/s", "10/m" or "1000/h": so many start in that time, over a bucket that holds as many
---@field key? string            name of a field of args: its text or number says whose job it is. In a queue the keys take turns,
---so that a tenant with a million jobs does not hold up one with a single job; jobs without a key are one flow
---@field key_concurrency? integer   at most so many of one key run at once
---@field key_rate? string       so many of one key start in that time

---@class maru.QueueDeclaration   bounds of a queue, whatever jobs are in it; an operator's change wins until it is reset
---@field concurrency? integer   at most so many of its jobs run at once in this process
---@field rate? string           "100/s", "10/m" or "1000/h": so many start in that time, over a bucket that holds as many
---@field weight? integer        how many jobs it has in its turn among the queues, 1 … 1000; default 1
---@field key_concurrency? integer   at most so many of its jobs with one key run at once
---@field key_rate? string       so many of one key start in that time

---@class maru.Backoff
---@field first? string|number   delay before the second run, default "2s"
---@field factor? number         1 … 100: of each delay to the one before, default 2
---@field max? string|number     the longest delay, default "6h"
---@field jitter? number         0 … 1: a delay may differ by this share either way, default 0.2

---@class maru.Job
---@field id integer
---@field kind string            "plugin.job"
---@field args table
---@field attempt integer        1 on the first run
---@field max_attempts integer
---@field queue string
---@field scheduled_at? number   the instant of the schedule that made it
---@field previous? any          in a chain the result of the job before, in a chord's body the list of results, in an on_error job { error, workflow }

--- A handler of events, fun(app, event: maru.Event), at [1], with what a job may say. Events of one key come one after
--- another (unless one fails: later ones do not wait for its next attempt). One that is dead is emitted to "<topic>.dead".
---@class maru.OnDeclaration
---@field [1] fun(app, event: maru.Event)
---@field from? "end"|"beginning"   where a plugin begins that never heard this topic: what comes from now on (default), or all there is
---@field queue? string
---@field priority? "high"|"normal"|"low"
---@field retries? integer       default 3
---@field backoff? string|number|maru.Backoff
---@field timeout? string|number
---@field hard_timeout? string|number
---@field concurrency? integer
---@field rate? string
---@field key_concurrency? integer   events of one key at once, default 1
---@field key_rate? string
---@field expires? string|number

--- What happened: the second argument of a handler in M.on, and what app.events:read finds.
---@class maru.Event
---@field topic string
---@field data any
---@field key? string
---@field from? string           the plugin that emitted it
---@field at number              when
---@field partition integer      0 unless the topic has several (Kafka)
---@field offset integer         its place in the partition, from 0
---@field headers? table<string, string>   of a dead letter: group, error, attempts, partition, offset, at
---@field id? integer            in a handler: of the job that handles it
---@field attempt? integer       1 on the first run
---@field max_attempts? integer
---@field queue? string

--- A graph of named steps, started with app.workflows:start. Each step is a job of its own; the end of a step, the
--- state it leaves and the next steps are one commit, so that a crash resumes at the step that had not ended.
---@class maru.Workflow
---@field start string           name of the first step
---@field steps table<string, function|maru.WorkflowStep>
---@field version? integer       kept with every run (run.version), default 1
---@field max_steps? integer     of one run, loops included; items of run:each too; over it the run fails; default 1000, with an each step 20000

---@class maru.WorkflowStep : maru.JobDeclaration   and all that a job may say: queue, retries, timeout …
---@field [1] fun(app, run: maru.WorkflowRun): any   returns the next step's name, a list of names (branches side by side), run:wait(…), run:sleep(…), or nothing: this branch is over
---@field next? string[]         the steps it may lead to: checked, drawn; without it any
---@field each? boolean           it runs once for each item that run:each gave; what it returns is the item's result. `next`: at
--- most one, which follows when all have ended; with `on_error`, which may be the same, that one when some failed
---@field join? (string|string[])[]   it starts when every one of these steps has led here ({ "a", "b" } inside: either)
---@field on_error? string       the step that follows when its job is dead (run.error tells why); without it the run fails

---@class maru.WorkflowRun
---@field id integer             of the run
---@field name string            of the workflow
---@field step string
---@field n integer              which step of the run this is, from 1
---@field version integer        of the workflow when the run began
---@field input table            what app.workflows:start was given
---@field state table            yours: what you change here is kept when the step ends, at most 256 KiB as JSON
---@field from? string           the step that led here
---@field signal? maru.WorkflowSignal   what the wait before this step ended with
---@field timed_out? string      name of the signal that did not come in time
---@field error? { step: string, message: string }   in a step that follows as on_error
---@field results? table<string, any[]>   behind items: what each returned, in order, by their step's name; true: nothing, false: it failed
---@field errors? table<string, { index: integer, message: string }[]>   of those that failed, the first 100
---@field item? any              in a step with each = true, which has no state and cannot wait
---@field index? integer         of the item, from 1
---@field total? integer         items
---@field job integer
---@field attempt integer        1 on the first run of this step's job
---@field max_attempts integer
local WorkflowRun = {}
--- To be returned: nothing is held until `signal` comes, then the next step has it as run.signal.
---@param signal string
---@param options? maru.WaitOptions
function WorkflowRun:wait(signal, options) end
--- To be returned: that step, which says `each = true`, runs once for each item. At most 10000, and 1 MiB as JSON.
---@param step string
---@param items any[]
function WorkflowRun:each(step, items) end
--- To be returned: goes on after that time.
---@param duration string|number
---@param options? maru.SleepOptions
function WorkflowRun:sleep(duration, options) end

---@class maru.WaitOptions
---@field next? string           the step that follows the signal, default this one again
---@field timeout? string|number      default none: it waits for ever
---@field otherwise? string      the step that follows the timeout; without it the step has failed then

---@class maru.SleepOptions
---@field next? string           the step that follows, default this one again

---@class maru.WorkflowSignal
---@field name string
---@field data any
---@field by string              the plugin or the operator
---@field at number

---@class maru.CronDeclaration
---@field [1]? fun(app, job: maru.Job)   either this or `job`
---@field job? string            name in M.jobs
---@field tz? string             IANA zone, default the configuration's `cron.tz` ("Asia/Seoul")
---@field id? string             identity that survives editing the pattern; default the pattern itself
---@field args? table
---@field enabled? boolean
---@field jitter? string|number  a fire comes up to so much later, always the same for an instant, so that many do not fire at once
---@field missed? string         instants that went by while nobody could fire them: "latest" (default) fires the last one, "skip"
---none that is a minute late, "all" each of the last missed_max
---@field missed_max? integer    1 … 1000, default 100
---@field overlap? string        while the job of an earlier fire is unfinished: "skip" (default) drops the fire, "allow" runs both,
---"queue" waits for it, "cancel" cancels it and waits for that; what waits is dealt with as `missed` says
---@field deadline? string|number  so long after its instant a fire is dropped; its job does not start any more either
--- The key is a pattern of five fields (minute hour day month weekday) or six (second first), "@every 30s", "@hourly", "@daily", or "config:KEY" (pattern from config).

---@class maru.SeriesDeclaration
---@field keys string[]          text columns that name one line, e.g. { "platform", "channel_id" }
---@field values string[]        number columns
---@field retention? string      "90d"; older points are dropped daily

---@class maru.Socket
---@field open? fun(app, socket: maru.SocketHandle, req: maru.Request)   req may be read until the first wait
---@field message? fun(app, socket: maru.SocketHandle, text: string)
---@field close? fun(app, socket: maru.SocketHandle)
---@field upgrade? fun(app, old_version: string, state: any): any   after a reload with another M.version: the new state.
---Once for each open socket, before its next event; raising closes it (1011)

--- An open WebSocket. Events of one socket come one after another, after a reload to the new handlers. A handle
--- may be kept in a variable of its lane; once the socket is closed, sending answers false.
---@class maru.SocketHandle
---@field state any   JSON of at most 64 KiB, kept by the host: the next event finds it, also after a reload. A table may
---be changed in place while an event of this socket is handled; elsewhere it is a copy, and is assigned to be kept
local SocketHandle = {}
--- Text as it is, anything else as JSON. False when the socket is closed or its client too slow.
---@return boolean sent
function SocketHandle:send(data) end
--- code 1000 … 4999 (default 1000), reason at most 123 bytes
function SocketHandle:close(code, reason) end
function SocketHandle:is_open() end   --- @return boolean
function SocketHandle:id() end        --- @return integer unique in the process
function SocketHandle:client() end    --- @return string|nil address

--- The app handle ---------------------------------------------------------------------------------

---@class maru.App
---@field name string            this plugin's name
---@field generation string      "streampulse@3f2a…"
---@field config table<string, any>
---@field env table<string, string>      only what M.allow.env names; nil when unset
local app = {}

--- Wall time now, seconds since the epoch. @return number
function app.now() end
--- Suspends the task. (waits) @return true|nil, string?, string?   code: "cancelled" "timeout" "limit"
function app.sleep(seconds) end
--- Runs fn(app, …) as another task of the same generation. Errors are logged. @return true|nil, string?, string?   code: "limit" "closed"
function app.spawn(fn, ...) end
--- Makes an error value; error(app.fail(404, "not_found", "no such channel", {…})) answers with it
--- as problem+json; in a job it is the recorded error.
---@return table
function app.fail(status, code, message, extra) end
--- In a job: give up for good (dead letter with reason) / try again after a delay. Use with error().
function app.discard(reason) end
function app.retry(delay, reason) end
--- Answer helpers for routes
function app.sse(fn) end
function app.redirect(url, status) end                   --- 302 unless status says otherwise
--- (waits) A whole file of at most 32 MiB, only one that M.allow.fs names. Links are followed as long as they stay in the
--- folder that is named (for a file: in its folder). @return string|nil, string?, string?  code: "not_found" "forbidden" "limit" "io"
function app.read(path) end
--- A file of the plugin's own folder (not of spec/, nothing that begins with a dot), as it was when this generation was
--- read: "models/trend.safetensors". @return string|nil bytes, string?, string?  code: "not_found"
function app.file(path) end
--- Names of the plugin's own files that begin so, sorted. @return string[]
function app.files(prefix) end
--- (waits) Runs a program that M.allow.exec names, without a shell: each of args is one argument. It gets the environment
--- of options.env and nothing else (no PATH), an empty folder of its own that is removed behind it, no other descriptor
--- and no new privileges, but it is not held to M.allow: it can reach what the server's user can. At its end, at the
--- time-out and when the task is cancelled everything it started is ended too (SIGTERM, a second later SIGKILL).
--- options: input (its standard input), env (table), timeout (default "10s"), max_bytes (of both outputs, default "1M",
--- at most "64M"). At most 8 programs of a plugin run at once. Answer: { status or signal, stdout, stderr }.
---@return table|nil answer, string? message, string? code   code: "forbidden" "missing" "timeout" "limit" "io"
function app.exec(program, args, options) end
--- Calls another plugin's export, which this one lists in `allow.exports`. (waits)
function app.call(name, ...) end

---@class maru.Log   app.log:info("message", { field = value }); levels debug info warn error
app.log = {}
function app.log:debug(message, fields) end
function app.log:info(message, fields) end
function app.log:warn(message, fields) end
function app.log:error(message, fields) end

---@class maru.Metrics  names become maru_plugin_<name>{plugin="…",…}
app.metrics = {}
function app.metrics:count(name, value, labels) end     --- counter, value default 1
function app.metrics:gauge(name, value, labels) end
function app.metrics:observe(name, seconds, labels) end --- histogram of seconds

---@class maru.Trace  OpenTelemetry, when the operator says where traces go: docs/guide/observe.md
app.trace = {}
--- Runs fn(…) as a part of the handler with a span of its own, and returns what it returns. It may wait.
function app.trace:span(name, fn, ...) end
function app.trace:set(key, value) end  --- an attribute of the part that runs; text, number or boolean
function app.trace:id() end             --- @return string|nil the trace's id, 32 hex digits

---@class maru.Tx   a transaction: what app.store:tx gives to its function; good until that returns
local Tx = {}
function Tx:all(sql, ...) end        --- (waits) as app.store:all
function Tx:one(sql, ...) end        --- (waits) as app.store:one
function Tx:exec(sql, ...) end       --- (waits) as app.store:exec
function Tx:many(sql, rows) end      --- (waits) as app.store:many

---@class maru.TxJobs   jobs that exist only if the transaction commits
Tx.jobs = {}
function Tx.jobs:push(name, args, options) end           --- (waits) as app.jobs:push
function Tx.jobs:push_many(name, list, options) end      --- (waits) as app.jobs:push_many

---@class maru.TxEvents   events that exist only if the transaction commits
Tx.events = {}
--- (waits) As app.events:emit. With Kafka it is sent after the commit, at least once; with PostgreSQL it is appended after
--- the commit. Then true comes instead of an offset.
function Tx.events:emit(topic, data, options) end

---@class maru.TxWorkflows   runs that exist only if the transaction commits; with store.driver = "sqlite" and another
--- jobs.driver it is refused
Tx.workflows = {}
function Tx.workflows:start(name, input, options) end    --- (waits) as app.workflows:start; its first step follows the commit

---@class maru.Table   rows with their columns in order
---@field columns string[]      names, as the SELECT gives them; two may be equal
---@field types ("text"|"integer"|"number"|"boolean"|"time")[]     a time is a number of seconds since 1970
---@field rows any[][]          NULL, NaN and infinities are app.json.null
---@field n integer             rows
---@field more boolean          there were more than limit
---@field seconds number        it took

---@class maru.Store   relational store; SQL with $1 parameters, written once for SQLite and PostgreSQL.
--- Only this plugin's own tables (made by its migrations/) are visible. Values: nil boolean number string.
app.store = {}
--- (waits) All rows as array of tables. @return table[]|nil, string?, string?  code: "sql" "constraint" "unique" "readonly" "full" "timeout" "limit" "busy"
function app.store:all(sql, ...) end
--- (waits) As all, for what only reads and may be a little behind (a chart, a list): answered by the replica
--- (store.read_url) where there is one, else by the store. What was just written may not be seen yet.
--- @return table[]|nil, string?, string?  code "readonly": it would write
function app.store:read(sql, ...) end
--- (waits) First row or false when there is none. `returning` works. @return table|false|nil, string?, string?
function app.store:one(sql, ...) end
--- (waits) Runs a statement. @return integer|nil changed_rows, string?, string?
function app.store:exec(sql, ...) end
--- (waits) Runs one statement for each row of parameters in one transaction. rows: array of arrays; a missing value is NULL. @return integer|nil, string?, string?
function app.store:many(sql, rows) end
--- (waits) One SELECT that somebody wrote, over this plugin's tables: nothing can be changed, and only functions that
--- compute are called. options: params (array), limit (rows, default 1000, at most 100000), timeout (default "10s", at most
--- "60s"). Errors begin with the place: "line 2 column 5: …". @return maru.Table|nil, string?, string?  code: "sql" "readonly" "forbidden" "timeout" "limit"
---@param sql string
---@param options? { params?: any[], limit?: integer, timeout?: string|number }
function app.store:query(sql, options) end
--- (waits) fn(tx) with tx:all/one/exec/many and tx.jobs:push; commits when fn returns, rolls back when it
--- raises (error passed on) or returns nil, message, code. Inside only `tx` may wait. A statement that failed is undone alone:
--- fn may go on. Transactions are serializable. PostgreSQL may say that it cannot put one in order with others: then it is
--- rolled back and fn is run again, at most ten times in all (then nil, message, "busy"); so what fn changes outside of tx
--- it must be able to change twice. @return ... what fn returned
---@param fn fun(tx: maru.Tx): ...
function app.store:tx(fn) end

---@class maru.SeriesOptions
---@field where? table<string, string>   only lines with these keys
---@field from? number           seconds; from <= at < to
---@field to? number
---@field since? number          latest: nothing older
---@field last? integer          window: the newest so many points of each line
---@field limit? integer         latest, window, downsample: at most so many rows
---@field step? number|string    downsample: duration
---@field agg? "mean"|"min"|"max"|"last"|"sum"   downsample, default "mean"

---@class maru.Series   time series
app.series = {}
--- (waits) Appends one batch, all or nothing. rows: array of { at = seconds, <key> = text, <value> = number|nil }.
---@return integer|nil rows, string?, string?
function app.series:append(name, rows) end
--- (waits) Newest point of each line. options: where, since, limit. @return table[]|nil
---@param name string
---@param options? maru.SeriesOptions
function app.series:latest(name, options) end
--- (waits) Points in time order as columns { at = {…}, <key> = {…}, <value> = {…}, n = integer };
--- NULL values are app.json.null. options: where, from, to (from <= at < to), last (n newest points of each line),
--- limit (the first so many points; without it more than 100000 are nil, message, "limit").
---@param name string
---@param options? maru.SeriesOptions
---@return table|nil columns, string?, string?
function app.series:window(name, options) end
--- (waits) One row per line and step: columns { at, <key>…, <value> = aggregated, n = integer,
--- counts = points in each }; steps begin at whole multiples since 1970.
--- options: where, from, to, step (duration), agg, limit. @return table|nil
---@param name string
---@param options maru.SeriesOptions
function app.series:downsample(name, options) end
--- (waits) options: where, from, to. @return { points: integer, lines: integer, first: number?, last: number? }|nil
function app.series:stats(name, options) end
--- (waits) Writes a Parquet file below state.dir/exports. @return string|nil path
function app.series:export(name, options) end

--- (waits) One SELECT that somebody wrote, over this plugin's series: each is a table of its name with the columns "at"
--- (a timestamp; reserved in DuckDB, so in quotes), its keys and its values. As app.store:query otherwise. The client's going
--- away stops it. @return maru.Table|nil, string?, string?  code: "sql" "readonly" "forbidden" "timeout" "limit" "memory"
---@param sql string
---@param options? { params?: any[], limit?: integer, timeout?: string|number }
function app.series:query(sql, options) end
--- (waits) The bytes of a Parquet file with a table: what either query answered. At most 32 MiB.
---@param table maru.Table
---@return string|nil bytes, string?, string?
function app.series:parquet(table) end

---@class maru.ObjectInfo
---@field key string
---@field size integer     bytes
---@field at number        seconds; when it was put
---@field etag string      changes with the bytes
---@field type string      media type, "application/octet-stream" unless put with another
---@class maru.ObjectOptions
---@field type? string
---@field if_absent? boolean   put, writer: nil, message, "exists" when the key is there
---@field sha256? string       put, writer: hex; of other bytes nothing is kept: nil, message, "conflict"
---@field from? integer        get, reader: first byte, from 0
---@field n? integer           get, reader: at most so many bytes; 0 or none: up to the end
---@field after? string        list: keys behind this one
---@field limit? integer       list: 1 to 1000 (default)
---@field delimiter? string    list: keys that have it behind the prefix are told as one of `prefixes`

---@class maru.Objects  blobs by key: files, exports, backups. Keys are this plugin's own: text of 1 to 900 bytes, "/" is a
--- letter like others. An object is whole or not there; what put or close answered for is on disk.
app.objects = {}
--- (waits) Keeps bytes (at most 64 MiB; more by a writer) under key. options: type, if_absent, sha256. @return maru.ObjectInfo|nil, string?, string?  code: "exists" "conflict" "limit" "full" "invalid"
function app.objects:put(key, bytes, options) end
--- (waits) The bytes (at most 64 MiB; more by a reader or in parts). options: from, n. @return string|nil bytes, maru.ObjectInfo|string, string? code: "not_found" "limit" "corrupt"
function app.objects:get(key, options) end
--- (waits) @return maru.ObjectInfo|nil, string?, string?
function app.objects:stat(key) end
--- (waits) @return true|nil, string?, string?   code: "not_found"
function app.objects:delete(key) end
--- (waits) At most 1000 at once; what is not there is no error. @return integer|nil count, string?, string?
function app.objects:delete_many(keys) end
--- (waits) By key. options: after, limit, delimiter. `after` of the answer is where to go on, nil: that was all.
--- @return { objects: maru.ObjectInfo[], prefixes: string[], after: string? }|nil, string?, string?
function app.objects:list(prefix, options) end
--- An address with which anybody may GET or PUT this key for a while, in a browser as well. With objects.driver = "s3" it is
--- S3's own, but for a PUT with max_bytes and a GET inline without content_type, which S3 does not look at: these and others
--- are maru's, from /objects/ or objects.public_url on.
---@param options? { method: "GET"|"PUT"|nil, expires: integer?, content_type: string?, max_bytes: integer?, name: string?, inline: boolean? }  expires: seconds, 900; PUT: content_type, max_bytes; GET: content_type: what it is told to be (what it was put as), name of the file, inline: shown where its type is harmless
---@return string|nil url, string? message, string? code
function app.objects:presign(key, options) end
--- (waits) Writes piece by piece: writer:write(bytes), then writer:close(). It belongs to its task; what is not closed leaves nothing.
--- options: type, if_absent, sha256. @return maru.ObjectWriter|nil, string?, string?
function app.objects:writer(key, options) end
--- (waits) Reads piece by piece. options: from, n. @return maru.ObjectReader|nil, string?, string?
function app.objects:reader(key, options) end

---@class maru.ObjectWriter
local ObjectWriter = {}
function ObjectWriter:write(bytes) end  --- (waits) @return true|nil, string?, string?
function ObjectWriter:close() end       --- (waits) The object is there from now on. @return maru.ObjectInfo|nil, string?, string?
function ObjectWriter:abort() end       --- it never was

---@class maru.ObjectReader
---@field info maru.ObjectInfo
local ObjectReader = {}
function ObjectReader:read() end        --- (waits) @return string|nil bytes (nil without a message: the end), string?, string?
function ObjectReader:close() end
--- Fields of an index by type, each a list of names. Words are looked for in text; the others filter, sort (not text)
--- and are counted (keyword).
---@class maru.IndexDeclaration
---@field text string[]         searched by words; at most 256 KiB
---@field keyword? string[]     equal or not; at most 1 KiB
---@field number? string[]
---@field time? string[]        seconds, kept to the millisecond
---@field boolean? string[]

---@class maru.SearchOptions
---@field filter? table<string, any>    { store = "a", stars = { from = 3, to = 5 }, platform = { "x", "y" } }: all must
--- hold; a range is from <= value <= to, for times value < to; id filters too
---@field sort? string|string[]   "at", "-at", { "-stars", "at" }; what has no value is last; default how well words fit
---@field limit? integer        0 … 1000, default 20
---@field after? string         next of the page before
---@field highlight? string|string[]   text fields
---@field fields? string|string[]   only these of each document
---@field facets? string|string[]   keyword fields: the 20 most frequent values of all that is found, counted
---@field recency? table<string, number|string>   { at = "7d" }: half of the score is left for what is 7 days old

---@class maru.SearchFound
---@field total integer
---@field hits table[]          { id, score, fields…, highlight = { title = { { text = "…", hit = true? } … } } }
---@field next? string          for `after`; nil on the last page
---@field facets table<string, { value: string, count: integer }[]>

---@class maru.Search   documents found by words, in the indexes of M.search
app.search = {}
--- (waits) docs: one { id = text, field = value … } or a list of up to 10000; one with the same id is replaced whole. On
--- disk when it returns how many; options.visible waits until find sees them, which may otherwise take a second.
---@return integer|nil documents, string?, string?
function app.search:index(index, docs, options) end
--- (waits) query: words, "phrases", begin*, -not, a OR b, field:word, (groups); nil or "" finds everything. A wrong one
--- is nil, message, "invalid"; the message says the column.
---@param options? maru.SearchOptions
---@return maru.SearchFound|nil, string?, string?
function app.search:find(index, query, options) end
--- (waits) what: a document's id, or a filter as in find. @return integer|nil documents removed
function app.search:delete(index, what) end
--- (waits) options: filter. @return integer|nil documents
function app.search:count(index, query, options) end

---@class maru.Cache   shared by all lanes of this process, or (cache.driver = "redis") of all that share a Redis; keys
---are this plugin's own. Values: anything JSON can hold; an entry may go at any time. Every function waits where the
---driver is Redis, and is refused with every driver where a task cannot wait, as in store:tx. On failure: nil, message, code.
app.cache = {}
function app.cache:get(key) end                          --- (waits) @return any|nil
function app.cache:set(key, value, ttl) end              --- (waits) ttl duration, default none. @return true
--- (waits) Sets all of list = { { key, value }, … }, at most 10000: with Redis in one round trip. After nil, message, code
--- some may be there. @return true|nil, string?, string?
function app.cache:set_many(list, ttl) end
function app.cache:add(key, value, ttl) end              --- (waits) only if absent. @return boolean stored
function app.cache:delete(key) end                       --- (waits) @return boolean existed
function app.cache:incr(key, by, ttl) end                --- (waits) @return number; ttl counts from the first incr
function app.cache:keys(prefix, limit) end               --- (waits) @return string[]
--- (waits) A lock owned by this generation, released when it dies. fence: larger than that of every lock before it; what
--- the lock protects can refuse smaller ones. @return string|nil token, number fence (nil alone: somebody else holds it;
--- nil, message, "unavailable": Redis is away)
function app.cache:lock(name, ttl) end
function app.cache:unlock(name, token) end               --- (waits) @return boolean

---@class maru.Unique   replace: not in store:tx
---@field key string
---@field scope? "unfinished"|"queued"   queued: free again once the job has started; default unfinished
---@field period? number|string   the key is held for so long after the push, too, whatever becomes of the job
---@field replace? boolean        one that waits gets these args and this time, and its id is returned; one that runs is kept

---@class maru.PushOptions
---@field delay? number|string   duration
---@field at? number             instant
---@field priority? "high"|"normal"|"low"
---@field queue? string
---@field retries? integer
---@field timeout? number|string
---@field result_ttl? number|string   how long its result is kept; default the job's, then the configuration's (1 day)
---@field key? string            whose job it is, instead of the declaration's field of args; as unique text in UTF-8
---@field expires? number|string instead of the declaration's
---@field unique? string|maru.Unique   no second one unfinished with this key → nil, message, "duplicate"
---@field celery? boolean       for a Python worker: what app.jobs:push_celery sets

---@class maru.CeleryOptions
---@field queue? string          default "celery"
---@field countdown? string|number   not before so long from now
---@field eta? number|string     not before this instant: seconds since 1970, or ISO 8601
---@field expires? string|number     not started so long from now, or by this ISO 8601 time: it never runs
---@field priority? integer|"high"|"normal"|"low"   0 to 9, and 0 runs first
---@field retries? integer       attempts that came before this one; how many there may be is the task's own, in Python
---@field time_limit? string|number        its process is killed
---@field soft_time_limit? string|number   SoftTimeLimitExceeded is raised in it

---@class maru.Jobs   durable: what push returned for is on disk.
app.jobs = {}
--- (waits) Pushes "job" of this plugin, or "plugin.job" of another: `allow.jobs` names it, and it says `export = true`
--- (otherwise nil, message, "not_found" or "forbidden"). @return integer|nil id, string?, string?
---@param name string
---@param args? table
---@param options? maru.PushOptions
function app.jobs:push(name, args, options) end
--- (waits) One durable batch. list: array of args. @return integer[]|nil ids
function app.jobs:push_many(name, list, options) end
--- (waits) Calls a task of a Python worker; its result is read by app.jobs:get(id) and :wait(id). Needs jobs.driver = "redis".
--- @return string|nil id, string?, string?   Celery's id of the task
---@param task string            "tasks.add"
---@param args? table            array
---@param kwargs? table          named arguments
---@param options? maru.CeleryOptions
function app.jobs:push_celery(task, args, kwargs, options) end
--- (waits) { id, kind, state, attempt, result, error, attempts, … } or false. attempts (not with jobs.driver = "redis"): the last 20 failed ones, each
--- { attempt, started_at, ended_at, error, traceback, lane, node }; also a run that the process died in. Of another plugin's job
--- only how it stands: no args, result, error, key or attempts; a Python task is nobody's, and shown. @return table|false
function app.jobs:get(id) end
--- (waits) The job, or a list of them, when all have ended (done, dead, cancelled, expired): as get. Before that nil, message,
--- "timeout". Ends are on disk then. One that another server ends is noticed within a second. @return table|false|nil, string?, string?
---@param ids integer|string|(integer|string)[]   numbers, and what push_celery gave out
---@param timeout? number|string   default: as long as the task may run
function app.jobs:wait(ids, timeout) end
--- In a job's handler: how far it is, 0 to 1, and what it does now; get shows it as progress and message while it runs.
---@param fraction number
---@param message? string
---@param id? integer            in the handler of a batch: of that job; without it of all
---@return true|nil, string?, string?   nil: the job was taken away from this run
function app.jobs:progress(fraction, message, id) end
--- Jobs of this plugin's that have not ended: in this process, or, where several servers share the record, what waited in
--- the job's queue when it was looked at last. @return integer
function app.jobs:unfinished(name) end
--- (waits) Ids of jobs of this plugin's that are dead, rising, at most 10000 of those above `after`: to do what their handlers
--- could not. They stay dead until they are retried or forgotten. @return integer[]|nil, string?, string?
---@param name string
---@param after? integer
function app.jobs:dead(name, after) end
--- (waits) A job of this plugin: a waiting one is gone for good, a running one is asked to end. @return true|nil, string?, string?
function app.jobs:cancel(id) end
--- (waits) A dead job of this plugin runs again with all its attempts, a delayed one now. @return true|nil, string?, string?
function app.jobs:retry(id) end
--- (waits) Jobs that are counted together, pushed all or none: { { name, args, options }, … }. When all have ended, the job
--- `done` is pushed, once, with args.batch = { id, total, succeeded, failed } (dead, cancelled and expired ones have failed).
--- Its jobs have no unique key.
---@param list table[]
---@param options? { done?: table, description?: string }   done = { name, args }
---@return integer|nil id, string?, string?
function app.jobs:batch(list, options) end
--- (waits) { id, total, succeeded, failed, pending, created_at, finished_at, done_job, description } or false.
function app.jobs:batch_get(id) end

---@class maru.WorkflowOptions
---@field key? string            no second unfinished run of this name with this key → nil, message, "duplicate"
---@field name? string           of a chain, group or chord: a word for lists
---@field on_error? table        of these: { name, [args], [options] }, a job to push when the run fails

---@class maru.WorkflowListOptions
---@field name? string
---@field state? "running"|"waiting"|"done"|"failed"|"cancelled"
---@field key? string
---@field limit? integer         1 to 500, default 50
---@field before? integer        ids below this one

---@class maru.Workflows   runs of several jobs; this plugin's own.
app.workflows = {}
--- (waits) Starts M.workflows[name]. @return integer|nil id, string?, string?
---@param name string
---@param input? table
---@param options? { key: string }
function app.workflows:start(name, input, options) end
--- (waits) { { name, [args], [options] }, … } one after the other; the run's result is the last one's. options of a job:
--- delay, priority, queue, retries, timeout. @return integer|nil id, string?, string?
---@param list table[]
---@param options? maru.WorkflowOptions
function app.workflows:chain(list, options) end
--- (waits) Side by side; the run's result is the list of results. @return integer|nil id, string?, string?
---@param list table[]
---@param options? maru.WorkflowOptions
function app.workflows:group(list, options) end
--- (waits) A group, then body with job.previous = the results in order; a member that is dead fails the run.
--- @return integer|nil id, string?, string?
---@param list table[]
---@param body table
---@param options? maru.WorkflowOptions
function app.workflows:chord(list, body, options) end
--- (waits) { id, name, shape, state, data (a graph's run.state), result, error, steps, bundles, … } or false. Of many items
--- bundles counts all, { step, total, done, failed, running, … }, steps has the first 20 and those that failed. @return table|false
function app.workflows:get(id) end
--- (waits) Newest first, without steps. @return table[]
---@param options? maru.WorkflowListOptions
function app.workflows:list(options) end
--- (waits) True when a step waited for it, false when it is kept until one does; nil, message, "not_found" or "closed".
---@param id integer
---@param name string
---@param data? any
function app.workflows:signal(id, name, data) end
--- (waits) Ends a run and its jobs. @return boolean|nil, string?, string?
function app.workflows:cancel(id) end

---@class maru.EmitOptions
---@field key? string|number     whose event it is: events of one key stay in order; at most 200 bytes
---@field headers? table<string, string>   small texts beside the data

---@class maru.ReadOptions
---@field after? string|integer  the cursor of a read before, or an offset of `partition`; without it from the first there is
---@field partition? integer     default: all of them, with an offset 0
---@field limit? integer         1 to 1000, default 100; the answer may be shorter, its events have at most 8 MiB

---@class maru.Events   what happened, kept for a while, for any number of listeners (M.on).
app.events = {}
--- (waits) Appends an event; it is kept when this returns. topic: this plugin's name, or that and a dot in front, or one of
--- M.allow.events; data: a JSON value of at most 768 KiB. code: "limit" "busy" "timeout" "io" "closed"
---@return integer|nil offset, integer|string partition_or_message, string? code
---@param topic string
---@param data any
---@param options? maru.EmitOptions
function app.events:emit(topic, data, options) end
--- (waits) Appends many: list = { { data, options }, … }, at most 10000, in one go instead of one after another. All are kept
--- when it returns how many; after nil, message, code some may be. @return integer|nil count, string?, string?
---@param topic string
---@param list table[]
function app.events:emit_many(topic, list) end
--- (waits) Events as they lie, oldest first, and the cursor for the next read. code: "not_found" "invalid" "io"
---@return maru.Event[]|nil, string cursor_or_message, string? code
---@param topic string
---@param options? maru.ReadOptions
function app.events:read(topic, options) end

---@class maru.Channels   fan-out to everyone listening now, here or (channels.driver = "redis") on every server; no history.
app.channels = {}
function app.channels:publish(topic, message) end        --- message: JSON value. @return integer listeners in this process
--- A subscription of this task, closed at its end.
---@return maru.Subscription|nil, string?, string?
function app.channels:subscribe(topic) end

---@class maru.Subscription
local Subscription = {}
--- (waits) The next message, and how many were lost before it; nil, "timeout", "timeout". Closed by another task: nil,
--- message, "closed" once, at once for who waits; a call after that raises.
---@param timeout? number|string
function Subscription:receive(timeout) end
function Subscription:close() end                        --- any task may; messages not received yet are dropped

---@class maru.HttpOptions
---@field method? string
---@field headers? table<string, string>
---@field query? table           encoded and added to the URL
---@field body? string           one of body, json and form
---@field json? any
---@field form? table
---@field timeout? number|string     of the whole, default "10s"; of a stream as long as the task may run
---@field silence? number|string     so long without a byte of the answer is a timeout, too; of a stream default "30s"
---@field retries? integer       default 0; only for connect errors, 429, 502-504; honours Retry-After
---@field backoff? number|string
---@field max_bytes? integer|string  of the decoded body, default "8M"; of a stream "64M"
---@field redirects? integer     default 3

---@class maru.Attachment
---@field name string     of the file
---@field type? string    media type; of an object its own, else "application/octet-stream"
---@field data? string    its bytes, or:
---@field object? string  key in app.objects
---@class maru.MailMessage
---@field to? string|string[]   "a@example.com" or "Name <a@example.com>"; to, cc and bcc: 1 to 100 in all
---@field cc? string|string[]
---@field bcc? string|string[]
---@field from? string          default: mail.from of the configuration
---@field reply_to? string|string[]
---@field subject? string
---@field text? string          both: the reader's program chooses
---@field html? string
---@field attachments? maru.Attachment[]  at most 32
---@field headers? table<string, string>  others than these

---@class maru.Mail   only to whom M.allow.mail names, by the server that mail.url names.
app.mail = {}
--- (waits) `refused` of the answer has those whom the server did not take while it took others: { to, message, code }.
--- Worth another try (let a job with retries send): "busy" (4xx) "io" "timeout"; not: "forbidden" (5xx, with the server's words)
--- "invalid" "limit", "closed" (none is configured). Line breaks in a header's value are refused ("invalid").
---@param mail maru.MailMessage
---@return { id: string, refused: { to: string, message: string, code: string }[] }|nil, string? message, string? code
function app.mail:send(mail) end

---@class maru.Http   outgoing HTTP(S); only hosts in M.allow.net.
app.http = {}
--- (waits) Answer: { status, headers (lower-case), body, url, time } – any status is an answer.
---@return table|nil answer, string? message, string? code   code: "dns" "connect" "timeout" "tls" "too_large" "forbidden" "protocol"
---@param url string
---@param options? maru.HttpOptions
function app.http:request(url, options) end
function app.http:get(url, options) end                  --- (waits) request with its method, like those below
function app.http:post(url, options) end
function app.http:put(url, options) end
function app.http:patch(url, options) end
function app.http:delete(url, options) end
function app.http:head(url, options) end
--- (waits) The answer as soon as its head is there; its body is read as it comes, by this task, and the peer is held up
--- meanwhile. Closed at the task's end. @return maru.HttpStream|nil, string? message, string? code
---@param url string
---@param options? maru.HttpOptions
function app.http:stream(url, options) end

---@class maru.HttpStream
---@field status integer
---@field headers table<string, string>   lower-case names
---@field url string             of the last redirect
local HttpStream = {}
--- (waits) The next bytes, nil at the end; nil, message, code after a failure, which is "closed" when another task has closed
--- it, at once for who waits. @return string|nil, string?, string?
function HttpStream:read() end
--- (waits) The next line without its end, at most 1 MiB. @return string|nil, string?, string?
function HttpStream:line() end
function HttpStream:lines() end                          --- (waits) `for line in stream:lines() do`; then ask failure()
--- (waits) The next server-sent event: { event = "message", data, id, retry (seconds) }. @return table|nil, string?, string?
function HttpStream:event() end
function HttpStream:events() end                         --- (waits) `for event in stream:events() do`; then ask failure()
function HttpStream:failure() end                        --- why the last read gave nothing. @return string|nil message, string? code
function HttpStream:close() end                          --- any task may

---@class maru.ModelDeclaration
---@field rules? fun(app, request: maru.ModelRequest, reason: { code: string, message: string }): string|table|nil, string?, string?   answers where no
--- model does: text, { text, object }, or nil, message, code. Its answers are labelled rule_based

---@class maru.ModelRequest
---@field messages string|table[]    what the user says, or { role = "user"|"assistant"|"system"|"tool", content } in order
---@field system? string         said first
---@field tools? table<string, maru.ModelTool>   by name
---@field tool_choice? any       "auto", "none", "required" or { type = "function", ["function"] = { name } }
---@field max_steps? integer     answers with calls of tools, at most, default 8; over it nil, message, "steps"
---@field schema? table          JSON Schema: the answer is JSON that fits it, decoded in `object`; told once what is wrong, then "schema"
---@field schema_name? string    default "answer"
---@field strict? boolean        the provider's own strict mode
---@field temperature? number    0: the answer is kept for model.cache_ttl
---@field max_tokens? integer    of the answer; without it 1,024 are set aside of the budget
---@field timeout? number|string     of all providers and tries, default the configuration's model.timeout; tools have their own time
---@field provider? string       this one alone; "rules" asks the rules
---@field model? string          instead of the provider's
---@field stop? string|string[]
---@field seed? integer
---@field cache? boolean|number|string   true or a duration: keep the answer, and give one that was kept; false: not even with temperature 0
---@field redact? string[]       in addition to model.redact: "keys" "email" "phone" "card", or Lua patterns
---@field rules? function        instead of M.model.rules

---@class maru.ModelTool
---@field [1]? fun(app, args: table): any, string?   run by the host; its value, error or nil, message goes back to the model. Without it the call is the caller's: tool_calls
---@field description? string
---@field parameters? table      JSON Schema of args, checked before the function is called

---@class maru.ModelAnswer
---@field text string
---@field object? any            with `schema`
---@field tool_calls? { id: string, name: string, arguments: table, arguments_text: string }[]   of tools without a function
---@field finish string          "stop" "length" "tool_calls"
---@field usage { input: integer, output: integer, total: integer, cached: integer, estimated?: boolean }
---@field cost number            in `currency`
---@field currency string
---@field provider string        "rules" when they answered
---@field model string
---@field steps integer          answers it took
---@field cached boolean
---@field rule_based boolean     no model said this
---@field reason? { code: string, message: string }   why the rules had to
---@field reasoning? string      what some models think aloud

---@class maru.Model   language models as the operator configured them (model.providers); `allow.model` must be true.
app.model = {}
--- (waits) One answer; tools with functions are run meanwhile. Providers are asked in order, then M.model.rules.
--- code: "forbidden" "not_configured" "budget" "auth" "quota" "rate" "invalid" "unavailable" "connect" "dns" "tls" "timeout" "protocol"
--- "too_large" "refused" "length" "schema" "steps" "cancelled"
---@return maru.ModelAnswer|nil, string? message, string? code
---@param request maru.ModelRequest
function app.model:chat(request) end
--- (waits) The same while it is written: `for part in app.model:stream(request) do`. A part is { delta = text }, { tool = name,
--- arguments }, { again = true } (what came so far is void), and last { result = maru.ModelAnswer } or { error = message, code }.
--- Another provider is asked only as long as nothing was written.
---@return fun(): table|nil
---@param request maru.ModelRequest
function app.model:stream(request) end
--- (waits) { vectors = number[][], usage, cost, currency, provider, model }, by providers with an embed_model.
---@return table|nil, string? message, string? code
---@param texts string[]
---@param options? { provider?: string, timeout?: number|string }
function app.model:embed(texts, options) end

---@class maru.Json
app.json = {}
--- Raises on what JSON cannot hold, and for more than 32 MiB. A maru.Floats is an array, null where missing. @return string
function app.json.encode(value) end
--- options: { max_depth = 64, floats = "data": such a member (or "items.data", of each item) is a maru.Floats when it is
--- an array of numbers alone, 1 to 10,000,000, that float32 can hold }. @return any|nil value, string? message ("line 3 column 7: …"), string? code "json"
function app.json.decode(text, options) end
function app.json.array(t) end                           --- marks t as an array, so {} encodes as []
app.json.null = nil                                      --- stands for null inside tables

---@class maru.Crypto   bytes in, bytes out unless named hex/base64
app.crypto = {}
function app.crypto.sha256(text) end                     --- hex
function app.crypto.hmac_sha256(key, text) end           --- hex
function app.crypto.random(n) end                        --- n bytes as hex
function app.crypto.uuid() end                           --- version 7
function app.crypto.base64(text) end
function app.crypto.unbase64(text) end                   --- nil, message, code on bad input
function app.crypto.equal(a, b) end                      --- time-constant

--- Arithmetic over many numbers at once, on the spot: some 10 ms for a million. `values` is an array (json.null, NaN =
--- missing), computed in float64, or a floats, in float32; the result is of the same kind, and as long.
---@class maru.Kernels
app.kernels = {}
--- Trailing simple moving average; the first window-1 results average what is there when min_periods allows.
---@param values number[]|maru.Floats @param window integer @param min_periods? integer default window @return number[]|maru.Floats
function app.kernels.moving_average(values, window, min_periods) end
--- Of each trailing window; missing where it holds fewer than min_periods values (default window), or, with skip_nan =
--- false, where one is missing. ddof (1) is for var, std and zscore, q (0.5) for quantile; weighted: the newest weighs
--- window times the oldest; mad: the median distance from the median. series (1): `values` is so many series, all as long, one
--- after another, or with columns = true instant by instant; many short ones at once take a fraction of one by one.
---@param stat "sum"|"mean"|"var"|"std"|"zscore"|"weighted"|"min"|"max"|"median"|"mad"|"quantile"
---@param values number[]|maru.Floats @param window integer @param options? { min_periods: integer, q: number, ddof: number, skip_nan: boolean, series: integer, columns: boolean }
---@return number[]|maru.Floats|nil, string? message, string? code
function app.kernels.rolling(stat, values, window, options) end
--- Exponentially weighted mean of all so far, as pandas' ewm: one of alpha, span, halflife; adjust (true), ignore_na
--- (false), min_periods (1). @return number[]|maru.Floats|nil, string? message, string? code
function app.kernels.exponential(values, options) end
--- The mean of all so far. @return number[]|maru.Floats|nil, string? message, string? code
function app.kernels.cumulative_mean(values) end
--- Smoothed level, trend and seasons, and what they forecast. Begins behind two periods of values; seasonal: "additive",
--- "multiplicative" (values above 0), "none" (then without period); alpha (0.3), beta (0.1), gamma (0.1); horizon: period.
---@param options { period: integer, alpha: number, beta: number, gamma: number, horizon: integer, seasonal: string }
---@return { forecast: number[], fitted: number[]|maru.Floats, level: number, trend: number }|nil, string? message, string? code, integer? index
function app.kernels.holt_winters(values, options) end
--- Numbers in bulk, as float32: from an array (json.null, NaN = missing) or from bytes (float32, little-endian); at most
--- 10,000,000. With finite nothing may be missing. What is no number, or infinite as float32: nil, message, "invalid", its index.
--- With base64 the text is base64 (with padding) of such bytes.
---@param source number[]|string @param options? { finite?: boolean, base64?: boolean }
---@return maru.Floats|nil, string? message, string? code, integer? index
function app.kernels.floats(source, options) end
--- n times one value, which float32 can hold. @return maru.Floats|nil, string? message, string? code
---@param n integer @param value number
function app.kernels.full(n, value) end
--- The same from text: a JSON array of numbers, or one number a line. Empty text, null, strings, NaN: nil, message, "invalid", index.
---@return maru.Floats|nil, string? message, string? code, integer? index
function app.kernels.parse_floats(text) end
--- How far forecast[i - lag] is from values[i], where neither is missing; lag is 0 by default.
---@param values maru.Floats @param forecast maru.Floats @param lag? integer
---@return number absolute mean absolute error, number square root of the mean squared error, integer count
function app.kernels.errors(values, forecast, lag) end

--- #floats is how many, floats[i] one of them (from 1; NaN = missing); they never change.
---@class maru.Floats
local Floats = {}
function Floats:bytes() end                              --- float32, little-endian. @return string
function Floats:base64() end                             --- the same as base64, with padding. @return string
---@param from? integer @param to? integer @return number[]   json.null = missing
function Floats:table(from, to) end
---@param from? integer @param to? integer @return maru.Floats
function Floats:slice(from, to) end
function Floats:range() end                              --- nothing when all are missing. @return number? least, number? greatest
function Floats:round(decimals) end                      --- decimals: -38 to 45. @return maru.Floats

--- A model file (safetensors, docs/models.md). Its weights are in memory once for the whole process. (waits, over 1 MiB)
---@param bytes string at most 64 MiB
---@return maru.Forecaster|nil, string? message, string? code
function app.kernels.forecaster(bytes) end

---@class maru.Forecaster
local Forecaster = {}
--- What the file says of itself (name, version, lookback, min_points, horizon, quantiles, scores …), and `weights`
--- ("float32", "bfloat16", "int8") and `parameters`. @return table
function Forecaster:info() end
--- (waits, unless it is little work) Forecasts of up to 10,000 series, each from its last `lookback` points.
---@param list (number[]|maru.Floats)[] @param options? { horizon: integer, quantiles: boolean, floats: boolean }
---@return maru.Forecast[]|nil, string? message, string? code
function Forecaster:forecast(list, options) end
--- One series point by point, for a forecast of the next after each. @return maru.ForecastStream|nil, string?, string?
function Forecaster:stream() end

---@class maru.Forecast
---@field forecast? number[]       medians; a maru.Floats if options.floats
---@field quantiles? number[][]    in the order of info().quantiles, unless options.quantiles is false
---@field horizon? integer         by default info().horizon, at most ten times that
---@field error? { code: "too_few"|"invalid", message: string, index?: integer }   of a series it cannot take, alone

---@class maru.ForecastStream
local ForecastStream = {}
--- (waits, if the model is big) nil, message, "too_few" until there are min_points.
---@param value number @return number|nil median, number[]|string quantiles_or_message, string? code
function ForecastStream:push(value) end

---@class maru.Schema
app.schema = {}
--- Fields as in a route's body; `value` stays as it is. Errors: the first 50, `count` is the number of all.
---@return table|nil value_with_defaults, { field: string, pointer: string, code: string, message: string, expected?: table }[]? errors, integer? count
function app.schema.check(fields, value) end

---@class maru.Text
app.text = {}
function app.text.unescape_html(text) end                --- &amp; &#39; &#x…; once
--- "YYYY-MM-DD HH:MM:SS" in a fixed offset ("+09:00") → seconds, nil if malformed. @return number|nil
function app.text.parse_time(text, offset) end
function app.text.format_time(seconds, offset) end       --- ISO 8601 with offset, e.g. 2026-11-21T13:45:52+09:00

--- What a plugin has of Lua -----------------------------------------------------------------------
--- LuaJIT without everything that reaches around the host: no io, debug, ffi, jit, package. `require` finds the plugin's
--- own files and maru.collector, maru.crypto, maru.json, maru.kernels, maru.text. An undeclared name raises, also when
--- it is only read. `maru new` makes .luacheckrc of this list.

---@class maru.Lua
---@field _G table
---@field _VERSION string
---@field assert function
---@field collectgarbage function        only "count": kilobytes
---@field error function
---@field getmetatable function
---@field ipairs function
---@field load function                  text only
---@field loadstring function            the same
---@field next function
---@field pairs function
---@field pcall function
---@field print function                 a line in the log
---@field rawequal function
---@field rawget function
---@field rawset function
---@field require function
---@field select function
---@field setmetatable function
---@field tonumber function
---@field tostring function              numbers instead of addresses
---@field type function
---@field unpack function
---@field xpcall function
---@field bit maru.Lua.bit
---@field coroutine maru.Lua.coroutine
---@field math maru.Lua.math
---@field os maru.Lua.os
---@field string maru.Lua.string
---@field table maru.Lua.table

---@class maru.Lua.os
---@field clock function
---@field date function
---@field difftime function
---@field time function

---@class maru.Lua.bit
---@field arshift function
---@field band function
---@field bnot function
---@field bor function
---@field bswap function
---@field bxor function
---@field lshift function
---@field rol function
---@field ror function
---@field rshift function
---@field tobit function
---@field tohex function

---@class maru.Lua.coroutine
---@field create function
---@field isyieldable function
---@field resume function
---@field running function
---@field status function
---@field wrap function
---@field yield function

---@class maru.Lua.math
---@field abs function
---@field acos function
---@field asin function
---@field atan function
---@field atan2 function
---@field ceil function
---@field cos function
---@field cosh function
---@field deg function
---@field exp function
---@field floor function
---@field fmod function
---@field frexp function
---@field huge number
---@field ldexp function
---@field log function
---@field log10 function
---@field max function
---@field min function
---@field modf function
---@field pi number
---@field pow function
---@field rad function
---@field random function
---@field randomseed function
---@field sin function
---@field sinh function
---@field sqrt function
---@field tan function
---@field tanh function

---@class maru.Lua.string
---@field byte function
---@field char function
---@field find function
---@field format function
---@field gmatch function
---@field gsub function
---@field len function
---@field lower function
---@field match function
---@field rep function
---@field reverse function
---@field sub function
---@field upper function

---@class maru.Lua.table
---@field concat function
---@field foreach function
---@field foreachi function
---@field getn function
---@field insert function
---@field maxn function
---@field move function
---@field remove function
---@field sort function

return app
