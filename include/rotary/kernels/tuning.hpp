// How a rotation is carried out: a Tuning for each microarchitecture, and the plan that follows from it.
//
// Every plan gives the same bits; only the time differs.
#pragma once

#include <string>

#include "instruction_set.hpp"
#include "job_axes.hpp"
#include "rotate_mixed.hpp"
#include "rotate_rows.hpp"
#include "rotate_strided_heads.hpp"

#if ROTARY_VECTOR_EXTENSIONS
namespace rotary::inline ROTARY_ABI::kernels {

/// The numbers of one microarchitecture. Names after "bench:" are cases of bench/run.sh.
struct Tuning {
  /// Tensors larger than this, read and written, count as in memory. bench: sweep/*.
  Index cached_bytes;
  /// Rows of a block of tokens, which stay in the second level cache while all heads use them. Smaller blocks
  /// read memory in shorter pieces, which took twice the time. bench: rotate/*/memory/bhnd.
  Index row_block_bytes;
  /// Strided heads that are rotated together, and more of them until their windows fill `group_bytes`. More
  /// heads are more memory streams; fewer heads load each row more often. bench: rotate/*/memory/bhnd.
  Index strided_heads, group_bytes;
  /// `strided_heads` and `group_bytes` for 16-bit scalars. bench: rotate/bfloat16/cache/bhnd.
  Index strided_heads_16_bit, group_bytes_16_bit;
  /// `strided_heads_16_bit` in place, where other features are between the windows of a head.
  /// bench: hand/windows/*/bfloat16/in_place.
  Index strided_heads_16_bit_gaps;
  /// `strided_heads` where features around the windows are copied: few, so that memory is read nearly in
  /// order. bench: hand/windows/*/float.
  Index strided_heads_copied;
  /// Out of place, heads of a token larger than this, the first level cache, are rotated in the order of
  /// memory. bench: hand/contiguous/*/double/out_of_place/decode.
  Index first_level_bytes;
  /// In tensors up to this size all strided heads are rotated together: they are in the first level cache.
  /// bench: rotate/*/small/bhnd.
  Index close_bytes;
  /// Heads whose windows `StridedHeads` loads before it stores the first: in place with half pairs, of float
  /// and of double; in place with interleaved pairs, whose rows need shuffles, which more heads amortise; out
  /// of place. bench: rotate/*/cache/bhnd, rotate/half/float/in_place/small.
  int together_half_float, together_half_double, together_interleaved, together_out_of_place;
  /// Windows in memory that are wider than this are prefetched in the order of memory. bench:
  /// rotate/double/memory.
  Index wide_window_bytes;
  /// Prefetch distances in bytes for tensors in memory; 0: the hardware prefetcher is enough. For adjacent
  /// heads, for strided heads, and for strided features with adjacent tokens or heads. bench:
  /// rotate/*/memory, layouts/*/memory.
  Index prefetch_adjacent, prefetch_strided, prefetch_tokens, prefetch_heads;
  /// Use non-temporal stores for results in memory also where heads are adjacent and their windows are not
  /// wide. bench: hand/contiguous/*/out_of_place/memory/bnhd.
  bool nontemporal_adjacent;
  /// Use them for 16-bit scalars too. bench: hand/contiguous/*/bfloat16/out_of_place/memory.
  bool nontemporal_16_bit;
};

inline constexpr Tuning kOther{.cached_bytes = 8 << 20,
                               .row_block_bytes = 256 << 10,
                               .strided_heads = 4,
                               .group_bytes = 2048,
                               .strided_heads_16_bit = 2,
                               .group_bytes_16_bit = 0,
                               .strided_heads_16_bit_gaps = 1,
                               .strided_heads_copied = 1,
                               .first_level_bytes = 48 << 10,
                               .close_bytes = 64 << 10,
                               .together_half_float = 4,
                               .together_half_double = 2,
                               .together_interleaved = 4,
                               .together_out_of_place = 4,
                               .wide_window_bytes = 512,
                               .prefetch_adjacent = 0,
                               .prefetch_strided = 0,
                               .prefetch_tokens = 0,
                               .prefetch_heads = 0,
                               .nontemporal_adjacent = true,
                               .nontemporal_16_bit = false};
inline constexpr Tuning kIntel{.cached_bytes = 8 << 20,
                               .row_block_bytes = 256 << 10,
                               .strided_heads = 4,
                               .group_bytes = 2048,
                               .strided_heads_16_bit = 4,
                               .group_bytes_16_bit = 2048,
                               .strided_heads_16_bit_gaps = 4,
                               .strided_heads_copied = 4,
                               .first_level_bytes = 48 << 10,
                               .close_bytes = 64 << 10,
                               .together_half_float = 2,
                               .together_half_double = 2,
                               .together_interleaved = 4,
                               .together_out_of_place = 2,
                               .wide_window_bytes = PTRDIFF_MAX,
                               .prefetch_adjacent = 8192,
                               .prefetch_strided = 2048,
                               .prefetch_tokens = 1024,
                               .prefetch_heads = 4096,
                               .nontemporal_adjacent = true,
                               .nontemporal_16_bit = false};

inline constexpr Tuning kZen5 = [] {
  Tuning tuning = kOther;
  tuning.nontemporal_adjacent = false;
  return tuning;
}();

constexpr const Tuning& tuning_of(CpuVendor vendor) {
  return vendor == CpuVendor::intel ? kIntel : vendor == CpuVendor::amd_zen5 ? kZen5 : kOther;
}

/// Which kernel runs.
enum class Kernel {
  reference,
  fixed_width,
  in_order,
  any_width,
  strided_heads,
  mixed_pairings,
  strided_features
};

/// How a job is carried out: the kernel, and its block sizes.
struct Plan {
  Kernel kernel = Kernel::reference;
  Index tokens_per_block = 0;     // tokens whose rows all heads use before the next tokens
  Index heads_per_group = 0;      // heads in one call of the kernel
  Index heads_per_pass = 0;       // `AnyWidth`: heads that use a part of a row; 0: as many as fit in a tile
  int heads_together = 0;         // `StridedHeads`: heads loaded before the first is stored
  Index prefetch = 0;             // distance in bytes; 0: none
  bool prefetch_windows = false;  // prefetch each window in the order of memory
  bool nontemporal = false;       // stores bypass the caches

