# MARU_KERNELS_ONLY: no library but libc is needed, so that a cross compiler is enough to build and
# test the code that knows processors (preset "aarch64").
find_package(Threads REQUIRED)
file(GLOB core_sources CONFIGURE_DEPENDS core/base/*.c core/kernels/*.c)
add_library(marucore STATIC ${core_sources} core/observe/log.c
  spec/support/alone/generichash.c)
target_link_libraries(marucore PUBLIC maru_flags Threads::Threads ${CMAKE_DL_LIBS} m)

enable_testing()
set(unit_folders base kernels)
include(cmake/units.cmake)
