// Positions of the text, image and video tokens of a prompt: Qwen2-VL, Qwen2.5-VL, HunYuan-VL.
#pragma once

#include <cmath>
#include <span>

#include "position_ids.hpp"
#include "token_positions.hpp"

namespace rotary::inline ROTARY_ABI {

/// The position of the first token after an image or a video, for `MropePositions`; implementations differ.
enum class NextStart {
  after_largest,  ///< 1 + the largest coordinate so far on any axis: Hugging Face 4, vLLM
  after_extent    ///< the start of the grid + max(height, width) / merge: newer Hugging Face
};

/// The time from one merged frame of a video to the next, as a fraction: exact where a double would be
/// rounded. For `MropePositions`. With Qwen2.5-VL it is tokens_per_second · temporal_patch_size / frames per
/// second, 2 · 2 / 49 for 49 frames a second.
struct FrameInterval {
  std::int64_t numerator = 1;    ///< of the interval numerator / denominator; not negative
  std::int64_t denominator = 1;  ///< of the interval numerator / denominator; at least 1
};

namespace detail {

/// ⌊t · interval⌋ for an interval that may be a rounded fraction. A product within 2^-50 of a whole number
/// counts as whole, so that 49 · (4/49) is 4 and not 3: three roundings are less than 2^-50.
inline double frame_time(Index t, double interval) {
  const double product = static_cast<double>(t) * interval, nearest = std::round(product);
  constexpr double exact_below = 0x1p45;
  return product < exact_below && std::abs(product - nearest) <= product * 0x1p-50 ? nearest
                                                                                   : std::floor(product);
}

}  // namespace detail

/// How `MropePositions` counts: the rules in which models differ.
struct MropePositionsOptions {
  Index spatial_merge = 2;   ///< patches merged into a token, along the height and along the width
  Index temporal_merge = 1;  ///< frames merged into a token
  NextStart next_start = NextStart::after_largest;  ///< the position of the token after an image or a video
};

/// The images and videos of a prompt, in order, and the token ids that represent their patches, for
/// `MropePositions::append`.
struct VisionTokens {
  std::int64_t image_token = 151655;        ///< the id of an image's tokens; <|image_pad|> of Qwen2-VL
  std::int64_t video_token = 151656;        ///< the id of a video's tokens; <|video_pad|> of Qwen2-VL
  std::span<const VisionGrid> images = {};  ///< the grids of the images, in order
  std::span<const VisionGrid> videos = {};  ///< the grids of the videos, in order
  /// For each video, the time from one merged frame to the next; left out, it is 1 for all.
  std::span<const double> video_intervals = {};
};

/// The coordinates (t, h, w) of every token of a prompt, as Qwen2-VL and Qwen2.5-VL number them.
///
/// n text tokens from position a on have a, a + 1, ..., a + n − 1 on all three axes. The tokens of an image
/// or a video come frame by frame and row by row; for merged frame t, row h and column w the coordinates are
///
///     (a + ⌊t · interval⌋,  a + h,  a + w)
///
/// The next text or grid starts at `next_start()`. While decoding, token n of the sequence is at n + delta()
/// on all axes. Qwen3-VL treats each frame of a video as an image of its own, after text with its time.
/// Throws std::invalid_argument on grids that do not divide into merged blocks.
///
/// @code
///   rotary::MropePositions prompt;
///   prompt.append_text(4);
///   prompt.append_image({.height = 28, .width = 42});   // 14 · 21 tokens
///   prompt.append_text(10);
///   const rotary::Positions positions = prompt.tokens().positions();   // for a CosSinTable
/// @endcode
///
/// Source: `get_rope_index` of Qwen2-VL and Qwen2.5-VL in Hugging Face.
class MropePositions {
 public:
  /// A prompt without tokens, whose first token will be at 0.
  /// Throws std::invalid_argument if an option is invalid, naming it.
  explicit MropePositions(const MropePositionsOptions& options = {}) : options_(options) {
    if (options.next_start != NextStart::after_largest && options.next_start != NextStart::after_extent)
      detail::fail("next_start is ", static_cast<int>(options.next_start),
                   ", it must be after_largest or after_extent");
    detail::merged("frames", 0, options.temporal_merge);
    detail::merged("height", 0, options.spatial_merge);
  }

  /// The coordinates: axis 0 is t, axis 1 is h, axis 2 is w.
  [[nodiscard]] const TokenPositions& tokens() const& { return tokens_; }
  const TokenPositions& tokens() const&& = delete;  ///< of a temporary: the reference would dangle
  /// The position at which the next text or grid starts.
  std::int64_t next_start() const { return next_start_; }
  /// The position of a token after the prompt minus its index, padding counted: 1 + the largest
  /// coordinate − the number of tokens (`rope_deltas` of Hugging Face, `mrope_position_delta` of vLLM).
  std::int64_t delta() const { return end_ - tokens_.tokens(); }

