// KeyCache: the rotated keys of one sequence while it is decoded.
#pragma once

#include <initializer_list>

#include "key_cache/key_rows.hpp"
#include "key_cache/key_scales.hpp"
#include "key_cache/token_log.hpp"
#include "key_cache/token_store.hpp"

namespace rotary::inline ROTARY_ABI {

/// The sizes of a `KeyCache`.
struct KeyCacheOptions {
  Index heads = 1;     ///< heads of keys; there may be more heads of queries
  Index head_dim = 0;  ///< features of a head
  Index capacity = 0;  ///< tokens for which memory is allocated at construction
  bool grows = true;   ///< beyond the capacity: true: memory is doubled; false: `append` throws
};

/// The rotated keys of one sequence, as attention reads them. While decoding, tokens are appended, erased and
/// moved to other positions, and the frequencies may change as the context grows.
///
/// For token n at position p with raw key k the cache holds, in the features of the layout:
///
///     A R(p f) k                 plain, YaRN, LongRoPE, ...; with several coordinates φ = Σ_a p_a f(a, i)
///     A ζ^(−e(p)) R(p f) k       XPos, e(p) = (p − centre) / xpos_scale_base
///
/// The raw keys are stored as well, and a token that is moved is rotated again from its raw key. So after any
/// number of operations the keys are, bit for bit, one rotation of the raw keys at their present positions by
/// the present frequencies: rounding errors do not add up, positions are exact, and a magnitude is applied
/// once. This takes twice the memory. Rotating stored keys by the shift alone would save it, but round the
/// keys in every shift.
///
/// `X`, the scalar of the keys, is float, double, Eigen::half or Eigen::bfloat16. Cosines are computed in
/// float (in double for double), a few rows at a time on the stack. The caller rotates the queries.
///
/// Operations throw std::invalid_argument on wrong arguments, and then have changed nothing. `append` beyond
/// the capacity moves the keys to larger memory, which invalidates views of them; within the capacity it does
/// not allocate. A `const` cache may be read from any number of threads. To fork a sequence, copy its cache.
///
/// @code
///   const rotary::RotaryEmbedding<float> rotary_emb({.dim = 64, .pairing = rotary::Pairing::half});
///   rotary::KeyCache<Eigen::bfloat16> cache(rotary_emb, {.heads = 8, .head_dim = 64, .capacity = 1024});
///   rotary::Tensor<Eigen::bfloat16, 3> prompt(8, 100, 64), key(8, 1, 64);   // [heads, tokens, head_dim]
///   prompt.setZero();
///   key.setZero();
///   cache.append(prompt);           // at positions 0 to 99
///   cache.append(key);              // at 100
///   cache.shift_context(4, 52);     // drops tokens 4 to 51; what was at 52 is now at 4
///   auto fork = cache;
///   fork.rewind(50);
///   const rotary::StridedView<const Eigen::bfloat16> keys = cache.keys();   // [8, 53, 64]
/// @endcode
template <class X>
class KeyCache {
  static_assert(RotaryScalar<X>, "rotary: keys are float, double, Eigen::half or Eigen::bfloat16");
  using T = detail::Arithmetic<X, float>;

 public:
  /// For keys rotated by any frequencies; a token has a coordinate for each of their axes.
  KeyCache(const Frequencies& frequencies, const HeadLayout& layout, const KeyCacheOptions& options)
      : KeyCache(frequencies, detail::KeyScales(), options, layout) {}

  /// For keys of queries that `embedding` rotates, with its layout.
  template <class Row>
  KeyCache(const RotaryEmbedding<Row>& embedding, const KeyCacheOptions& options)
      : KeyCache(detail::interpolated_frequencies(embedding), detail::KeyScales(), options,
                 embedding.layout()) {}

  /// For keys of queries that `xpos` rotates with the same centre, the position of scale 1. The centre is
  /// fixed at construction, so that decoding agrees with a full pass; `change_centre` changes it.
  template <class Row>
  KeyCache(const XPos<Row>& xpos, double centre, const KeyCacheOptions& options)
      : KeyCache(detail::interpolated_frequencies(xpos.rotary()), detail::KeyScales(xpos, centre), options,
                 xpos.layout()) {}

