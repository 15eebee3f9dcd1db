// Weights, biases, norms and cached keys of one pairing, reordered for the other.
#pragma once

#include <optional>
#include <vector>

#include "../core/pairing.hpp"
#include "../kernels/rotation_job.hpp"
#include "../tensor/tensor.hpp"

namespace rotary::inline ROTARY_ABI {

/// Where the features of the heads are in a tensor that is to be reordered, for `interleaved_to_half` and
/// `half_to_interleaved`.
struct HeadFeatures {
  Index heads = 1;  ///< heads, one after the other on the axis; with GQA keys have fewer than queries
  std::optional<Index> rotary_dim = {};  ///< features of a head that rotate; left out, all from start_index
  Index start_index = 0;                 ///< the first feature of a head that rotates
  Index axis = 0;                        ///< the axis that holds [heads · head_dim]; −1 is the last
};

namespace detail {

/// Moves the features of every pair from their places in one pairing to those in the other.
template <class Scalar>
void reorder_pairs(const StridedView<Scalar>& x, const HeadFeatures& features, Pairing from, Pairing to) {
  const int axis = resolve_axis(features.axis, x.rank, "axis");
  const Index size = x.extent(axis), heads = features.heads, start = features.start_index;
  if (heads < 1) fail("found ", heads, " heads, there must be at least 1");
  if (size % heads != 0)
    fail("axis ", axis, " of ", shape_text(x), " has ", size, " features, it must have as many for each of ",
         heads, " heads");
  const Index head_dim = size / heads;
  if (start < 0 || start > head_dim) fail("start_index is ", start, ", a head has ", head_dim, " features");
  const Index rotary_dim = features.rotary_dim.value_or(head_dim - start);
  if (rotary_dim < 0 || rotary_dim % 2 != 0)
    fail("rotary_dim is ", rotary_dim, ", it must be even and not negative");
  if (rotary_dim > head_dim - start)
    fail("rotary_dim is ", rotary_dim, " from start_index ", start, " on, a head has only ", head_dim,
         " features");
  if (!elements_are_distinct(x)) fail("the tensor to reorder has elements that share memory");
  if (x.size() == 0 || rotary_dim == 0) return;

  const Index pairs = rotary_dim / 2, step = x.stride(axis);
  const auto before = kernels::pair_strides(from, pairs, step), after = kernels::pair_strides(to, pairs);
  std::vector<Scalar> window(static_cast<std::size_t>(rotary_dim));
  for (Index head = 0; head < heads; ++head)
    for_each_index(
        x.rank,
        [&](Index at) {
          Scalar* const first = x.data + (head * head_dim + start) * step + at;
          for (Index i = 0; i < pairs; ++i)
            for (Index r = 0; r < 2; ++r)
              window[static_cast<std::size_t>(i * after.pair + r * after.partner)] =
                  first[i * before.pair + r * before.partner];
          for (Index j = 0; j < rotary_dim; ++j) first[j * step] = window[static_cast<std::size_t>(j)];
        },
        x.slice(axis, 0, 1));
}

template <class X>
constexpr bool check_reorderable() {  // not covered: runs while compiling
  static_assert(
      is_rotatable_container<X>(),
      "rotary: pass an Eigen tensor, matrix, map or block, or a rotary::StridedView of your own tensor");
  return is_rotatable_container<X>();
}

template <class X>
void reorder_in_place(std::remove_reference_t<X>& x, const HeadFeatures& features, Pairing from, Pairing to) {
  if constexpr (check_reorderable<X>() && check_writable<X>())
    reorder_pairs(elements_of(x), features, from, to);
}

template <class X>
Owned<X> reordered(const X& x, const HeadFeatures& features, Pairing from, Pairing to) {
  if constexpr (check_reorderable<X>()) {
    static_assert(!is_view<X>, "rotary: a view owns no memory to return; reorder it in place");
    Owned<X> result(x);
    reorder_in_place<Owned<X>&>(result, features, from, to);
    return result;
  }
}

}  // namespace detail

// A model that was trained with one pairing gives the same scores with the other, once the rows of its query
// and key projections are reordered: a permutation of the features of queries and keys alike leaves their
// products as they are. Reorder whatever acts on those features, and nothing else: weights [heads · head_dim,
// in], biases [heads · head_dim], QK-norm weights [head_dim], cached keys [batch, heads, seq, head_dim] with
// `.axis = -1`. Values and the output projection stay. Elements are moved and never computed with, so any
// type of them will do, and the way there and back changes not a bit.

/// `x`, made for `Pairing::interleaved`, reordered for `Pairing::half`: Meta's checkpoints for Hugging Face.
///
///     result[h, i + r · d/2] = x[h, 2i + r],   i < d/2,  r = 0 or 1
///
/// for every head h, where d = rotary_dim and features count from start_index; all others stay where they
/// are. `x` is what acts on the features of queries or keys: weights [heads · head_dim, in], biases [heads ·
/// head_dim], QK-norm weights [head_dim], cached keys [batch, heads, seq, head_dim] with `.axis = -1`. Scores
/// stay as they are.
/// Throws std::invalid_argument if the axis does not divide into heads, or the window reaches past a head.
/// Cost: a copy.
///
/// @code
///   Eigen::MatrixXf wq(32 * 128, 64);   // [heads · head_dim, in]
///   wq.setRandom();
///   wq = rotary::interleaved_to_half(wq, {.heads = 32});
/// @endcode
///
/// Source: `permute` of Hugging Face's conversion script for Llama.
template <class X>
detail::Owned<X> interleaved_to_half(const X& x, const HeadFeatures& features = {}) {
  return detail::reordered(x, features, Pairing::interleaved, Pairing::half);
}
/// Reorders `x`, made for `Pairing::interleaved`, for `Pairing::half`, in place: weights [heads · head_dim,
/// in], biases, norms, or cached keys, as `interleaved_to_half` lists them.
/// Throws std::invalid_argument if the axis does not divide into heads, or the window reaches past a head.
///
/// @code
///   Eigen::MatrixXf wk(8 * 128, 64);   // [heads · head_dim, in], 8 heads of keys (GQA)
///   wk.setRandom();
///   rotary::interleaved_to_half_in_place(wk, {.heads = 8});
/// @endcode
template <class X>
void interleaved_to_half_in_place(X&& x, const HeadFeatures& features = {}) {
  detail::reorder_in_place<X>(x, features, Pairing::interleaved, Pairing::half);
}

/// `x`, made for `Pairing::half`, reordered for `Pairing::interleaved`: the inverse of `interleaved_to_half`,
/// which lists what to reorder. Hugging Face's checkpoints for ggml's NORMAL mode.
///
///     result[h, 2i + r] = x[h, i + r · d/2],   i < d/2,  r = 0 or 1
///
/// Throws std::invalid_argument if the axis does not divide into heads, or the window reaches past a head.
/// Cost: a copy.
///
/// @code
///   Eigen::VectorXf norm(4);
///   norm << 1, 2, 3, 4;                                            // a0 a1 b0 b1
///   const Eigen::VectorXf reordered = rotary::half_to_interleaved(norm);   // 1 3 2 4
/// @endcode
template <class X>
detail::Owned<X> half_to_interleaved(const X& x, const HeadFeatures& features = {}) {
  return detail::reordered(x, features, Pairing::half, Pairing::interleaved);
}
/// Reorders `x`, made for `Pairing::half`, for `Pairing::interleaved`, in place.
/// Throws std::invalid_argument if the axis does not divide into heads, or the window reaches past a head.
/// `interleaved_to_half_in_place` has an example.
template <class X>
void half_to_interleaved_in_place(X&& x, const HeadFeatures& features = {}) {
  detail::reorder_in_place<X>(x, features, Pairing::half, Pairing::interleaved);
}

}  // namespace rotary::inline ROTARY_ABI
