# Checks that a compiler set to an older standard says so in a few lines.
#   cmake -P check_old_standard.cmake -- <compiler> <options>...

cmake_minimum_required(VERSION 3.22)

include(${CMAKE_CURRENT_LIST_DIR}/command_after_dashes.cmake)

execute_process(COMMAND ${command} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(result EQUAL 0)
  message(FATAL_ERROR "It compiles")
endif()
string(REGEX MATCHALL "\n" line_ends "${output}")
list(LENGTH line_ends lines)
if(lines GREATER 12 OR NOT output MATCHES "error: [^\n]*rotary needs C\\+\\+20")
  message(FATAL_ERROR "There should be at most 12 lines, with `rotary needs C++20`, but there are ${lines}:\n${output}")
endif()