  /// The number of tokens in the cache.
  [[nodiscard]] Index size() const { return tokens_.size(); }
  /// The number of tokens that fit into the allocated memory.
  [[nodiscard]] Index capacity() const { return keys_.capacity(); }
  /// The number of heads of keys.
  [[nodiscard]] Index heads() const { return keys_.heads(); }
  /// The number of features of a head.
  [[nodiscard]] Index head_dim() const { return keys_.head_dim(); }
  /// The number of coordinates of a token.
  [[nodiscard]] Index axes() const { return tokens_.axes(); }
  /// Which features of a head rotate, how they are paired, and whether `append` takes tokens or heads first.
  [[nodiscard]] const HeadLayout& layout() const& { return layout_; }
  /// A copy of the layout, for a temporary.
  [[nodiscard]] HeadLayout layout() && { return layout_; }

  /// The rotated keys, [heads, size, head_dim]. Valid until keys are appended or the cache is destroyed.
  [[nodiscard]] StridedView<const X> keys() const& { return keys_.tokens(0, size()); }
  StridedView<const X> keys() const&& = delete;  ///< of a temporary: the view would dangle

  /// The rotated keys as an Eigen tensor of the whole capacity, [heads, capacity, head_dim]; only the first
  /// `size` tokens are set.
  [[nodiscard]] Eigen::TensorMap<const Tensor<X, 3>> tensor() const& {
    return {keys_.data(), heads(), capacity(), head_dim()};
  }
  Eigen::TensorMap<const Tensor<X, 3>> tensor() const&& = delete;  ///< of a temporary: the map would dangle

  /// The rotated keys of one head as a matrix, [size, head_dim]. Throws if there is no such head.
  [[nodiscard]] auto head(Index head) const& {
    if (head < 0 || head >= heads()) detail::fail("head is ", head, ", there are heads 0 to ", heads() - 1);
    using Matrix = Eigen::Matrix<X, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    return Eigen::Map<const Matrix>(keys_.data(head), size(), head_dim());
  }
  void head(Index head) const&& = delete;  ///< of a temporary: the matrix would dangle

  /// The coordinate of a token along an axis. Throws outside the cache.
  [[nodiscard]] FixedPosition position(Index token, Index axis = 0) const {
    if (token < 0 || token >= size() || axis < 0 || axis >= axes())
      detail::fail("token ", token, ", axis ", axis, " is outside a cache of ", size(), " tokens with ",
                   axes(), " coordinates");
    return tokens_.at(token)[axis];
  }

  /// The default position for `append`, on every axis: one after the largest coordinate of the last token, or
  /// 0.
  [[nodiscard]] FixedPosition next_position() const { return tokens_.next(); }

  /// Appends tokens at positions next_position(), next_position() + 1, ..., the same on every axis.
  ///
  /// `keys`, not yet rotated and of scalar X, are [heads, n, head_dim], or [n, heads, head_dim] if the
  /// layout's seq_dim is −3: a tensor, map, expression or view in any storage order. With one head they may
  /// be [n, head_dim], such as a matrix.
  template <class K>
  void append(const K& keys) {
    append(keys, next_position());
  }

  /// Appends tokens at positions first, first + 1, ..., the same on every axis.
  template <class K>
  void append(const K& keys, const FixedPosition& first) {
    append_source(keys, [&](Index count) {
      detail::Coordinates corner;
      corner.fill(first);
      return tokens_.run(count, corner.data());
    });
  }

  /// Appends tokens at any positions, with `axes()` coordinates each: ids, `Positions`, `TokenPositions`.
  template <class K, class At>
  requires(!std::is_convertible_v<const At&, FixedPosition>) void append(const K& keys, const At& at) {
    append_source(keys, [&](Index count) {
      const Positions positions = detail::positions_of(at);
      if (positions.has_no_length() && positions.batch() == 0) {
        detail::Coordinates corner;
        corner.fill(positions.first());
        return tokens_.run(count, corner.data());
      }
      return positions.for_length(count);
    });
  }

