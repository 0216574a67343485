/* Any text, or any JSON, as a declaration of fields; any JSON as the value: a checked value that is
 * right, a list of what is wrong, or a message for the author. */
#include "vm_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char exports[] =
    "f = function(app, declared, text)\n"
    "  local fields = app.json.decode(declared)\n"
    "  if type(fields) ~= 'table' then fields = { x = declared } end\n"
    "  local value = app.json.decode(text)\n"
    "  if value == nil then value = { x = text } end\n"
    "  local ok, good, errors = pcall(app.schema.check, fields, value)\n"
    "  if not ok then\n"
    "    if type(good) ~= 'string' then return nil end\n"
    "    return good:find('^[%w/_.]+:%d+: attempt to') and good\n"
    "      or good:find('^[%w/_.]+:%d+: bad argument') and good or nil\n"
    "  end\n"
    "  if good ~= nil then\n"
    "    local again = app.schema.check(fields, good)\n"
    "    return again == nil and 'what was checked is wrong when it is checked again: '\n"
    "      .. app.json.encode(good) or nil\n"
    "  end\n"
    "  if type(errors) ~= 'table' or #errors == 0 then return 'no value and nothing wrong' end\n"
    "end,";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_call(exports, data, size);
    return 0;
}
