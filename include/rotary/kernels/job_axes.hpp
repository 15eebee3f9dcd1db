// The axes of a rotation: their order, the loops over them, and which of them a kernel takes.
#pragma once

#include <algorithm>
#include <utility>

#include "rotation_job.hpp"

#if ROTARY_VECTOR_EXTENSIONS
namespace rotary::inline ROTARY_ABI::kernels::detail {

/// Are the axes in the order of memory, and none of extent 1?
template <class X, class Row>
bool axes_are_ordered(const RotationJob<X, Row>& job) {
  Index outer = PTRDIFF_MAX;
  for (int n = 0; n < job.axis_count; ++n) {
    const auto& axis = job.axes[static_cast<std::size_t>(n)];
    const Index step = axis.out < 0 ? -axis.out : axis.out;
    if (step > outer || axis.extent == 1) return false;
    outer = step;
  }
  return true;
}

/// Puts the axes in the order of memory, which joins more of them.
template <class X, class Row>
ROTARY_COLD void order_axes(RotationJob<X, Row>& job) {
  const auto step = [](const auto& axis) { return axis.out < 0 ? -axis.out : axis.out; };
  const auto axes = job.axes;
  std::array<bool, kMaxRank> added{};
  const int count = std::exchange(job.axis_count, 0);
  for (int rest = count; rest > 0; --rest) {
    int next = -1;
    for (int n = 0; n < count; ++n)
      if (const auto at = static_cast<std::size_t>(n);
          !added[at] && (next < 0 || step(axes[at]) > step(axes[static_cast<std::size_t>(next)])))
        next = n;
    added[static_cast<std::size_t>(next)] = true;
    job.add_axis(axes[static_cast<std::size_t>(next)]);
  }
}

/// Calls visit(in, out, row) for every index into `count` axes, the last running fastest.
template <class Axis, class X, class Row, class Visit>
ROTARY_ALWAYS_INLINE void for_each_index(const Axis* axes, int count, const X* in, X* out, const Row* row,
                                         const Visit& visit) {
  std::array<Index, kMaxRank> index{};
  for (;;) {
    visit(in, out, row);
    int axis = count - 1;
    for (; axis >= 0; --axis) {
      const Axis& of = axes[axis];
      Index& at = index[static_cast<std::size_t>(axis)];
      in += of.in, out += of.out, row += of.row;
      if (++at < of.extent) break;
      in -= of.extent * of.in, out -= of.extent * of.out, row -= of.extent * of.row;
      at = 0;
    }
    if (axis < 0) return;
  }
}

/// The loops around a kernel, outermost first: axes along which rows differ, then blocks of tokens, then the
/// axes that share rows. So the rows of one block are used up before they leave the cache.
template <class X, class Row>
struct Loops {
  std::array<JobAxis, kMaxRank> axes;
  int positional = 0, sharing = 0;

  /// All axes of the job but those in `taken`, as a bit mask.
  Loops(const RotationJob<X, Row>& job, unsigned taken) {
    for (const bool of_rows : {true, false}) {
      for (int n = 0; n < job.axis_count; ++n) {
        const JobAxis& axis = job.axes[static_cast<std::size_t>(n)];
        if ((taken >> n & 1) != 0 || (axis.row != 0) != of_rows) continue;
        axes[static_cast<std::size_t>(positional + sharing)] = axis;
        ++(of_rows ? positional : sharing);
      }
    }
  }

  /// prepare(row, count) once for every block of `tokens`, then turn(in, out, row, count) for all that share
  /// it.
  template <class Prepare, class Turn_>
  void run(const RotationJob<X, Row>& job, const JobAxis& tokens, Index block, const Prepare& prepare,
           const Turn_& turn) const {
    for_each_index(
        axes.data(), positional, job.in, job.out, job.rows, [&](const X* in, X* out, const Row* row) {
          for (Index begin = 0; begin < tokens.extent; begin += block) {
            const Index count = std::min(block, tokens.extent - begin);
            const Row* const rows = row + begin * tokens.row;
            prepare(rows, count);
            for_each_index(axes.data() + positional, sharing, in + begin * tokens.in,
                           out + begin * tokens.out, rows,
                           [&](const X* from, X* to, const Row* of) { turn(from, to, of, count); });
          }
        });
  }
};

/// The rows of a job's tokens and the heads that share them, innermost axes of either kind.
struct InnermostAxes {
  static constexpr JobAxis kNone{1, 0, 0, 0};
  const JobAxis *tokens = &kNone, *heads = &kNone;
  unsigned taken = 0;  // which axes they are, as a bit mask
  Index others = 1;    // how often they are repeated

  template <class Job>
  explicit InnermostAxes(const Job& job) {
    // In registers until they are known.
    const JobAxis *of_tokens = &kNone, *of_heads = &kNone;
    for (int n = job.axis_count - 1; n >= 0; --n) {
      const JobAxis& axis = job.axes[static_cast<std::size_t>(n)];
      const bool differs = axis.row != 0;
      if ((differs ? of_tokens : of_heads) != &kNone) {
        others *= axis.extent;
        continue;
      }
      of_tokens = differs ? &axis : of_tokens;
      of_heads = differs ? of_heads : &axis;
      taken |= 1u << n;
    }
    tokens = of_tokens, heads = of_heads;
  }
};

}  // namespace rotary::inline ROTARY_ABI::kernels::detail
#endif  // ROTARY_VECTOR_EXTENSIONS
