// Golden cases of RotaryEmbedding: rotate_queries_or_keys, rotate_queries_with_cached_keys.
#include "support/golden_run.hpp"

namespace rotary::testing::golden {
namespace {

// What we decided where the reference has a quirk:
//
//   axial_offsets_pollute_rotate         a result never depends on the calls before it
//   axial_pollutes_interpolated_rotate   the same
//   bf16_pollutes_float_cache            the same
//   negative_offset_zero_cache           negative positions turn backwards
//   bf16_positions_above_256             positions are never held in a 16-bit type
//   cached_keys_offset                   as the reference: the offset moves the queries and not the keys
template <class T>
void run(Session& session, const std::vector<Call>& calls, const RotaryEmbedding<T>& rotary) {
  for (const Call& call : calls) {
    if (call.function == "self.rotate_queries_or_keys") {
      rotate_queries_or_keys(session, rotary, call);
    } else if (call.function == "self.rotate_queries_with_cached_keys") {
      turn_pair<T>(session, call, [&](const auto& q, const auto& k) {
        return rotary.rotate_queries_with_cached_keys(q, k, rotate_options(call.args));
      });
    } else if (call.function == "self.get_axial_freqs") {
      get_axial_freqs(session, rotary, call);
    } else if (call.function == "self.forward") {
      forward(session, rotary, call);
    } else {
      wrong_data("golden_rotate_test does not know " + call.function);
    }
  }
}

template <class T>
void check_case(const Case& c) {
  constexpr bool kInDouble = std::is_same_v<T, double>;
  Session session(c, kInDouble);
  run(session, c.calls, make_rotary<T>(c, *c.constructor));
  session.check();
  if (c.intended_calls.empty() && !c.intended_constructor) return;
  Session intended(c, kInDouble);
  run(intended, c.intended_calls.empty() ? c.calls : c.intended_calls,
      make_rotary<T>(c, c.intended_constructor.value_or(*c.constructor)));
  intended.check_intended();
}

[[maybe_unused]] const bool registered =
    register_tests("GoldenRotateInDouble", cases_of(Topic::rotate), check_case<double>) &&
    register_tests("GoldenRotateInFloat", cases_of(Topic::rotate), check_case<float>);

}  // namespace
}  // namespace rotary::testing::golden
