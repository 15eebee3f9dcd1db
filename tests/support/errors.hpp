// What a call that must fail says: one way to ask for all tests.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>

namespace rotary::testing {

/// What `error_of_call` says of a call that ends well.
inline constexpr std::string_view kNoError = "nothing was thrown";

/// The message of the error that a call ends in. One of another type is left to the test, which it fails.
template <class Error = std::invalid_argument>
std::string error_of_call(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return std::string(kNoError);
}

/// Fails unless the call throws std::invalid_argument, says that it is rotary's, and has all of these parts
/// in its message: what was found, and what was wanted.
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
