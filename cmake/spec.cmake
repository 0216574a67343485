# spec/fuzz/<noun>_fuzz.c: one libFuzzer program each, in preset fuzz.
include(cmake/units.cmake)

if(MARU_FUZZ)
  file(GLOB fuzz_sources CONFIGURE_DEPENDS spec/fuzz/*_fuzz.c)
  foreach(source ${fuzz_sources})
    cmake_path(GET source STEM stem)
    add_executable(${stem} ${source})
    target_include_directories(${stem} PRIVATE spec/unit)
    target_link_libraries(${stem} PRIVATE maruhost)
    target_link_options(${stem} PRIVATE -fsanitize=fuzzer)
    set_target_properties(${stem} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
  endforeach()
endif()

# spec/support/*.c: programs that server specs start.
file(GLOB support_sources CONFIGURE_DEPENDS spec/support/*.c)
foreach(source ${support_sources})
  cmake_path(GET source STEM stem)
  add_executable(${stem} ${source})
  target_link_libraries(${stem} PRIVATE maruhost)
  set_target_properties(${stem} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/support)
endforeach()

# spec/support/preload/*.c: libraries that specs and benchmarks preload into programs.
file(GLOB preload_sources CONFIGURE_DEPENDS spec/support/preload/*.c)
foreach(source ${preload_sources})
  cmake_path(GET source STEM stem)
  add_library(${stem}_preload MODULE ${source})
  target_compile_definitions(${stem}_preload PRIVATE _GNU_SOURCE)
  target_compile_options(${stem}_preload PRIVATE -Wall -Wextra -O2)
  target_link_libraries(${stem}_preload PRIVATE ${CMAKE_DL_LIBS})
  set_target_properties(${stem}_preload PROPERTIES PREFIX "" OUTPUT_NAME ${stem}
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/support)
endforeach()
