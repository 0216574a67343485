# cmake -DROOT= -DLIST= -DTEXT_ROOT= -DTEXT_LIST= -DOUT= -P: writes the C file that core/vm/embedded.h declares.
set(arrays "")
set(count 0)

# Appends the file's bytes to arrays, and its row to the named table.
function(add table root name key)
  file(READ ${root}/${name} hex HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
  string(APPEND arrays "static const unsigned char file_${count}[] = {${bytes}0};\n")
  string(APPEND ${table} "    {\"${key}\", file_${count}, sizeof(file_${count}) - 1},\n")
  math(EXPR count "${count} + 1")
  set(arrays "${arrays}" PARENT_SCOPE)
  set(${table} "${${table}}" PARENT_SCOPE)
  set(count ${count} PARENT_SCOPE)
endfunction()

set(lua "")
file(STRINGS ${LIST} names)
foreach(name ${names})
  string(REGEX REPLACE "\\.lua$" "" module ${name})
  string(REPLACE "/" "." module ${module})
  add(lua ${ROOT} ${name} ${module})
endforeach()
set(lua_count ${count})

set(text "")
file(STRINGS ${TEXT_LIST} names)
foreach(name ${names})
  add(text ${TEXT_ROOT} ${name} ${name})
endforeach()

file(WRITE ${OUT} "#include \"vm/embedded.h\"\n\n${arrays}\n"
  "const struct embedded_file embedded_lua[] = {\n${lua}    {0, 0, 0},\n};\n"
  "const size_t embedded_lua_count = ${lua_count};\n"
  "const struct embedded_file embedded_text[] = {\n${text}    {0, 0, 0},\n};\n")
