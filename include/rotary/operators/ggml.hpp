// ggml's rope as an object, and as functions.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "../rotary_embedding.hpp"
#include "../tables/reference_float32.hpp"
#include "ggml_parameters.hpp"

namespace rotary::inline ROTARY_ABI::ggml {

namespace detail {

template <class X>
void check_tensor(Index n_dims, Mode mode, const StridedView<X>& a) {
  if (a.rank < 3)
    fail("the tensor has shape ", shape_text(a), ", it must have at least 3 axes, [tokens, heads, head_dim]");
  const Index head_dim = a.extent(a.rank - 1);
  if (n_dims > head_dim)
    fail("n_dims is ", n_dims, ", it must be at most the ", head_dim, " features of a head");
  if (mode == Mode::vision && (n_dims != head_dim / 2 || head_dim % 2 != 0))
    fail("n_dims is ", n_dims, ", in mode vision it must be half of the ", head_dim, " features of a head");
}

/// The positions of tokens on one axis, or on four axes, which ggml stores one after the other.
inline Positions positions_of(std::span<const std::int32_t> positions, bool streams) {
  if (!streams) return Positions::listed(positions);
  if (positions.size() % 4 != 0)
    fail("found ", positions.size(), " positions, in a mode with 4 streams they must be 4 for each token");
  const std::size_t tokens = positions.size() / 4;
  std::array<AxisPositions, 4> axes;
  for (std::size_t k = 0; k < 4; ++k) axes[k] = AxisPositions::listed(positions.subspan(k * tokens, tokens));
  return Positions::together(axes);
}

/// Caches the table for the positions of the last call, which all layers of a model share. `at` may be called
/// from any number of threads; the lock is held while a pointer is copied, not while a table is computed.
template <class T>
class LastTable {
 public:
  LastTable() = default;
  LastTable(const LastTable& other) : last_(other.get()) {}
  LastTable& operator=(const LastTable& other) {
    set(other.get());
    return *this;
  }

  /// The table for `positions`: the cached one, or that of make().
  template <class Make>
  std::shared_ptr<const CosSinTable<T>> at(std::span<const std::int32_t> positions, const Make& make) const {
    std::shared_ptr<const Entry> last = get();
    if (!last ||
        !std::equal(positions.begin(), positions.end(), last->positions.begin(), last->positions.end())) {
      last = std::make_shared<const Entry>(
          Entry{std::vector<std::int32_t>(positions.begin(), positions.end()), make()});
      set(last);
    }
    return {last, &last->table};
  }

 private:
  struct Entry {
    std::vector<std::int32_t> positions;
    CosSinTable<T> table;
  };

  std::shared_ptr<const Entry> get() const {
    const std::lock_guard lock(mutex_);
    return last_;
  }
  void set(std::shared_ptr<const Entry> entry) const {
    const std::lock_guard lock(mutex_);
    last_.swap(entry);  // the old table is freed after the lock
  }

  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Entry> last_;
};

/// ggml's float32 angles for these parameters.
inline GgmlFloat32Angles float32_angles(const RopeOptions& options) {
  const std::vector<Index> streams = streams_of_pairs(options);
  const auto pairs = static_cast<std::size_t>(pairs_of(options));
  std::vector<Index> steps;
  for (Index pair = 0; pair < pairs_of(options); ++pair) steps.push_back(step_of_pair(options, pair));
  const std::span<const float> divisors = options.freq_factors;
  return GgmlFloat32Angles(options.n_dims, streams.empty() ? 1 : 4,
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
}

}  // namespace detail

/// ggml's rope with the parameters of a model, `RopeOptions`. Frequencies and rows are cached from call to
/// call.
///
/// `T`, float or double, is the scalar of the rows. Results have the bits of the functions below, which use
/// double for tensors of double, else float. A `const` object may be used from any number of threads.
/// Throws std::invalid_argument on parameters that contradict each other or the tensor.
///
/// Cost: calls cost little more than those of rotary::RotaryEmbedding at listed positions. Rows of exact
/// angles are cached up to position `cached_rows` − 1. For float32 angles the rows of the last call's
/// positions are cached, since all layers of a model share them.
///
/// @code
///   const rotary::ggml::Rope<float> rope({.n_dims = 128, .mode = rotary::ggml::Mode::neox, .freq_base = 500000});
///   rotary::Tensor<float, 4> q(1, 3, 8, 128), k(1, 3, 2, 128);   // [batch, tokens, heads, head_dim]
///   q.setRandom(), k.setRandom();
///   const std::vector<std::int32_t> positions = {5, 6, 7};
///   rope.rope_in_place(q, positions);
///   rope.rope_in_place(k, positions);
/// @endcode
///
/// Source: ggml 0.21.0.
template <class T>
class Rope {
  static_assert(RowScalar<T>,
                "rotary: cosines and sines are held in float or double, also for 16-bit tensors");

