// How a wrong shape or value is reported: one sentence with what was found and what was wanted.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include "config.hpp"

namespace rotary {

/// Receives the message of an error in programs built without exceptions, before `std::abort`.
using ErrorHandler = void (*)(const char* message);

namespace detail {

inline void print_error(const char* message) { std::fprintf(stderr, "%s\n", message); }

inline std::atomic<ErrorHandler>& error_handler() {
  static std::atomic<ErrorHandler> handler{&print_error};
  return handler;
}

template <class Part>
std::string to_text(const Part& part) {
  if constexpr (std::is_floating_point_v<Part>) {
    char text[32];
    std::snprintf(text, sizeof text, "%g", static_cast<double>(part));
    return text;
  } else if constexpr (std::is_arithmetic_v<Part>) {
    return std::to_string(part);
  } else {
    return std::string(std::string_view(part));
  }
}

/// Throws std::invalid_argument; without exceptions tells the handler and aborts.
[[noreturn]] ROTARY_COLD inline void fail_with(const std::string& message) {
#if ROTARY_EXCEPTIONS
  throw std::invalid_argument(message);
#else
  error_handler().load()(message.c_str());
  std::abort();
#endif
}

/// Fails with the parts put together: `fail("rotary_dim is ", 7, ", it must be even")`. They come by value,
/// so that sentences of any length share what is compiled.
template <class... Parts>
[[noreturn]] ROTARY_COLD void fail(Parts... parts) {
  std::string message = "rotary: ";
  ((message += to_text(parts)), ...);
  fail_with(message);
}

/// product = a · b, unless that does not fit.
inline bool multiplied(Index a, Index b, Index& product) {
#if defined(__GNUC__)
  return !__builtin_mul_overflow(a, b, &product);
#else
  const auto magnitude = [](Index v) { return v < 0 ? std::size_t(0) - std::size_t(v) : std::size_t(v); };
  if (a != 0 && magnitude(b) > magnitude(PTRDIFF_MAX) / magnitude(a)) return false;
  product = a * b;
  return true;
#endif
}

/// Product of two sizes; fails instead of wrapping around.
inline Index checked_product(Index a, Index b) {
  Index product = 0;
  if (!multiplied(a, b, product)) fail("sizes ", a, " and ", b, " multiply to more than fits");
  return product;
}

/// Sum of two sizes; fails instead of wrapping around.
inline Index checked_sum(Index a, Index b) {
  if ((b > 0 && a > PTRDIFF_MAX - b) || (b < 0 && a < PTRDIFF_MIN - b))
    fail("sizes ", a, " and ", b, " add up to more than fits");
  return a + b;
}

}  // namespace detail

/// Sets who hears of errors when exceptions are off; returns the previous handler. Safe from any thread.
inline ErrorHandler set_error_handler(ErrorHandler handler) {
  return detail::error_handler().exchange(handler ? handler : &detail::print_error);
}

}  // namespace rotary
