--- app.json: all of it is C (bind/json_lua.c).
return function(raw)
  return { encode = raw.encode, decode = raw.decode, array = raw.array, null = raw.null }
end
