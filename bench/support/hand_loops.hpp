// The loops that a competent user writes by hand, one for each case. Compiled separately from the library,
// with -O3 -march=native, by every compiler that is found.
#pragma once

#include <cstdint>

namespace bench {

enum class HandScalar { float32, float64, half, bfloat16 };

/// Which loop: everything in it is known to the compiler.
struct HandCase {
  HandScalar scalar = HandScalar::float32;
  bool half_pairs = false;    ///< pairs (i, i + rotary_dim / 2); otherwise (2i, 2i + 1)
  bool writes_half = false;   ///< pairs are read interleaved and written as halves
  bool in_place = true;       ///< otherwise features that do not rotate are copied
  bool tokens_first = false;  ///< [batch, seq, heads, head_dim]; otherwise [batch, heads, seq, head_dim]
  int head_dim = 0, rotary_dim = 0;
  int start = 0;  ///< the first feature that rotates
};

/// One contiguous tensor, and the rows of its tokens.
struct HandTensor {
  const void* in = nullptr;
  void* out = nullptr;
  std::int64_t batch = 1, heads = 0, seq = 1;
  /// [positions, rotary_dim / 2] in float, or in double for tensors of double.
  const void *cos = nullptr, *sin = nullptr;
  /// The row of the first token of every sequence; null: token n has row n.
  const std::int32_t* first_rows = nullptr;
};

using HandLoop = void (*)(const HandTensor&);

/// Null for a case without a loop.
HandLoop hand_loop_gcc(const HandCase& of);
HandLoop hand_loop_clang(const HandCase& of);

}  // namespace bench
