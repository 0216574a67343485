--- An instant as both platforms write it: Korean time without an offset.
return function(app, seconds)
  local day, clock = app.text.format_time(seconds, "+09:00"):match("^(.-)T(%d+:%d+:%d+)")
  return day .. " " .. clock
end
