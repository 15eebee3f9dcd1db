// KeyCache: the rotated keys of one sequence, whatever decoding does to it.
#pragma once

#include <initializer_list>

#include "key_cache/key_scales.hpp"
#include "key_cache/token_log.hpp"
#include "key_cache/token_store.hpp"

namespace rotary::inline ROTARY_ABI {

/// What a key cache holds.
struct KeyCacheOptions {
  Index heads = 1;        ///< heads of keys, of which there may be fewer than of queries
  Index head_dim = 0;     ///< features of a head
  Index capacity = 0;     ///< tokens that there is room for from the start
  bool grows = true;      ///< whether more may be appended, to memory twice as large; else that fails
  Index start_index = 0;  ///< the first feature that rotates
  Pairing pairing = Pairing::interleaved;  ///< of bare frequencies; an embedding brings its own
};

/// The keys of one sequence as attention reads them, rotated, through all that decoding does: tokens are
/// appended, dropped and moved to other positions, and the frequencies change as the context grows.
///
/// Token n at position p is held as its raw key k turned once, in features [start_index, start_index + d):
///
///     A R(p f) k                 plain, YaRN, LongRoPE, ...; with several coordinates φ = Σ_a p_a f(a, i)
///     A ζ^(−e(p)) R(p f) k       XPos, e(p) = (p − centre) / xpos_scale_base
///
/// The raw keys are kept as well, and whatever moves a token turns it anew from there. So the keys are, bit
/// for bit, what one rotation of the raw keys at their present positions by the present frequencies gives,
/// after any number of operations: no rounding piles up, positions are exact, and a magnitude is applied
/// once. The price is twice the memory. Turning what is stored by the shift alone would save it, at the cost
/// of a rounding for each shift.
///
/// `X`, the scalar of the keys, is float, double, Eigen::half or Eigen::bfloat16; cosines are made in float
/// (double for double), a few rows at a time on the stack. Queries are the caller's to rotate.
///
/// An operation that fails throws std::invalid_argument, and has changed nothing. `append` may move the keys
/// to larger memory, which ends the life of views of them; within the capacity it neither does that nor
/// allocates. A `const` cache may be read from any number of threads. To fork a sequence, copy its cache.
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
  /// For keys turned by frequencies of any make; those of several axes want as many coordinates per token.
  KeyCache(const Frequencies& frequencies, const KeyCacheOptions& options)
      : KeyCache(frequencies, detail::KeyScales(), options, options.pairing) {}

  /// For keys of queries that `embedding` turns.
  template <class Row>
  KeyCache(const RotaryEmbedding<Row>& embedding, const KeyCacheOptions& options)
      : KeyCache(interpolated(embedding), detail::KeyScales(), options, embedding.options().pairing) {}

  /// For keys of queries that `xpos` turns, with the same centre: the position whose scale is one. Named once
  /// and for all, so that decoding agrees with a full pass; `change_centre` moves it.
  template <class Row>
  KeyCache(const XPos<Row>& xpos, double centre, const KeyCacheOptions& options)
      : KeyCache(interpolated(xpos.rotary()), detail::KeyScales(xpos, centre), options,
                 xpos.rotary().options().pairing) {}

  Index size() const { return tokens_.size(); }        ///< tokens held
  Index capacity() const { return keys_.capacity(); }  ///< tokens that there is room for
  Index heads() const { return keys_.heads(); }
  Index head_dim() const { return keys_.head_dim(); }
  Index axes() const { return tokens_.axes(); }  ///< coordinates of a token

  /// The rotated keys, [heads, size, head_dim].
  StridedView<const X> keys() const { return keys_.tokens(0, size()); }

  /// The same for Eigen, with all that there is room for: [heads, capacity, head_dim], of which the first
  /// `size` tokens are meant.
  Eigen::TensorMap<const Tensor<X, 3>> tensor() const {
    return {keys_.data(), heads(), capacity(), head_dim()};
  }

  /// The rotated keys of one head as a matrix, [size, head_dim].
  auto head(Index head) const {
    if (head < 0 || head >= heads()) detail::fail("head is ", head, ", there are heads 0 to ", heads() - 1);
    using Matrix = Eigen::Matrix<X, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    return Eigen::Map<const Matrix>(keys_.data(head), size(), head_dim());
  }

  /// Where a token stands.
  FixedPosition position(Index token, Index axis = 0) const {
    if (token < 0 || token >= size() || axis < 0 || axis >= axes())
      detail::fail("token ", token, ", axis ", axis, " is outside a cache of ", size(), " tokens with ",
                   axes(), " coordinates");
    return tokens_.at(token)[axis];
  }

  /// Where `append` goes on, on every axis: one after the largest coordinate of the last token; 0 at first.
  FixedPosition next_position() const { return tokens_.next(); }

  /// Adds tokens at the end, turned for `next_position()` and those after it, alike on every axis.
  ///
  /// `keys`, raw and of scalar X, are [heads, n, head_dim]: a tensor, map, expression or view in any storage
  /// order. With one head [n, head_dim] will do, such as a matrix.
  template <class K>
  void append(const K& keys) {
    append(keys, next_position());
  }

  /// The same at positions first, first + 1, ...
  template <class K>
  void append(const K& keys, const FixedPosition& first) {
    append_source(keys, [&](Index count) {
      detail::Coordinates corner;
      corner.fill(first);
      return tokens_.run(count, corner.data());
    });
  }

  /// The same at one position of `axes()` coordinates for each token: a list, a grid, `TokenPositions`.
  template <class K>
  void append(const K& keys, const Positions& positions) {
    append_source(keys, [&](Index) { return positions; });
  }

