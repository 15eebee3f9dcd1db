// Runs the kernels of other processors, for tests and benchmarks only: rotary.hpp does not include this
// header.
#pragma once

#include "instruction_set.hpp"

#if ROTARY_VECTOR_EXTENSIONS
namespace rotary::inline ROTARY_ABI::kernels {

/// Uses `wanted`, or the processor's best instruction set if it lacks that, for rotations that start from now
/// on. Returns the instruction set in use.
inline InstructionSet force_instruction_set(InstructionSet wanted) {
  const InstructionSet best = detail::best_instruction_set();
  const InstructionSet used = wanted < best ? wanted : best;
  detail::use_machine({used, machine().vendor});
  return used;
}

inline CpuVendor cpu_vendor() { return machine().vendor; }

/// Uses the tuning of `wanted` for rotations that start from now on.
inline void force_cpu_vendor(CpuVendor wanted) { detail::use_machine({machine().instruction_set, wanted}); }

}  // namespace rotary::inline ROTARY_ABI::kernels
#endif  // ROTARY_VECTOR_EXTENSIONS
