// TensorRotator: the calls of an embedding on tensors as users pass them.
#pragma once

#include <utility>

#include "rotator.hpp"
#include "scaled_rows.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// A Rotator for tensors as users pass them: it checks their types, makes views and new tensors, and takes the short path
/// of `CachedRotator` first. `at` names positions or is `ByOffset`. `X` and the like are the types of the arguments of the
/// public functions: references for what has a name.
template <RowScalar T>
class TensorRotator : public Rotator<T> {
 public:
  using Rotator<T>::Rotator;

  /// In place, any call. The public function tries `rotate_cached_sequence` first.
  template <class X, class At, class Device>
  ROTARY_NOINLINE void any_in_place(std::remove_reference_t<X>& x, const At& at, const RotateOptions& options,
                                    const Device& device) const {
    const auto view = writable_view_of(x);
    this->rotate_at(at, options, device, this->template pair_of<X>(view, view, options));
  }
  template <class X, class Y, class At, class Device>
  void into(const X& x, std::remove_reference_t<Y>& out, const At& at, const RotateOptions& options,
            const Device& device) const {
    if constexpr (check_rotatable<X>() && check_rotatable<Y>() && check_writable<Y>() &&
                  check_same_scalar<X, Y>()) {
      decltype(auto) source = stored(x);
      if constexpr (std::is_same_v<Device, CallingThread>)
        if (this->rotate_cached_into(at, options, source, out)) return;
      const auto in = const_view_of(source);
      const auto to = writable_view_of(out);
      this->rotate_at(at, options, device, this->template pair_of<X, Y>(in, to, options));
    }
  }
  template <class X, class At, class Device>
  Owned<X> rotated(const X& x, const At& at, const RotateOptions& options, const Device& device) const {
    if constexpr (check_rotatable<X>() && check_returnable<X>()) {
      decltype(auto) source = stored(x);
      auto result = make_like(source);
      into<std::remove_cvref_t<decltype(source)>, decltype(result)&>(source, result, at, options, device);
      return result;
    }
  }
  template <class Q, class K, class At, class Device>
  void both_in_place(std::remove_reference_t<Q>& q, std::remove_reference_t<K>& k, const At& at,
                     const RotateOptions& options, const Device& device) const {
    if constexpr (check_rotatable<Q>() && check_writable<Q>() && check_rotatable<K>() &&
                  check_writable<K>()) {
      if (this->rotate_cached_sequence(at, options, device, q, k)) return;
      const auto queries = writable_view_of(q);
      const auto keys = writable_view_of(k);
      this->rotate_at(at, options, device, this->template pair_of<Q>(queries, queries, options),
                      this->template pair_of<K>(keys, keys, options));
    }
  }
  template <class Q, class K, class QOut, class KOut, class At, class Device>
  void both_into(const Q& q, const K& k, std::remove_reference_t<QOut>& q_out,
                 std::remove_reference_t<KOut>& k_out, const At& at, const RotateOptions& options,
                 const Device& device) const {
    if constexpr (check_rotatable<Q>() && check_rotatable<QOut>() && check_writable<QOut>() &&
                  check_same_scalar<Q, QOut>() && check_rotatable<K>() && check_rotatable<KOut>() &&
                  check_writable<KOut>() && check_same_scalar<K, KOut>()) {
      decltype(auto) queries = stored(q);
      decltype(auto) keys = stored(k);
      const auto q_in = const_view_of(queries);
      const auto k_in = const_view_of(keys);
      const auto q_to = writable_view_of(q_out);
      const auto k_to = writable_view_of(k_out);
      this->rotate_at(at, options, device, this->template pair_of<Q, QOut>(q_in, q_to, options),
                      this->template pair_of<K, KOut>(k_in, k_to, options));
    }
  }
  template <class Q, class K, class At, class Device>
  auto rotated_both(const Q& q, const K& k, const At& at, const RotateOptions& options,
                    const Device& device) const {
    return rotated_both(q, k, options, [&](const auto& queries, const auto& keys) {
      this->rotate_at(at, options, device, queries, keys);
    });
  }
  /// New tensors for rotated queries and keys, filled by rotate(queries, keys).
  template <class Q, class K, class Rotate>
  std::pair<Owned<Q>, Owned<K>> rotated_both(const Q& q, const K& k, const RotateOptions& options,
                                             const Rotate& rotate) const {
    if constexpr (check_rotatable<Q>() && check_returnable<Q>() && check_rotatable<K>() &&
                  check_returnable<K>()) {
      decltype(auto) queries = stored(q);
      decltype(auto) keys = stored(k);
      std::pair<Owned<Q>, Owned<K>> result{make_like(queries), make_like(keys)};
      const auto q_in = const_view_of(queries);
      const auto k_in = const_view_of(keys);
      const auto q_out = writable_view_of(result.first);
      const auto k_out = writable_view_of(result.second);
      rotate(this->template pair_of<Q, Owned<Q>>(q_in, q_out, options),
             this->template pair_of<K, Owned<K>>(k_in, k_out, options));
      return result;
    }
  }

