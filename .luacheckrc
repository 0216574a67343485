std = "luajit"
max_line_length = 120
exclude_files = { "build", "node_modules", "bench/http/common", "bench/http/nginx-lua", "bench/reload",
  "core/lua/maru/maru.d.lua",
  "core/lua/maru/test/test.d.lua" }
files["spec"] = { std = "luajit+busted" }
files["core/cli/scaffold/spec.lua"] = { std = "luajit+busted", read_globals = { "test" } }
files["spec/support/probe"] = { std = "luajit", ignore = { "212", "241" } } -- handlers that misbehave on purpose
files["plugins/*/spec"] = { std = "luajit+busted", read_globals = { "test" } }
