// Without exceptions: the message of an error goes to a handler that can be set, and the program ends.
// CMakeLists.txt compiles this file with -fno-exceptions.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <rotary/rotary.hpp>
#include <vector>

#include "support/compiled_kernels.hpp"

#if ROTARY_EXCEPTIONS
#error "compile this file with -fno-exceptions"
#endif

namespace rotary {
namespace {

void rotate_too_many_features() {
  std::vector<float> memory(12);
  RotaryEmbedding<float>(RotaryEmbeddingOptions{.dim = 8})
      .rotate_in_place(StridedView<float>(memory.data(), {2, 6}));
}

TEST(ErrorsWithoutExceptions, AreToldAndEndTheProgram) {
  EXPECT_DEATH(rotate_too_many_features(),
               "rotary: 8 features .* \\[2, 6\\], which holds the features, has only 6");
  EXPECT_DEATH(RotaryEmbedding<float>(RotaryEmbeddingOptions{.dim = 7}), "rotary: dim is 7, it must be even");
  EXPECT_DEATH(static_cast<void>(FixedPosition(1e300)), "rotary: position 1e\\+300 is out of range");
  EXPECT_DEATH(StridedView<float>(nullptr, {-1}), "rotary: extent of axis 0 is -1");
  EXPECT_EXIT(rotate_too_many_features(), ::testing::KilledBySignal(SIGABRT), "rotary: ");
}

TEST(ErrorsWithoutExceptions, GoToTheHandler) {
  const ErrorHandler handler = [](const char* message) {
    std::fprintf(stderr, "the handler heard: %s\n", message);
    std::fflush(stderr);
    std::_Exit(3);  // a handler may end the program in its own way
  };
  EXPECT_EXIT(
      {
        set_error_handler(handler);
        rotate_too_many_features();
      },
      ::testing::ExitedWithCode(3), "the handler heard: rotary: 8 features");
  EXPECT_EXIT(
      {
        set_error_handler([](const char*) { std::fputs("and came back\n", stderr); });
        rotate_too_many_features();
      },
      ::testing::KilledBySignal(SIGABRT), "and came back");
}

TEST(ErrorsWithoutExceptions, HandlersAreHandedBack) {
  const ErrorHandler mine = [](const char*) {};
  const ErrorHandler before = set_error_handler(mine);
  ASSERT_NE(before, nullptr);
  EXPECT_EQ(set_error_handler(nullptr), mine);
  EXPECT_EQ(set_error_handler(before), before) << "null stands for the handler that prints";
}

TEST(ErrorsWithoutExceptions, ValidPositionsRotate) {
  std::vector<float> memory{1, 0, 1, 0};
  RotaryEmbedding<float>(RotaryEmbeddingOptions{.dim = 2})
      .rotate_in_place(StridedView<float>(memory.data(), {2, 2}));
  EXPECT_FLOAT_EQ(memory[0], 1);
  EXPECT_FLOAT_EQ(memory[2], 0.540302306f);
  EXPECT_FLOAT_EQ(memory[3], 0.841470985f);
}

}  // namespace
}  // namespace rotary
