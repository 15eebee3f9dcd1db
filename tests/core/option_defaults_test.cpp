// What options are if they are left out. Each struct is taken apart, so that this does not compile when it gets another
// member; those of variants are in variant_errors_test.
#include <gtest/gtest.h>

#include <rotary/attention/attend_cached.hpp>
#include <rotary/attention/attention_core.hpp>
#include <rotary/attention/attention_options.hpp>
#include <rotary/attention/multi_head_options.hpp>
#include <rotary/key_cache.hpp>
#include <rotary/key_cache/key_value_types.hpp>
#include <rotary/models/from_config/options.hpp>
#include <rotary/models/model_configuration.hpp>
#include <rotary/operators/flash_attention.hpp>
#include <rotary/operators/ggml_parameters.hpp>
#include <rotary/operators/onnx.hpp>
#include <rotary/polar_embedding.hpp>
#include <rotary/positions/dual_chunk_positions.hpp>
#include <rotary/positions/mrope_positions.hpp>
#include <rotary/positions/position_ids.hpp>
#include <rotary/rotary.hpp>
#include <rotary/tables/reference_float32.hpp>
#include <tuple>

namespace rotary::testing {
namespace {

constexpr auto kNone = std::nullopt;

TEST(OptionDefaults, Calls) {
  {
    const auto& [offset, seq_dim, scale, direction] = RotateOptions{};
    EXPECT_EQ(std::tuple(offset, seq_dim, scale, direction),
              std::tuple(FixedPosition(0), kNone, 1.0, Direction::forward));
  }
  {
    const auto& [offset, seq_dim, centre, on_last, direction] = XPosRotateOptions{};
    EXPECT_EQ(std::tuple(offset, seq_dim, centre, on_last, direction),
              std::tuple(FixedPosition(0), kNone, kNone, false, Direction::forward));
  }
  {
    const auto& [start_index, seq_dim, freqs_seq_dim, scale, pairing, separate] = ApplyOptions{};
    EXPECT_EQ(std::tuple(start_index, seq_dim, freqs_seq_dim, scale, pairing, separate),
              std::tuple(0, -2, kNone, 1.0, Pairing::interleaved, false));
  }
  {
    const auto& [start_index, pairing] = LearnedRotationOptions{};
    EXPECT_EQ(std::tuple(start_index, pairing), std::tuple(0, Pairing::interleaved));
  }
  {
    const auto& [heads, rotary_dim, start_index, axis] = HeadFeatures{};
    EXPECT_EQ(std::tuple(heads, rotary_dim, start_index, axis), std::tuple(1, kNone, 0, 0));
  }
  {
    const auto& [rotary_dim, start_index, pairing, output_pairing, seq_dim] = HeadLayout{};
    EXPECT_EQ(std::tuple(rotary_dim, start_index, pairing, output_pairing, seq_dim),
              std::tuple(0, 0, Pairing::interleaved, kNone, -2));
  }
  EXPECT_EQ(XPosOptions{}.xpos_scale_base, 512);
  EXPECT_EQ(BroadcatOptions{}.dim, -1);
}

TEST(OptionDefaults, EmbeddingsAndCaches) {
  {
    const auto& [theta, head_dim, rotary_dim, start_index, pairing, output_pairing, scaling, section, order,
                 softmax_scale, back] = RopeParameters{};
    EXPECT_EQ(std::tuple(theta, head_dim, rotary_dim, start_index), std::tuple(10000.0, 0, 0, 0));
    EXPECT_EQ(std::tuple(pairing, output_pairing, order),
              std::tuple(Pairing::half, Pairing::half, MropeOrder::chunked));
    EXPECT_TRUE(std::holds_alternative<DefaultOptions>(scaling) && section.empty());
    EXPECT_EQ(std::tuple(softmax_scale, back), std::tuple(1.0, false));
  }
  {
    const auto& [length, seq_before_head_dim] = ModelEmbeddingOptions{};
    EXPECT_EQ(std::tuple(length, seq_before_head_dim), std::tuple(0.0, false));
  }
  {
    const auto& [dim, theta, seq_before_head_dim] = PolarEmbeddingOptions{};
    EXPECT_EQ(std::tuple(dim, theta, seq_before_head_dim), std::tuple(0, 10000.0, false));
  }
  {
    const auto& [heads, head_dim, capacity, grows] = KeyCacheOptions{};
    EXPECT_EQ(std::tuple(heads, head_dim, capacity, grows), std::tuple(1, 0, 0, true));
  }
  {
    const auto& [heads, head_dim, value_dim, pages, page_tokens, raw_keys] = KeyValueCacheOptions{};
    EXPECT_EQ(std::tuple(heads, head_dim, value_dim, pages, page_tokens, raw_keys),
              std::tuple(1, 0, 0, 0, 256, false));
  }
  {
    const auto& [index, number] = SequenceId{};
    EXPECT_EQ(std::tuple(index, number), std::tuple(-1, 0u));
  }
  {
    const auto& [scale, interval, shift] = QueryTemperature{};
    EXPECT_EQ(std::tuple(scale, interval, shift), std::tuple(0.1, 8192.0, 0.0));
  }
  {
    const auto& [assume, list_unread_keys] = FromConfigOptions{};
    const auto& [model_type, pairing, rotating_layers, ignored_keys] = assume;
    EXPECT_EQ(std::tuple(list_unread_keys, model_type, pairing), std::tuple(false, "", kNone));
    EXPECT_TRUE(!rotating_layers && ignored_keys.empty());
  }
}

TEST(OptionDefaults, Attention) {
  {
    const AttentionOptions<float> of_call;
    const auto& [scale, causal, window, sink_tokens, sink_logits, soft_cap, score_function, mask, cu_seqlens,
                 cu_seqlens_k, query_offset, align_ends, query_rows, key_rows, dropout_prob, dropout_seed,
                 first_sequence] = of_call;
    EXPECT_EQ(std::tuple(scale, causal, window, sink_tokens, soft_cap),
              std::tuple(kNone, false, kNone, 0, kNone));
    EXPECT_TRUE(sink_logits.empty() && cu_seqlens.empty() && cu_seqlens_k.empty() && !mask);
    EXPECT_TRUE(!score_function && !query_rows && !key_rows);
    EXPECT_EQ(std::tuple(query_offset, align_ends, dropout_prob, dropout_seed, first_sequence),
              std::tuple(0, false, 0.0, 0u, 0));
  }
  {
    const CachedAttentionOptions<float> of_cache;
    const auto& [scale, causal, window, sink_tokens, sink_logits, soft_cap, score_function, mask,
                 rotate_queries, query_rows] = of_cache;
    EXPECT_EQ(std::tuple(scale, causal, window, sink_tokens, soft_cap),
              std::tuple(kNone, true, kNone, 0, kNone));
    EXPECT_TRUE(sink_logits.empty() && !score_function && !mask && !rotate_queries && !query_rows);
  }
  {
    const AttendOptions of_module;
    const auto& [causal, mask, dropout_seed, first_sequence, rotate] = of_module;
    EXPECT_EQ(std::tuple(causal, dropout_seed, first_sequence, rotate), std::tuple(false, kNone, 0, true));
  }
  {
    const RotaryMultiHeadAttentionOptions options;
    const auto& [heads, d_model, kv_heads, head_dim, rope, rope_value, dropout_prob, bias, base, frequencies,
                 layout, xpos, scale, window, soft_cap, qk_norm, epsilon] = options;
    EXPECT_EQ(std::tuple(heads, d_model, kv_heads, head_dim), std::tuple(0, 0, 0, 0));
    EXPECT_EQ(std::tuple(rope, rope_value, dropout_prob, bias, base),
              std::tuple(kNone, kNone, 0.0, true, kNone));
    EXPECT_TRUE(!frequencies && !layout && !xpos && !scale && !window && !soft_cap);
    EXPECT_EQ(std::tuple(qk_norm, epsilon), std::tuple(false, 1e-6));
  }
}

TEST(OptionDefaults, Operators) {
  {
    const auto& [seqlen_offset, seqlen_offsets, cu_seqlens, max_seqlen, interleaved, conjugate] =
        flash_attention::ApplyRotaryOptions{};
    EXPECT_EQ(std::tuple(seqlen_offset, max_seqlen, interleaved, conjugate),
              std::tuple(0, kNone, kNone, false));
    EXPECT_TRUE(seqlen_offsets.empty() && cu_seqlens.empty());
  }
  {
    const auto& [interleaved, num_heads, rotary_embedding_dim] = onnx::RotaryEmbeddingAttributes{};
    EXPECT_EQ(std::tuple(interleaved, num_heads, rotary_embedding_dim), std::tuple(false, 0, 0));
  }
  {
    const auto& [n_dims, mode, sections, n_ctx_orig, base, scale, ext, attn, fast, slow, factors, n_offs,
                 angles] = ggml::RopeOptions{};
    EXPECT_EQ(std::tuple(n_dims, mode, n_ctx_orig, n_offs), std::tuple(0, ggml::Mode::normal, 0, 0));
    EXPECT_EQ(sections, (std::array<Index, 4>{}));
    EXPECT_EQ(std::tuple(base, scale, ext, attn, fast, slow), std::tuple(10000.0, 1.0, 0.0, 1.0, 32.0, 1.0));
    EXPECT_TRUE(factors.empty() && angles == ggml::Angles::exact);
    EXPECT_EQ(static_cast<int>(ggml::Mode::normal), 0);  // ggml's own numbers
    EXPECT_EQ(static_cast<int>(ggml::Mode::neox), 2);
    EXPECT_EQ(static_cast<int>(ggml::Mode::mrope), 8);
    EXPECT_EQ(static_cast<int>(ggml::Mode::vision), 24);
    EXPECT_EQ(static_cast<int>(ggml::Mode::imrope), 40);
  }
  {
    const auto& [base, scale, ext, attn, fast, slow, n_ctx_orig, factors, axis_of_pair, power_of_pair] =
        GgmlFloat32Options{};
    EXPECT_EQ(std::tuple(base, scale, ext, attn, fast, slow, n_ctx_orig),
              std::tuple(10000.0f, 1.0f, 0.0f, 1.0f, 32.0f, 1.0f, 0));
    EXPECT_TRUE(factors.empty() && axis_of_pair.empty() && power_of_pair.empty());
  }
}

TEST(OptionDefaults, Positions) {
  {
    const auto& [spatial_merge, temporal_merge, next_start] = MropePositionsOptions{};
    EXPECT_EQ(std::tuple(spatial_merge, temporal_merge, next_start),
              std::tuple(2, 1, NextStart::after_largest));
  }
  {
    const auto& [image_token, video_token, images, videos, intervals] = VisionTokens{};
    EXPECT_EQ(std::tuple(image_token, video_token), std::tuple(151655, 151656));
    EXPECT_TRUE(images.empty() && videos.empty() && intervals.empty());
  }
  {
    const auto& [first, height, width] = IndexedImage{};
    EXPECT_EQ(std::tuple(first, height, width), std::tuple(0, 0, 0));
  }
  {
    const auto& [numerator, denominator] = FrameInterval{};
    EXPECT_EQ(std::tuple(numerator, denominator), std::tuple(1, 1));
  }
  {
    const auto& [frames, height, width] = VisionGrid{};
    EXPECT_EQ(std::tuple(frames, height, width), std::tuple(1, 0, 0));
  }
  {
    const auto& [chunk_size, local_size] = DualChunk{};
    EXPECT_EQ(std::tuple(chunk_size, local_size), std::tuple(0, 0));
  }
  {
    const auto& [batch, seq, padding] = PaddedBatch{};
    EXPECT_EQ(std::tuple(batch, seq, padding), std::tuple(1, 0, 1));
  }
  {
    const auto& [seq_len, ranks, rank, first] = ContextParallelSlice{};
    EXPECT_EQ(std::tuple(seq_len, ranks, rank, first), std::tuple(0, 1, 0, 0));
  }
  {
    const auto& [pretrained_length, factor] = LengthInterpolation{};
    EXPECT_EQ(std::tuple(pretrained_length, factor), std::tuple(0.0, 1.0));
  }
}

}  // namespace
}  // namespace rotary::testing
