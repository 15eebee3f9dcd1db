// Golden gradients: of every call with respect to its tensors, frequencies, scales and positions.
#include "support/golden_calls.hpp"

namespace rotary::testing::golden {
namespace {

const std::vector<CaseName> kCases = cases_with_gradients();

[[maybe_unused]] const bool registered =
    register_tests("GoldenGradientsInDouble", kCases, run_gradients<double>, Part::gradients) &&
    register_tests("GoldenGradientsInFloat", kCases, run_gradients<float>, Part::gradients) &&
    register_altered("GoldenGradientsAltered", kCases, run_gradients<double>, run_gradients<float>,
                     Part::gradients);

}  // namespace
}  // namespace rotary::testing::golden
