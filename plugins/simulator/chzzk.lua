--- CHZZK's wire formats: the web list with its pair cursor, the Open API's list with its text.
local stamp = require("stamp")

local M = {}

local function thumbnail(live, id)
  return string.format("https://livecloud-thumb.example/chzzk/%d/live/%d/image_{type}.jpg",
    27300000 + live.channel.index, id)
end

local function live_id(live)
  return 20000000 + live.number
end

local function tags(app, words, live)
  return app.json.array({ unpack(words.tags[live.category.kind], 1, 2) })
end

local function web_item(app, words, live)
  local null, id, one = app.json.null, live_id(live), live.channel
  return {
    liveId = id, liveTitle = live.title,
    liveImageUrl = one.adult and null or thumbnail(live, id),
    defaultThumbnailImageUrl = null, concurrentUserCount = live.viewers, cvExposure = true,
    accumulateCount = 0, openDate = stamp(app, live.started_at), adult = one.adult,
    tags = tags(app, words, live), categoryType = live.category.type,
    liveCategory = live.category.id, liveCategoryValue = live.category.name,
    dropsCampaignNo = null, watchPartyNo = null, watchPartyTag = null,
    watchPartyPaidProductId = null, watchPartyType = null, paidProductId = null,
    channel = {
      channelId = one.channel_id, channelName = one.name, channelImageUrl = "",
      verifiedMark = one.verified, verifiedMarkType = null, officialChannel = false,
      activatedChannelBadgeIds = app.json.array({}), firstBroadcastDate = "2024-02-02 20:01:11",
    },
    blindType = null, tvAppViewingPolicyType = "ALLOWED", party = null,
  }
end

local function open_item(app, words, live)
  local id, one = live_id(live), live.channel
  return {
    liveId = id, liveTitle = live.title, liveThumbnailImageUrl = thumbnail(live, id),
    concurrentUserCount = live.viewers, openDate = stamp(app, live.started_at),
    adult = one.adult, tags = tags(app, words, live), categoryType = live.category.type,
    liveCategory = live.category.id, liveCategoryValue = live.category.name,
    channelId = one.channel_id, channelName = one.name, channelImageUrl = "",
  }
end

--- The lives behind a place in the order. @return table[] page, table|nil last, boolean more
local function page(lives, size, viewers, id)
  local result = {}
  for _, live in ipairs(lives) do
    local behind = not viewers or live.viewers < viewers
      or live.viewers == viewers and live_id(live) < id
    if behind then
      if #result == size then
        return result, result[#result], true
      end
      result[#result + 1] = live
    end
  end
  return result, result[#result], false
end

local function envelope(app, content)
  return { code = 200, message = app.json.null, content = content }
end

local function items(app, words, lives, make)
  local list = {}
  for index, live in ipairs(lives) do
    list[index] = make(app, words, live)
  end
  return app.json.array(list)
end

function M.web(app, words, lives, query)
  local size = math.min(tonumber(query.size) or 20, 50)
  local found, last, more = page(lives, size, tonumber(query.concurrentUserCount),
    tonumber(query.liveId) or 0)
  local null = app.json.null
  return envelope(app, {
    size = #found, data = items(app, words, found, web_item),
    page = #found == 0 and null or {
      next = more and { concurrentUserCount = last.viewers, liveId = live_id(last) } or null,
      prev = null,
    },
  })
end

function M.open(app, words, lives, query)
  local size = math.min(tonumber(query.size) or 20, 20)
  local place = query.next and app.crypto.unbase64(query.next) or ""
  local viewers, id = place:match("^(%d+):(%d+)$")
  local found, last, more = page(lives, size, tonumber(viewers), tonumber(id) or 0)
  local null = app.json.null
  return envelope(app, {
    data = items(app, words, found, open_item),
    page = {
      next = more and app.crypto.base64(last.viewers .. ":" .. live_id(last)) or null,
    },
  })
end

return M
