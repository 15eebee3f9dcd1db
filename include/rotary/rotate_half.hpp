// rotate_half: every pair (a, b) becomes (−b, a).
#pragma once

#include "core/head_layout.hpp"
#include "tensor/tensor.hpp"

namespace rotary::inline ROTARY_ABI {

/// A quarter turn of every pair of the last axis: (a, b) becomes (−b, a).
///
///     Pairing::interleaved   [a0 b0 a1 b1]  →  [−b0 a0 −b1 a1]     rotary-embedding-torch's rotate_half
///     Pairing::half          [a0 a1 b0 b1]  →  [−b0 −b1 a0 a1]     that of Hugging Face and labml
///
/// With it a rotation by φ reads x cos φ + rotate_half(x) sin φ. Takes tensors of one axis and more,
/// matrices, and vectors, whichever way they lie.
/// Throws std::invalid_argument if the last axis has an odd size.
///
/// @code
///   Eigen::MatrixXf x(1, 4);
///   x << 1, 2, 3, 4;
///   const Eigen::MatrixXf rotated = rotary::rotate_half(x);   // −2 1 −4 3
/// @endcode
template <class X>
[[nodiscard]] detail::Owned<X> rotate_half(const X& x, Pairing pairing = Pairing::interleaved) {
  detail::check_rotatable_scalar<X>();
  detail::check_pairing(pairing);
  static_assert(!detail::is_view<X>, "rotary: a view owns no memory to return; copy it into a tensor first");
  decltype(auto) source = detail::stored(x);
  auto result = detail::make_like(source);
  const auto in = detail::const_heads_of(source);
  const auto out = detail::writable_heads_of(result);
  const Index features = in.extent(in.rank - 1);
  if (features % 2 != 0) detail::fail("rotate_half needs an even number of features, found ", features);
  const Index pairs = features / 2;
  const Index pair = pairing == Pairing::half ? 1 : 2, partner = pairing == Pairing::half ? pairs : 1;
  const int last = in.rank - 1;
  detail::for_each_index(
      last,
      [&](Index from, Index to) {
        for (Index i = 0; i < pairs; ++i) {
          const Index a = i * pair, b = a + partner;
          out.data[to + a * out.stride(last)] = -in.data[from + b * in.stride(last)];
          out.data[to + b * out.stride(last)] = in.data[from + a * in.stride(last)];
        }
      },
      in, out);
  return result;
}

}  // namespace rotary::inline ROTARY_ABI
