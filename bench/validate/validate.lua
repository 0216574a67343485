--- Checks two bodies as a route does, without a server: microseconds of CPU for one check, the best of many.
---   luajit bench/validate/validate.lua [--json]     with the JIT and without
local ROUNDS, TIMES = 40, 3000
package.path = "core/lua/?.lua;" .. package.path

local schema = require("maru.schema")
local as_json = arg[1] == "--json"
schema.setup({ null = setmetatable({}, {}), array_mark = { __metatable = "array" } })

local FLOATS = { model_name = "string(1,128)", data = "number[1,10000]", metadata = "any?" }
local ORDER = {
  id = "string(1,40)", status = "enum(open,paid,sent)", note = "string(,500)?", total = "number(0,)", paid = "boolean",
  customer = { type = "object", fields = { name = "string(1,80)", email = "string(3,100)", age = "integer(0,150)?" } },
  items = { type = "array", max = 100, items = { type = "object", fields = { sku = "string(1,20)", price = "number(0,)",
    count = "integer(1,1000)", tags = "string(1,20)[,5]?" } } },
  address = { type = "object", fields = { street = "string(1,100)", city = "string(1,50)",
    zip = { type = "string", pattern = "%d%d%d%d%d" }, country = { type = "string", default = "KR" } } },
}

local function floats()
  local value = { model_name = "lstm-v1", data = {} }
  for i = 1, 100 do
    value.data[i] = i * 3.7 + 0.001
  end
  return value
end

local function order()
  local value = { id = "order-2026-000123", status = "paid", note = "leave it at the door", total = 123.45, paid = true,
    customer = { name = "Kim Minji", email = "minji@example.com", age = 31 }, items = {},
    address = { street = "12 Sejong-daero", city = "Seoul", zip = "04524" } }
  for i = 1, 10 do
    value.items[i] = { sku = "SKU-" .. i * 1111, price = i * 1.25, count = i, tags = { "a" .. i, "b" .. i } }
  end
  return value
end

local function measure(fields, value, mode)
  local check, best = schema.compile(fields), math.huge
  for _ = 1, ROUNDS do
    local began = os.clock()
    for _ = 1, TIMES do
      check(value, "body", mode)
    end
    best = math.min(best, (os.clock() - began) / TIMES * 1e6)
  end
  return best
end

for _, compiled in ipairs({ true, false }) do
  jit[compiled and "on" or "off"]()
  jit.flush()
  for _, case in ipairs({ { "100 floats", FLOATS, floats }, { "nested 1 KB", ORDER, order } }) do
    for _, mode in ipairs({ "json", "lua" }) do
      local how = mode == "json" and "a body" or "app.schema.check"
      local name = ("%s, %s, JIT %s"):format(case[1], how, compiled and "on" or "off")
      local value = measure(case[2], case[3](), mode)
      print((as_json and '{"group":"validate","name":"%s","value":%.3f,"unit":"us","runs":%d}' or "%-42s %7.3f us")
        :format(name, value, ROUNDS))
    end
  end
end
