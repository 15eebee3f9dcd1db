// Compiled twice, ROTARY_BENCH_MAKE being the name of the one function that is visible from outside.
#include "two_builds.hpp"

#include <rotary/rotary_embedding.hpp>

namespace bench {
namespace {

template <class X>
class Built : public BuiltRotation {
 public:
  Built(Pairing pairing, const Shape& shape)
      : shape_(shape), rotary_emb_({.dim = shape.head_dim, .pairing = pairing}) {}

  void rotate(void* x) override {
    Eigen::TensorMap<rotary::Tensor<X, 4>> tensor(static_cast<X*>(x), shape_.batch, shape_.heads, shape_.seq,
                                                  shape_.head_dim);
    rotary_emb_.rotate_in_place(tensor, {.offset = shape_.offset});
  }

 private:
  Shape shape_;
  rotary::RotaryEmbedding<float> rotary_emb_;
};

}  // namespace

[[gnu::visibility("default")]] BuiltRotation* ROTARY_BENCH_MAKE(ScalarName scalar, bool half,
                                                                const Shape& shape) {
  const Pairing pairing = half ? Pairing::half : Pairing::interleaved;
  if (scalar == ScalarName::bfloat16) return new Built<Eigen::bfloat16>(pairing, shape);
  return new Built<float>(pairing, shape);
}

}  // namespace bench
