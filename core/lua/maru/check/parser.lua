--- What a Lua source that compiles does, as flat lists: calls, indexes, names and where each is bound.
--
-- Expressions are tables with `k`: name str func table index call method bin other; `pos` is a place in the
-- text. A binding is { name, pos, k = "local" | "param" | "loop", init, assigned, reads, func, number }.
local lexer = require "maru.check.lexer"

local M = {}

local UNARY = { ["not"] = true, ["-"] = true, ["#"] = true }
local LEFT = { ["or"] = 1, ["and"] = 2, ["<"] = 3, [">"] = 3, ["<="] = 3, [">="] = 3, ["~="] = 3, ["=="] = 3,
  [".."] = 5, ["+"] = 6, ["-"] = 6, ["*"] = 7, ["/"] = 7, ["%"] = 7, ["^"] = 10 }
local RIGHT = { [".."] = 4, ["^"] = 9 }
local UNARY_POWER = 8
local BLOCK_END = { ["end"] = true, ["else"] = true, ["elseif"] = true, ["until"] = true, ["end of file"] = true }

-- `goto` is a name wherever no statement begins with it.
local NAME = { name = true, ["goto"] = true }

local Parser = {}
Parser.__index = Parser

function Parser:next()
  local token = self.tokens[self.at]
  self.at = self.at + 1
  return token
end

