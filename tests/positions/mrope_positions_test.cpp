#include <rotary/positions/mrope_positions.hpp>

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <rotary/cos_sin_table.hpp>
#include <string>
#include <vector>

#include "support/errors.hpp"
#include "support/random.hpp"

namespace rotary::testing {
namespace {

using Ids = std::vector<std::int64_t>;

Ids axis_of(const TokenPositions& tokens, Index axis) {
  const auto ids = tokens.axis(axis);
  return Ids(ids.begin(), ids.end());
}

// --- published examples

// Of Qwen2-VL: a video of 3 frames, 2 rows and 2 columns of merged patches, then 5 tokens of text.
TEST(MropePositions, AreThoseOfQwen2VlsExample) {
  MropePositions prompt;
  prompt.append_video({.frames = 3, .height = 4, .width = 4}, 1);
  prompt.append_text(5);
  const TokenPositions& tokens = prompt.tokens();
  EXPECT_EQ(axis_of(tokens, 0), Ids({0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(axis_of(tokens, 1), Ids({0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 3, 4, 5, 6, 7}));
  EXPECT_EQ(axis_of(tokens, 2), Ids({0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 3, 4, 5, 6, 7}));
  EXPECT_EQ(prompt.delta(), 8 - 17);
}

// Of Qwen2.5-VL: the same at one frame per second, merged by twos, with 25 tokens per second.
TEST(MropePositions, AreThoseOfQwen25VlsExample) {
  MropePositions prompt;
  const double tokens_per_second = 25, seconds_per_grid = 2;
  prompt.append_video({.frames = 3, .height = 4, .width = 4}, tokens_per_second * seconds_per_grid);
  prompt.append_text(5);
  const TokenPositions& tokens = prompt.tokens();
  const Ids text = {101, 102, 103, 104, 105};
  Ids t = {0, 0, 0, 0, 50, 50, 50, 50, 100, 100, 100, 100}, h = {0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1},
      w = {0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1};
  for (Ids* axis : {&t, &h, &w}) axis->insert(axis->end(), text.begin(), text.end());
  EXPECT_EQ(axis_of(tokens, 0), t);
  EXPECT_EQ(axis_of(tokens, 1), h);
  EXPECT_EQ(axis_of(tokens, 2), w);
  EXPECT_EQ(prompt.delta(), 106 - 17);
}

// Implementations differ in where the text after a video starts. Ours is the rule that the models were
// published with, unless the other one is named; after an image both agree.
TEST(MropePositions, NextStartIsAfterTheLargestUnlessAskedOtherwise) {
  for (const NextStart rule : {NextStart::after_largest, NextStart::after_extent}) {
    MropePositions prompt({.next_start = rule});
    prompt.append_text(2);
    prompt.append_image({.height = 4, .width = 6});
    EXPECT_EQ(prompt.next_start(), 5) << "2 + max(4, 6) / 2";
    prompt.append_video({.frames = 3, .height = 4, .width = 4}, 50);
    const bool largest = rule == NextStart::after_largest;
    EXPECT_EQ(prompt.next_start(), largest ? 106 : 7);
    prompt.append_text(1);
    EXPECT_EQ(axis_of(prompt.tokens(), 1).back(), largest ? 106 : 7);
    EXPECT_EQ(prompt.delta(), (largest ? 107 : 106) - 21) << "the largest coordinate either way";
  }
}

TEST(MropePositions, OfTextAreThoseOfPlainRope) {
  MropePositions prompt;
  prompt.append_text(3);
  prompt.append_text(0);
  prompt.append_text(2);
  for (Index axis = 0; axis < 3; ++axis) EXPECT_EQ(axis_of(prompt.tokens(), axis), Ids({0, 1, 2, 3, 4}));
  EXPECT_EQ(prompt.delta(), 0);
  EXPECT_EQ(MropePositions().delta(), 0);
}

TEST(MropePositions, CutTimesToIntegersBeforeTheStartIsAdded) {
  MropePositions prompt({.spatial_merge = 1, .temporal_merge = 2});
  prompt.append_text(1);
  prompt.append_video({.frames = 8, .height = 1, .width = 1}, 0.75);
  EXPECT_EQ(axis_of(prompt.tokens(), 0), Ids({0, 1, 1, 2, 3}));  // 1 + 0, 0.75, 1.5, 2.25
  EXPECT_EQ(prompt.next_start(), 4);
}

TEST(MropePositions, PassOverPadding) {
  MropePositions padded, bare;
  padded.append_padding(2, 1);
  for (MropePositions* prompt : {&padded, &bare}) {
    prompt->append_text(1);
    prompt->append_image({.height = 2, .width = 4});
  }
  padded.append_padding(1);
  EXPECT_EQ(axis_of(padded.tokens(), 0), Ids({1, 1, 0, 1, 1, 0}));
  EXPECT_EQ(axis_of(padded.tokens(), 2), Ids({1, 1, 0, 1, 2, 0}));
  EXPECT_EQ(padded.next_start(), bare.next_start());
  EXPECT_EQ(padded.delta(), bare.delta() - 3);
}

// --- from token ids

TEST(MropePositions, OfTokenIdsAreThoseOfTheirParts) {
  constexpr int kImage = 151655, kVideo = 151656, kStart = 151652, kEnd = 151653;
  std::vector<std::int32_t> ids = {1, 2, kStart};
  ids.insert(ids.end(), 6, kImage);
  ids.insert(ids.end(), {kEnd, kStart});
  ids.insert(ids.end(), 8, kVideo);
  ids.insert(ids.end(), {kEnd, 3});
  // Two adjacent images, without a token between them.
  ids.insert(ids.end(), 1 + 2, kImage);
  const std::vector<VisionGrid> images = {
      {.height = 4, .width = 6}, {.height = 2, .width = 2}, {.height = 4, .width = 2}};
  const std::vector<VisionGrid> videos = {{.frames = 2, .height = 4, .width = 4}};
  const std::vector<double> intervals = {2.5};

  MropePositions from_ids, expected;
  from_ids.append(ids, {.images = images, .videos = videos, .video_intervals = intervals});
  expected.append_text(3);
  expected.append_image(images[0]);
  expected.append_text(2);
  expected.append_video(videos[0], 2.5);
  expected.append_text(2);
  expected.append_image(images[1]);
  expected.append_image(images[2]);
  EXPECT_EQ(from_ids.tokens(), expected.tokens());
  EXPECT_EQ(from_ids.next_start(), expected.next_start());
  EXPECT_EQ(from_ids.delta(), expected.delta());
}

TEST(MropePositions, RefuseGridsThatDoNotFitTheTokens) {
  const std::vector<VisionGrid> one = {{.height = 4, .width = 4}}, two(2, one[0]);
  const std::vector<double> intervals = {1, 2};
  const Ids four_of_image = {5, 151655, 151655, 151655, 151655, 6},
            three_of_image = {5, 151655, 151655, 151655}, cut_short = {151655, 151655, 7, 151655},
            five_of_image(5, 151655), video(4, 151656);
  MropePositions prompt;
  prompt.append_text(3);
  const MropePositions before = prompt;
  const auto message = [&](const Ids& ids, const VisionTokens& vision) {
    return error_of_call([&] { prompt.append(ids, vision); });
  };
  EXPECT_EQ(message(three_of_image, {.images = one}),
            "rotary: the grid that begins at token 1 has 4 tokens, the prompt has 3 for it");
  EXPECT_EQ(message(cut_short, {.images = one}),
            "rotary: the grid that begins at token 0 has 4 tokens, the prompt has 2 for it");
  EXPECT_EQ(message(five_of_image, {.images = one}),
            "rotary: token 4 begins another image, there are grids for 1");
  EXPECT_EQ(message(video, {.images = one}), "rotary: token 0 begins another video, there are grids for 0");
  EXPECT_EQ(message(four_of_image, {.images = two}),
            "rotary: found 1 images and 0 videos in the prompt, there are grids for 2 and 0");
  EXPECT_EQ(message(video, {.videos = one, .video_intervals = intervals}),
            "rotary: found intervals for 2 videos, there are 1");
  EXPECT_EQ(prompt.tokens(), before.tokens()) << "what failed must have changed nothing";
  EXPECT_EQ(prompt.delta(), before.delta());
  prompt.append(four_of_image, {.images = one});
  EXPECT_EQ(prompt.tokens().tokens(), 9);
}

TEST(MropePositions, RefuseWhatIsNoGrid) {
  MropePositions prompt;
  const auto message = [&](const VisionGrid& grid, double interval = 1) {
    return error_of_call([&] { prompt.append_video(grid, interval); });
  };
  EXPECT_EQ(message({.height = 3, .width = 4}),
            "rotary: the grid has height 3, it must be a multiple of 2, the patches merged");
  EXPECT_EQ(message({.height = 4, .width = -2}),
            "rotary: the grid has width -2, it must be a multiple of 2, the patches merged");
  EXPECT_EQ(message({.frames = 0, .height = 4, .width = 4}), "rotary: a grid of 0 by 2 by 2 has no token");
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double interval : {-1.0, std::nan(""), infinity, 1e300})
    EXPECT_NE(message({.frames = 2, .height = 4, .width = 4}, interval), kNoError) << interval;
  constexpr Index kHuge = PTRDIFF_MAX - 1;
  EXPECT_NE(message({.height = kHuge, .width = kHuge}), kNoError);
  EXPECT_NE(message({.height = kHuge, .width = 2}), kNoError);
  EXPECT_NE(error_of_call([&] { prompt.append_text(kHuge); }), kNoError);
  EXPECT_NE(error_of_call([&] { prompt.append_padding(kHuge); }), kNoError);
  EXPECT_NE(error_of_call([&] { prompt.append_text(-1); }), kNoError);
  EXPECT_NE(error_of_call([&] { prompt.append_padding(-1); }), kNoError);
  EXPECT_EQ(prompt.tokens().tokens(), 0);
  EXPECT_EQ(prompt.next_start(), 0);
  EXPECT_EQ(error_of_call([] { MropePositions({.spatial_merge = 0}); }),
            "rotary: blocks of 0 patches found, they must have at least 1");
  EXPECT_THROW(MropePositions({.temporal_merge = -1}), std::invalid_argument);
}

// --- HunYuan-VL

TEST(XdropePositions, CountColumnsRowsAndImages) {
  // 3 tokens, an image of 2 rows of 3 and a newline, 2 tokens, an image of 1 row of 1, 1 token.
  const std::vector<IndexedImage> images = {{.first = 3, .height = 2, .width = 3},
                                            {.first = 13, .height = 1, .width = 1}};
  const TokenPositions tokens = xdrope_positions(16, images);
  ASSERT_EQ(tokens.axes(), 4);
  EXPECT_EQ(axis_of(tokens, 0), Ids({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}));
  EXPECT_EQ(axis_of(tokens, 1), Ids({0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 3, 11, 12, 0, 1, 15}));
  EXPECT_EQ(axis_of(tokens, 2), Ids({0, 1, 2, 0, 0, 0, 0, 1, 1, 1, 1, 11, 12, 0, 0, 15}));
  EXPECT_EQ(axis_of(tokens, 3), Ids({0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 11, 12, 1, 1, 15}));
  const TokenPositions three = xdrope_positions(16, images, 3);
  ASSERT_EQ(three.axes(), 3);
  for (Index axis = 0; axis < 3; ++axis) EXPECT_EQ(axis_of(three, axis), axis_of(tokens, axis + 1));
}

TEST(XdropePositions, RefuseImagesThatAreNotThere) {
  const auto message = [](Index count, const std::vector<IndexedImage>& images, Index axes = 4) {
    return error_of_call([&] { xdrope_positions(count, images, axes); });
  };
  EXPECT_EQ(message(8, {{.first = 3, .height = 2, .width = 2}}),
            "rotary: image 0 has 6 tokens from 3 on, they must lie after the image before and within the 8 "
            "tokens");
  EXPECT_EQ(message(9, {{.first = 0, .height = 2, .width = 1}, {.first = 3, .height = 1, .width = 1}}),
            "rotary: image 1 has 2 tokens from 3 on, they must lie after the image before and within the 9 "
            "tokens");
  EXPECT_NE(message(9, {{.first = -1, .height = 1, .width = 1}}), kNoError);
  EXPECT_NE(message(9, {{.first = PTRDIFF_MAX, .height = 0, .width = 0}}), kNoError);
  EXPECT_EQ(message(9, {{.first = 0, .height = -1, .width = 1}}),
            "rotary: image 0 is -1 by 1, it must not be negative");
  EXPECT_NE(message(9, {{.first = 0, .height = 2, .width = PTRDIFF_MAX}}), kNoError);
  EXPECT_NE(message(9, {{.first = 0, .height = PTRDIFF_MAX, .width = 1}}), kNoError);
  EXPECT_NE(message(-1, {}), kNoError);
  EXPECT_NE(message(PTRDIFF_MAX, {}), kNoError);
  EXPECT_EQ(message(4, {}, 2), "rotary: XD-RoPE has 3 or 4 axes, found 2");
}

// --- tokens and grids

TEST(TokenPositions, ReadTokenByTokenAndAxisByAxis) {
  TokenPositions tokens(3);
  EXPECT_EQ(tokens.tokens(), 0);
  tokens.append({1, 2, 3});
  tokens.append({-4, 5, 6});
  EXPECT_EQ(tokens.flat(), Ids({1, -4, 2, 5, 3, 6}));
  const Positions positions = tokens.positions();
  ASSERT_EQ(positions.count(), 2);
  ASSERT_EQ(positions.axis_count(), 3);
  EXPECT_EQ(positions.at(1, 0), FixedPosition(-4));
  EXPECT_EQ(positions.at(0, 2), FixedPosition(3));
  EXPECT_EQ(error_of_call([&] {
              tokens.append({1, 2});
            }),
            "rotary: found 2 coordinates for a token, there must be 3");
  EXPECT_EQ(error_of_call([&] { static_cast<void>(tokens.axis(3)); }),
            "rotary: axis is 3, tokens have axes 0 to 2");
  EXPECT_EQ(error_of_call([] { TokenPositions(5); }), "rotary: tokens have 1 to 4 coordinates, found 5");
  EXPECT_THROW(TokenPositions(0), std::invalid_argument);
  EXPECT_THROW(tokens.reserve(PTRDIFF_MAX), std::invalid_argument);
}

// A vision tower's patches are reshaped to (rows, m, columns, m), and its middle axes swapped.
TEST(MergeBlockPositions, AreAGridWithItsMiddleAxesSwapped) {
  const TokenPositions example = merge_block_positions({.height = 2, .width = 4});
  EXPECT_EQ(axis_of(example, 0), Ids({0, 0, 1, 1, 0, 0, 1, 1}));
  EXPECT_EQ(axis_of(example, 1), Ids({0, 1, 0, 1, 2, 3, 2, 3}));

  for (const Index merge : {1, 2, 3}) {
    const Index frames = 2, rows = 3, columns = 4, height = rows * merge, width = columns * merge;
    const TokenPositions patches =
        merge_block_positions({.frames = frames, .height = height, .width = width}, merge);
    ASSERT_EQ(patches.tokens(), frames * height * width);
    for (Index frame = 0; frame < frames; ++frame)
      for (Index y = 0; y < height; ++y)
        for (Index x = 0; x < width; ++x) {
          const Index n =
              (((frame * rows + y / merge) * columns + x / merge) * merge + y % merge) * merge + x % merge;
          EXPECT_EQ(patches.axis(0)[static_cast<std::size_t>(n)], y);
          EXPECT_EQ(patches.axis(1)[static_cast<std::size_t>(n)], x);
        }
  }
  EXPECT_THROW(merge_block_positions({.height = 3, .width = 4}), std::invalid_argument);
  EXPECT_THROW(merge_block_positions({.height = 4, .width = 4}, 0), std::invalid_argument);
  EXPECT_THROW(merge_block_positions({.frames = -1, .height = 4, .width = 4}), std::invalid_argument);
  EXPECT_THROW(merge_block_positions({.frames = PTRDIFF_MAX, .height = 4, .width = 4}),
               std::invalid_argument);
}

// Times of frames whose rate is a ratio: every rate up to 60 frames a second, for 768 frames.
TEST(MropePositions, TimesOfFractions) {
  for (std::int64_t rate = 1; rate <= 60; ++rate) {
    MropePositions rounded, exact;
    rounded.append_video({.frames = 768, .height = 2, .width = 2}, 2 * (2.0 / static_cast<double>(rate)));
    exact.append_video({.frames = 768, .height = 2, .width = 2}, FrameInterval{4, rate});
    for (std::int64_t t = 0; t < 768; ++t) {
      const auto n = static_cast<std::size_t>(t);
      ASSERT_EQ(exact.tokens().axis(0)[n], t * 4 / rate) << rate;
      ASSERT_EQ(rounded.tokens().axis(0)[n], t * 4 / rate) << rate << " frames a second, frame " << t;
    }
  }
  MropePositions slow;
  slow.append_video({.frames = 3, .height = 2, .width = 2}, 0.4999);
  EXPECT_EQ(slow.tokens().axis(0)[2], 0);
  EXPECT_THROW(slow.append_video({.frames = 3, .height = 2, .width = 2}, FrameInterval{1, 0}),
               std::invalid_argument);
  EXPECT_THROW(slow.append_video({.frames = 3, .height = 2, .width = 2}, FrameInterval{-1, 2}),
               std::invalid_argument);
  EXPECT_THROW(slow.append_video({.frames = 3, .height = 2, .width = 2}, FrameInterval{INT64_MAX, 2}),
               std::invalid_argument);
}

}  // namespace
}  // namespace rotary::testing