  /// Moves tokens [first, last) by `delta` on every axis. Tokens are counted from 0, whatever their
  /// positions.
  void shift(Index first, Index last, const FixedPosition& delta) {
    detail::Coordinates deltas;
    deltas.fill(delta);
    move(first, last, deltas.data());
  }

  /// Moves tokens [first, last) by a delta for each axis: `shift(3, 9, {0, -2, -2})`.
  void shift(Index first, Index last, std::initializer_list<FixedPosition> deltas) {
    if (static_cast<Index>(deltas.size()) != axes())
      detail::fail("found ", deltas.size(), " deltas, there must be one for each of ", axes(), " axes");
    move(first, last, deltas.begin());
  }

  /// Erases tokens [first, last). The positions of the others do not change; token `last` becomes token
  /// `first`.
  void erase(Index first, Index last) {
    check_range(first, last);
    raw_.erase(first, last, size());
    keys_.erase(first, last, size());
    tokens_.erase(first, last);
  }

  /// Erases tokens [first, last) and moves the later ones, so that token `last` gets the position of token
  /// `first`: back by last − first if positions are consecutive. The context shift of llama.cpp.
  void shift_context(Index first, Index last) {
    check_range(first, last);
    if (first < last && last < size()) move(last, size(), tokens_.difference(first, last).data());
    erase(first, last);
  }

  /// Erases all tokens but the first `size`.
  void rewind(Index size) { erase(size, this->size()); }

  /// Rotates all raw keys by other frequencies and their magnitude, as the context grows under dynamic NTK,
  /// or passes from LongRoPE's short factors to its long ones. The numbers of pairs and axes must not change;
  /// XPos's scales do not change.
  void change_frequencies(const Frequencies& frequencies) {
    detail::check_like(frequencies, rows_);
    rows_ = detail::key_rows<T>(frequencies, layout_.pairing);
    rotate(0, size());
  }

  /// Rotates all raw keys with XPos's scales around another centre. Throws for keys without XPos.
  void change_centre(double centre) {
    if (!scales_.decay()) detail::fail("found a centre, ", centre, ", but only keys of XPos have one");
    detail::KeyScales moved = scales_.around(centre);
    for (Index n = 0; n < size(); ++n) check(tokens_.at(n), moved);
    scales_ = std::move(moved);
    rotate(0, size());
  }

 private:
  KeyCache(const Frequencies& frequencies, detail::KeyScales scales, const KeyCacheOptions& options,
           const HeadLayout& layout)
      : layout_(checked_layout(layout, frequencies)),
        grows_(options.grows),
        rows_(detail::key_rows<T>(frequencies, layout.pairing)),
        scales_(std::move(scales)),
        tokens_(frequencies.axes),
        raw_(options.heads, options.head_dim),
        keys_(options.heads, options.head_dim) {
    detail::check_window(keys(), layout_.start_index, layout_.rotary_dim);
    if (options.capacity < 0) detail::fail("capacity is ", options.capacity, ", it must not be negative");
    detail::checked_elements<FixedPosition>(options.capacity,
                                            frequencies.axes);  // before anything is allocated
    raw_.reserve(options.capacity, 0);
    keys_.reserve(options.capacity, 0);
    tokens_.reserve(options.capacity);
  }

  static HeadLayout checked_layout(const HeadLayout& layout, const Frequencies& frequencies) {
    if (layout.seq_dim != -2 && layout.seq_dim != -3)
      detail::fail("seq_dim is ", layout.seq_dim,
                   ", a key cache takes -2, [heads, tokens, head_dim], or -3, [tokens, heads, head_dim]");
    return detail::completed(layout, frequencies.pairs());
  }

  void check_range(Index first, Index last) const {
    if (first < 0 || first > last || last > size())
      detail::fail("found tokens [", first, ", ", last, "), they must be a range within [0, ", size(), ")");
  }

  void check(const FixedPosition* coordinates, const detail::KeyScales& scales) const {
    for (Index axis = 0; axis < axes(); ++axis) scales.check<X>(coordinates[axis]);
  }

