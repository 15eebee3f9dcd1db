// ggml's rope: its parameters and positions as a table of cosines and sines, and that × tensor.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "../apply_rotary_emb.hpp"
#include "../variants/reference_float32.hpp"
#include "ggml_parameters.hpp"

namespace rotary::inline ROTARY_ABI::ggml {

namespace detail {

template <class X>
void check_tensor(const RopeOptions& options, const StridedView<X>& a) {
  if (a.rank < 3)
    fail("the tensor has shape ", shape_text(a), ", it must have at least 3 axes, [tokens, heads, head_dim]");
  const Index head_dim = a.extent(a.rank - 1);
  if (options.n_dims > head_dim)
    fail("n_dims is ", options.n_dims, ", it must be at most the ", head_dim, " features of a head");
  if (options.mode == Mode::vision && (options.n_dims != head_dim / 2 || head_dim % 2 != 0))
    fail("n_dims is ", options.n_dims, ", in mode vision it must be half of the ", head_dim,
         " features of a head");
}

/// The positions of tokens on one axis, or on four of which ggml stores one after the other.
inline Positions positions_of(std::span<const std::int32_t> positions, bool streams) {
  if (!streams) return Positions::listed(positions);
  if (positions.size() % 4 != 0)
    fail("found ", positions.size(), " positions, in a mode with 4 streams they must be 4 for each token");
  const std::size_t tokens = positions.size() / 4;
  std::array<AxisPositions, 4> axes;
  for (std::size_t k = 0; k < 4; ++k) axes[k] = AxisPositions::listed(positions.subspan(k * tokens, tokens));
  return Positions::together(axes);
}

}  // namespace detail

/// Cosines and sines of these parameters, one row for each token: what queries and keys of all layers share.
///
/// ggml's positions, 32-bit: one for each token, or in the modes with streams all of t, then h, w and e.
template <RowScalar T>
CosSinTable<T> rope_table(std::span<const std::int32_t> positions, const RopeOptions& options) {
  const Frequencies frequencies = rope_frequencies(options);
  const Positions at = detail::positions_of(positions, frequencies.axes == 4);
  if (options.angles == Angles::exact) return CosSinTable<T>(frequencies, at, detail::pairing_of(options));
  const std::vector<Index> streams = detail::streams_of_pairs(options);
  const auto pairs = static_cast<std::size_t>(detail::pairs_of(options));
  std::vector<Index> steps;
  for (Index pair = 0; pair < detail::pairs_of(options); ++pair)
    steps.push_back(detail::step_of_pair(options, pair));
  const std::span<const float> divisors = options.freq_factors;
  const CosSinTable<float> rounded =
      ggml_float32_table(options.n_dims, at, detail::pairing_of(options),
                         {.freq_base = static_cast<float>(options.freq_base),
                          .freq_scale = static_cast<float>(options.freq_scale),
                          .ext_factor = static_cast<float>(options.ext_factor),
                          .attn_factor = static_cast<float>(options.attn_factor),
                          .beta_fast = static_cast<float>(options.beta_fast),
                          .beta_slow = static_cast<float>(options.beta_slow),
                          .n_ctx_orig = options.n_ctx_orig,
                          .freq_factors = divisors.first(std::min(divisors.size(), pairs)),
                          .axis_of_pair = streams,
                          .power_of_pair = steps});
  CosSinTable<T> table(rounded.shape(), rounded.pairs(), rounded.pairing());
  std::copy_n(rounded.data(), rounded.rows() * rounded.row_size(), table.data());
  return table;
}

/// `rope` into `out`, of the shape and scalar of `a`, which may be `a` itself; with Direction::transpose the
/// backward pass.
template <class X, class Y>
void rope_into(const X& a, std::span<const std::int32_t> positions, Y&& out, const RopeOptions& options,
               Direction direction = Direction::forward) {
  if constexpr (detail::check_rotatable<X>()) {
    decltype(auto) source = detail::stored(a);
    const auto in = detail::const_view_of(source);
    detail::check_tensor(options, in);
    const auto table = rope_table<detail::Arithmetic<detail::Scalar<X>, float>>(positions, options);
    const Index tokens = in.extent(detail::resolve_axis(-3, in.rank, "the axis of tokens"));
    if (table.rows() != tokens)
      detail::fail("found positions for ", table.rows(), " tokens, the tensor ", detail::shape_text(in),
                   " has ", tokens);
    apply_rotary_emb_into(table, in, out,
                          {.start_index = options.n_offs, .seq_dim = -3, .direction = direction});
  }
}

/// ggml's rope of `a`, [batch, tokens, heads, head_dim], which is its ne the other way round: `ggml_rope`,
/// `ggml_rope_ext` and `ggml_rope_multi`.
///
/// Angles are exact unless `angles` says otherwise. Half-precision tensors are turned in float and rounded
/// once. Fails with std::invalid_argument on parameters that contradict the tensor or each other.
///
/// @code
///   rotary::Tensor<float, 4> q(1, 3, 8, 128);                    // [batch, tokens, heads, head_dim]
///   q.setRandom();
///   const std::vector<std::int32_t> positions = {5, 6, 7};
///   q = rotary::ggml::rope(q, positions, {.n_dims = 128, .mode = rotary::ggml::Mode::neox});
/// @endcode
template <class X>
rotary::detail::Owned<X> rope(const X& a, std::span<const std::int32_t> positions, const RopeOptions& options,
                              Direction direction = Direction::forward) {
  if constexpr (detail::check_rotatable<X>() && detail::check_returnable<X>()) {
    decltype(auto) source = detail::stored(a);
    auto out = detail::make_like(source);
    rope_into(source, positions, out, options, direction);
    return out;
  }
}

/// `ggml_rope_ext_back` and `ggml_rope_multi_back`: the gradient with respect to `a`, given that with respect
/// to the result.
template <class G>
rotary::detail::Owned<G> rope_back(const G& grad, std::span<const std::int32_t> positions,
                                   const RopeOptions& options) {
  return rope(grad, positions, options, Direction::transpose);
}

}  // namespace rotary::inline ROTARY_ABI::ggml
