// ONNX's operator RotaryEmbedding, opset 23 and later.
#pragma once

#include <cstdint>
#include <type_traits>
#include <vector>

#include "given_tables.hpp"

namespace rotary::inline ROTARY_ABI::onnx {

/// The attributes of ONNX's operator, for `rotary_embedding`, with its defaults.
struct RotaryEmbeddingAttributes {
  bool interleaved = false;        ///< true: Pairing::interleaved; false: Pairing::half
  Index num_heads = 0;             ///< heads of the input; needed for [batch, seq, heads · head_dim]
  Index rotary_embedding_dim = 0;  ///< the first so many features of a head rotate; 0: all of them
};

namespace detail {

using namespace rotary::detail;

/// Throws unless the input is [batch, heads, seq, head_dim] or [batch, seq, heads · head_dim].
template <class X>
void check_heads(const StridedView<X>& input, Index num_heads) {
  if (input.rank != 3 && input.rank != 4)
    fail("the input has shape ", shape_text(input), ", it must have 3 or 4 axes");
  if (num_heads < 0) fail("num_heads is ", num_heads, ", it must not be negative");
  if (input.rank == 4) {
    if (num_heads != 0 && num_heads != input.extent(1))
      fail("num_heads is ", num_heads, ", the input ", shape_text(input), " has ", input.extent(1), " heads");
    return;
  }
  const Index width = input.extent(2);
  if (num_heads == 0) fail("num_heads is 0, an input of 3 axes such as ", shape_text(input), " needs it");
  if (width % num_heads != 0)
    fail("the input has ", width, " features, they must be a multiple of num_heads, which is ", num_heads);
}

/// [batch, seq, heads · head_dim] as [batch, seq, heads, head_dim].
template <class X>
StridedView<X> with_heads(const StridedView<X>& input, Index num_heads) {
  StridedView<X> split = input;
  split.rank = 4;
  const Index head_dim = input.extent(2) / num_heads;
  split.set_axis(2, num_heads, head_dim * input.stride(2));
  split.set_axis(3, head_dim, input.stride(2));
  return split;
}

/// Which row of the caches rotates token t, where tokens are counted through all sequences of a batch.
template <class P>
struct TokenRows {
  const P* ids = nullptr;
  Index seq = 1, batch_stride = 0, seq_stride = 0;
  Index first = 0;  // without ids
  Index batch = 0;  // sequences with rows of their own; 0: all share theirs

