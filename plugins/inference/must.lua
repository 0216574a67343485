--- What a storage call gave, or its message as an error: in a job that is a retry, in a route a
--- 500. Unlike assert it lets false through, which means "no such row".
return function(value, message, ...)
  if value == nil then
    error(message or "no answer from storage", 0)
  end
  return value, message, ...
end
