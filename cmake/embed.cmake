# Puts core/lua/maru/**.lua into the program: bytecode with line numbers from the
# LuaJIT that is linked, or the source text when that has no compiler at hand.
# Texts (maru.d.lua and what `maru new` writes) go in as they are.
# Sets embedded_c to the generated file.
set(embed_root ${CMAKE_CURRENT_SOURCE_DIR}/core/lua)
file(GLOB_RECURSE embed_sources CONFIGURE_DEPENDS RELATIVE ${embed_root} ${embed_root}/maru/*.lua)
list(FILTER embed_sources EXCLUDE REGEX "\\.d\\.lua$")
list(SORT embed_sources)

# Bytecode is only good for the version that made it.
set(embed_compiler "")
if(LUAJIT_PROGRAM)
  execute_process(COMMAND ${LUAJIT_PROGRAM} -e "io.write(jit.version)" OUTPUT_VARIABLE found)
  execute_process(COMMAND ${LUAJIT_PROGRAM} -b -g -e "return 1" ${CMAKE_BINARY_DIR}/probe.raw
    RESULT_VARIABLE cannot ERROR_QUIET)
  if(NOT cannot AND (MARU_LUAJIT OR found STREQUAL "LuaJIT ${luajit_VERSION}"))
    set(embed_compiler ${LUAJIT_PROGRAM})
  endif()
endif()

set(embed_pieces)
foreach(source ${embed_sources})
  set(piece ${CMAKE_BINARY_DIR}/embed/${source})
  if(embed_compiler)
    # Run from core/lua, so that errors say "maru/app.lua:7".
    set(make_piece ${embed_compiler} -b -g -t raw ${source} ${piece})
  else()
    set(make_piece ${CMAKE_COMMAND} -E copy ${source} ${piece})
  endif()
  cmake_path(GET piece PARENT_PATH piece_dir)
  add_custom_command(OUTPUT ${piece} COMMAND ${CMAKE_COMMAND} -E make_directory ${piece_dir}
    COMMAND ${make_piece} WORKING_DIRECTORY ${embed_root} DEPENDS ${embed_root}/${source} VERBATIM)
  list(APPEND embed_pieces ${piece})
endforeach()

set(embedded_c ${CMAKE_BINARY_DIR}/embedded.c)
list(JOIN embed_sources "\n" embed_names)
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/embedded.list CONTENT "${embed_names}\n")
file(GLOB_RECURSE embed_texts CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR}
  ${CMAKE_CURRENT_SOURCE_DIR}/core/cli/scaffold/*)
list(SORT embed_texts)
list(APPEND embed_texts core/lua/maru/maru.d.lua core/lua/maru/test/test.d.lua)
list(TRANSFORM embed_texts PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/ OUTPUT_VARIABLE embed_text_paths)
list(JOIN embed_texts "\n" embed_names)
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/embedded_text.list CONTENT "${embed_names}\n")
add_custom_command(OUTPUT ${embedded_c}
  COMMAND ${CMAKE_COMMAND} -DROOT=${CMAKE_BINARY_DIR}/embed -DLIST=${CMAKE_BINARY_DIR}/embedded.list
          -DTEXT_ROOT=${CMAKE_CURRENT_SOURCE_DIR} -DTEXT_LIST=${CMAKE_BINARY_DIR}/embedded_text.list
          -DOUT=${embedded_c} -P ${CMAKE_CURRENT_LIST_DIR}/embed_write.cmake
  DEPENDS ${embed_pieces} ${embed_text_paths} ${CMAKE_BINARY_DIR}/embedded.list
          ${CMAKE_BINARY_DIR}/embedded_text.list ${CMAKE_CURRENT_LIST_DIR}/embed_write.cmake VERBATIM)
