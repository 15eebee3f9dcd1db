// Running a check by the kernels of every instruction set that the processor has.
#pragma once

#include <gtest/gtest.h>

#include <rotary/kernels/testing.hpp>

namespace rotary::testing {

template <class Check>
void with_every_instruction_set(const Check& check) {
#if ROTARY_VECTOR_EXTENSIONS
  using kernels::InstructionSet;
  for (const auto set : {InstructionSet::baseline, InstructionSet::avx2, InstructionSet::avx512}) {
    SCOPED_TRACE(::testing::Message() << "instruction set " << static_cast<int>(set));
    kernels::force_instruction_set(set);
    check();
  }
#else
  check();
#endif
}

}  // namespace rotary::testing
