--- app.text: all of it is C (bind/text_lua.c).
return function(raw)
  local text = {}
  for name, fn in pairs(raw) do
    text[name] = fn
  end
  return text
end
