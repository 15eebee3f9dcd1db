// ONNX's operator RotaryEmbedding, opset 23 and later.
#pragma once

#include <cstdint>
#include <type_traits>
#include <vector>

#include "given_tables.hpp"

namespace rotary::inline ROTARY_ABI::onnx {

/// The operator's attributes, with its defaults.
struct RotaryEmbeddingAttributes {
  bool interleaved = false;        ///< Pairing::interleaved, else Pairing::half
  Index num_heads = 0;             ///< needed for [batch, seq, heads · head_dim]
  Index rotary_embedding_dim = 0;  ///< the first features that rotate; 0: all of a head
};

namespace detail {

using namespace rotary::detail;

/// The input with its heads on an axis of their own, and which axis the sequence is.
template <class X>
struct Heads {
  StridedView<X> view;
  int seq_axis;
};

/// [batch, heads, seq, head_dim] as it is; [batch, seq, heads · head_dim] as [batch, seq, heads, head_dim].
template <class X>
Heads<X> with_heads(const StridedView<X>& input, Index num_heads) {
  if (input.rank != 3 && input.rank != 4)
    fail("the input has shape ", shape_text(input), ", it must have 3 or 4 axes");
  if (num_heads < 0) fail("num_heads is ", num_heads, ", it must not be negative");
  if (input.rank == 4) {
    if (num_heads != 0 && num_heads != input.extent(1))
      fail("num_heads is ", num_heads, ", the input ", shape_text(input), " has ", input.extent(1), " heads");
    return {input, 2};
  }
  const Index width = input.extent(2);
  if (num_heads == 0) fail("num_heads is 0, an input of 3 axes such as ", shape_text(input), " needs it");
  if (width % num_heads != 0)
    fail("the input has ", width, " features, they must be a multiple of num_heads, which is ", num_heads);
  StridedView<X> split = input;
  split.rank = 4;
  split.extents[2] = num_heads;
  split.extents[3] = width / num_heads;
  split.strides[2] = split.extents[3] * input.stride(2);
  split.strides[3] = input.stride(2);
  return {split, 1};
}

/// The row of every token: its position id, or its own number where the caches have a row for each token.
template <class X, class C, class P>
std::vector<Index> rows_of_tokens(const Heads<X>& in, const StridedView<C>& cache,
                                  const StridedView<const P>* ids) {
  const Index batch = in.view.extent(0), seq = in.view.extent(in.seq_axis);
  const bool per_token = ids && ids->rank == 2 && ids->extent(0) == batch && ids->extent(1) == seq;
  const bool only_first = ids && ids->rank == 1 && ids->extent(0) == 1;
  if (!ids && (cache.rank != 3 || cache.extent(0) != batch || cache.extent(1) != seq))
    fail("the caches have shape ", shape_text(cache), ", without position_ids they must have [", batch, ", ",
         seq, ", rotary_embedding_dim / 2]");
  if (ids && cache.rank != 2)
    fail("the caches have shape ", shape_text(cache), ", with position_ids they must have 2 axes");
  if (ids && !per_token && !only_first)
    fail("position_ids has shape ", shape_text(*ids), ", it must have [", batch, ", ", seq, "] or [1]");

  std::vector<Index> rows;
  if (in.view.size() == 0) return rows;
  rows.reserve(static_cast<std::size_t>(only_first ? seq : batch * seq));
  const auto add = [&](Index id) {
    if (id < 0 || id >= cache.extent(0))
      fail("position ", id, " is asked for, the caches have ", cache.extent(0), " rows");
    rows.push_back(id);
  };
  if (only_first) {
    for (Index n = 0; n < seq; ++n) add(checked_sum(static_cast<Index>(ids->data[0]), n));
    return rows;
  }
  for (Index b = 0; b < batch; ++b)
    for (Index n = 0; n < seq; ++n)
      per_token ? add(static_cast<Index>(ids->data[b * ids->stride(0) + n * ids->stride(1)]))
                : rows.push_back(b * seq + n);
  return rows;
}

/// The columns that the caches must have; fails unless they do.
template <class X, class C>
void check_columns(const StridedView<X>& in, const StridedView<C>& cache, Index rotary_embedding_dim) {
  const Index head_dim = in.extent(3);
  const Index rotary_dim = rotary_embedding_dim == 0 ? head_dim : rotary_embedding_dim;
  if (rotary_dim < 0 || rotary_dim > head_dim || rotary_dim % 2 != 0)
    fail("rotary_embedding_dim is ", rotary_dim, ", it must be even and at most the ", head_dim,
         " features of a head");
  if (cache.extent(cache.rank - 1) != rotary_dim / 2)
    fail("the caches have ", cache.extent(cache.rank - 1),
         " columns, they must have rotary_embedding_dim / 2 = ", rotary_dim / 2);
}

template <class X, class C, class S, class P, class Y>
void rotate(const X& input, const C& cos_cache, const S& sin_cache, const StridedView<const P>* ids,
            Y&& output, const RotaryEmbeddingAttributes& attributes) {
  if constexpr (check_rotatable<X>() && check_rotatable<Y>() && check_writable<Y>() &&
                check_same_scalar<X, Y>() && check_given_table<C>() && check_given_table<S>()) {
    decltype(auto) source = stored(input);
    decltype(auto) cosines = stored(cos_cache);
    decltype(auto) sines = stored(sin_cache);
    const auto cos = const_view_of(cosines);
    const auto sin = const_view_of(sines);
    check_given_tables(cos, sin);
    check_output(const_view_of(source), writable_view_of(output));
    const auto in = with_heads(const_view_of(source), attributes.num_heads);
    const auto out = with_heads(view_of(output), attributes.num_heads);
    check_columns(in.view, cos, attributes.rotary_embedding_dim);
    const std::vector<Index> rows = rows_of_tokens(in, cos, ids);
    if (in.view.size() == 0) return;

    const Index seq = in.view.extent(in.seq_axis);
    std::vector<Index> shape(3, 1);  // that of the input before its features, 1 for what shares its rows
    shape[static_cast<std::size_t>(in.seq_axis)] = seq;
    shape[0] = static_cast<Index>(rows.size()) / seq;
    const Pairing pairing = attributes.interleaved ? Pairing::interleaved : Pairing::half;
    apply_rotary_emb_into(gathered<RowsOf<X, C>>(cos, sin, rows, shape, pairing), in.view, out.view);
  }
}

/// Tensors of int64, as in the operator's definition, or of int32.
template <class P>
constexpr bool is_position_ids() {
  if constexpr (is_rotatable_container<P>())
    return std::is_same_v<Scalar<P>, std::int64_t> || std::is_same_v<Scalar<P>, std::int32_t>;
  return false;
}
template <class P>
concept PositionIds = is_position_ids<P>();

}  // namespace detail

/// `rotary_embedding` into a tensor of the shape and scalar of the input, which may be the input itself.
template <class X, class C, class S, class Y>
requires(!detail::PositionIds<Y>) void rotary_embedding_into(
    const X& input, const C& cos_cache, const S& sin_cache, Y&& output,
    const RotaryEmbeddingAttributes& attributes = {}) {
  const StridedView<const std::int64_t>* const none = nullptr;
  detail::rotate(input, cos_cache, sin_cache, none, output, attributes);
}
template <class X, class C, class S, detail::PositionIds P, class Y>
void rotary_embedding_into(const X& input, const C& cos_cache, const S& sin_cache, const P& position_ids,
                           Y&& output, const RotaryEmbeddingAttributes& attributes = {}) {
  decltype(auto) ids = detail::stored(position_ids);
  const auto view = detail::const_view_of(ids);
  detail::rotate(input, cos_cache, sin_cache, &view, output, attributes);
}

/// The operator without position_ids: the caches, [batch, seq, rotary_embedding_dim / 2], have a row for each
/// token of `input`, which is [batch, heads, seq, head_dim] or [batch, seq, heads · head_dim].
///
/// Cosines and sines are used as they are, at any magnitude. The result has the shape and scalar of the
/// input; 16-bit tensors are turned in float and rounded once. Fails with std::invalid_argument on shapes and
/// attributes that contradict each other.
template <class X, class C, class S>
rotary::detail::Owned<X> rotary_embedding(const X& input, const C& cos_cache, const S& sin_cache,
                                          const RotaryEmbeddingAttributes& attributes = {}) {
  if constexpr (detail::check_rotatable<X>() && detail::check_returnable<X>()) {
    decltype(auto) source = detail::stored(input);
    auto output = detail::make_like(source);
    rotary_embedding_into(source, cos_cache, sin_cache, output, attributes);
    return output;
  }
}

/// The operator with position_ids, int64 or int32: token n of batch row b stands at position_ids(b, n), a row
/// of the caches, [positions, rotary_embedding_dim / 2].
///
/// A single id, of shape [1], is the position of the first token of every batch row, the others following: so
/// com.microsoft.RotaryEmbedding has it. Fails on ids that are no row of the caches, naming the id.
///
/// @code
///   rotary::Tensor<float, 4> query(1, 8, 3, 64);                 // [batch, heads, seq, head_dim]
///   rotary::Tensor<float, 2> cos_cache(512, 32), sin_cache(512, 32);
///   rotary::Tensor<std::int64_t, 2> position_ids(1, 3);
///   query.setRandom(), cos_cache.setConstant(0), sin_cache.setConstant(1);
///   position_ids.setConstant(7);
///   query = rotary::onnx::rotary_embedding(query, cos_cache, sin_cache, position_ids);
/// @endcode
template <class X, class C, class S, detail::PositionIds P>
rotary::detail::Owned<X> rotary_embedding(const X& input, const C& cos_cache, const S& sin_cache,
                                          const P& position_ids,
                                          const RotaryEmbeddingAttributes& attributes = {}) {
  if constexpr (detail::check_rotatable<X>() && detail::check_returnable<X>()) {
    decltype(auto) source = detail::stored(input);
    auto output = detail::make_like(source);
    rotary_embedding_into(source, cos_cache, sin_cache, position_ids, output, attributes);
    return output;
  }
}

}  // namespace rotary::inline ROTARY_ABI::onnx