  /// {rotated q, rotated k}: the last tokens of `k` are those of `q`, whose offset moves the queries only.
  template <class Q, class K, class Device>
  std::pair<Owned<Q>, Owned<K>> rotated_with_cached_keys(const Q& q, const K& k, const RotateOptions& options,
                                                         const Device& device) const {
    return this->rotated_both(q, k, options, [&](const auto& queries, const auto& keys) {
      const Index q_len = queries.in.extent(queries.seq_axis), k_len = keys.in.extent(keys.seq_axis);
      if (q_len > k_len)
        fail("found ", q_len, " queries for ", k_len, " cached keys, there must not be more");
      this->check(queries);  // both before either is written
      this->check(keys);
      this->rotate_from(options.offset + FixedPosition(k_len - q_len), options, device, queries);
      this->rotate_from(FixedPosition(0), options, device, keys);
    });
  }

  /// `x` rotated and multiplied by a tensor of scales.
  template <class X, class S>
  Owned<X> rotated_and_scaled(const X& x, const RotateOptions& options, const S& scale) const {
    if constexpr (check_rotatable<X>() && check_returnable<X>()) {
      decltype(auto) source = stored(x);
      decltype(auto) scales = stored(scale);
      auto result = make_like(source);
      const auto in = const_view_of(source);
      HeadLayout layout = this->layout();
      layout.seq_dim = this->axis_of(in, options);
      const Positions positions =
          Positions::consecutive(in.extent(static_cast<int>(layout.seq_dim)), options.offset);
      const double factor = this->factor_of(options);
      if (options.direction == Direction::inverse)
        fail("a rotation with a tensor of scales has no inverse here; use Direction::transpose");
      apply_table(
          scaled_table<T>(this->rows().text_steps(), positions, factor, layout, const_view_of(scales), in),
          in, writable_view_of(result), options.direction);
      return result;
    }
  }

  // One token of every sequence.

  template <class X, class At, class Device>
  void token_in_place(std::remove_reference_t<X>& heads, const At& at, const RotateOptions& options,
                      const Device& device) const {
    if constexpr (check_rotatable<X, true>() && check_writable<X>()) {
      if constexpr (std::is_same_v<Device, CallingThread>)
        if (this->rotate_cached_token(at, options, heads)) return;
      any_token_in_place<X>(heads, at, options, device);
    }
  }
  template <class Q, class K, class At, class Device>
  void token_in_place(std::remove_reference_t<Q>& q, std::remove_reference_t<K>& k, const At& at,
                      const RotateOptions& options, const Device& device) const {
    if constexpr (check_rotatable<Q, true>() && check_writable<Q>() && check_rotatable<K, true>() &&
                  check_writable<K>()) {
      if constexpr (std::is_same_v<Device, CallingThread>)
        if (this->rotate_cached_token(at, options, q, k)) return;
      const auto queries = writable_heads_of(q);
      const auto keys = writable_heads_of(k);
      this->rotate_token_at(at, options, device, token_pair<Q>(queries, queries), token_pair<K>(keys, keys));
    }
  }
  template <class X, class Y, class At, class Device>
  void token_into(const X& heads, std::remove_reference_t<Y>& out, const At& at, const RotateOptions& options,
                  const Device& device) const {
    if constexpr (check_rotatable<X, true>() && check_rotatable<Y, true>() && check_writable<Y>() &&
                  check_same_scalar<X, Y>()) {
      decltype(auto) source = stored(heads);
      const auto in = const_heads_of(source);
      const auto to = writable_heads_of(out);
      this->rotate_token_at(at, options, device, token_pair<X, Y>(in, to));
    }
  }
  template <class X, class At, class Device>
  Owned<X> rotated_token(const X& heads, const At& at, const RotateOptions& options,
                         const Device& device) const {
    if constexpr (check_rotatable<X, true>() && check_returnable<X>()) {
      decltype(auto) source = stored(heads);
      auto result = make_like(source);
      token_into<std::remove_cvref_t<decltype(source)>, decltype(result)&>(source, result, at, options,
                                                                           device);
      return result;
    }
  }

 private:
  // Any call. A function of its own, so that the common calls save no registers for it.
  template <class X, class At, class Device>
  ROTARY_NOINLINE void any_token_in_place(std::remove_reference_t<X>& heads, const At& at,
                                          const RotateOptions& options, const Device& device) const {
    const auto view = writable_heads_of(heads);
    this->rotate_token_at(at, options, device, token_pair<X>(view, view));
  }
};

/// The rotator of an embedding: its positions are divided by `interpolate_factor`.
template <RowScalar T>
TensorRotator<T> make_rotator(const Frequencies& frequencies, const double& interpolate_factor,
                              const HeadLayout& layout, Index cached_rows) {
  check(frequencies);
  check_magnitude<T>(frequencies.magnitude);
  const bool interpolates = !is_equal(interpolate_factor, 1.0);
  return {RowCache<T>(interpolates ? scaled(frequencies, interpolate_factor) : frequencies, layout.pairing,
                      cached_rows),
          layout};
}

}  // namespace rotary::inline ROTARY_ABI::detail