  Index operator()(Index t) const {
    if (ids == nullptr) return first + t;
    return static_cast<Index>(ids[t / seq * batch_stride + t % seq * seq_stride]);
  }
};

/// The rows of all tokens. Throws unless every token has one: that of its id, or without ids its own.
template <class X, class P>
TokenRows<P> rows_of_tokens(const StridedView<X>& in, int seq_axis, const TableShape& caches,
                            const StridedView<const P>* ids) {
  const Index batch = in.extent(0), seq = in.extent(seq_axis);
  const bool per_token = ids && ids->rank == 2 && ids->extent(0) == batch && ids->extent(1) == seq;
  const bool only_first = ids && ids->rank == 1 && ids->extent(0) == 1;
  if (!ids && (!caches.per_token || caches.outer != batch || caches.seq != seq))
    fail("the caches have shape ", shape_text(caches), ", without position_ids they must have [", batch, ", ",
         seq, ", rotary_embedding_dim / 2]");
  if (ids && caches.per_token)
    fail("the caches have shape ", shape_text(caches), ", with position_ids they must have 2 axes");
  if (ids && !per_token && !only_first)
    fail("position_ids has shape ", shape_text(*ids), ", it must have [", batch, ", ", seq, "] or [1]");

  const auto check = [&](Index id) {
    if (id < 0 || id >= caches.rows())
      fail("position ", id, " is asked for, the caches have ", caches.rows(), " rows");
  };
  if (!ids || in.empty()) return {.batch = batch};
  if (only_first) {
    const auto first = static_cast<Index>(ids->data[0]);
    check(first);
    check(checked_sum(first, seq - 1));
    return {.first = first};
  }
  const TokenRows<P> rows{ids->data, seq, ids->stride(0), ids->stride(1), 0, batch};
  for (Index t = 0; t < batch * seq; ++t) check(rows(t));
  return rows;
}

/// Throws unless the caches have a column for every pair that rotates.
template <class X>
void check_columns(const StridedView<X>& in, const TableShape& caches, Index rotary_embedding_dim) {
  const Index head_dim = in.extent(3);
  const Index rotary_dim = rotary_embedding_dim == 0 ? head_dim : rotary_embedding_dim;
  if (rotary_dim < 0 || rotary_dim > head_dim || rotary_dim % 2 != 0)
    fail("rotary_embedding_dim is ", rotary_dim, ", it must be even and at most the ", head_dim,
         " features of a head");
  if (caches.pairs != rotary_dim / 2)
    fail("the caches have ", caches.pairs,
         " columns, they must have rotary_embedding_dim / 2 = ", rotary_dim / 2);
}

/// Rotates tensors of 4 axes. In place `in` and `out` are the same object.
template <class Rows, class In, class X, class P>
void rotate_heads(const Rows& rows, const StridedView<In>& in, const StridedView<X>& out, int seq_axis,
                  const StridedView<const P>* ids, const RotaryEmbeddingAttributes& attributes) {
  check_columns(in, rows.shape(), attributes.rotary_embedding_dim);
  const TokenRows<P> tokens = rows_of_tokens(in, seq_axis, rows.shape(), ids);
  rotate_by_given(rows, Direction::forward, TensorPair{in, out, seq_axis}, tokens.batch, tokens);
}

/// In place `input` and `output` are the same object.
template <class Rows, class In, class X, class P>
void rotate(const Rows& rows, const StridedView<In>& input, const StridedView<X>& output,
            const StridedView<const P>* ids, const RotaryEmbeddingAttributes& attributes) {
  check_output(input, output);
  check_heads(input, attributes.num_heads);
  if (input.rank == 4) return rotate_heads(rows, input, output, 2, ids, attributes);
  const auto in = with_heads(input, attributes.num_heads);
  if constexpr (std::is_same_v<In, X>) {
    rotate_heads(rows, in, in, 1, ids, attributes);
  } else {
    rotate_heads(rows, in, with_heads(output, attributes.num_heads), 1, ids, attributes);
  }
}

inline constexpr const StridedView<const std::int64_t>* kNoIds = nullptr;

inline Pairing pairing_of(const RotaryEmbeddingAttributes& attributes) {
  return attributes.interleaved ? Pairing::interleaved : Pairing::half;
}

/// Rotates with rows that are read from the caches in this call, for functions.
template <class X, class C, class S, class P, class Y>
void rotate_once(const X& input, const C& cos_cache, const S& sin_cache, const StridedView<const P>* ids,
                 Y&& output, const RotaryEmbeddingAttributes& attributes) {
  if constexpr (check_rotatable<X>() && check_rotatable<Y>() && check_writable<Y>() &&
                check_same_scalar<X, Y>() && check_given_table<C>() && check_given_table<S>()) {
    decltype(auto) source = stored(input);
    decltype(auto) cosines = stored(cos_cache);
    decltype(auto) sines = stored(sin_cache);
    const RowsOfTables<RowsOf<X, C>, Scalar<C>, Scalar<S>> rows(const_view_of(cosines), const_view_of(sines),
                                                                pairing_of(attributes));
    rotate(rows, const_view_of(source), writable_view_of(output), ids, attributes);
  }
}

/// Is `P` a tensor of int64, as in the operator's definition, or of int32?
template <class P>
constexpr bool is_position_ids() {  // not covered: runs while compiling
  if constexpr (is_rotatable_container<P>())
    return std::is_same_v<Scalar<P>, std::int64_t> || std::is_same_v<Scalar<P>, std::int32_t>;
  return false;
}
template <class P>
concept PositionIds = is_position_ids<P>();

}  // namespace detail

/// ONNX's operator RotaryEmbedding as a node: its attributes, and its caches, converted to rows once.
///
/// `T`, float or double, is the scalar of the rows. It is deduced: double for caches of double, else float.
/// Results have the bits of the functions below.
/// Throws std::invalid_argument as they do.
///
/// Cost: calls cost as much as those of rotary::RotaryEmbedding at listed positions. The caches are copied,
/// rotary_embedding_dim scalars for each row. An object is immutable; any number of threads may use it.
///
/// @code
///   rotary::Tensor<float, 2> cos_cache(512, 32), sin_cache(512, 32);
///   cos_cache.setConstant(0), sin_cache.setConstant(1);
///   const rotary::onnx::RotaryEmbedding node(cos_cache, sin_cache, {.interleaved = true});
///   rotary::Tensor<float, 4> query(2, 8, 1, 64), key(2, 2, 1, 64);          // [batch, heads, seq, head_dim]
///   query.setRandom(), key.setRandom();
///   rotary::Tensor<std::int64_t, 2> position_ids(2, 1);
///   position_ids.setValues({{100}, {7}});
///   node.rotary_embedding_in_place(query, position_ids);
///   node.rotary_embedding_in_place(key, position_ids);
/// @endcode
///
/// Source: ONNX's Operators.md, opset 23.
template <class T>
class RotaryEmbedding {
  static_assert(RowScalar<T>,
                "rotary: cosines and sines are held in float or double, also for 16-bit tensors");

