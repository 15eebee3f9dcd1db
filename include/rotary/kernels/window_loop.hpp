// WindowLoop: the tokens and heads that one call of a kernel for contiguous features rotates.
#pragma once

#include "rotation_job.hpp"
#include "simd_memory.hpp"

#if ROTARY_VECTOR_EXTENSIONS
namespace rotary::inline ROTARY_ABI::kernels {

/// The windows of a block of tokens, and their rows, stay within so many bytes of the first level cache.
inline constexpr Index kTileBytes = 16 * 1024;

/// `tokens.extent` tokens, each with a row of its own, times `heads.extent` heads that share it.
struct WindowLoop {
  const void *in, *rows;
  void* out;
  JobAxis tokens, heads;
  Index heads_per_pass;   // heads that use a part of a row before the next part is loaded
  Index prefetch;         // prefetch distance in bytes; 0: no prefetch
  int heads_together;     // `StridedHeads` loads the windows of so many heads before it stores
  bool nontemporal;       // stores bypass the caches; all addresses are multiples of 64
  bool prefetch_windows;  // prefetch each window in the order of memory before it is rotated
};

/// Copies elements that do not overlap, without a function call: across a call no vector stays in its
/// register from head to head.
template <class Isa, class X>
ROTARY_ALWAYS_INLINE void copy_elements(const X* from, X* to, Index count) {
  const auto copy = [&](auto vectors, auto lanes) ROTARY_INLINE_LAMBDA {
    constexpr Index kStep = vectors * lanes;
    for (; count >= kStep; count -= kStep, from += kStep, to += kStep) {
      Registers<Vector<std::uint8_t, lanes* static_cast<int>(sizeof(X))>, vectors> v;
      unrolled<vectors>([&](auto k) ROTARY_INLINE_LAMBDA { load_bits(from + k * lanes, v[k]); });
      unrolled<vectors>([&](auto k) ROTARY_INLINE_LAMBDA { store_bits(to + k * lanes, v[k]); });
    }
  };
  constexpr int kWide = Isa::kBytes / static_cast<int>(sizeof(X)), kNarrow = 16 / static_cast<int>(sizeof(X));
  copy(std::integral_constant<int, 4>(), std::integral_constant<int, kWide>());
  if (count == 0) return;
  copy(std::integral_constant<int, 1>(), std::integral_constant<int, kWide>());
  if constexpr (kWide > kNarrow)
    copy(std::integral_constant<int, 1>(), std::integral_constant<int, kNarrow>());
  for (; count > 0; --count) {
    *to++ = *from++;
    asm("" : "+r"(from), "+r"(to));  // without it, GCC calls memcpy
  }
}

/// The loop of one kernel call in typed pointers. Without a `WindowLoop` it is the whole job, a single token.
/// Such a job stores nothing on the stack on its way to the kernel, which would wait in the store queue
/// behind the results of the previous call.
template <class X, class Row>
struct Windows {
  const X* in;
  X* out;
  const Row* row;
  Index tokens, token_in, token_out, token_row;
  Index heads, head_in, head_out, head_row = 0;
  Index pairs, before, after;
  bool negate;

  ROTARY_ALWAYS_INLINE Windows(const JobShape* shape, const WindowLoop* loop) {
    const auto& job = *static_cast<const RotationJob<X, Row>*>(shape);
    if (loop == nullptr) {
      in = job.in, out = job.out, row = job.rows;
      tokens = 1, token_in = token_out = token_row = 0;
      heads = 1, head_in = head_out = 0;
      if (job.axis_count != 0)
        heads = job.axes[0].extent, head_in = job.axes[0].in, head_out = job.axes[0].out;
    } else {
      in = static_cast<const X*>(loop->in), out = static_cast<X*>(loop->out);
      row = static_cast<const Row*>(loop->rows);
      tokens = loop->tokens.extent, token_in = loop->tokens.in, token_out = loop->tokens.out;
      token_row = loop->tokens.row;
      heads = loop->heads.extent, head_in = loop->heads.in, head_out = loop->heads.out;
    }
    pairs = job.pairs, negate = job.negate_sin;
    before = after = 0;
    if (!job.in_place()) before = job.untouched_before, after = job.untouched_after;
  }

  /// The heads of one token, rotated forward in place.
  ROTARY_ALWAYS_INLINE Windows(X* x, const Row* row_of_token, Index pairs_of_head, Index head_count,
                               Index head_stride)
      : in(x),
        out(x),
        row(row_of_token),
        tokens(1),
        token_in(0),
        token_out(0),
        token_row(0),
        heads(head_count),
        head_in(head_stride),
        head_out(head_stride),
        pairs(pairs_of_head),
        before(0),
        after(0),
        negate(false) {}

  /// Exchanges the loops for a single head: its tokens become heads, each with its own row.
  ROTARY_ALWAYS_INLINE void tokens_as_heads() {
    heads = tokens, head_in = token_in, head_out = token_out, head_row = token_row;
    tokens = 1;
  }

  ROTARY_ALWAYS_INLINE void next_token() { in += token_in, out += token_out, row += token_row; }

  /// Copy the features before and after a window.
  template <class Isa>
  ROTARY_ALWAYS_INLINE void copy_before(const X* from, X* to) const {
    copy_elements<Isa>(from - before, to - before, before);
  }
  template <class Isa>
  ROTARY_ALWAYS_INLINE void copy_after(const X* from, X* to) const {
    copy_elements<Isa>(from + 2 * pairs, to + 2 * pairs, after);
  }
};

}  // namespace rotary::inline ROTARY_ABI::kernels
#endif  // ROTARY_VECTOR_EXTENSIONS
