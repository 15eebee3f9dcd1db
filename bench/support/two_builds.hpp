// One source, compiled with -O2 and with -O3 -march=native, each into a library that shares nothing with the
// other, so that both can be timed in alternating rounds of one process.
#pragma once

#include <memory>

#include "shapes.hpp"

namespace bench {

/// A RotaryEmbedding and the shape of what it rotates, compiled on the other side.
class BuiltRotation {
 public:
  virtual ~BuiltRotation() = default;
  /// Rotates a contiguous [batch, heads, seq, head_dim] tensor where it is.
  virtual void rotate(void* x) = 0;
};

enum class ScalarName { float32, bfloat16 };
template <class X>
inline constexpr ScalarName kScalarOf = std::is_same_v<X, float> ? ScalarName::float32 : ScalarName::bfloat16;

// The signatures have no type of the library: with other flags a unit has other types.
BuiltRotation* make_rotation_plain(ScalarName scalar, bool half, const Shape& shape);
BuiltRotation* make_rotation_native(ScalarName scalar, bool half, const Shape& shape);

}  // namespace bench
