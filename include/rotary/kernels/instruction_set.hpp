// The instruction sets that kernels are compiled for, and the dispatch between them.
//
// One kernel body is written in the compilers' vector extensions and compiled once for each instruction set,
// as an always-inlined function called from a thin wrapper that carries the target attribute. The wrapper is
// chosen when the program runs, so that plain -O2 reaches AVX-512 speed. Eigen's packets follow the
// compiler's flags and cannot.
#pragma once

#include <atomic>

#include "../core/config.hpp"

#if ROTARY_VECTOR_EXTENSIONS && defined(__x86_64__)
#include <cpuid.h>
#endif

namespace rotary::inline ROTARY_ABI::kernels {

/// The instruction sets that kernels are compiled for. `baseline` is what the compiler's own flags allow.
enum class InstructionSet { baseline, avx2, avx512 };

/// Chooses tile sizes and prefetch distances (see tuning.hpp); results are bit-identical.
enum class CpuVendor { other, intel, amd_zen5 };  // Zen 5 and later

/// The properties of the processor that kernels and plans depend on.
struct Machine {
  InstructionSet instruction_set;
  CpuVendor vendor;
};

#if ROTARY_VECTOR_EXTENSIONS

// The width of a register, and what instructions there are.

struct Baseline {
  static constexpr InstructionSet kName = InstructionSet::baseline;
#if defined(__AVX512F__)
  static constexpr int kBytes = 64;
#elif defined(__AVX__)
  static constexpr int kBytes = 32;
#else
  static constexpr int kBytes = 16;
#endif
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  static constexpr bool kFused = true;
#else
  static constexpr bool kFused = false;
#endif
#if defined(__F16C__) || defined(__aarch64__)
  static constexpr bool kHalf = true;
#else
  static constexpr bool kHalf = false;
#endif
};
struct Avx2 {
  static constexpr InstructionSet kName = InstructionSet::avx2;
  static constexpr int kBytes = 32;
  static constexpr bool kFused = true, kHalf = true;
};
struct Avx512 {
  static constexpr InstructionSet kName = InstructionSet::avx512;
  static constexpr int kBytes = 64;
  static constexpr bool kFused = true, kHalf = true;
};

namespace detail {

inline InstructionSet best_instruction_set() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return InstructionSet::avx512;
  if (avx2) return InstructionSet::avx2;  // not covered: a processor without AVX-512
#endif
  return InstructionSet::baseline;  // not covered: a processor without AVX2
}

/// The machine in use as one number, so that a single load reads it; 0 until the first rotation detects it.
inline std::atomic<unsigned> machine_code{0};
inline constexpr unsigned kMachineKnown = 16, kVendorUnit = 4;

inline unsigned use_machine(Machine machine) {
  const unsigned code = kMachineKnown | static_cast<unsigned>(machine.vendor) * kVendorUnit |
                        static_cast<unsigned>(machine.instruction_set);
  machine_code.store(code, std::memory_order_relaxed);
  return code;
}

ROTARY_COLD inline unsigned find_machine() {
  Machine found{best_instruction_set(), CpuVendor::other};
#if defined(__x86_64__)
  if (__builtin_cpu_is("intel")) found.vendor = CpuVendor::intel;
  if (__builtin_cpu_is("amd")) {  // not covered: another processor
    unsigned version = 0, unused = 0;
    __get_cpuid(1, &version, &unused, &unused, &unused);
    if ((version >> 8 & 15) + (version >> 20 & 255) >= 0x1a) found.vendor = CpuVendor::amd_zen5;
  }
#endif
  return use_machine(found);
}

// The wrappers are all that carries target attributes. F16C is not checked for: every processor with AVX2 has
// it.
template <class Body, class... Arguments>
[[gnu::noinline]] void run_baseline(Arguments... arguments) {
  Body::template run<Baseline>(arguments...);
}
#if defined(__x86_64__)
template <class Body, class... Arguments>
[[gnu::target("avx2,fma,f16c"), gnu::noinline]] void run_avx2(Arguments... arguments) {
  Body::template run<Avx2>(arguments...);
}
template <class Body, class... Arguments>
[[gnu::target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl"), gnu::noinline]] void run_avx512(
    Arguments... arguments) {
  Body::template run<Avx512>(arguments...);
}
#endif

}  // namespace detail

/// The instruction set in use if a rotation has detected it already; else the baseline. Calls no function.
inline InstructionSet known_instruction_set() {
  return static_cast<InstructionSet>(detail::machine_code.load(std::memory_order_relaxed) %
                                     detail::kVendorUnit);
}

/// The machine in use. A rotation reads it once and passes it down, so that whoever changes it (see
/// testing.hpp) affects only rotations that start later.
inline Machine machine() {
  unsigned code = detail::machine_code.load(std::memory_order_relaxed);
  if (code == 0) [[unlikely]]
    code = detail::find_machine();
  return {static_cast<InstructionSet>(code % detail::kVendorUnit),
          static_cast<CpuVendor>(code / detail::kVendorUnit % 4)};
}

/// The instruction set in use: the best that the processor has, unless a test forced another one.
inline InstructionSet instruction_set() { return machine().instruction_set; }

/// Does the instruction set have a fused multiply-add?
constexpr bool is_fused(InstructionSet set) { return Baseline::kFused || set != InstructionSet::baseline; }

/// `Body::run<Isa>`, an always-inlined static function of these arguments, compiled for `set`.
template <class Body, class... Arguments>
auto dispatch([[maybe_unused]] InstructionSet set) -> void (*)(Arguments...) {
#if defined(__x86_64__)
  if (set == InstructionSet::avx512) return &detail::run_avx512<Body, Arguments...>;
  if (set == InstructionSet::avx2) return &detail::run_avx2<Body, Arguments...>;
#endif
  return &detail::run_baseline<Body, Arguments...>;
}

/// `dispatch` for the instruction set in use.
template <class Body, class... Arguments>
auto compiled() -> void (*)(Arguments...) {
  return dispatch<Body, Arguments...>(instruction_set());
}

#endif  // ROTARY_VECTOR_EXTENSIONS

}  // namespace rotary::inline ROTARY_ABI::kernels
