// What the arguments of a call may be: positions of any kind, or keys beside queries.
#pragma once

#include "rotate_options.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// In place of positions: the first token is at the offset of the options.
struct ByOffset {};

template <class At>
inline constexpr bool is_number = std::is_arithmetic_v<At> || std::is_same_v<At, FixedPosition>;

/// Is `At` a list of numbers, such as a std::vector?
template <class At>
concept NumberList = !is_rotatable_container<At>() && requires(const At& at) {
  requires std::is_arithmetic_v<std::remove_cvref_t<decltype(*std::data(at))>>;
  requires sizeof(*std::data(at)) >= 4;
  std::size(at);
};

/// `Positions` of what has some or is some, such as `TokenPositions`; anything else as it is.
template <class At>
decltype(auto) as_positions(const At& at) {
  if constexpr (is_number<At> || NumberList<At> || std::is_same_v<At, ByOffset> ||
                std::is_same_v<At, Positions>) {
    return (at);
  } else if constexpr (std::is_convertible_v<const At&, Positions>) {
    return Positions(at);
  } else if constexpr (requires {
                         { at.positions() } -> std::same_as<Positions>;
                       }) {
    return at.positions();
  } else {
    return (at);
  }
}

/// A second tensor that is rotated with the first one, and no list of positions.
template <class K>
constexpr bool are_keys() {  // not covered: runs while compiling
  using Type = std::remove_cvref_t<K>;
  if constexpr (!is_rotatable_container<Type>()) {
    return false;
  } else if constexpr (!RotaryScalar<Element<Type>>) {
    return false;
  } else if constexpr (is_tensor<Type>) {
    return static_cast<int>(Eigen::internal::traits<Type>::NumDimensions) >= 2;
  } else if constexpr (is_dense<Type>) {
    return !Type::IsVectorAtCompileTime;
  } else {
    return true;
  }
}
template <class K>
concept Keys = are_keys<K>();

/// Anything else is taken for positions, so that the wrong kind is refused in one sentence.
template <class At>
concept NamesPositions = !std::is_same_v<std::remove_cvref_t<At>, RotateOptions> && !Keys<At>;

}  // namespace rotary::inline ROTARY_ABI::detail
