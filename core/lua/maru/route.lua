--- Wraps a route's handler: checks path, query, headers and body first and answers with every wrong
--- field in one problem document (RFC 9457).

local HEADERS = { ["content-type"] = "application/problem+json" }

local function problem(errors)
  return 422, {
    type = "about:blank", title = "Unprocessable Content", status = 422, code = "invalid",
    detail = #errors == 1 and errors[1].field .. ": " .. errors[1].message
      or #errors .. " fields are wrong",
    errors = errors,
  }, HEADERS
end

local function append(all, errors)
  for i = 1, #errors do
    all[#all + 1] = errors[i]
  end
  return all
end

--- The declared headers only: a request has others that nobody declared.
local function declared(names, headers)
  local some = {}
  for name in pairs(names) do
    some[name] = headers[name]
  end
  return some
end

return function(handler, checks, http)
  local check_path, check_query = checks.path, checks.query
  local check_headers, check_body = checks.headers, checks.body
  local header_names = checks.header_names

  local function check_address(req, wrong)
    if check_path then
      local checked, errors = check_path(req.params, "path", true)
      if checked then
        http.set(req, "params", checked)
      else
        wrong = append(wrong or {}, errors)
      end
    end
    if check_query then
      local checked, errors = check_query(req.query, "query", true)
      if checked then
        http.set(req, "query", checked)
      else
        wrong = append(wrong or {}, errors)
      end
    end
    return wrong
  end

  local function check_content(req, wrong)
    if check_headers then
      local checked, errors = check_headers(declared(header_names, req.headers), "headers", true)
      if not checked then
        wrong = append(wrong or {}, errors)
      else
        local headers = {}
        for name, value in pairs(req.headers) do
          headers[name] = value
        end
        for name, value in pairs(checked) do
          headers[name] = value
        end
        http.set(req, "headers", headers)
      end
    end
    if check_body then
      local checked, errors = check_body(req:json(), "body")
      if checked then
        http.set(req, "body", checked)
      else
        wrong = append(wrong or {}, errors)
      end
    end
    return wrong
  end

  return function(app, req)
    local wrong = check_address(req)
    wrong = check_content(req, wrong)
    if wrong then
      return problem(wrong)
    end
    return handler(app, req)
  end
end
