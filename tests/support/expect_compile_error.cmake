# Checks that a wrong program does not compile, and that the compiler says why.
#   cmake -DSOURCE=<program.cpp> -P expect_compile_error.cmake -- <compiler> <options>...
#
# Every line `// expect: <regex>` of the program names something the output must match, and a line `// lines: <number>`
# how many lines the output has at most. A program whose name begins with `control` is right, and must compile: it shows
# that the others fail for their own reasons.

cmake_minimum_required(VERSION 3.22)

include(${CMAKE_CURRENT_LIST_DIR}/command_after_dashes.cmake)

file(STRINGS ${SOURCE} expectations REGEX "^// expect: ")
execute_process(COMMAND ${command} ${SOURCE} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)

get_filename_component(name ${SOURCE} NAME)
if(name MATCHES "^control")
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${name} is right, but does not compile:\n${output}")
  endif()
  return()
endif()

if(NOT expectations)
  message(FATAL_ERROR "${name} has no line `// expect: <regex>`")
endif()
if(result EQUAL 0)
  message(FATAL_ERROR "${name} compiles")
endif()
foreach(expectation IN LISTS expectations)
  string(REGEX REPLACE "^// expect: " "" regex "${expectation}")
  if(NOT output MATCHES "${regex}")
    message(FATAL_ERROR "${name} does not compile, as it should, but the compiler does not say\n  ${regex}\n"
      "It says:\n${output}")
  endif()
endforeach()

# What the compiler says fits on a screen.
file(STRINGS ${SOURCE} limits REGEX "^// lines: [0-9]+$")
foreach(limit IN LISTS limits)
  string(REGEX REPLACE "^// lines: " "" limit "${limit}")
  string(REGEX MATCHALL "\n" newlines "${output}")
  list(LENGTH newlines lines)
  if(lines GREATER limit)
    message(FATAL_ERROR "${name}: the compiler says ${lines} lines, not ${limit} at most:\n${output}")
  endif()
endforeach()
