// A libFuzzer target: whatever makes positions. Each builder works or throws std::invalid_argument, and then has changed
// nothing; results are what plain loops in wide integers give. See tests/fuzz/README.md for how to run it.
#include <array>
#include <optional>
#include <rotary/frequencies.hpp>
#include <rotary/frequencies/mrope_axes.hpp>
#include <rotary/positions.hpp>
#include <rotary/positions/dual_chunk_positions.hpp>
#include <rotary/positions/mrope_positions.hpp>
#include <rotary/positions/position_ids.hpp>
#include <rotary/positions/token_positions.hpp>

#include "fuzzed_input.hpp"

namespace rotary::testing {
namespace {

__extension__ typedef __int128 Wide;

Wide wide(const FixedPosition& position) {
  return static_cast<Wide>(position.whole) * (static_cast<Wide>(1) << 64) + position.fraction;
}

std::int64_t any_id(FuzzedInput& input) {
  return input.rarely() ? input.any<std::int64_t>() : input.any<std::int16_t>();
}

std::vector<std::int64_t> fuzzed_ids(FuzzedInput& input, Index most) {
  std::vector<std::int64_t> ids;
  for (Index n = input.integer(0, most); n > 0; --n) ids.push_back(any_id(input));
  return ids;
}

// --------------------------------------------------------------------------------------------------- Positions

/// Every row of these positions is in range, and what they say of themselves agrees.
void check_rows(const Positions& positions) {
  if (positions.has_no_length()) {
    const Positions of_three = positions.for_length(3);
    require(!of_three.has_no_length(), "positions for a length have it");
    require(of_three.count() == 3 * std::max<Index>(positions.batch(), 1),
            "there is a position for every token");
    return check_rows(of_three);
  }
  Index product = 1;
  bool empty = false;
  for (const Index extent : positions.shape()) empty = empty || extent == 0;
  if (!empty)
    for (const Index extent : positions.shape()) product *= extent;
  require(positions.count() == (empty ? 0 : product), "the shape has as many cells as there are positions");
  for (Index row = 0; row < std::min<Index>(positions.count(), 200); ++row)
    for (int axis = 0; axis < positions.axis_count(); ++axis)
      require(wide(positions.at(row, axis)) < (static_cast<Wide>(3) << 125), "a position is a number");
}

void fixed_positions(FuzzedInput& input) {
  const FixedPosition a = input.position(), b = input.position();
  require(wide(a + b) == wide(a) + wide(b), "sums are exact");
  require(wide(-a) == -wide(a), "negatives are exact");
  const double number = input.real();
  std::optional<FixedPosition> position;
  const bool made = succeeds([&] { position = FixedPosition(number); });
  require(made == (std::fabs(number) < 0x1p62), "positions are numbers below 2^62");
  // No bit of the number lies below 2^-64.
  if (made && (number == 0 || std::fabs(number) >= 0x1p-11))
    require(static_cast<double>(*position) == number, "a double of so few digits is exact");
  const auto integer = input.any<std::int64_t>();
  const bool whole = succeeds([&] { position = FixedPosition(integer); });
  constexpr std::int64_t kLimit = std::int64_t{1} << 62;
  require(whole == (integer < kLimit && integer > -kLimit), "positions are integers below 2^62");
  if (whole) require(position->whole == integer && position->is_whole(), "integers are exact");
}

template <class P>
void lists(FuzzedInput& input) {
  std::vector<P> list;
  for (Index n = input.integer(0, 12); n > 0; --n)
    list.push_back(input.rarely() ? input.any<P>() : static_cast<P>(input.byte()));
  const std::span<const P> span(list.data(), list.size());
  const FixedPosition offset = input.flag() ? input.position() : FixedPosition(0);
  const Index stride = input.flag() ? 1 : input.size(0, 5);
  std::optional<AxisPositions> axis;
  if (!succeeds([&] { axis = AxisPositions::listed(span, offset, stride); })) return;
  for (Index n = 0; n < axis->count(); ++n)
    require((*axis)[n] == offset + FixedPosition(list[static_cast<std::size_t>(n * stride)]),
            "a listed position is the entry, moved");
  const Positions positions(*axis);
  check_rows(positions);
  const Index batch = input.size(0, 6);
  succeeds([&] { check_rows(Positions::per_sequence(*axis)); });
  succeeds([&] { check_rows(positions.in_batches(batch)); });
  succeeds([&] {
    const Positions last = positions.in_batches_along_last(batch);
    check_rows(last);
    const Index seq = last.count() / batch;
    for (Index b = 0; b < batch && seq > 0; ++b)
      for (Index n = 0; n < seq; ++n)
        require(last.at(b * seq + n) == positions.at(n * batch + b), "ids of [seq, batch] are dealt out");
  });
  succeeds([&] { check_rows(Positions::per_sequence(*axis).for_length(input.size(0, 9))); });
}

void views_of_ids(FuzzedInput& input) {
  std::vector<Index> extents;
  for (Index rank = input.integer(0, 3); rank > 0; --rank) extents.push_back(input.integer(0, 5));
  FuzzedTensor<std::int64_t> ids(input, extents, FuzzedTensor<std::int64_t>::Lying::any);
  for (Index n = 0; n < ids.size(); ++n) ids[n] = any_id(input);
  const StridedView<const std::int64_t> view = ids.view();
  std::optional<Positions> positions;
  if (!succeeds([&] { positions = Positions::listed(view); })) return;
  require(positions->count() == view.size(), "there is a position for every id");
  check_rows(*positions);
  for (Index n = 0; n < ids.size(); ++n)
    require(positions->at(n) == FixedPosition(ids[n]), "ids are read where they are");
}

void several_axes(FuzzedInput& input) {
  std::array<AxisPositions, 6> axes;
  std::array<std::vector<double>, 6> of_axes;
  const auto count = static_cast<std::size_t>(input.integer(0, 6));
  const Index common = input.integer(0, 4);
  bool made = succeeds([&] {
    for (std::size_t axis = 0; axis < count; ++axis) {
      const Index size = input.rarely() ? input.size(0, 5) : common;
      if (input.flag()) {
        axes[axis] = AxisPositions::consecutive(size, input.position());
        continue;
      }
      for (Index n = 0; n < std::min<Index>(size, 9); ++n)
        of_axes[axis].push_back(input.rarely() ? input.real() : input.byte() / 4.0);
      axes[axis] = AxisPositions::listed(std::span<const double>(of_axes[axis].data(), of_axes[axis].size()));
    }
  });
  if (!made) return;
  const std::span<const AxisPositions> all(axes.data(), count);
  succeeds([&] {
    const Positions together = Positions::together(all);
    check_rows(together);
    check_rows(together.as_list());
  });
  succeeds([&] {
    const Positions grid = Positions::grid(all);
    check_rows(grid);
    check_rows(grid.as_list());
    Index repeat = 1;  // the last axis runs fastest
    for (std::size_t axis = count; axis-- > 0 && grid.count() > 0;) {
      for (Index row = 0; row < std::min<Index>(grid.count(), 200); ++row)
        require(grid.at(row, static_cast<int>(axis)) == axes[axis][row / repeat % axes[axis].count()],
                "a grid has every combination");
      repeat *= axes[axis].count();
    }
    check_rows(grid.in_batches(input.size(0, 6)));
  });
  succeeds([&] { check_rows(Positions::from(input.position()).in_batches(input.size(0, 6))); });
  succeeds([&] { check_rows(Positions::consecutive(input.size(0, 9), input.position())); });
}

// ----------------------------------------------------------------------------------------------- ids of sequences

void packed(FuzzedInput& input) {
  std::vector<std::int32_t> ends;
  std::int32_t end = 0;
  for (Index n = input.integer(0, 6); n > 0; --n) {
    ends.push_back(end);
    end += input.rarely() ? input.any<std::int8_t>() : input.byte() % 4;
  }
  if (input.rarely() && !ends.empty()) ends.front() = input.any<std::int8_t>();
  const std::vector<std::int64_t> first = input.flag() ? fuzzed_ids(input, 6) : std::vector<std::int64_t>();
  std::vector<std::int64_t> ids;
  if (!succeeds([&] { ids = packed_position_ids(ends, first); })) return;
  std::size_t t = 0;
  for (std::size_t k = 0; k + 1 < ends.size(); ++k)
    for (std::int32_t n = ends[k]; n < ends[k + 1]; ++n, ++t)
      require(t < ids.size() && ids[t] == n - ends[k] + (first.empty() ? 0 : first[k]),
              "packed ids count from 0 again");
  require(t == ids.size(), "there is an id for every packed token");
}

void padded(FuzzedInput& input) {
  PaddedBatch shape{.batch = input.size(0, 5), .seq = input.size(0, 6), .padding = any_id(input)};
  std::vector<std::uint8_t> mask;
  const bool fits = !input.rarely() && shape.batch >= 0 && shape.batch < 9 && shape.seq >= 0 && shape.seq < 9;
  const Index count = fits ? shape.batch * shape.seq : input.integer(0, 40);
  for (Index n = 0; n < count; ++n) mask.push_back(input.rarely() ? input.byte() : input.byte() % 2);
  std::vector<std::int64_t> ids;
  if (!succeeds([&] { ids = padded_position_ids(mask, shape); })) return;
  require(ids.size() == mask.size(), "there is an id for every entry of a mask");
  std::int64_t next = 0;
  for (std::size_t n = 0; n < ids.size(); ++n) {
    if (static_cast<Index>(n) % shape.seq == 0) next = 0;
    require(ids[n] == (mask[n] == 1 ? next++ : shape.padding), "tokens are counted, padding is passed over");
  }
}

void slices(FuzzedInput& input) {
  const Index ranks = input.rarely() ? input.size(0, 5) : input.integer(1, 5);
  ContextParallelSlice slice{.seq_len = input.size(0, 6), .ranks = ranks, .first = any_id(input)};
  if (!input.rarely() && ranks > 0 && ranks < 9 && slice.seq_len > 0 && slice.seq_len < 9)
    slice.seq_len *= 2 * ranks;
  if (input.rarely()) slice.seq_len = input.size(0, 40);
  // For so many ids there is no memory, and who asks for them learns that by std::bad_alloc.
  if (slice.ranks > 0 && slice.seq_len / slice.ranks > 99) slice.seq_len = PTRDIFF_MAX - 1;
  slice.rank = input.size(0, 5);
  std::vector<std::int64_t> ids;
  if (!succeeds([&] { ids = context_parallel_position_ids(slice); })) return;
  const Index half = slice.seq_len / (2 * slice.ranks);
  require(static_cast<Index>(ids.size()) == 2 * half, "a rank holds two chunks");
  for (Index n = 0; n < 2 * half; ++n) {
    const Index at = n < half ? slice.rank * half + n : slice.seq_len - (slice.rank + 2) * half + n;
    require(ids[static_cast<std::size_t>(n)] == slice.first + at, "chunks are those of the rank");
  }
}

void stretched(FuzzedInput& input) {
  const LengthInterpolation rule{.pretrained_length = input.flag() ? input.real() : 64,
                                 .factor = input.flag() ? input.real() : 1};
  const Index length = input.size(0, 99);
  succeeds([&] {
    const DoubleDouble factor = length_interpolation_factor(length, rule);
    require(factor >= rule.factor, "positions are divided by the factor at least");
  });
  std::vector<double> positions;
  const std::int64_t first = any_id(input);
  if (length < 1000 && succeeds([&] { positions = interpolated_positions(length, rule, first); }))
    require(static_cast<Index>(positions.size()) == length, "there is a position for every token");
}

void dual_chunks(FuzzedInput& input) {
  const DualChunk chunk{.chunk_size = input.size(0, 40), .local_size = input.size(0, 9)};
  const auto version = input.enumerator<DualChunkQuery>(5);
  const std::vector<std::int64_t> ids = fuzzed_ids(input, 9);
  succeeds([&] {
    const std::vector<std::int64_t> keys = dual_chunk_key_positions(ids, chunk);
    const Wide length = static_cast<Wide>(chunk.chunk_size) - chunk.local_size;
    for (std::size_t n = 0; n < ids.size(); ++n) {
      require(keys[n] >= 0 && keys[n] < length && (static_cast<Wide>(ids[n]) - keys[n]) % length == 0,
              "keys begin again after a chunk");
    }
  });
  succeeds([&] {
    for (const std::int64_t id : dual_chunk_query_positions(ids, version, chunk))
      require(id >= 0 && id < static_cast<Wide>(2) * chunk.chunk_size, "queries stay within two chunks");
  });
}

// ------------------------------------------------------------------------------------------- several coordinates

/// A grid of a few patches, or rarely one of more patches than memory holds, however many are merged.
VisionGrid fuzzed_grid(FuzzedInput& input, Index merge) {
  const auto size = [&](Index high) {
    const Index found = input.size(0, high);
    return found > high ? PTRDIFF_MAX : found;
  };
  const auto side = [&] { return input.rarely() ? size(9) : merge * input.integer(1, 3); };
  return {.frames = input.rarely() ? size(4) : input.integer(1, 3), .height = side(), .width = side()};
}

void token_positions(FuzzedInput& input) {
  std::optional<TokenPositions> tokens;
  if (!succeeds([&] { tokens.emplace(input.size(1, 4)); })) return;
  for (int n = 0; n < 9 && !input.empty(); ++n) {
    const TokenPositions before = *tokens;
    const std::int64_t a = any_id(input), b = any_id(input);
    const bool done = succeeds([&] {
      switch (input.byte() % 6) {
        case 0:
          return tokens->append({a});
        case 1:
          return tokens->append({a, b});
        case 2:
          return tokens->append({a, b, a});
        case 3:
          return tokens->append({a, b, a, b});
        case 4:
          return tokens->reserve(input.size(0, 99));
        default:
          static_cast<void>(tokens->axis(input.size(-1, 4)));
      }
    });
    if (!done) require(*tokens == before, "what throws has changed nothing");
  }
  require(static_cast<Index>(tokens->flat().size()) == tokens->axes() * tokens->tokens(),
          "there are coordinates for every token");
  succeeds([&] { check_rows(tokens->positions()); });
}

void merge_blocks(FuzzedInput& input) {
  const Index merge = input.rarely() ? input.size(0, 4) : input.integer(1, 3);
  const VisionGrid grid = fuzzed_grid(input, std::clamp<Index>(merge, 1, 4));
  std::optional<TokenPositions> patches;
  if (!succeeds([&] { patches = merge_block_positions(grid, merge); })) return;
  const bool empty = grid.frames == 0 || grid.height == 0 || grid.width == 0;
  const Index wanted = empty ? 0 : grid.frames * grid.height * grid.width;
  require(patches->tokens() == wanted, "there is a place for every patch");
  for (Index n = 0; n < patches->tokens(); ++n) {
    const Index y = patches->axis(0)[static_cast<std::size_t>(n)],
                x = patches->axis(1)[static_cast<std::size_t>(n)];
    const Index in_frame = n % (grid.height * grid.width), block = in_frame / (merge * merge);
    const Index columns = grid.width / merge, within = in_frame % (merge * merge);
    require(y == block / columns * merge + within / merge && x == block % columns * merge + within % merge,
            "patches stand block by block");
  }
}

void prompts(FuzzedInput& input) {
  MropePositionsOptions options;
  if (input.flag()) options.spatial_merge = input.size(0, 3);
  if (input.flag()) options.temporal_merge = input.size(0, 3);
  options.next_start = input.enumerator<NextStart>(2);
  std::optional<MropePositions> prompt;
  if (!succeeds([&] { prompt.emplace(options); })) return;
  if (options.spatial_merge > 9 || options.temporal_merge > 9) return;
  for (int n = 0; n < 9 && !input.empty(); ++n) {
    const TokenPositions before = prompt->tokens();
    const std::int64_t next = prompt->next_start(), delta = prompt->delta();
    const bool done = succeeds([&] {
      VisionGrid grid = fuzzed_grid(input, options.spatial_merge);
      if (!input.rarely() && grid.frames > 0 && grid.frames < 9) grid.frames *= options.temporal_merge;
      switch (input.byte() % 6) {
        case 0:
          return prompt->append_text(input.size(0, 9));
        case 1:
          return prompt->append_padding(input.size(0, 9), any_id(input));
        case 2:
          return prompt->append_image(grid);
        case 3:
          return prompt->append_video(grid, input.flag() ? input.real() : 0.5);
        case 4:
          return prompt->append_video(grid, FrameInterval{any_id(input), any_id(input)});
        default: {
          std::vector<std::int32_t> ids;
          for (Index count = input.integer(0, 40); count > 0; --count)
            ids.push_back(input.pick({0, 151655, 151655, 151656}));
          std::vector<VisionGrid> images, videos;
          std::vector<double> intervals;
          for (Index count = input.integer(0, 2); count > 0; --count)
            images.push_back(fuzzed_grid(input, options.spatial_merge));
          for (Index count = input.integer(0, 2); count > 0; --count)
            videos.push_back(fuzzed_grid(input, options.spatial_merge));
          for (Index count = input.flag() ? Index(videos.size()) : input.integer(0, 3); count > 0; --count)
            intervals.push_back(input.real());
          prompt->append(ids, {.images = images, .videos = videos, .video_intervals = intervals});
        }
      }
    });
    if (!done)
      require(prompt->tokens() == before && prompt->next_start() == next && prompt->delta() == delta,
              "what throws has changed nothing");
    if (prompt->tokens().tokens() > 2000) break;
  }
  succeeds([&] { check_rows(prompt->tokens().positions()); });
}

void indexed_images(FuzzedInput& input) {
  std::vector<IndexedImage> images;
  Index next = 0;
  for (Index n = input.integer(0, 3); n > 0; --n) {
    IndexedImage image{
        .first = next + input.integer(0, 3), .height = input.size(0, 3), .width = input.size(0, 3)};
    if (input.rarely()) image.first = input.size(0, 30);
    images.push_back(image);
    if (image.height >= 0 && image.height < 9 && image.width >= 0 && image.width < 9 && image.first < 99)
      next = image.first + image.height * (image.width + 1);
  }
  const Index count = input.rarely() ? input.size(0, 60) : next + input.integer(0, 3),
              axes = input.size(3, 4);
  std::optional<TokenPositions> tokens;
  if (!succeeds([&] { tokens = xdrope_positions(count, images, axes); })) return;
  require(tokens->tokens() == count && tokens->axes() == axes, "there is a place for every token");
  check_rows(tokens->positions());
}

void sections(FuzzedInput& input) {
  std::vector<Index> sizes;
  for (Index n = input.integer(0, 5); n > 0; --n) sizes.push_back(input.size(0, 20));
  const std::array<Index, 4> four{input.size(0, 9), input.size(0, 9), input.size(0, 9), input.size(0, 9)};
  const std::array<Index, 3> three{four[0], input.flag() ? four[0] : four[1], four[2]};
  const Index pairs = input.size(0, 40);
  std::vector<Index> axes;
  Index of = static_cast<Index>(sizes.size());
  const bool made = succeeds([&] {
    switch (input.byte() % 8) {
      case 0:
        return static_cast<void>(axes = mrope_axes_chunked(sizes));
      case 1:
        return static_cast<void>(axes = mrope_axes_interleaved(sizes));
      case 2:
        return static_cast<void>(axes = mrope_axes_ernie(three), of = 3);
      case 3:
        return static_cast<void>(axes = mrope_axes_video(sizes));
      case 4:
        return static_cast<void>(axes = mrope_axes_glm(sizes));
      case 5:
        axes = mrope_axes_openpangu(sizes);
        of = 3;
        return;
      case 6:
        return static_cast<void>(axes = mrope_axes_ggml(four, pairs), of = 4);
      default:
        return static_cast<void>(axes = mrope_axes_ggml_interleaved(four, pairs), of = 4);
    }
  });
  if (!made) return;
  for (const Index axis : axes) require(axis >= 0 && axis < of, "a pair is on one of the axes");
  const Frequencies frequencies =
      language_frequencies(2 * static_cast<Index>(axes.size()) + (input.rarely() ? 2 : 0));
  std::optional<Frequencies> dealt;
  const Index named = input.rarely() ? input.size(0, 5) : of;
  if (succeeds([&] { dealt = on_axes(frequencies, axes, named); }))
    require(dealt->pairs() == static_cast<Index>(axes.size()) && dealt->axes == named,
            "every pair is dealt out");
}

}  // namespace
}  // namespace rotary::testing

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace rotary::testing;
  FuzzedInput input(data, size);
  switch (input.byte() % 18) {
    case 0:
      fixed_positions(input);
      break;
    case 1:
      lists<std::int32_t>(input);
      break;
    case 2:
      lists<std::uint32_t>(input);
      break;
    case 3:
      lists<std::int64_t>(input);
      break;
    case 4:
      lists<std::uint64_t>(input);
      break;
    case 5:
      lists<float>(input);
      break;
    case 6:
      lists<double>(input);
      break;
    case 7:
      views_of_ids(input);
      break;
    case 8:
      several_axes(input);
      break;
    case 9:
      packed(input);
      break;
    case 10:
      padded(input);
      break;
    case 11:
      slices(input);
      break;
    case 12:
      stretched(input);
      break;
    case 13:
      dual_chunks(input);
      break;
    case 14:
      token_positions(input);
      merge_blocks(input);
      break;
    case 15:
      prompts(input);
      break;
    case 16:
      indexed_images(input);
      break;
    default:
      sections(input);
  }
  return 0;
}