  bool operator==(const Plan&) const = default;
};

/// What a plan depends on besides the shape of the job.
struct JobScalars {
  Index scalar_bytes, row_bytes,
      arithmetic_bytes;  // of a feature, of a cos or sin, of what they are computed in
  bool in_place;
  bool out_starts_line;  // does `out` start with a cache line?
};

namespace detail {

template <class X, class Row>
JobScalars scalars_of(const RotationJob<X, Row>& job) {
  return {sizeof(X), sizeof(Row), sizeof(rotary::detail::Arithmetic<X, Row>), job.in_place(),
          reinterpret_cast<std::uintptr_t>(job.out) % 64 == 0};
}

inline bool starts_on_lines(const JobShape& job, const JobScalars& scalars) {
  const Index line = 64 / scalars.scalar_bytes;
  bool starts = scalars.out_starts_line && stream_length(job.out_pairing, job.pairs) % line == 0;
  for (int n = 0; n < job.axis_count; ++n)
    starts = starts && job.axes[static_cast<std::size_t>(n)].out % line == 0;
  return starts;
}

/// The kernel for one token of `heads` heads, or for tokens whose heads are adjacent, in cache.
inline Kernel kernel_in_cache(const JobShape& job, Index heads, Index scalar_bytes, bool in_place,
                              const Tuning& tuning) {
  const Index window = 2 * job.pairs * scalar_bytes;
  if (!job.has_one_pairing())
    return in_place && window > kMixedWindowBytes ? Kernel::reference : Kernel::mixed_pairings;
  if (in_place) return Kernel::fixed_width;
  const bool copies = (job.untouched_before | job.untouched_after) != 0;
  return copies || 2 * window * heads > tuning.first_level_bytes ? Kernel::in_order : Kernel::fixed_width;
}

/// The plan for contiguous features; `axes` are those of the job.
inline Plan plan_windows(const JobShape& job, const InnermostAxes& axes, const JobScalars& scalars,
                         const Tuning& tuning, InstructionSet set) {
  const Index heads = axes.heads.extent;
  const Index window = 2 * job.pairs * scalars.scalar_bytes;
  const Index bytes = (scalars.in_place ? 1 : 2) * window * axes.tokens.extent * heads * axes.others;
  const bool in_memory = std::max(bytes, job.call_bytes) > tuning.cached_bytes,
             adjacent = heads == 1 || !axes.tokens_inside;
  Plan plan;
  plan.heads_per_group = heads;
  const bool close = (scalars.in_place ? bytes : bytes / 2) <= tuning.close_bytes;
  const bool copies = !scalars.in_place && (job.untouched_before | job.untouched_after) != 0;
  if (!adjacent && (copies || !close)) {
    const bool is_16_bit = scalars.scalar_bytes == 2;
    const bool gaps = scalars.in_place && axes.tokens.in > 2 * job.pairs;
    const Index least = !is_16_bit ? (copies ? tuning.strided_heads_copied : tuning.strided_heads)
                        : gaps     ? tuning.strided_heads_16_bit_gaps
                                   : tuning.strided_heads_16_bit,
                group_bytes = copies      ? 0
                              : is_16_bit ? tuning.group_bytes_16_bit
                                          : tuning.group_bytes;
    plan.heads_per_group = std::min(heads, std::max(least, group_bytes / window));
  }
  // Rows that are reused for other heads must stay in cache until then.
  const Index row = 2 * job.pairs * scalars.row_bytes;
  plan.tokens_per_block = axes.tokens.extent * row <= tuning.row_block_bytes
                              ? axes.tokens.extent
                              : std::max<Index>(1, tuning.row_block_bytes / row);
  plan.kernel = kernel_in_cache(job, heads, scalars.scalar_bytes, scalars.in_place, tuning);
  if (!job.has_one_pairing()) return plan;
  if (!adjacent && !copies) plan.kernel = Kernel::fixed_width;
  if (in_memory) {
    plan.prefetch_windows = !copies && window > tuning.wide_window_bytes;
    plan.nontemporal = !scalars.in_place && !copies && is_fused(set) && starts_on_lines(job, scalars) &&
                       (scalars.scalar_bytes > 2 || tuning.nontemporal_16_bit) &&
                       (!adjacent || plan.prefetch_windows || tuning.nontemporal_adjacent);
    plan.prefetch = adjacent ? tuning.prefetch_adjacent : tuning.prefetch_strided;
    if (plan.nontemporal || plan.prefetch_windows || plan.prefetch > 0) plan.kernel = Kernel::any_width;
    if (plan.kernel == Kernel::any_width)
      plan.heads_per_pass = !adjacent                ? plan.heads_per_group
                            : plan.prefetch > window ? plan.prefetch / window
                                                     : 1;  // in the order of memory
  } else if (!copies && !adjacent && heads > 1 && !close &&
             can_rotate_strided_heads(job.pairs, scalars.scalar_bytes, scalars.arithmetic_bytes, set)) {
    plan.kernel = Kernel::strided_heads;
    plan.heads_per_group = heads;
    plan.heads_together = !scalars.in_place                 ? tuning.together_out_of_place
                          : job.in_pairing != Pairing::half ? tuning.together_interleaved
                          : scalars.scalar_bytes == 4       ? tuning.together_half_float
                                                            : tuning.together_half_double;
  }
  return plan;
}

/// Can the kernel for strided features rotate the job? Its innermost axis must be contiguous.
inline bool has_contiguous_axis(const JobShape& job) {
  if (job.axis_count == 0) return false;
  const JobAxis& innermost = job.axes[static_cast<std::size_t>(job.axis_count - 1)];
  return innermost.in == 1 && innermost.out == 1;
}

/// The plan for a job whose axes are in order.
inline Plan plan(const JobShape& job, const InnermostAxes& axes, const JobScalars& scalars,
                 const Tuning& tuning, InstructionSet set) {
  if (job.second_row != 0 || job.pairs == 0) return {};
  if (job.in_feature == 1 && job.out_feature == 1) return plan_windows(job, axes, scalars, tuning, set);
  // In place, strided pairs would be written where others are still to be read.
  if (!has_contiguous_axis(job) || (scalars.in_place && job.in_pairing != job.out_pairing)) return {};
  Plan plan;
  plan.kernel = Kernel::strided_features;
  const Index bytes = (scalars.in_place ? 1 : 2) * 2 * job.pairs * scalars.scalar_bytes * axes.tokens.extent *
                      axes.heads.extent * axes.others;
  if (std::max(bytes, job.call_bytes) > tuning.cached_bytes)
    plan.prefetch = axes.tokens_inside ? tuning.prefetch_tokens : tuning.prefetch_heads;
  plan.tokens_per_block = std::max<Index>(1, tuning.row_block_bytes / (2 * job.pairs * scalars.row_bytes));
  plan.heads_per_group = axes.heads.extent;
  return plan;
}

}  // namespace detail

/// The plan by which `rotate` carries out a job.
template <class X, class Row>
Plan plan(RotationJob<X, Row> job, const Tuning& tuning, InstructionSet set) {
  detail::order_axes(job);
  return detail::plan(job, detail::InnermostAxes(job), detail::scalars_of(job), tuning, set);
}

inline std::string to_string(const Plan& plan) {
  constexpr const char* kNames[] = {"reference",     "fixed width",    "in order",        "any width",
                                    "strided heads", "mixed pairings", "strided features"};
  std::string text = kNames[static_cast<int>(plan.kernel)];
  if (plan.kernel == Kernel::reference) return text;
  const auto add = [&](const char* name, Index number) {
    if (number != 0) text += std::string(", ") + name + ' ' + std::to_string(number);
  };
  add("tokens per block", plan.tokens_per_block);
  add("heads per group", plan.heads_per_group);
  add("heads per pass", plan.heads_per_pass);
  add("heads loaded together", plan.heads_together);
  add("prefetch distance", plan.prefetch);
  if (plan.prefetch_windows) text += ", windows prefetched";
  if (plan.nontemporal) text += ", non-temporal stores";
  return text;
}

}  // namespace rotary::inline ROTARY_ABI::kernels
#endif  // ROTARY_VECTOR_EXTENSIONS