 public:
  /// For the parameters of a model, of which `freq_factors` are copied. Rows of exact angles are cached for
  /// positions below `cached_rows`.
  /// Throws std::invalid_argument on parameters that contradict each other.
  explicit Rope(const RopeOptions& options, Index cached_rows = 8192)
      : n_dims_(options.n_dims),
        mode_(options.mode),
        rotary_(rope_frequencies(options),
                {.start_index = options.n_offs, .pairing = detail::pairing_of(options), .seq_dim = -3},
                options.angles == Angles::exact ? cached_rows : 0) {
    if (options.angles == Angles::ggml_float32) float32_.emplace(detail::float32_angles(options));
  }

  /// The embedding with the frequencies, the magnitude and the layout of the parameters.
  [[nodiscard]] const rotary::RotaryEmbedding<T>& embedding() const& { return rotary_; }
  const rotary::RotaryEmbedding<T>& embedding() const&& = delete;  ///< of a temporary: it would dangle

  /// Cosines and sines, one row for each token, for `apply_rotary_emb`: queries and keys of all layers share
  /// them.
  [[nodiscard]] CosSinTable<T> table(std::span<const std::int32_t> positions) const {
    const Positions at = positions_of(positions);
    return float32_ ? float32_table(at) : rotary_.table(at);
  }

  /// The rotated `a`, [batch, tokens, heads, head_dim], its tokens at `positions`, as the function `rope`
  /// takes them; with Direction::transpose the backward pass.
  template <class X>
  [[nodiscard]] rotary::detail::Owned<X> rope(const X& a, std::span<const std::int32_t> positions,
                                              Direction direction = Direction::forward) const {
    if constexpr (detail::check_rotatable<X>() && detail::check_returnable<X>()) {
      decltype(auto) source = detail::stored(a);
      auto out = detail::make_like(source);
      rope_into(source, positions, out, direction);
      return out;
    }
  }

  /// The gradient with respect to `a`, given that with respect to the result.
  template <class G>
  [[nodiscard]] rotary::detail::Owned<G> rope_back(const G& grad,
                                                   std::span<const std::int32_t> positions) const {
    return rope(grad, positions, Direction::transpose);
  }

  /// Writes the rotated `a` to `out`, of its shape and scalar, which may be `a` itself.
  template <class X, class Y>
  void rope_into(const X& a, std::span<const std::int32_t> positions, Y&& out,
                 Direction direction = Direction::forward) const {
    if constexpr (detail::check_rotatable<X>() && detail::check_rotatable<Y>() &&
                  detail::check_writable<Y>() && detail::check_same_scalar<X, Y>()) {
      decltype(auto) source = detail::stored(a);
      const Positions at = checked_positions(source, positions, direction);
      if (float32_) {
        detail::apply_table(*last_table(positions, at), detail::const_view_of(source),
                            detail::writable_view_of(out), direction);
      } else {
        rotary_.rotate_into(source, out, at, {.direction = direction});
      }
    }
  }

  /// Rotates `a` in place. Allocates nothing once the rows that it needs are cached.
  template <class X>
  void rope_in_place(X&& a, std::span<const std::int32_t> positions,
                     Direction direction = Direction::forward) const {
    if constexpr (detail::check_rotatable<X>() && detail::check_writable<X>()) {
      const Positions at = checked_positions(a, positions, direction);
      if (float32_) {
        const auto view = detail::writable_view_of(a);
        detail::apply_table(*last_table(positions, at), view, view, direction);
      } else {
        rotary_.rotate_in_place(a, at, {.direction = direction});
      }
    }
  }

 private:
  Positions positions_of(std::span<const std::int32_t> positions) const {
    return detail::positions_of(positions, rotary_.frequencies().axes == 4);
  }

  /// The positions of the tokens of `a`. Throws unless the parameters fit it, every token has a position, and
  /// the direction is one of ggml's.
  template <class X>
  Positions checked_positions(const X& a, std::span<const std::int32_t> positions,
                              Direction direction) const {
    const auto view = view_of(a);
    detail::check_tensor(n_dims_, mode_, view);
    detail::check_table_direction(direction);
    const Positions at = positions_of(positions);
    const Index tokens = view.extent(view.rank - 3);
    if (at.count() != tokens)
      detail::fail("found positions for ", at.count(), " tokens, the tensor ", detail::shape_text(view),
                   " has ", tokens);
    return at;
  }