  /// Appends `count` tokens of text, at next_start(), next_start() + 1, ... on all three axes.
  /// Throws std::invalid_argument if `count` is negative.
  void append_text(Index count) {
    if (count < 0) detail::fail("there cannot be ", count, " tokens of text");
    const std::int64_t end = detail::checked_sum(next_start_, count);
    tokens_.reserve(count);
    for (; next_start_ < end; ++next_start_) tokens_.append({next_start_, next_start_, next_start_});
    end_ = std::max(end_, end);
  }

  /// Appends `count` tokens that attention never sees. All their coordinates are `id`; the next token starts
  /// where it would have without them.
  void append_padding(Index count, std::int64_t id = 0) {
    if (count < 0) detail::fail("there cannot be ", count, " tokens of padding");
    tokens_.reserve(count);
    for (Index n = 0; n < count; ++n) tokens_.append({id, id, id});
  }

  /// Appends the tokens of an image, row by row.
  /// Throws std::invalid_argument if the grid has no token or does not divide into merged blocks.
  void append_image(const VisionGrid& grid) { append_video(grid, 1); }

  /// Appends the tokens of a video. `interval` is the time from one merged frame to the next: 1 for Qwen2-VL,
  /// and tokens_per_second · seconds per merged frame for Qwen2.5-VL, where newer versions of Hugging Face
  /// first truncate the seconds to an integer. A rounded fraction counts as the exact one.
  /// Throws std::invalid_argument if `interval` is negative, or the grid does not divide into merged blocks.
  void append_video(const VisionGrid& grid, const double& interval) {
    const Index frames = detail::merged("frames", grid.frames, options_.temporal_merge);
    const auto time = [interval](Index t) { return detail::frame_time(t, interval); };
    if (!detail::finite_bits(interval) || !(interval >= 0) || !(time(frames) < 0x1p62))
      detail::fail("the interval between frames is ", interval,
                   ", it must not be negative, and all times lie below 2^62");
    append_frames(grid, frames, [time](Index t) { return static_cast<std::int64_t>(time(t)); });
  }

  /// Appends the tokens of a video with an exact interval: frame t is at ⌊t · numerator / denominator⌋.
  /// Throws std::invalid_argument on an invalid interval, and if the grid does not divide into merged blocks.
  ///
  /// @code
  ///   rotary::MropePositions prompt;
  ///   prompt.append_video({.frames = 50, .height = 2, .width = 2}, rotary::FrameInterval{4, 49});
  ///   prompt.tokens().axis(0)[49];   // 4
  /// @endcode
  void append_video(const VisionGrid& grid, const FrameInterval& interval) {
    const Index frames = detail::merged("frames", grid.frames, options_.temporal_merge);
    // Not a structured binding, which Clang captures from version 16 on.
    const std::int64_t numerator = interval.numerator, denominator = interval.denominator;
    if (numerator < 0 || denominator < 1)
      detail::fail("the interval between frames is ", numerator, "/", denominator,
                   ", it must not be negative, nor have a denominator below 1");
    detail::checked_product(frames, numerator);
    append_frames(grid, frames, [numerator, denominator](Index t) { return t * numerator / denominator; });
  }

  /// Appends the tokens `input_ids`, in which an image or a video is a run of its token id, as long as its
  /// grid has tokens after merging.
  /// Throws std::invalid_argument if the runs and the grids do not match; then nothing is appended.
  ///
  /// @code
  ///   const std::vector<int> input_ids = {11, 12, 151655, 151655, 13};
  ///   const std::vector<rotary::VisionGrid> images = {{.height = 2, .width = 4}};
  ///   rotary::MropePositions prompt;
  ///   prompt.append(input_ids, {.images = images});
  ///   const auto w = prompt.tokens().axis(2);   // w: 0 1 2 3 4
  /// @endcode
  template <IntegerList Ids>
  void append(const Ids& input_ids, const VisionTokens& vision) {
    if (!vision.video_intervals.empty() && vision.video_intervals.size() != vision.videos.size())
      detail::fail("found intervals for ", vision.video_intervals.size(), " videos, there are ",
                   vision.videos.size());
    MropePositions longer = *this;  // so that nothing has changed if the grids do not fit
    const Index count = detail::list_size(input_ids);
    std::size_t image = 0, video = 0;
    // The number of tokens of a grid, checked before any is appended.
    const auto tokens_of = [&](const VisionGrid& grid) {
      return detail::checked_product(
          detail::merged("frames", grid.frames, options_.temporal_merge),
          detail::checked_product(detail::merged("height", grid.height, options_.spatial_merge),
                                  detail::merged("width", grid.width, options_.spatial_merge)));
    };
    const auto check_run = [&](Index first, Index length) {
      const std::int64_t id = detail::list_entry(input_ids, first);
      for (Index held = 0; held < length; ++held)
        if (held >= count - first || detail::list_entry(input_ids, first + held) != id)
          detail::fail("the grid that begins at token ", first, " has ", length, " tokens, the prompt has ",
                       held, " for it");
    };
    for (Index n = 0; n < count;) {
      const std::int64_t id = detail::list_entry(input_ids, n);
      const Index before = longer.tokens_.tokens();
      if (id == vision.image_token) {
        if (image == vision.images.size())
          detail::fail("token ", n, " begins another image, there are grids for ", image);
        check_run(n, tokens_of(vision.images[image]));
        longer.append_image(vision.images[image++]);
      } else if (id == vision.video_token) {
        if (video == vision.videos.size())
          detail::fail("token ", n, " begins another video, there are grids for ", video);
        const double interval = vision.video_intervals.empty() ? 1 : vision.video_intervals[video];
        check_run(n, tokens_of(vision.videos[video]));
        longer.append_video(vision.videos[video++], interval);
      } else {
        longer.append_text(1);
      }
      n += longer.tokens_.tokens() - before;
    }
    if (image < vision.images.size() || video < vision.videos.size())
      detail::fail("found ", image, " images and ", video, " videos in the prompt, there are grids for ",
                   vision.images.size(), " and ", vision.videos.size());
    *this = std::move(longer);
  }

