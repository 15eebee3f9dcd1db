# Tests that run on several ranks, where CMake finds MPI: mpi/<name>_<ranks> of ctest is `mpirun -n <ranks> <name>_test`.

if(NOT rotary_mpi)
  message(STATUS "Tests with MPI are left out (Debian: libopenmpi-dev, openmpi-bin)")
  return()
endif()

set(mpi_includes)
get_target_property(dirs MPI::MPI_CXX INTERFACE_INCLUDE_DIRECTORIES)
foreach(dir IN LISTS dirs)
  list(APPEND mpi_includes -isystem ${dir})
endforeach()

# For Open MPI; others ignore it. Without these it refuses to run as root and more ranks than processors, binds the ranks of two
# jobs to the same processors, waits in a loop that takes a processor from the rank it waits for, and copies between processes
# by a system call that containers refuse. The leaks of the library itself are not reported.
set(mpi_environment OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_hwloc_base_binding_policy=none
  OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_btl_vader_single_copy_mechanism=none
  ASAN_OPTIONS=detect_leaks=0)

# mpi_test(<name> <ranks> <command>...)
function(mpi_test name ranks)
  add_test(NAME mpi/${name}_${ranks} COMMAND ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} ${ranks} ${MPIEXEC_PREFLAGS} ${ARGN})
  set_tests_properties(mpi/${name}_${ranks} PROPERTIES PROCESSORS 2
    ENVIRONMENT "${mpi_environment};LLVM_PROFILE_FILE=${CMAKE_CURRENT_BINARY_DIR}/profiles/mpi_${name}_${ranks}.%m.profraw")
endfunction()

rotary_test_program(mpi/ring_test.cpp LIBRARIES MPI::MPI_CXX)
target_sources(ring_test PRIVATE mpi/main.cpp)
foreach(ranks 1 2 4)
  mpi_test(ring ${ranks} $<TARGET_FILE:ring_test>)
endforeach()

# One rank is killed between two calls: the job ends, with a message.
add_executable(killed_rank mpi/killed_rank.cpp)
target_link_libraries(killed_rank PRIVATE rotary_test_support MPI::MPI_CXX)
add_test(NAME mpi/killed_rank COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/mpi/expect_killed.sh
  ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} 2 ${MPIEXEC_PREFLAGS} $<TARGET_FILE:killed_rank>)
set_tests_properties(mpi/killed_rank PROPERTIES ENVIRONMENT "${mpi_environment}")

# The trainer, which several processes can share.
if(ROTARY_BUILD_EXAMPLES)
  add_test(NAME mpi/train COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/mpi/train.sh
    ${PROJECT_BINARY_DIR}/examples/train_transformer/train_transformer ${CMAKE_CURRENT_BINARY_DIR}/mpi/train
    ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} ${MPIEXEC_PREFLAGS})
  set_tests_properties(mpi/train PROPERTIES PROCESSORS 2 ENVIRONMENT "${mpi_environment}")
endif()
