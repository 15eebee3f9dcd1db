// What a kernel for contiguous features is told: tokens times heads, and how to go through them.
#pragma once

#include "rotation_job.hpp"
#include "simd.hpp"

#if ROTARY_VECTOR_EXTENSIONS
namespace rotary::inline ROTARY_ABI::kernels {

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

/// Copies memory that does not overlap. The last bytes are copied by a vector that overlaps those before it.
template <class Isa>
ROTARY_ALWAYS_INLINE void copy_bytes(const void* from, void* to, Index bytes) {
  const auto* source = static_cast<const unsigned char*>(from);
  auto* target = static_cast<unsigned char*>(to);
  Vector<unsigned char, Isa::kBytes> v;
  if (bytes < Isa::kBytes) {
    std::memcpy(target, source, static_cast<std::size_t>(bytes));
    return;
  }
  Index at = 0;
  for (; at + Isa::kBytes <= bytes; at += Isa::kBytes) {
    load_bits(source + at, v);
    store_bits(target + at, v);
  }
  if (at == bytes) return;
  load_bits(source + bytes - Isa::kBytes, v);
  store_bits(target + bytes - Isa::kBytes, v);
}

/// The loop of one kernel call in typed pointers. Without a `WindowLoop` it is the whole job, a single token:
/// so such a job writes nothing to the stack on its way to the kernel, where it would wait in the store queue
/// behind the results of the call before it.
template <class X, class Row>
struct Windows {
  const X* in;
  X* out;
  const Row* row;
  Index tokens, token_in, token_out, token_row;
  Index heads, head_in, head_out;
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

  ROTARY_ALWAYS_INLINE void next_token() { in += token_in, out += token_out, row += token_row; }

  /// Copies the untouched features of `count` heads, whose cache lines have just been loaded.
  template <class Isa>
  ROTARY_ALWAYS_INLINE void copy_untouched(const X* from, X* to, Index count) const {
    constexpr Index kBytes = sizeof(X);
    for (; count > 0; --count, from += head_in, to += head_out) {
      if (before != 0) copy_bytes<Isa>(from - before, to - before, before * kBytes);
      if (after != 0) copy_bytes<Isa>(from + 2 * pairs, to + 2 * pairs, after * kBytes);
    }
  }
};

}  // namespace rotary::inline ROTARY_ABI::kernels
#endif  // ROTARY_VECTOR_EXTENSIONS
