# bench/<group>/<group>_bench.c: one program each, built when asked for (scripts/bench).
file(GLOB bench_sources CONFIGURE_DEPENDS bench/*/*_bench.c)
foreach(source ${bench_sources})
  cmake_path(GET source STEM stem)
  add_executable(${stem} EXCLUDE_FROM_ALL ${source})
  target_link_libraries(${stem} PRIVATE maruhost)
  set_target_properties(${stem} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
endforeach()

# bench/<group>/<group>_library.c: a library that a benchmark in another language loads beside its peers.
file(GLOB bench_libraries CONFIGURE_DEPENDS bench/*/*_library.c)
foreach(source ${bench_libraries})
  cmake_path(GET source STEM stem)
  add_library(${stem} MODULE EXCLUDE_FROM_ALL ${source})
  target_link_libraries(${stem} PRIVATE marucore)
  target_link_options(${stem} PRIVATE -Wl,--as-needed)
  set_target_properties(${stem} PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
endforeach()
