// The instantiations of compiled_kernels.hpp.
#define ROTARY_COMPILE_TEST_KERNELS
#include "support/compiled_kernels.hpp"