 private:
  /// The tokens of a grid whose frame t is `time(t)` after its start.
  template <class Time>
  void append_frames(const VisionGrid& grid, Index frames, const Time& time) {
    const Index height = detail::merged("height", grid.height, options_.spatial_merge);
    const Index width = detail::merged("width", grid.width, options_.spatial_merge);
    const Index count = detail::checked_product(frames, detail::checked_product(height, width));
    const Index extent = std::max(height, width);
    if (count == 0) detail::fail("a grid of ", frames, " by ", height, " by ", width, " has no token");
    const Index last = std::max(extent - 1, static_cast<Index>(time(frames - 1)));
    const std::int64_t start = next_start_;
    const std::int64_t end = detail::checked_sum(start, detail::checked_sum(last, 1));
    tokens_.reserve(count);
    for (Index t = 0; t < frames; ++t)
      for (Index h = 0; h < height; ++h)
        for (Index w = 0; w < width; ++w) tokens_.append({start + time(t), start + h, start + w});
    end_ = std::max(end_, end);
    next_start_ = options_.next_start == NextStart::after_extent ? start + extent : end_;
  }

  MropePositionsOptions options_;
  TokenPositions tokens_{3};
  std::int64_t next_start_ = 0;
  std::int64_t end_ = 0;  // 1 + the largest coordinate, without padding
};

/// The grid of an image among the tokens of a prompt, for `xdrope_positions`: `height` rows of `width` tokens
/// and a token that ends the row.
struct IndexedImage {
  Index first = 0;   ///< the token at which row 0 begins
  Index height = 0;  ///< rows, after merging
  Index width = 0;   ///< tokens of a row after merging, without the token that ends it
};

/// The coordinates (plain, width, height, image) of every token of a prompt: HunYuan-VL's XD-RoPE
/// (`indexed_images`).
///
/// Token n has n on all axes. Tokens of the m-th grid have column, row and m on the last three instead; the
/// token that ends a row counts as column `width`. With 3 axes the plain one is left out. In a prompt of
/// HunYuan-VL the grid begins two tokens after the token that announces the image.
/// Throws std::invalid_argument unless the images follow each other within the tokens.
///
/// @code
///   const std::vector<rotary::IndexedImage> images = {{.first = 2, .height = 2, .width = 1}};
///   const auto tokens = rotary::xdrope_positions(7, images);
///   const auto width = tokens.axis(1);   // width: 0 1 0 1 0 1 6
/// @endcode
inline TokenPositions xdrope_positions(Index token_count, std::span<const IndexedImage> images,
                                       Index axes = 4) {
  if (token_count < 0) detail::fail("there cannot be ", token_count, " tokens");
  if (axes != 3 && axes != 4) detail::fail("XD-RoPE has 3 or 4 axes, found ", axes);
  TokenPositions tokens(axes);
  tokens.reserve(token_count);
  const auto append = [&](Index width, Index height, Index image) {
    if (axes == 4) return tokens.append({tokens.tokens(), width, height, image});
    tokens.append({width, height, image});
  };
  const auto append_text_up_to = [&](Index end) {
    for (Index n = tokens.tokens(); n < end; ++n) append(n, n, n);
  };
  for (std::size_t m = 0; m < images.size(); ++m) {
    const IndexedImage& image = images[m];
    if (image.height < 0 || image.width < 0)
      detail::fail("image ", m, " is ", image.height, " by ", image.width, ", it must not be negative");
    const Index count = detail::checked_product(image.height, detail::checked_sum(image.width, 1));
    if (image.first < tokens.tokens() || count > token_count - image.first)
      detail::fail("image ", m, " has ", count, " tokens from ", image.first,
                   " on, they must lie after the image before and within the ", token_count, " tokens");
    append_text_up_to(image.first);
    for (Index row = 0; row < image.height; ++row)
      for (Index column = 0; column <= image.width; ++column) append(column, row, static_cast<Index>(m));
  }
  append_text_up_to(token_count);
  return tokens;
}

}  // namespace rotary::inline ROTARY_ABI
