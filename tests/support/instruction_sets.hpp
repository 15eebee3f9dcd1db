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
    if (kernels::force_instruction_set(set) != set) continue;
    SCOPED_TRACE(::testing::Message() << "instruction set " << static_cast<int>(set));
    check();
  }
  kernels::force_instruction_set(InstructionSet::avx512);  // the best again
#else
  check();
#endif
}

/// With the tuning of every vendor of processors.
template <class Check>
void with_every_vendor(const Check& check) {
#if ROTARY_VECTOR_EXTENSIONS
  using kernels::CpuVendor;
  const CpuVendor own = kernels::cpu_vendor();
  for (const auto vendor : {CpuVendor::intel, CpuVendor::other}) {
    SCOPED_TRACE(::testing::Message() << "vendor " << static_cast<int>(vendor));
    kernels::force_cpu_vendor(vendor);
    check();
  }
  kernels::force_cpu_vendor(own);
#else
  check();
#endif
}

}  // namespace rotary::testing
