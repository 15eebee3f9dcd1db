// The shapes that are measured, and names for scalars and pairings.
#pragma once

#include <array>
#include <string>

#include <rotary/core/pairing.hpp>
#include <rotary/tensor/tensor.hpp>

#include "comparison.hpp"

namespace bench {

using rotary::Pairing;

/// [batch, heads, seq, head_dim]
struct Shape {
  const char* name;
  Index batch, heads, seq, head_dim;
  rotary::Index offset = 0;  ///< the position of the first token

  Index size() const { return batch * heads * seq * head_dim; }
};

/// One new token for 32 heads: 16 KiB of float, in the first-level cache.
inline constexpr Shape kDecode{"decode", 1, 32, 1, 128, 1000};
inline constexpr Shape kSmall{"small", 1, 8, 64, 64};
/// 2 MiB of float, in the second or third level.
inline constexpr Shape kCache{"cache", 1, 8, 1024, 64};
/// For threads: 1 and 16 MiB of float.
inline constexpr Shape kManyHeads{"small_64_heads", 1, 64, 64, 64};
inline constexpr Shape kBatch{"cache_8_batches", 8, 8, 1024, 64};
/// 128 MiB of float, in no cache.
inline Shape memory_shape() {
  const Settings& how = settings();
  return {"memory", 1, 32, how.smoke || how.quick ? 2048 : 8192, 128};
}

/// The order of the axes: [batch, heads, seq, head_dim] or [batch, seq, heads, head_dim].
enum class Order { heads_first, seq_first };
inline constexpr std::array<Order, 2> kOrders{Order::heads_first, Order::seq_first};
inline constexpr std::array<Pairing, 2> kPairings{Pairing::interleaved, Pairing::half};

/// The suffix of a shape's name.
inline std::string suffix(Order order) { return order == Order::seq_first ? "/bnhd" : ""; }
inline std::string name_of(Pairing pairing) { return pairing == Pairing::half ? "half" : "interleaved"; }

template <class X>
inline constexpr const char* kName = nullptr;
template <>
inline constexpr const char* kName<float> = "float";
template <>
inline constexpr const char* kName<double> = "double";
template <>
inline constexpr const char* kName<Eigen::half> = "half16";
template <>
inline constexpr const char* kName<Eigen::bfloat16> = "bfloat16";

}  // namespace bench