  template <class K, class PositionsOf>
  void append_source(const K& keys, const PositionsOf& positions_of) {
    if constexpr (detail::check_rotatable<K>()) {
      constexpr bool kSameScalar = std::is_same_v<detail::Scalar<K>, X>;
      static_assert(kSameScalar, "rotary: a key cache takes keys of its own scalar; cast others to it");
      if constexpr (kSameScalar) {
        decltype(auto) source = detail::stored(keys);
        const StridedView<const X> view = by_heads(detail::const_view_of(source));
        append_at(view, positions_of(view.extent(1)));
      }
    }
  }

  /// Keys as [heads, n, head_dim].
  StridedView<const X> by_heads(const StridedView<const X>& keys) const {
    StridedView<const X> view = keys;
    const bool tokens_first = layout_.seq_dim == -3;
    if (keys.rank == 2 && heads() == 1) {
      view = StridedView<const X>(keys.data, {1, keys.extent(0), keys.extent(1)},
                                  {0, keys.stride(0), keys.stride(1)});
    } else if (keys.rank == 3 && tokens_first) {
      std::swap(view.extents[0], view.extents[1]);
      std::swap(view.strides[0], view.strides[1]);
    }
    if (view.rank != 3 || view.extent(0) != heads() || view.extent(2) != head_dim())
      detail::fail("found keys of shape ", detail::shape_text(keys), ", they must be [",
                   tokens_first ? "n, " : "", heads(), tokens_first ? "" : ", n", ", ", head_dim(),
                   "]: ", tokens_first ? "[tokens, heads, head_dim]" : "[heads, tokens, head_dim]");
    return view;
  }

  void append_at(const StridedView<const X>& keys, const Positions& positions) {
    const Index count = keys.extent(1), held = size(), total = detail::checked_sum(held, count);
    if (positions.axis_count() != axes())
      detail::fail("found positions of ", positions.axis_count(), " coordinates, the frequencies are for ",
                   axes());
    if (positions.count() != count)
      detail::fail("found ", positions.count(), " positions for ", count, " keys, there must be as many");
    if (total > capacity() && !grows_)
      detail::fail("found ", count, " keys to append to ", held, ", there is room for ", capacity());
    for (Index n = 0; n < count; ++n)
      for (int axis = 0; axis < axes(); ++axis) scales_.check<X>(positions.at(n, axis));
    const Index room = total > capacity() ? std::max(total, 2 * capacity()) : capacity();
    raw_.reserve(room, held);
    raw_.write(held, keys);  // before the rotated keys move: `keys` may be some of them
    keys_.reserve(room, held);
    tokens_.reserve(room);
    tokens_.append(positions);
    rotate(held, total);
  }

  void move(Index first, Index last, const FixedPosition* deltas) {
    check_range(first, last);
    check(deltas, {});
    for (Index n = first; n < last; ++n) check(tokens_.moved(n, deltas).data(), scales_);
    tokens_.move(first, last, deltas);
    rotate(first, last);
  }

  /// Rotates the raw keys of tokens [first, last), one run of consecutive positions after another.
  void rotate(Index first, Index last) {
    const detail::Rotation<T> how{rows_, store_layout(), scales_.magnitude(rows_.magnitude()),
                                  Direction::forward};
    for (Index end; first < last; first = end) {
      end = tokens_.run_end(first, last);
      const auto raw = std::as_const(raw_).tokens(first, end);
      const auto out = keys_.tokens(first, end);
      const Index count = end - first;
      detail::rotate_at(how, tokens_.run(count, tokens_.at(first)), {.seq_total = count, .seq = count},
                        detail::TensorPair{raw, out, 1});
    }
  }

  /// The layout of the stored keys, [heads, tokens, head_dim].
  const HeadLayout& store_layout() const { return layout_; }

  HeadLayout layout_;
  bool grows_;
  detail::RowCache<T> rows_;
  detail::KeyScales scales_;
  detail::TokenLog tokens_;
  detail::TokenStore<X> raw_, keys_;
};

}  // namespace rotary::inline ROTARY_ABI