 public:
  /// With caches of [positions, rotary_embedding_dim / 2] calls take position_ids; with caches of [batch,
  /// seq, rotary_embedding_dim / 2], which have a row for each token, they take none.
  /// Throws std::invalid_argument if the caches differ in shape or have another number of axes.
  template <class C, class S>
  requires(detail::check_given_table<C>() && detail::check_given_table<S>())
      RotaryEmbedding(const C& cos_cache, const S& sin_cache,
                      const RotaryEmbeddingAttributes& attributes = {})
      : attributes_(attributes),
        rows_(detail::converted_rows<T>(cos_cache, sin_cache, detail::pairing_of(attributes))) {}

  /// The attributes that the constructor was given.
  [[nodiscard]] const RotaryEmbeddingAttributes& attributes() const& { return attributes_; }
  /// A copy of the attributes, for a temporary.
  [[nodiscard]] RotaryEmbeddingAttributes attributes() && { return attributes_; }

  /// The rotated `input`, without position_ids: the caches have a row for each token.
  template <class X>
  [[nodiscard]] rotary::detail::Owned<X> rotary_embedding(const X& input) const {
    return rotated(input, detail::kNoIds);
  }
  /// The rotated `input`, with position_ids as in the function `rotary_embedding`: [batch, seq], or [1].
  template <class X, detail::PositionIds P>
  [[nodiscard]] rotary::detail::Owned<X> rotary_embedding(const X& input, const P& position_ids) const {
    decltype(auto) ids = detail::stored(position_ids);
    const auto view = detail::const_view_of(ids);
    return rotated(input, &view);
  }

  /// Writes the rotated `input`, without position_ids, to a tensor of its shape and scalar, or to the input.
  template <class X, class Y>
  requires(!detail::PositionIds<Y>) void rotary_embedding_into(const X& input, Y&& output) const {
    rotate_into(input, output, detail::kNoIds);
  }
  /// Writes the rotated `input`, with position_ids, to a tensor of its shape and scalar, or to the input.
  template <class X, detail::PositionIds P, class Y>
  void rotary_embedding_into(const X& input, const P& position_ids, Y&& output) const {
    decltype(auto) ids = detail::stored(position_ids);
    const auto view = detail::const_view_of(ids);
    rotate_into(input, output, &view);
  }

  /// Rotates `x` in place, without position_ids: the caches have a row for each token. Allocates nothing.
  template <class X>
  void rotary_embedding_in_place(X&& x) const {
    rotate_in_place(x, detail::kNoIds);
  }
  /// Rotates `x` in place, with position_ids as in the function `rotary_embedding`. Allocates nothing.
  template <class X, detail::PositionIds P>
  void rotary_embedding_in_place(X&& x, const P& position_ids) const {
    decltype(auto) ids = detail::stored(position_ids);
    const auto view = detail::const_view_of(ids);
    rotate_in_place(x, &view);
  }

