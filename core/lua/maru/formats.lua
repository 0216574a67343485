--- What text may be besides text: dates, addresses, identifiers. Each format has a check, the words of its
--- error message, what JSON Schema calls it, and an example.
local find, gmatch, gsub, match = string.find, string.gmatch, string.gsub, string.match

local M = {}

local DAYS = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }

local function is_date(text)
  local year, month, day = match(text, "^(%d%d%d%d)%-(%d%d)%-(%d%d)$")
  year, month, day = tonumber(year), tonumber(month), tonumber(day)
  if not year or month < 1 or month > 12 or day < 1 then
    return false
  end
  local leap = year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
  return day <= DAYS[month] + (month == 2 and leap and 1 or 0)
end

--- "14:05:09.5+09:00", the offset required; a leap second only as 23:59:60 UTC (RFC 3339).
local function is_time(text)
  local hour, minute, second, rest = match(text, "^(%d%d):(%d%d):(%d%d)(.*)$")
  if not hour then
    return false
  end
  local zone = match(rest, "^%.%d+(.*)$") or rest
  local sign, zone_hour, zone_minute = match(zone, "^([+-])(%d%d):(%d%d)$")
  if not sign and zone ~= "Z" and zone ~= "z" then
    return false
  end
  hour, minute, second = tonumber(hour), tonumber(minute), tonumber(second)
  zone_hour, zone_minute = tonumber(zone_hour or 0), tonumber(zone_minute or 0)
  if hour > 23 or minute > 59 or second > 60 or zone_hour > 23 or zone_minute > 59 then
    return false
  elseif second < 60 then
    return true
  end
  local utc = hour * 60 + minute - (sign == "-" and -1 or 1) * (zone_hour * 60 + zone_minute)
  return utc % 1440 == 1439
end

local function is_datetime(text)
  local date, time = match(text, "^(..........)[Tt](.+)$")
  return date ~= nil and is_date(date) and is_time(time)
end

local function is_uuid(text)
  return #text == 36
    and find(text, "^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$") ~= nil
end

--- Letters, digits and inner hyphens, at most 63 bytes each, joined by dots. least: how many labels.
local function is_hostname(text, least)
  if #text > 253 or find(text, "%.%.") or find(text, "^%.") or find(text, "%.$") then
    return false
  end
  local count = 0
  for label in gmatch(text, "[^.]+") do
    count = count + 1
    if #label > 63 or not find(label, "^%w[%w-]*$") or find(label, "-$") then
      return false
    end
  end
  return count >= least
end

local function is_email(text)
  local name, host = match(text, "^([^@]+)@([^@]+)$")
  if not name or not find(name, "^[%w!#$%%&'*+/=?^_`{|}~.-]+$") then
    return false
  end
  return not find(name, "%.%.") and not find(name, "^%.") and not find(name, "%.$") and is_hostname(host, 2)
end

local function is_ipv4(text)
  local a, b, c, d = match(text, "^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
  if not a then
    return false
  end
  for _, part in ipairs({ a, b, c, d }) do
    if #part > 3 or tonumber(part) > 255 or #part > 1 and find(part, "^0") then
      return false
    end
  end
  return true
end

--- How many 16-bit groups stand in "1:2:3"; an address in dots at the very end counts as two. Or nil.
local function groups(text, may_end_in_dots)
  if text == "" then
    return 0
  end
  local count = 0
  for part, colon in gmatch(text .. ":", "([^:]*)(:)") do
    count = count + #colon
    if not find(part, "^%x%x?%x?%x?$") then
      local at_end = may_end_in_dots and count == select(2, gsub(text, ":", ":")) + 1
      if not (at_end and is_ipv4(part)) then
        return nil
      end
      count = count + 1
    end
  end
  return count
end

local function is_ipv6(text)
  local left, right = match(text, "^(.-)::(.*)$")
  if not left then
    return groups(text, true) == 8
  end
  local a, b = groups(left, false), groups(right, true)
  return a ~= nil and b ~= nil and a + b <= 7
end

--- An absolute http or https address of RFC 3986's characters, with a host.
local function is_url(text)
  local authority, rest = match(text, "^[Hh][Tt][Tt][Pp][Ss]?://([^/?#]+)(.*)$")
  if not authority or find(gsub(text, "%%%x%x", ""), "[^%w%-._~:/?#%[%]@!$&'()*+,;=]")
    or find(rest, "[%[%]]") or find(match(rest, "#(.*)$") or "", "#") then
    return false
  end
  local user, place = match(authority, "^(.*)@([^@]*)$")
  if user and find(user, "[%[%]@]") then
    return false
  end
  place = place or authority
  local host = match(place, "^(.*):%d*$") or place
  local bracketed = match(host, "^%[(.*)%]$")
  if bracketed then
    return is_ipv6(bracketed)
  end
  return host ~= "" and not find(host, "[%[%]:@]")
end

local function is_base64(text)
  return #text % 4 == 0 and find(text, "^[%w+/]*=?=?$") ~= nil
end

local BASE64 = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"

M.KNOWN = {
  date = { check = is_date, says = "a date such as 2026-11-21", example = "2026-11-21",
    schema = { format = "date" } },
  datetime = { check = is_datetime, says = "a time such as 2026-11-21T14:05:09+09:00",
    example = "2026-11-21T14:05:09+09:00", schema = { format = "date-time" } },
  time = { check = is_time, says = "a time of day such as 14:05:09+09:00", example = "14:05:09+09:00",
    schema = { format = "time" } },
  uuid = { check = is_uuid, says = "a UUID", example = "019aa3c2-7f00-7000-8000-0123456789ab",
    schema = { format = "uuid" } },
  email = { check = is_email, says = "an e-mail address", example = "kim@example.com",
    schema = { format = "email" } },
  url = { check = is_url, says = "an address with http or https", example = "https://example.com/page",
    schema = { format = "uri", pattern = "^[Hh][Tt][Tt][Pp][Ss]?://[^/?#]" } },
  hostname = { check = function(text) return is_hostname(text, 1) end, says = "a host name",
    example = "www.example.com", schema = { format = "hostname" } },
  ipv4 = { check = is_ipv4, says = "an IPv4 address", example = "192.0.2.1", schema = { format = "ipv4" } },
  ipv6 = { check = is_ipv6, says = "an IPv6 address", example = "2001:db8::1", schema = { format = "ipv6" } },
  base64 = { check = is_base64, says = "base64", example = "aGVsbG8=",
    schema = { contentEncoding = "base64", pattern = BASE64 } },
}

return M
