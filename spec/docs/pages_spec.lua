--- Every code block of docs/ is written, checked or run; see spec/support/page.lua.
local page = require("spec.support.page")
local server = require("spec.support.server")

for path in server.shell("find docs -name '*.md' | sort"):gmatch("%S+") do
  describe(path, function()
    local opened

    setup(function()
      opened = page.open(path)
    end)

    teardown(function()
      opened:close()
    end)

    for _, block in ipairs(page.blocks(path)) do
      it(("line %d: %s"):format(block.line, block.file or block.language), function()
        opened:step(block)
      end)
    end
  end)
end

describe("docs/reference.md and docs/configuration.md", function()
  it("are what scripts/reference writes", function()
    local output, status = server.shell("scripts/reference --check")
    assert.equal(0, status, output)
  end)
end)
