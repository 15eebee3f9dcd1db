# Configures, builds and runs a project that uses the library, from scratch, as a user would.
#   cmake -DPROJECT= -DWORK_DIR= -DROTARY_SOURCE_DIR= -DROTARY_BINARY_DIR= -DVERSION= -DEigen3_DIR= -DGENERATOR= -DCOMPILER= -P …

cmake_minimum_required(VERSION 3.22)

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "failed: ${command}")
  endif()
endfunction()

file(REMOVE_RECURSE ${WORK_DIR})
# Installed into one place and moved to another: the package must not remember where it was.
run(${CMAKE_COMMAND} --install ${ROTARY_BINARY_DIR} --prefix ${WORK_DIR}/first)
file(RENAME ${WORK_DIR}/first ${WORK_DIR}/prefix)

run(${CMAKE_COMMAND} -S ${PROJECT} -B ${WORK_DIR}/build -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${COMPILER}
  -DEigen3_DIR=${Eigen3_DIR} -DCMAKE_PREFIX_PATH=${WORK_DIR}/prefix
  -DROTARY_SOURCE_DIR=${ROTARY_SOURCE_DIR} -DROTARY_VERSION=${VERSION})
run(${CMAKE_COMMAND} --build ${WORK_DIR}/build)
run(${WORK_DIR}/build/app)
