// What the parameters of a variant must be. Where they must be positive, frequencies.hpp has the check.
#pragma once

#include "../frequencies.hpp"

namespace rotary::inline ROTARY_ABI::detail {

inline void check_finite(const char* name, const DoubleDouble& x) {
  if (!isfinite(x)) fail(name, " is ", x.hi, ", it must be finite");
}

inline void check_not_negative(const char* name, const DoubleDouble& x) {
  if (!isfinite(x) || x < 0) fail(name, " is ", x.hi, ", it must be finite and not negative");
}

}  // namespace rotary::inline ROTARY_ABI::detail
