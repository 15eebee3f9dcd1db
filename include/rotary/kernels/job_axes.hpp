// The axes of a rotation: their order, the loops over them, and which of them the kernel loops over.
#pragma once

#include <algorithm>
#include <utility>

#include "rotation_job.hpp"

namespace rotary::inline ROTARY_ABI::kernels::detail {

/// Are the axes in the order of memory, and none of extent 1?
inline bool axes_are_ordered(const JobShape& job) {
  Index outer = PTRDIFF_MAX;
  for (int n = 0; n < job.axis_count; ++n) {
    const JobAxis& axis = job.axes[static_cast<std::size_t>(n)];
    const Index stride = axis.out < 0 ? -axis.out : axis.out;
    if (stride > outer || axis.extent == 1) return false;
    outer = stride;
  }
  return true;
}

/// Sorts the axes into the order of memory, so that more of them are merged.
ROTARY_COLD inline void order_axes(JobShape& job) {
  const auto stride = [](const JobAxis& axis) { return axis.out < 0 ? -axis.out : axis.out; };
  const auto axes = job.axes;
  std::array<bool, kMaxRank> added{};
  const int count = std::exchange(job.axis_count, 0);
  for (int rest = count; rest > 0; --rest) {
    int next = -1;
    for (int n = 0; n < count; ++n)
      if (const auto at = static_cast<std::size_t>(n);
          !added[at] && (next < 0 || stride(axes[at]) > stride(axes[static_cast<std::size_t>(next)])))
        next = n;
    added[static_cast<std::size_t>(next)] = true;
    job.add_axis(axes[static_cast<std::size_t>(next)]);
  }
}

/// Where a loop is, in elements from the start of input, output and rows.
struct Offsets {
  Index in = 0, out = 0, row = 0;

  Offsets plus(const JobAxis& axis, Index n) const {
    return {in + n * axis.in, out + n * axis.out, row + n * axis.row};
  }
};

/// visit(offsets) for every index into `count` axes, the last running fastest.
template <class Visit>
void for_each_index(const JobAxis* axes, int count, const Offsets& at, const Visit& visit) {
  if (count == 0) return visit(at);
  for (Index n = 0; n < axes->extent; ++n) for_each_index(axes + 1, count - 1, at.plus(*axes, n), visit);
}

/// The axis along which rows differ and the axis that shares rows, each the innermost of its kind.
struct InnermostAxes {
  JobAxis tokens{1, 0, 0, 0}, heads{1, 0, 0, 0};
  unsigned taken = 0;          // the axes of the job that these are, as a bit mask
  Index others = 1;            // the product of the other axes' extents
  bool tokens_inside = false;  // are tokens inside of heads?

  explicit InnermostAxes(const JobShape& job) {
    bool has_tokens = false, has_heads = false;
    for (int n = job.axis_count - 1; n >= 0; --n) {
      const JobAxis& axis = job.axes[static_cast<std::size_t>(n)];
      const bool differs = axis.row != 0;
      if (differs ? has_tokens : has_heads) {
        others *= axis.extent;
        continue;
      }
      (differs ? tokens : heads) = axis;
      (differs ? has_tokens : has_heads) = true;
      if (differs && !has_heads) tokens_inside = true;
      taken |= 1u << n;
    }
  }
};

/// The loops around a kernel, outermost first: axes along which rows differ, then blocks of tokens, then the
/// axes that share rows. So the rows of a block are reused while they are in cache.
struct Loops {
  std::array<JobAxis, kMaxRank> axes;
  int positional = 0, sharing = 0;

  /// All axes of the job but those in `taken`, as a bit mask.
  Loops(const JobShape& job, unsigned taken) {
    for (const bool of_rows : {true, false}) {
      for (int n = 0; n < job.axis_count; ++n) {
        const JobAxis& axis = job.axes[static_cast<std::size_t>(n)];
        if ((taken >> n & 1) != 0 || (axis.row != 0) != of_rows) continue;
        axes[static_cast<std::size_t>(positional + sharing)] = axis;
        ++(of_rows ? positional : sharing);
      }
    }
  }

  /// prepare(row offset, count) once for every block of `tokens`, then rotate(offsets, count) for all that
  /// share it.
  template <class Prepare, class Rotate>
  void run(const JobAxis& tokens, Index block, const Prepare& prepare, const Rotate& rotate) const {
    for_each_index(axes.data(), positional, {}, [&](const Offsets& at) {
      for (Index begin = 0; begin < tokens.extent; begin += block) {
        const Index count = std::min(block, tokens.extent - begin);
        const Offsets of_block = at.plus(tokens, begin);
        prepare(of_block.row, count);
        for_each_index(axes.data() + positional, sharing, of_block,
                       [&](const Offsets& of) { rotate(of, count); });
      }
    });
  }
};

}  // namespace rotary::inline ROTARY_ABI::kernels::detail