  /// Moves tokens [first, last), counted from 0 wherever they stand, by `delta` on every axis.
  void shift(Index first, Index last, const FixedPosition& delta) {
    detail::Coordinates deltas;
    deltas.fill(delta);
    move(first, last, deltas.data());
  }

  /// The same with a delta for each axis: `shift(3, 9, {0, -2, -2})`.
  void shift(Index first, Index last, std::initializer_list<FixedPosition> deltas) {
    if (static_cast<Index>(deltas.size()) != axes())
      detail::fail("found ", deltas.size(), " deltas, there must be one for each of ", axes(), " axes");
    move(first, last, deltas.begin());
  }

  /// Drops tokens [first, last). The others stay where they stand; those after count from `first` on.
  void erase(Index first, Index last) {
    check_range(first, last);
    raw_.erase(first, last, size());
    keys_.erase(first, last, size());
    tokens_.erase(first, last);
  }

  /// Drops tokens [first, last) and moves those after, so that token `last` takes the place of token `first`:
  /// back by last − first where they are consecutive. The context shift of llama.cpp.
  void shift_context(Index first, Index last) {
    check_range(first, last);
    if (first < last && last < size()) move(last, size(), tokens_.difference(first, last).data());
    erase(first, last);
  }

  /// Drops all tokens but the first `size`.
  void rewind(Index size) { erase(size, this->size()); }

  /// Turns all keys anew by other frequencies and their magnitude: as the context grows under dynamic NTK, or
  /// from LongRoPE's short factors to its long ones. As many pairs and axes as before; XPos keeps its scales.
  void change_frequencies(const Frequencies& frequencies) {
    if (frequencies.axes != axes() || frequencies.pairs() != rows_.pairs())
      detail::fail("found frequencies of ", frequencies.pairs(), " pairs on ", frequencies.axes,
                   " axes, the keys are turned by ", rows_.pairs(), " pairs on ", axes());
    rows_ = make_rows(frequencies, rows_.pairing());
    turn(0, size());
  }

  /// Scales all keys of XPos for another centre.
  void change_centre(double centre) {
    if (!scales_.decay()) detail::fail("found a centre, ", centre, ", but only keys of XPos have one");
    detail::KeyScales moved = scales_.around(centre);
    for (Index n = 0; n < size(); ++n) check(tokens_.at(n), moved);
    scales_ = std::move(moved);
    turn(0, size());
  }

 private:
  KeyCache(const Frequencies& frequencies, detail::KeyScales scales, const KeyCacheOptions& options,
           Pairing pairing)
      : start_index_(options.start_index),
        grows_(options.grows),
        rows_(make_rows(frequencies, pairing)),
        scales_(std::move(scales)),
        tokens_(frequencies.axes),
        raw_(options.heads, options.head_dim),
        keys_(options.heads, options.head_dim) {
    detail::check_window(keys(), start_index_, 2 * rows_.pairs());
    if (options.capacity < 0) detail::fail("capacity is ", options.capacity, ", it must not be negative");
    raw_.reserve(options.capacity, 0);
    keys_.reserve(options.capacity, 0);
    tokens_.reserve(options.capacity);
  }

  template <class Row>
  static Frequencies interpolated(const RotaryEmbedding<Row>& embedding) {
    return scaled(embedding.frequencies(), embedding.options().interpolate_factor);
  }

  static SequenceRows<T> make_rows(const Frequencies& frequencies, Pairing pairing) {
    detail::check(frequencies);
    if (std::fabs(frequencies.magnitude) > static_cast<double>(std::numeric_limits<T>::max()))
      detail::fail("the magnitude is ", frequencies.magnitude, ", it must be finite in the type of the rows");
    return SequenceRows<T>(frequencies, pairing, 0);
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
    if (keys.rank == 2 && heads() == 1)
      view = StridedView<const X>(keys.data, {1, keys.extent(0), keys.extent(1)},
                                  {0, keys.stride(0), keys.stride(1)});
    if (view.rank != 3 || view.extent(0) != heads() || view.extent(2) != head_dim())
      detail::fail("found keys of shape ", detail::shape_text(keys), ", they must be [", heads(), ", n, ",
                   head_dim(), "]: [heads, tokens, head_dim]");
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
    raw_.write(held, keys);  // before the rotated keys move, which these may be some of
    keys_.reserve(room, held);
    tokens_.reserve(room);
    tokens_.append(positions);
    turn(held, total);
  }

  void move(Index first, Index last, const FixedPosition* deltas) {
    check_range(first, last);
    check(deltas, {});
    for (Index n = first; n < last; ++n) check(tokens_.moved(n, deltas).data(), scales_);
    tokens_.move(first, last, deltas);
    turn(first, last);
  }

  /// Makes the rotated keys of tokens [first, last) from the raw ones, one run of neighbours after another.
  void turn(Index first, Index last) {
    const kernels::Magnitude magnitude = scales_.magnitude(rows_.magnitude());
    for (Index end; first < last; first = end) {
      end = tokens_.run_end(first, last);
      auto job = detail::window_job<T>(std::as_const(raw_).tokens(first, end), keys_.tokens(first, end),
                                       start_index_, rows_.pairs(), rows_.pairing(),
                                       [&](int axis) { return axis == 1 ? 2 * rows_.pairs() : 0; });
      detail::rotate_making_rows(rows_, tokens_.run(end - first, tokens_.at(first)), magnitude,
                                 std::move(job));
    }
  }

  Index start_index_;
  bool grows_;
  SequenceRows<T> rows_;
  detail::KeyScales scales_;
  detail::TokenLog tokens_;
  detail::TokenStore<X> raw_, keys_;
};

}  // namespace rotary::inline ROTARY_ABI
