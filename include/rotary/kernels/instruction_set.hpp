// What the kernels are compiled for, and the choice between them.
//
// One kernel body is written in the compilers' vector extensions and compiled once for each instruction set,
// as an always-inlined function called from a thin wrapper that carries the target attribute. The wrapper is
// chosen when the program runs, so that plain -O2 reaches AVX-512 speed. Eigen's packets follow the
// compiler's flags and cannot.
#pragma once

#include <atomic>

#include "../config.hpp"

namespace rotary::inline ROTARY_ABI::kernels {

/// What the kernels can be compiled for. `baseline` is what the compiler's own flags allow.
enum class InstructionSet { baseline, avx2, avx512 };

/// Whose cores a program runs on, as far as those with the same instruction sets have other habits: Intel's
/// fetch less ahead by themselves, and are disturbed sooner by writing elsewhere than they read. Decides
/// between ways to the same bits.
enum class Cores { intel, other };

#if ROTARY_VECTOR_EXTENSIONS

// How wide a register is, and what it can do.

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
  if (avx2) return InstructionSet::avx2;
#endif
  return InstructionSet::baseline;
}

inline std::atomic<Cores>& chosen_cores() {
#if defined(__x86_64__)
  static std::atomic<Cores> chosen{(__builtin_cpu_init(), __builtin_cpu_is("intel")) ? Cores::intel
                                                                                     : Cores::other};
#else
  static std::atomic<Cores> chosen{Cores::other};
#endif
  return chosen;
}

inline std::atomic<InstructionSet>& chosen_instruction_set() {
  static std::atomic<InstructionSet> chosen{best_instruction_set()};
  return chosen;
}

// The wrappers are all that carries target attributes. F16C is not asked for: it came before AVX2.
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

/// The instruction set in use: the best that the processor has, unless another one was forced.
inline InstructionSet instruction_set() {
  return detail::chosen_instruction_set().load(std::memory_order_relaxed);
}

/// Whose cores the kernels take these to be.
inline Cores cores() { return detail::chosen_cores().load(std::memory_order_relaxed); }

/// Has it a fused multiply-add?
inline bool is_fused() { return Baseline::kFused || instruction_set() != InstructionSet::baseline; }

/// Uses `wanted`, or the best that the processor has if it lacks that, from now on; returns what is used. For
/// tests and benchmarks.
inline InstructionSet force_instruction_set(InstructionSet wanted) {
  const InstructionSet best = detail::best_instruction_set();
  detail::chosen_instruction_set() = wanted < best ? wanted : best;
  return instruction_set();
}

/// Takes the cores to be `wanted` from now on. For tests.
inline void force_cores(Cores wanted) { detail::chosen_cores() = wanted; }

/// `Body::run<Isa>`, an always-inlined static function of these arguments, compiled for the instruction set
/// in use.
template <class Body, class... Arguments>
auto compiled() -> void (*)(Arguments...) {
#if defined(__x86_64__)
  switch (instruction_set()) {
    case InstructionSet::avx512:
      return &detail::run_avx512<Body, Arguments...>;
    case InstructionSet::avx2:
      return &detail::run_avx2<Body, Arguments...>;
    case InstructionSet::baseline:
      break;
  }
#endif
  return &detail::run_baseline<Body, Arguments...>;
}

#endif  // ROTARY_VECTOR_EXTENSIONS

}  // namespace rotary::inline ROTARY_ABI::kernels
