std = "luajit"
max_line_length = 120
exclude_files = { "build", "node_modules", "bench/http/common", "bench/http/nginx-lua", "bench/reload",
  "core/lua/maru/maru.d.lua",
  "core/lua/maru/test/test.d.lua" }
files["spec"] = { std = "luajit+busted" }
files["core/cli/scaffold/spec.lua"] = { std = "luajit+busted", read_globals = { "test" } }
files["spec/support/probe"] = { std = "luajit", ignore = { "212", "241" } } -- handlers that misbehave on purpose
files["bench/inference/submit.lua"] = { std = "luajit", globals = { "init", "request", "wrk" } } -- wrk's
files["plugins/*/spec"] = { std = "luajit+busted", read_globals = { "test" } }
-- Scripts that run inside Redis, each behind common.lua; what that one makes is theirs.
files["core/storage/redis"] = { std = "lua51", read_globals = { "redis", "KEYS", "ARGV" } }
files["core/jobs/redis"] = { std = "lua51", read_globals = { "redis", "cjson", "ARGV", "P", "call", "now", "bounds_of",
  "PUSH_FIELDS", "changed", "count", "keep_buckets", "limit_name", "member_over", "step_over", "finish_all", "cancel", "retry", "openings", "park", "push", "release", "shut", "state",
  "take", "unpark" },
  globals = { "known", "deciding" } }
files["core/jobs/redis/common.lua"] = { ignore = { "211" } }
files["core/jobs/redis/put.lua"] = { ignore = { "211" } }
files["core/jobs/redis/batch.lua"] = { ignore = { "211" } }
files["core/jobs/redis/step.lua"] = { ignore = { "211" } }
