--- app.kernels' functions, of a host that may be older than this plugin.
return function(app, name)
  local fn = rawget(app.kernels, name)
  if not fn then
    error(app.fail(422, "unsupported", "this server has no kernel for it: " .. name))
  end
  return fn
end