 private:
  template <class X, class P>
  rotary::detail::Owned<X> rotated(const X& input, const StridedView<const P>* ids) const {
    if constexpr (detail::check_rotatable<X>() && detail::check_returnable<X>()) {
      decltype(auto) source = detail::stored(input);
      auto output = detail::make_like(source);
      rotate_into(source, output, ids);
      return output;
    }
  }
  template <class X, class Y, class P>
  void rotate_into(const X& input, Y&& output, const StridedView<const P>* ids) const {
    if constexpr (detail::check_rotatable<X>() && detail::check_rotatable<Y>() &&
                  detail::check_writable<Y>() && detail::check_same_scalar<X, Y>()) {
      decltype(auto) source = detail::stored(input);
      detail::rotate(rows_, detail::const_view_of(source), detail::writable_view_of(output), ids,
                     attributes_);
    }
  }
  template <class X, class P>
  void rotate_in_place(X&& x, const StridedView<const P>* ids) const {
    if constexpr (detail::check_rotatable<X>() && detail::check_writable<X>()) {
      const auto view = detail::writable_view_of(x);
      detail::rotate(rows_, view, view, ids, attributes_);
    }
  }

  RotaryEmbeddingAttributes attributes_;
  detail::ConvertedRows<T> rows_;
};
/// Deduces the scalar of the rows: double for caches of double, else float.
template <class C, class S>
RotaryEmbedding(const C&, const S&, const RotaryEmbeddingAttributes& = {})
    -> RotaryEmbedding<rotary::detail::Arithmetic<float, rotary::detail::Scalar<C>>>;

/// Writes the rotated `input` to `output`, of its shape and scalar, or the input itself, without ids: caches
/// have a row for each token. Shapes and errors are those of `rotary_embedding`, which has an example.
template <class X, class C, class S, class Y>
requires(!detail::PositionIds<Y>) void rotary_embedding_into(
    const X& input, const C& cos_cache, const S& sin_cache, Y&& output,
    const RotaryEmbeddingAttributes& attributes = {}) {
  detail::rotate_once(input, cos_cache, sin_cache, detail::kNoIds, output, attributes);
}
/// Writes the rotated `input` to `output`, of its shape and scalar, which may be the input itself, with
/// position_ids. Shapes and errors are those of `rotary_embedding`, which has an example.
template <class X, class C, class S, detail::PositionIds P, class Y>
void rotary_embedding_into(const X& input, const C& cos_cache, const S& sin_cache, const P& position_ids,
                           Y&& output, const RotaryEmbeddingAttributes& attributes = {}) {
  decltype(auto) ids = detail::stored(position_ids);
  const auto view = detail::const_view_of(ids);
  detail::rotate_once(input, cos_cache, sin_cache, &view, output, attributes);
}

/// The operator without position_ids: the caches, [batch, seq, rotary_embedding_dim / 2], have a row for each
/// token of `input`, which is [batch, heads, seq, head_dim] or [batch, seq, heads · head_dim].
///
/// Cosines and sines are used as they are, at any magnitude. The result has the shape and scalar of the
/// input; 16-bit tensors are rotated in float and rounded once.
/// Throws std::invalid_argument on shapes and attributes that contradict each other. The overload with
/// position_ids has an example.
/// Cost: rows are converted in every call; `onnx::RotaryEmbedding` converts them once, for many calls.
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

/// The operator with position_ids, int64 or int32: token n of batch row b is rotated by row position_ids(b,
/// n) of the caches, [positions, rotary_embedding_dim / 2]. `input` is [batch, heads, seq, head_dim] or
/// [batch, seq, heads · head_dim].
///
/// A single id, of shape [1], is the position of the first token of every batch row, and the others follow,
/// as in com.microsoft.RotaryEmbedding. Throws std::invalid_argument on ids without a row in the caches,
/// naming the id, and on shapes and attributes that contradict each other.
///
/// @code
///   rotary::Tensor<float, 4> query(1, 8, 3, 64);                 // [batch, heads, seq, head_dim]
///   rotary::Tensor<float, 2> cos_cache(512, 32), sin_cache(512, 32);
///   rotary::Tensor<std::int64_t, 2> position_ids(1, 3);
///   query.setRandom(), cos_cache.setConstant(0), sin_cache.setConstant(1);
///   position_ids.setConstant(7);
///   query = rotary::onnx::rotary_embedding(query, cos_cache, sin_cache, position_ids);
/// @endcode
///
/// Source: ONNX's Operators.md, opset 23.
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
