// Golden cases of rotary-embedding-torch: calls in both precisions, and cases that are altered and must fail.
#include "support/golden_calls.hpp"

namespace rotary::testing::golden {
namespace {

// What we decided where the reference has a quirk:
//
//   axial_offsets_pollute_rotate         a result never depends on the calls before it
//   axial_pollutes_interpolated_rotate   the same
//   bf16_pollutes_float_cache            the same
//   xpos_stale_scale_cache               the same
//   axial_lang_offsets_cached            the same, and every axis has its own offset
//   negative_offset_zero_cache           negative positions rotate backwards
//   bf16_positions_above_256             positions are never held in a 16-bit type
//   half_xpos_*                          scales are not rounded to 16 bits
//   cached_keys_offset                   as the reference: the offset moves the queries and not the keys
//   xpos_cached_keys_*                   queries and keys share a centre, half the keys: decoding agrees with
//                                        a full pass
//   xpos_interpolate                     as the reference: the centre is counted in positions divided by
//                                        interpolate_factor
//   xpos_get_scale_odd_dim               as the reference: a scale for the half pair too, though it never
//                                        rotates
//   learned_rotations_batch_slice        three axes of angles are broadcast; only [seq, rotary_dim] is cut to
//                                        the last rows
//
// rotate_queries_or_keys of XPos does not compile. The reference's call with scales is made here by
// apply_rotary_emb with angles and scales.
template <class T>
void check_case(const Case& c) {
  constexpr bool kInDouble = std::is_same_v<T, double>;
  Session session(c, kInDouble);
  run<T>(session, c, c.constructor, c.calls);
  session.check();
  if (c.intended_calls.empty() && !c.intended_constructor) return;
  Session intended(c, kInDouble);
  run<T>(intended, c, c.intended_constructor ? c.intended_constructor : c.constructor,
         c.intended_calls.empty() ? c.calls : c.intended_calls);
  intended.check_intended();
}

const std::vector<CaseName> kCases = cases_of("golden_lucidrains_test");

[[maybe_unused]] const bool registered =
    register_tests("GoldenLucidrainsInDouble", kCases, check_case<double>, Part::results) &&
    register_tests("GoldenLucidrainsInFloat", kCases, check_case<float>, Part::results) &&
    register_altered("GoldenLucidrainsAltered", kCases, check_case<double>, check_case<float>, Part::results);

}  // namespace
}  // namespace rotary::testing::golden
