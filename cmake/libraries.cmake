# The libraries maru stands on, as one SYSTEM interface target: maru_libraries.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(deps REQUIRED IMPORTED_TARGET libuv sqlite3 libpq hiredis rdkafka libcurl openssl libsodium zlib)

add_library(maru_libraries INTERFACE)
target_link_libraries(maru_libraries INTERFACE PkgConfig::deps Threads::Threads
  ${CMAKE_DL_LIBS} m)

# The libuv build of h2o; the evloop build is another library with the same headers.
pkg_check_modules(h2o REQUIRED IMPORTED_TARGET libh2o)
target_link_libraries(maru_libraries INTERFACE PkgConfig::h2o)
target_compile_definitions(maru_libraries INTERFACE H2O_USE_LIBUV=1)

find_library(WSLAY wslay REQUIRED)
target_link_libraries(maru_libraries INTERFACE ${WSLAY})

if(MARU_LUAJIT)
  find_path(LUAJIT_INCLUDE luajit.h REQUIRED NO_DEFAULT_PATH PATHS ${MARU_LUAJIT}
    PATH_SUFFIXES include/luajit-2.1 include src)
  find_library(LUAJIT_LIBRARY NAMES libluajit-5.1.a libluajit.a luajit-5.1 REQUIRED
    NO_DEFAULT_PATH PATHS ${MARU_LUAJIT} PATH_SUFFIXES lib src)
  find_program(LUAJIT_PROGRAM luajit NO_DEFAULT_PATH PATHS ${MARU_LUAJIT} PATH_SUFFIXES bin src)
  target_include_directories(maru_libraries SYSTEM INTERFACE ${LUAJIT_INCLUDE})
  target_link_libraries(maru_libraries INTERFACE ${LUAJIT_LIBRARY})
else()
  pkg_check_modules(luajit REQUIRED IMPORTED_TARGET luajit)
  target_link_libraries(maru_libraries INTERFACE PkgConfig::luajit)
  find_program(LUAJIT_PROGRAM luajit)
endif()
