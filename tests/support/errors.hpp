// The message of a call that must throw.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>

namespace rotary::testing {

/// The result of `error_of_call` for a call that does not throw.
inline constexpr std::string_view kNoError = "nothing was thrown";

/// The message of the `Error` that a call throws. Exceptions of other types are passed on to the test.
template <class Error = std::invalid_argument>
std::string error_of_call(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return std::string(kNoError);
}

/// Expects that the call throws std::invalid_argument with a message that begins with "rotary: " and contains
/// all of these parts: what was found, and what was wanted.
inline void expect_error(const std::function<void()>& call, std::initializer_list<std::string_view> parts) {
  const std::string message = error_of_call(call);
  if (message == kNoError) {
    ADD_FAILURE() << kNoError << "; wanted was an error that says " << *parts.begin();
    return;
  }
  EXPECT_EQ(message.rfind("rotary: ", 0), 0u) << message;
  for (const std::string_view part : parts)
    EXPECT_NE(message.find(part), std::string::npos) << "no \"" << part << "\" in: " << message;
}

}  // namespace rotary::testing
