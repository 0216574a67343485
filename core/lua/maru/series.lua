--- app.series: time series, over bind/series_lua.c.

return function(raw)
  local series = {}

  --- Appends one batch of points, all or nothing; returns how many. (waits)
  function series:append(name, rows) -- luacheck: no self
    return raw.append(name, rows)
  end

  --- Newest point of each line, as an array of tables. (waits)
  function series:latest(name, options) -- luacheck: no self
    return raw.latest(name, options)
  end

  --- Points in time order, as columns. (waits)
  function series:window(name, options) -- luacheck: no self
    return raw.window(name, options)
  end

  --- One row for each line and step, as columns; counts = points in each. (waits)
  function series:downsample(name, options) -- luacheck: no self
    return raw.downsample(name, options)
  end

  --- { points, lines, first, last }. (waits)
  function series:stats(name, options) -- luacheck: no self
    return raw.stats(name, options)
  end

  --- Path of a Parquet file with the points. (waits)
  function series:export(name, options) -- luacheck: no self
    return raw.export(name, options)
  end

  --- One SELECT over this plugin's series, each a table of its name. (waits)
  function series:query(sql, options) -- luacheck: no self
    return raw.query(sql, options)
  end

  --- Bytes of a Parquet file with what a query answered. (waits)
  function series:parquet(answer) -- luacheck: no self
    return raw.parquet(answer)
  end

  return series
end
