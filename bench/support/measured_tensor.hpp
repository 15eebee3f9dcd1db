// MeasuredTensor: a tensor and the RotaryEmbedding that rotates it, which most benchmarks measure.
#pragma once

#include <memory>

#include <rotary/rotary_embedding.hpp>

#include "baselines.hpp"
#include "buffer.hpp"
#include "compiled_kernels.hpp"
#include "reference.hpp"

namespace bench {

/// A row-major tensor with its axes in one of the two orders, and the embedding that rotates all of it.
template <class X>
struct MeasuredTensor {
  Shape shape;
  Order order;
  Rotation how;
  Buffer<X> x;
  rotary::RotaryEmbedding<RowOf<X>> rotary_emb;

  MeasuredTensor(const Shape& of, Order in_order, Pairing pairing)
      : shape(of),
        order(in_order),
        how{pairing, of.head_dim, in_order == Order::heads_first ? 2 : 1, of.offset},
        x(of.size()),
        rotary_emb(
            {.dim = of.head_dim, .seq_before_head_dim = in_order == Order::seq_first, .pairing = pairing}) {}

  using Map = Eigen::TensorMap<rotary::Tensor<X, 4>>;
  Map map(Buffer<X>& buffer) const {
    return order == Order::heads_first
               ? Map(buffer.data(), shape.batch, shape.heads, shape.seq, shape.head_dim)
               : Map(buffer.data(), shape.batch, shape.seq, shape.heads, shape.head_dim);
  }
  Map map() { return map(x); }
  rotary::RotateOptions options(rotary::Direction direction = rotary::Direction::forward) const {
    return {.offset = shape.offset, .direction = direction};
  }
  /// The bytes that a rotation reads and writes.
  double bytes() const { return 2 * static_cast<double>(x.bytes()); }

  /// What the tensor should be after one more rotation.
  Buffer<X> expected(rotary::Direction direction = rotary::Direction::forward) {
    Buffer<X> want(x);
    auto tensor = map(want);
    Rotation rotation = how;
    rotation.direction = direction;
    rotate_by_reference(rotary::view_of(tensor), rotation);
    return want;
  }
};

template <class X>
std::shared_ptr<MeasuredTensor<X>> measured_tensor(const Shape& shape, Order order, Pairing pairing) {
  return std::make_shared<MeasuredTensor<X>>(shape, order, pairing);
}

/// A check of `f()`, which rotates the tensor in place: returns what is wrong, or nothing.
template <class X, class F>
std::function<std::string()> in_place_check(std::shared_ptr<MeasuredTensor<X>> of, F f,
                                            rotary::Direction direction = rotary::Direction::forward) {
  return [of, f, direction]() mutable {
    const Buffer<X> want = of->expected(direction);
    f();
    return difference(of->x, want);
  };
}

/// The plain in-place rotation.
template <class X>
auto in_place(std::shared_ptr<MeasuredTensor<X>> of,
              rotary::Direction direction = rotary::Direction::forward) {
  return [of, tensor = of->map(), options = of->options(direction)]() mutable {
    of->rotary_emb.rotate_in_place(tensor, options);
  };
}

/// S on the same bytes.
template <class X>
auto scaled(std::shared_ptr<MeasuredTensor<X>> of) {
  return [of] {
    if constexpr (sizeof(X) == 2) {
      scale_as_float(of->x.data(), of->x.bytes());
    } else {
      scale(of->x.data(), of->x.size());
    }
  };
}

}  // namespace bench
