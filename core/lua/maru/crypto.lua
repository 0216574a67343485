--- app.crypto: all of it is C (bind/crypto_lua.c).
return function(raw)
  local crypto = {}
  for name, fn in pairs(raw) do
    crypto[name] = fn
  end
  return crypto
end
