# xgrammar, the library behind constraint/: its source package of PyPI, without Python bindings. One build serves every build
# folder of this source tree, with sanitizers or without: build/xgrammar-VERSION. The package is taken from
#   DEEPRACK_XGRAMMAR, if set: the package's file xgrammar-VERSION.tar.gz, or a folder with the unpacked package;
#   else `pip download`, from whatever index pip is configured for.
# The file's SHA-256 is checked. Versions before 0.1.32 end the process on deeply nested grammars (CVE-2026-25048).
# Defines the target `xgrammar`.

set(DEEPRACK_XGRAMMAR "" CACHE PATH "xgrammar's source package: a .tar.gz, or a folder with the unpacked package; empty: pip downloads it")
set(xgrammar_version 0.2.9)
set(xgrammar_sha256 87b466bca2475e29bb0323abc62c6c33cbcbcff47e5fb800a3e2099ac9620b90)
set(xgrammar_home ${CMAKE_SOURCE_DIR}/build/xgrammar-${xgrammar_version})

# Puts the package's file into xgrammar_home.
function(deeprack_download_xgrammar archive)
  # Debian's pip is the machine's; a virtual environment's python3 may stand before it in PATH.
  find_program(DEEPRACK_PYTHON3 python3 REQUIRED)
  message(STATUS "deeprack: pip downloads the source of xgrammar ${xgrammar_version}")
  file(WRITE ${xgrammar_home}/package.txt "xgrammar==${xgrammar_version} --hash=sha256:${xgrammar_sha256}\n")
  execute_process(
    COMMAND ${DEEPRACK_PYTHON3} -m pip download --quiet --disable-pip-version-check --no-deps --no-binary xgrammar --require-hashes
            --requirement ${xgrammar_home}/package.txt --dest ${xgrammar_home}
    RESULT_VARIABLE failed OUTPUT_VARIABLE said ERROR_VARIABLE said)
  if(failed OR NOT EXISTS ${archive})
    message(FATAL_ERROR "pip could not download xgrammar ${xgrammar_version}: ${said}\nWhere no package index can be reached, fetch "
      "xgrammar-${xgrammar_version}.tar.gz on another machine (pip download --no-deps --no-binary xgrammar xgrammar==${xgrammar_version}) "
      "and configure with -DDEEPRACK_XGRAMMAR=FILE.")
  endif()
endfunction()

# Sets `source` to the folder with the unpacked package.
function(deeprack_unpack_xgrammar source)
  set(${source} ${xgrammar_home}/source PARENT_SCOPE)
  if(EXISTS ${xgrammar_home}/source/CMakeLists.txt)
    return()
  endif()
  set(archive ${xgrammar_home}/xgrammar-${xgrammar_version}.tar.gz)
  if(DEEPRACK_XGRAMMAR)
    file(COPY_FILE ${DEEPRACK_XGRAMMAR} ${archive})
  elseif(NOT EXISTS ${archive})
    deeprack_download_xgrammar(${archive})
  endif()
  file(SHA256 ${archive} found)
  if(NOT found STREQUAL xgrammar_sha256)
    file(REMOVE ${archive})
    message(FATAL_ERROR "the SHA-256 of xgrammar's package is ${found}; it must be ${xgrammar_sha256}, that of version "
      "${xgrammar_version}. Get the package from PyPI again.")
  endif()
  file(ARCHIVE_EXTRACT INPUT ${archive} DESTINATION ${xgrammar_home}/unpacked)
  file(RENAME ${xgrammar_home}/unpacked/xgrammar-${xgrammar_version} ${xgrammar_home}/source)
endfunction()

# Configures xgrammar's own build in the folder `build`. The package's own config.cmake would turn the Python bindings on; one in
# the build folder stands before it. No link-time optimisation: gold has no plug-in for it here. Warnings of a later compiler are
# no errors.
function(deeprack_configure_xgrammar source build)
  if(EXISTS ${build}/build.ninja)
    return()
  endif()
  file(WRITE ${build}/config.cmake "set(XGRAMMAR_BUILD_PYTHON_BINDINGS OFF)\nset(XGRAMMAR_BUILD_CXX_TESTS OFF)\n")
  set(launcher)
  if(CCACHE_PROGRAM)
    set(launcher -DCMAKE_CXX_COMPILER_LAUNCHER=${CCACHE_PROGRAM})
  endif()
  execute_process(
    COMMAND ${CMAKE_COMMAND} -G Ninja -S ${source} -B ${build} -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER}
            -DCMAKE_CXX_FLAGS_RELEASE=-O2 "-DCMAKE_CXX_FLAGS=-Wno-error -w -fno-lto" ${launcher}
    RESULT_VARIABLE failed OUTPUT_VARIABLE said ERROR_VARIABLE said)
  if(failed)
    message(FATAL_ERROR "xgrammar in ${source} cannot be configured: ${said}")
  endif()
endfunction()

file(MAKE_DIRECTORY ${xgrammar_home})
file(LOCK ${xgrammar_home}/lock GUARD FILE TIMEOUT 600)
if(IS_DIRECTORY "${DEEPRACK_XGRAMMAR}")
  set(xgrammar_source ${DEEPRACK_XGRAMMAR})
  string(SHA256 xgrammar_build ${DEEPRACK_XGRAMMAR})
  string(SUBSTRING ${xgrammar_build} 0 8 xgrammar_build)
  set(xgrammar_build ${xgrammar_home}/build-${xgrammar_build})
else()
  deeprack_unpack_xgrammar(xgrammar_source)
  set(xgrammar_build ${xgrammar_home}/build)
endif()
deeprack_configure_xgrammar(${xgrammar_source} ${xgrammar_build})
file(COPY ${xgrammar_source}/LICENSE ${xgrammar_source}/NOTICE DESTINATION ${xgrammar_home}/license)  # for deploy/image/fill-root

add_custom_command(OUTPUT ${xgrammar_build}/libxgrammar.a
  COMMAND ${CMAKE_COMMAND} --build ${xgrammar_build} --target xgrammar --parallel 2
  COMMENT "Building xgrammar ${xgrammar_version}")
add_custom_target(xgrammar_archive DEPENDS ${xgrammar_build}/libxgrammar.a)
add_library(xgrammar STATIC IMPORTED GLOBAL)
set_target_properties(xgrammar PROPERTIES IMPORTED_LOCATION ${xgrammar_build}/libxgrammar.a
  INTERFACE_INCLUDE_DIRECTORIES "${xgrammar_source}/include;${xgrammar_source}/3rdparty/dlpack/include")
add_dependencies(xgrammar xgrammar_archive)