function Parser:is(kind, ahead)
  return self.tokens[math.min(self.at + (ahead or 0), #self.tokens)].kind == kind
end

function Parser:accept(kind)
  if self:is(kind) then
    return self:next()
  end
end

-- ---- scopes ------------------------------------------------------------------------------------

function Parser:open()
  self.scope = { up = self.scope, names = {} }
end

function Parser:close()
  self.scope = self.scope.up
end

function Parser:bind(token, kind, init)
  local binding = { name = token.value, pos = token.pos, k = kind, init = init, reads = 0, func = self.func }
  self.scope.names[token.value] = binding
  self.out.bindings[#self.out.bindings + 1] = binding
  return binding
end

function Parser:find(name)
  local scope = self.scope
  while scope do
    if scope.names[name] then
      return scope.names[name]
    end
    scope = scope.up
  end
end

function Parser:name_node(token)
  local node = { k = "name", name = token.value, pos = token.pos, binding = self:find(token.value) }
  if node.binding then
    node.binding.reads = node.binding.reads + 1
  end
  self.out.names[#self.out.names + 1] = node
  return node
end

-- ---- expressions -------------------------------------------------------------------------------

local function string_node(token)
  return { k = "str", value = token.value, pos = token.pos, content = token.content, exact = token.exact }
end

function Parser:string_node(token)
  local node = string_node(token)
  self.out.strings[#self.out.strings + 1] = node
  return node
end

function Parser:index_node(object, key, pos)
  local node = { k = "index", object = object, key = key, pos = pos }
  self.out.indexes[#self.out.indexes + 1] = node
  return node
end

function Parser:table_item()
  if NAME[self.tokens[self.at].kind] and self:is("=", 1) then
    local token = self:next()
    self:next()
    return { key = { k = "str", value = token.value, pos = token.pos }, value = self:expression() }
  elseif self:accept("[") then
    local key = self:expression()
    self:next()
    self:next()
    return { key = key, value = self:expression() }
  end
  return { value = self:expression() }
end

function Parser:table_node()
  local node = { k = "table", pos = self:next().pos, items = {} }
  while not self:is("}") do
    node.items[#node.items + 1] = self:table_item()
    if not self:accept(",") then
      self:accept(";")
    end
  end
  self:next()
  return node
end

--- The arguments of a call that begins at the present token.
function Parser:arguments()
  if self:is("string") then
    return { self:string_node(self:next()) }
  elseif self:is("{") then
    return { self:table_node() }
  end
  self:next()
  local list = self:is(")") and {} or self:expressions()
  self:next()
  return list
end

--- (a, b, ...) block end; own: the name of a method's hidden first parameter.
function Parser:function_body(pos, own)
  local node = { k = "func", pos = pos, params = {}, up = self.func }
  local outer = self.func
  self.func = node
  self.out.functions[#self.out.functions + 1] = node
  self:open()
  self:next()
  if own then
    node.params[1] = self:bind({ value = own, pos = pos }, "param")
  end
  while not self:accept(")") do
    local token = self:next()
    if NAME[token.kind] then
      node.params[#node.params + 1] = self:bind(token, "param")
      node.params[#node.params].number = #node.params
    end
  end
  self:block()
  self:next()
  self:close()
  self.func = outer
  return node
end

function Parser:primary()
  local token = self:next()
  if NAME[token.kind] then
    return self:name_node(token)
  end
  local inner = self:expression() -- "("
  self:next()
  return { k = "paren", inner = inner, pos = token.pos }
end

function Parser:suffixed()
  local node = self:primary()
  while true do
    local token = self.tokens[self.at]
    if token.kind == "." then
      self:next()
      local name = self:next()
      node = self:index_node(node, { k = "str", value = name.value, pos = name.pos }, name.pos)
    elseif token.kind == "[" then
      self:next()
      local key = self:expression()
      self:next()
      node = self:index_node(node, key, key.pos)
    elseif token.kind == ":" then
      self:next()
      local name = self:next()
      node = { k = "method", object = node, name = name.value, pos = name.pos, args = self:arguments() }
      self.out.calls[#self.out.calls + 1] = node
    elseif token.kind == "(" or token.kind == "string" or token.kind == "{" then
      node = { k = "call", fn = node, pos = node.pos, args = self:arguments() }
      self.out.calls[#self.out.calls + 1] = node
    else
      return node
    end
  end
end

function Parser:simple()
  local token = self.tokens[self.at]
  if token.kind == "string" then
    return self:string_node(self:next())
  elseif token.kind == "{" then
    return self:table_node()
  elseif token.kind == "function" then
    return self:function_body(self:next().pos)
  elseif NAME[token.kind] or token.kind == "(" then
    return self:suffixed()
  end
  self:next() -- nil true false number ...
  return { k = "other", what = token.kind, pos = token.pos }
end

function Parser:expression(power)
  local node
  if UNARY[self.tokens[self.at].kind] then
    local token = self:next()
    node = { k = "other", what = token.kind, pos = token.pos, inner = self:expression(UNARY_POWER) }
  else
    node = self:simple()
  end
  while true do
    local operator = self.tokens[self.at]
    local left = LEFT[operator.kind]
    if not left or left <= (power or 0) then
      return node
    end
    self:next()
    node = { k = "bin", op = operator.kind, a = node, pos = node.pos,
      b = self:expression(RIGHT[operator.kind] or left) }
  end
end

function Parser:expressions()
  local list = {}
  repeat
    list[#list + 1] = self:expression()
  until not self:accept(",")
  return list
end

-- ---- statements --------------------------------------------------------------------------------

function Parser:assign(target, value)
  if target.k == "name" and target.binding then
    target.binding.assigned = true
    target.binding.reads = target.binding.reads - 1
  elseif target.k == "index" then
    target.written = true
  end
  target.target = true
  self.out.assigns[#self.out.assigns + 1] = { target = target, value = value, func = self.func }
end

function Parser:local_statement()
  if self:accept("function") then
    local binding = self:bind(self:next(), "local")
    binding.init = self:function_body(binding.pos)
    return
  end
  local tokens = {}
  repeat
    tokens[#tokens + 1] = self:next()
  until not self:accept(",")
  local values = self:accept("=") and self:expressions() or {}
  for i, token in ipairs(tokens) do
    self:bind(token, "local", values[i])
  end
end

function Parser:function_statement()
  local target, own = self:name_node(self:next()), nil
  while self:is(".") or self:is(":") do
    own = self:next().kind == ":" and "self" or nil
    local name = self:next()
    target = self:index_node(target, { k = "str", value = name.value, pos = name.pos }, name.pos)
  end
  self:assign(target, self:function_body(target.pos, own))
end

function Parser:for_statement()
  local tokens = {}
  repeat
    tokens[#tokens + 1] = self:next()
  until not self:accept(",")
  self:next() -- "=" or "in"
  self:expressions()
  self:open()
  for _, token in ipairs(tokens) do
    self:bind(token, "loop")
  end
  self:next() -- do
  self:block()
  self:next()
  self:close()
end

function Parser:if_statement()
  self:expression()
  self:next() -- then
  self:scoped_block()
  while self:accept("elseif") do
    self:expression()
    self:next()
    self:scoped_block()
  end
  if self:accept("else") then
    self:scoped_block()
  end
  self:next()
end

function Parser:scoped_block()
  self:open()
  self:block()
  self:close()
end

function Parser:expression_statement()
  local targets = { self:suffixed() }
  while self:accept(",") do
    targets[#targets + 1] = self:suffixed()
  end
  if self:accept("=") then
    local values = self:expressions()
    for i, target in ipairs(targets) do
      self:assign(target, values[i])
    end
  end
end

local STATEMENTS = {
  ["local"] = Parser.local_statement,
  ["function"] = Parser.function_statement,
  ["for"] = Parser.for_statement,
  ["if"] = Parser.if_statement,
  ["while"] = function(self)
    self:expression()
    self:next()
    self:scoped_block()
    self:next()
  end,
  ["do"] = function(self)
    self:scoped_block()
    self:next()
  end,
  ["repeat"] = function(self)
    self:open()
    self:block()
    self:next()
    self:expression() -- sees the block's names
    self:close()
  end,
  ["return"] = function(self)
    local values = {}
    if not BLOCK_END[self.tokens[self.at].kind] and not self:is(";") then
      values = self:expressions()
    end
    self.out.returns[#self.out.returns + 1] = { values = values, func = self.func }
  end,
  ["goto"] = Parser.next,
  ["::"] = function(self)
    self:next()
    self:next()
  end,
  ["break"] = function() end,
  [";"] = function() end,
}

function Parser:block()
  while not BLOCK_END[self.tokens[self.at].kind] do
    local statement = STATEMENTS[self.tokens[self.at].kind]
    if statement and not (self:is("goto") and not self:is("name", 1)) then
      self:next()
      statement(self)
    else
      self:expression_statement()
    end
  end
end

--- Lists of what the text, which must compile, contains; see the top of this file.
function M.read(text)
  local out = { bindings = {}, names = {}, strings = {}, indexes = {}, calls = {}, functions = {}, assigns = {},
    returns = {} }
  local parser = setmetatable({ tokens = lexer.read(text), at = 1, out = out }, Parser)
  parser:open()
  parser:block()
  return out
end

return M
