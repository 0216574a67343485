"""Forecasts by maru itself: a plugin made for the purpose, whose spec calls app.kernels.forecaster inside `maru test`."""

import os
import subprocess
import tempfile

import numpy as np

ROWS = 500  # of a test; the windows of the longest take a few seconds

PLUGIN = """--- Forecasts windows of a file, for scripts/train/backtest.
return { name = "backtest", version = "1.0.0" }
"""

SPEC = """
local folder, points, rows, horizon = "%s", %d, %d, %d

local function read(name)
  local file = assert(io.open(folder .. "/" .. name, "rb"))
  local bytes = file:read("*a")
  file:close()
  return bytes
end

describe("forecasts", function()
  for first = 0, rows - 1, %d do
    it("of windows from " .. first, function()
      local kernels = test:app().kernels
      local model = assert(kernels.forecaster(read("model")))
      local windows, list = read("windows"), {}
      for row = first, math.min(first + %d, rows) - 1 do
        list[#list + 1] = kernels.floats(windows:sub(row * points * 4 + 1, (row + 1) * points * 4))
      end
      local out = assert(io.open(folder .. "/forecasts", "ab"))
      for _, answer in ipairs(assert(model:forecast(list, { horizon = horizon }))) do
        assert.is_nil(answer.error)
        for _, quantile in ipairs(%s) do
          out:write(kernels.floats(quantile):bytes())
        end
      end
      out:close()
    end)
  end
end)
"""


def forecast(maru, model, windows, horizon, wanted="answer.quantiles"):
    """[n][horizon][quantiles] (or of what else is wanted) of the binary `maru` for the model file, from windows [n][points]."""
    with tempfile.TemporaryDirectory() as folder:
        spec = os.path.join(folder, "plugins/backtest/spec")
        os.makedirs(spec)
        with open(os.path.join(folder, "plugins/backtest/plugin.lua"), "w") as file:
            file.write(PLUGIN)
        text = SPEC % (folder, windows.shape[1], len(windows), horizon, ROWS, ROWS, wanted)
        with open(os.path.join(spec, "backtest_spec.lua"), "w") as file:
            file.write(text)
        os.symlink(os.path.abspath(model), os.path.join(folder, "model"))
        windows.astype("<f4").tofile(os.path.join(folder, "windows"))
        done = subprocess.run([os.path.abspath(maru), "test", "backtest"], cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        found = np.fromfile(os.path.join(folder, "forecasts"), "<f4").astype(np.float64)
    return found.reshape(len(windows), -1, horizon).transpose(0, 2, 1)


class Product:
    """A forecast.Model, run by the binary."""

    def __init__(self, maru, model):
        self.maru, self.path, self.name, self.metadata = maru, model.path, model.name, model.metadata

    def quantiles(self, windows, horizon):
        return forecast(self.maru, self.path, windows, horizon)

    def __call__(self, windows, horizon):
        return forecast(self.maru, self.path, windows, horizon, "{ answer.forecast }")[:, :, 0]