  std::shared_ptr<const CosSinTable<T>> last_table(std::span<const std::int32_t> positions,
                                                   const Positions& at) const {
    return last_.at(positions, [&] { return float32_table(at); });
  }
  CosSinTable<T> float32_table(const Positions& at) const {
    const CosSinTable<float> rounded = float32_->table(at, rotary_.layout());
    if constexpr (std::is_same_v<T, float>) {
      return rounded;
    } else {
      detail::RowStorage<T> wide(rounded.shape(), rounded.axes(), rounded.layout(), rounded.pairs());
      std::copy_n(rounded.data(), rounded.rows() * rounded.row_size(), wide.row(0));
      return std::move(wide).table();
    }
  }

  Index n_dims_;
  Mode mode_;
  rotary::RotaryEmbedding<T> rotary_;
  std::optional<detail::GgmlFloat32Angles> float32_;
  detail::LastTable<T> last_;
};

/// Cosines and sines, one row for each token, for `apply_rotary_emb`: queries and keys of all layers share
/// them.
///
/// `positions` are ggml's: one for each token, or in the modes with streams all of t, then all of h, w and e.
/// Throws std::invalid_argument on parameters that contradict each other.
///
/// @code
///   const std::vector<std::int32_t> positions = {5, 6, 7};
///   const auto table = rotary::ggml::rope_table<float>(positions, {.n_dims = 128});
///   rotary::Tensor<float, 4> q(1, 3, 8, 128);                    // [batch, tokens, heads, head_dim]
///   q.setRandom();
///   rotary::apply_rotary_emb_in_place(table, q);
/// @endcode
template <RowScalar T>
[[nodiscard]] CosSinTable<T> rope_table(std::span<const std::int32_t> positions, const RopeOptions& options) {
  return Rope<T>(options, 0).table(positions);
}

/// Writes `a`, rotated by ggml's rope, to `out`, of its shape and scalar, which may be `a` itself; with
/// Direction::transpose the backward pass. Shapes, parameters and errors are those of `rope`, which has an
/// example.
///
/// Cost: constructs a `Rope` for this call only; for parameters that serve many calls, construct one
/// yourself.
template <class X, class Y>
void rope_into(const X& a, std::span<const std::int32_t> positions, Y&& out, const RopeOptions& options,
               Direction direction = Direction::forward) {
  if constexpr (detail::check_rotatable<X>()) {
    decltype(auto) source = detail::stored(a);
    detail::check_tensor(options.n_dims, options.mode, detail::const_view_of(source));
    Rope<detail::Arithmetic<detail::Scalar<X>, float>>(options, 0)
        .rope_into(source, positions, out, direction);
  }
}

/// ggml's rope of `a`, [batch, tokens, heads, head_dim], which is ggml's `ne` in reverse: `ggml_rope`,
/// `ggml_rope_ext` and `ggml_rope_multi`.
///
/// `positions` has one entry for each token, or in the modes with streams all of t, then all of h, w and e.
/// Angles are exact unless `angles` says otherwise. Half-precision tensors are rotated in float and rounded
/// once.
/// Throws std::invalid_argument on parameters that contradict the tensor or each other.
///
/// Cost: constructs a `Rope` for this call only; for parameters that serve many calls, construct one
/// yourself.
///
/// @code
///   rotary::Tensor<float, 4> q(1, 3, 8, 128);                    // [batch, tokens, heads, head_dim]
///   q.setRandom();
///   const std::vector<std::int32_t> positions = {5, 6, 7};
///   q = rotary::ggml::rope(q, positions, {.n_dims = 128, .mode = rotary::ggml::Mode::neox});
/// @endcode
///
/// Source: ggml 0.21.0.
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

/// `ggml_rope_ext_back` and `ggml_rope_multi_back`: the gradient with respect to the argument of `rope`,
/// given `grad`, that with respect to its result, [batch, tokens, heads, head_dim]. Called as `rope`, which
/// has an example.
template <class G>
rotary::detail::Owned<G> rope_back(const G& grad, std::span<const std::int32_t> positions,
                                   const RopeOptions& options) {
  return rope(grad, positions, options, Direction::transpose);
}

}  // namespace rotary::inline ROTARY_ABI::ggml
