--- Wraps a route's handler: checks path, query, headers and body first and answers with every wrong
--- field in one problem document (RFC 9457). In development the answer is checked too.
local format = string.format

local HEADERS = { ["content-type"] = "application/problem+json" }

local function problem(req, errors, count)
  return 422, {
    type = "about:blank", title = "Unprocessable Content", status = 422, code = "invalid",
    detail = count == 1 and errors[1].field .. ": " .. errors[1].message or count .. " fields are wrong",
    instance = req.id, errors = errors, errors_left_off = count > #errors and count - #errors or nil,
  }, HEADERS
end

--- The errors of one part behind those of the parts before it; each says where it belongs.
local function append(wrong, part, errors, count)
  wrong = wrong or { count = 0 }
  for i = 1, #errors do
    errors[i]["in"] = part
    wrong[#wrong + 1] = errors[i]
  end
  wrong.count = wrong.count + count
  return wrong
end

--- The declared headers only: a request has others that nobody declared.
local function declared(names, headers)
  local some = {}
  for name in pairs(names) do
    some[name] = headers[name]
  end
  return some
end

local function with_checked(headers, checked)
  local all = {}
  for name, value in pairs(headers) do
    all[name] = value
  end
  for name, value in pairs(checked) do
    all[name] = value
  end
  return all
end

local function has_success(answers)
  for status in pairs(answers) do
    if status < 400 then
      return true
    end
  end
  return false
end

--- The handler with its answers checked: one that does not fit raises, so that the log has it and, in
--- development, the client too. Bodies that are text already, and statuses from 400 that nobody declared,
--- pass.
local function answer_checker(label, answers, fn)
  local complete = has_success(answers)
  return function(app, req)
    local status, body, headers = fn(app, req)
    if type(status) ~= "number" or type(body) == "string" then
      return status, body, headers
    end
    local declaration = answers[status]
    if not declaration and status < 400 and complete then
      error(format("%s: the status %d is not among the declared answers", label, status), 0)
    elseif declaration and declaration.check then
      local _, errors, count = declaration.check(body, "body", "answer")
      if errors then
        error(format("%s: the answer %d does not fit its declaration: %s %s%s", label, status,
          errors[1].field, errors[1].message, count > 1 and format(" (and %d more)", count - 1) or ""), 0)
      end
    end
    return status, body, headers
  end
end

--- handler: what contract.lua noted, { name, fn, checks }.
return function(handler, http, development)
  local fn, checks = handler.fn, handler.checks
  local check_path, check_query = checks.path, checks.query
  local check_headers, check_body = checks.headers, checks.body
  local header_names, body_optional = checks.header_names, checks.body_optional
  if development and checks.answers then
    fn = answer_checker(handler.name, checks.answers, fn)
  end
  if not (check_path or check_query or check_headers or check_body) then
    return fn
  end

  local function check_address(req, wrong)
    if check_path then
      local checked, errors, count = check_path(req.params, "path", "text")
      if checked then
        http.set(req, "params", checked)
      else
        wrong = append(wrong, "path", errors, count)
      end
    end
    if check_query then
      local checked, errors, count = check_query(req.query, "query", "text")
      if checked then
        http.set(req, "query", checked)
      else
        wrong = append(wrong, "query", errors, count)
      end
    end
    return wrong
  end

  local function check_content(req, wrong)
    if check_headers then
      local checked, errors, count = check_headers(declared(header_names, req.headers), "headers", "text")
      if checked then
        http.set(req, "headers", with_checked(req.headers, checked))
      else
        wrong = append(wrong, "headers", errors, count)
      end
    end
    if check_body then
      local body = http.body(req, body_optional)
      if body == nil then
        body = {}
      end
      local checked, errors, count = check_body(body, "body", "json")
      if errors then
        wrong = append(wrong, "body", errors, count)
      else
        http.set(req, "body", checked)
      end
    end
    return wrong
  end

  return function(app, req)
    local wrong = check_address(req)
    wrong = check_content(req, wrong)
    if wrong then
      local count = wrong.count
      wrong.count = nil
      return problem(req, wrong, count)
    end
    return fn(app, req)
  end
end
