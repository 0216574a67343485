--- A notice as Slack wants it: escaped, in blocks that keep its limits.
local M = {}

local HEADER, SECTION, BLOCKS, TEXT = 150, 3000, 50, 4000 -- letters; of the fallback text as recommended
local ESCAPES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" }

--- Nothing in it is a mention or a link any more.
function M.escape(text)
  return (text:gsub("[&<>]", ESCAPES))
end

--- Escaped pieces of at most `most` letters, cut between letters and never inside an escape.
function M.pieces(text, most)
  local pieces, piece, n = {}, {}, 0
  for letter in text:gmatch("[%z\1-\127\194-\244][\128-\191]*") do
    local escaped = ESCAPES[letter] or letter
    local length = ESCAPES[letter] and #escaped or 1
    if n + length > most then
      pieces[#pieces + 1] = table.concat(piece)
      piece, n = {}, 0
    end
    piece[#piece + 1], n = escaped, n + length
  end
  if n > 0 then
    pieces[#pieces + 1] = table.concat(piece)
  end
  return pieces
end

--- What is posted to the webhook.
function M.message(notice)
  local title = M.pieces(notice.title, HEADER)[1] or "-"
  local blocks = { { type = "header", text = { type = "plain_text", text = title } } }
  local pieces = M.pieces(notice.lines, SECTION)
  for i, piece in ipairs(pieces) do
    if #blocks == BLOCKS - 1 then
      pieces.left = #pieces - i + 1
      break
    end
    blocks[#blocks + 1] = { type = "section", text = { type = "mrkdwn", text = piece, verbatim = true } }
  end
  local note = ("%s · %d"):format(notice.event, notice.count) .. (pieces.left and (" · +" .. pieces.left) or "")
  blocks[#blocks + 1] = { type = "context", elements = { { type = "mrkdwn", text = M.escape(note) } } }
  return { text = M.pieces(notice.title .. "\n" .. notice.lines, TEXT)[1], blocks = blocks }
end

return M
