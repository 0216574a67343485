--- app.metrics: counters, gauges and histograms named maru_plugin_<name>{plugin="…",…}.

return function(raw)
  local metrics = {}

  local function method(name, kind, update, default)
    local plain = {} -- handles of metrics without labels
    metrics[name] = function(self, metric, value, labels)
      if self ~= metrics then
        error("app.metrics:" .. name .. "(name, value, [labels]): call it with a colon", 2)
      end
      local handle = labels == nil and plain[metric]
      if not handle then
        handle = raw.handle(kind, metric, labels)
        if labels == nil then
          plain[metric] = handle
        end
      end
      update(handle, value == nil and default or value)
    end
  end

  method("count", "counter", raw.add, 1)
  method("gauge", "gauge", raw.set, nil)
  method("observe", "histogram", raw.observe, nil)
  return metrics
end
