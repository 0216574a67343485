/* Any bytes as JSON for a plugin: what is read can be written, and reads as the same again; with
 * arrays of numbers as floats it says the same, or refuses with the same words. */
#include "vm_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char exports[] =
    "f = function(app, text, more)\n"
    "  local function same(a, b)\n"
    "    if type(a) ~= 'table' or type(b) ~= 'table' then return a == b and type(a) == type(b) "
    "end\n"
    "    for k, v in pairs(a) do if not same(v, b[k]) then return false end end\n"
    "    for k in pairs(b) do if a[k] == nil then return false end end\n"
    "    return getmetatable(a) == getmetatable(b)\n"
    "  end\n"
    "  local function alike(a, b)\n"
    "    if type(b) == 'userdata' and b ~= app.json.null then\n"
    "      return type(a) == 'table' and app.kernels.floats(a):bytes() == b:bytes()\n"
    "    end\n"
    "    if type(a) ~= 'table' or type(b) ~= 'table' then return a == b end\n"
    "    for k, v in pairs(a) do if not alike(v, b[k]) then return false end end\n"
    "    for k in pairs(b) do if a[k] == nil then return false end end\n"
    "    return getmetatable(a) == getmetatable(b)\n"
    "  end\n"
    "  text = text .. more\n"
    "  local ok, value, why = pcall(app.json.decode, text)\n"
    "  if not ok then return 'raised: ' .. tostring(value) end\n"
    "  for _, path in ipairs({ 'data', 'items.data' }) do\n"
    "    local bulk, message = app.json.decode(text, { floats = path })\n"
    "    if message ~= why or not alike(value, bulk) then return path .. ' of ' .. text end\n"
    "  end\n"
    "  if value == nil then return nil end\n"
    "  local written, message = app.json.encode(value)\n"
    "  if not written then return 'not written: ' .. tostring(message) end\n"
    "  local again = app.json.decode(written)\n"
    "  if not same(value, again) then return text .. ' became ' .. written end\n"
    "end,";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_call(exports, data, size);
    return 0;
}
