--- app.kernels: all of it is C (bind/kernels_lua.c).
return function(raw)
  local kernels = {}
  for name, fn in pairs(raw) do
    kernels[name] = fn
  end
  return kernels
end
