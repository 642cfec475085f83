# Compiler flags that hold for every target.

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2")   # assertions stay on

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

# gold comes with g++ and takes a quarter of the time of the default linker.
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND EXISTS /usr/bin/ld.gold)
  add_link_options(-fuse-ld=gold)
endif()

add_library(deeprack_flags INTERFACE)
target_include_directories(deeprack_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(deeprack_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Werror -Wno-unused-parameter -Wno-missing-field-initializers
  -ffp-contract=off -fno-math-errno>)

if(DEEPRACK_SANITIZE)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${DEEPRACK_SANITIZE}> $<$<COMPILE_LANGUAGE:CXX>:-fno-omit-frame-pointer>)
  add_link_options(-fsanitize=${DEEPRACK_SANITIZE})
  # Sanitizers cause false warnings in optimised headers: warnings are no errors.
  target_compile_options(deeprack_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-error>)
endif()
