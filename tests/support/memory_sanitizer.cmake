# Included by tests/CMakeLists.txt if ROTARY_SANITIZE is "memory". The sanitizer reports memory as uninitialised if code that
# was compiled without it wrote there. So GoogleTest is compiled from its source, the Debian package googletest, and so are
# the templates of the standard library. memory_sanitizer.cpp handles its other functions.

# libstdc++ says in one header that templates of streams and strings are compiled in its binary: here they are not.
file(WRITE ${PROJECT_BINARY_DIR}/include_any.cpp "#include <cstddef>\n")
execute_process(COMMAND ${CMAKE_CXX_COMPILER} -M ${PROJECT_BINARY_DIR}/include_any.cpp OUTPUT_VARIABLE included)
string(REGEX MATCH "[^ ]+/bits/c\\+\\+config\\.h" header "${included}")
file(READ ${header} text)
string(REPLACE "define _GLIBCXX_EXTERN_TEMPLATE 1" "define _GLIBCXX_EXTERN_TEMPLATE 0" text "${text}")
set(own_headers ${PROJECT_BINARY_DIR}/memory_sanitizer)
file(CONFIGURE OUTPUT ${own_headers}/bits/c++config.h CONTENT "${text}" @ONLY)  # written where it changes
target_include_directories(rotary_development SYSTEM INTERFACE ${own_headers})

set(googletest /usr/src/googletest/googletest)
add_library(rotary_gtest STATIC ${googletest}/src/gtest-all.cc)
add_library(rotary_gtest_main STATIC ${googletest}/src/gtest_main.cc)
foreach(name gtest gtest_main)
  add_library(GTest::${name} ALIAS rotary_${name})
  target_compile_features(rotary_${name} PUBLIC cxx_std_20)
  target_compile_options(rotary_${name} PRIVATE ${rotary_sanitizers})
  target_include_directories(rotary_${name} SYSTEM PUBLIC ${googletest}/include PRIVATE ${googletest} ${own_headers})
endforeach()

# Calls of the functions that memory_sanitizer.cpp wraps are redirected to it.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/memory_sanitizer.cpp)
file(STRINGS ${CMAKE_CURRENT_LIST_DIR}/memory_sanitizer.cpp wrapped REGEX "^WRAP|^ +_Z|__wrap_[^#]*;")
string(REGEX MATCHALL "_Z[A-Za-z0-9_]+|__cxa_[a-z]+" wrapped "${wrapped}")
list(REMOVE_DUPLICATES wrapped)
list(TRANSFORM wrapped PREPEND "-Wl,--wrap=")
target_link_options(rotary_development INTERFACE ${wrapped})

# And what the programs compiled is not for the library's binary to call.
file(WRITE ${own_headers}/symbols.txt
  "{ local: _ZNSt*; _ZNKSt*; _ZSt*; _ZNSo*; _ZNSi*; _ZNSs*; _ZTv0*; };\n")
target_link_options(rotary_development INTERFACE -Wl,--version-script=${own_headers}/symbols.txt)
