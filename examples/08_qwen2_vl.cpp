// Rotates the queries and keys of Qwen2-VL: a prompt of text and an image, then a token decoded after it.
#include <cstdio>
#include <rotary/from_config.hpp>
#include <rotary/rotary.hpp>
#include <vector>

namespace {

constexpr const char* kConfig = R"({
  "model_type": "qwen2_vl", "hidden_size": 3584, "num_hidden_layers": 28,
  "num_attention_heads": 28, "num_key_value_heads": 4,
  "rope_theta": 1000000.0,
  "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]}
})";

}  // namespace

int main() {
  const rotary::ModelConfiguration qwen = rotary::from_config(kConfig);
  const rotary::RotaryEmbedding<float> rotary_emb(qwen);

  // Text, <|vision_start|>, an image of 4 by 6 patches, four to a token, <|vision_end|>, text.
  const std::vector<int> input_ids = {40, 151652, 151655, 151655, 151655, 151655, 151655, 151655, 151653, 41};
  const std::vector<rotary::VisionGrid> images = {{.height = 4, .width = 6}};
  rotary::MropePositions prompt;
  prompt.append(input_ids, {.images = images});
  for (const rotary::Index axis : {0, 1, 2}) {
    std::printf("%c:", "thw"[axis]);
    for (const long position : prompt.tokens().axis(axis)) std::printf(" %ld", position);
    std::printf("\n");
  }

  // Cosines and sines once for all layers, queries and keys.
  const rotary::CosSinTable<float> rows = rotary_emb.table(prompt.tokens().positions());
  rotary::Tensor<float, 4> q(1, 28, 10, 128), k(1, 4, 10, 128);  // [batch, heads, seq, head_dim]
  q.setConstant(1), k.setConstant(1);
  rotary::apply_rotary_emb_in_place(rows, q);
  rotary::apply_rotary_emb_in_place(rows, k);

  // What is decoded is text again. The image took fewer positions than it has tokens: hence the delta.
  rotary::Tensor<float, 4> next(1, 28, 1, 128);
  next.setConstant(1);
  const rotary::Index position = 10 + prompt.delta();
  rotary_emb.rotate_in_place(next, position);
  double before_image = 0, after_image = 0;
  for (int i = 0; i < 128; ++i) {
    before_image += static_cast<double>(q(0, 0, 1, i) * k(0, 0, 0, i));
    after_image += static_cast<double>(next(0, 0, 0, i) * k(0, 0, 9, i));
  }
  std::printf("token 10 is at position %td\n", position);
  std::printf("scores of adjacent tokens: %.2f before the image, %.2f after\n", before_image, after_image);
}

// prints:
//   t: 0 1 2 2 2 2 2 2 5 6
//   h: 0 1 2 2 2 3 3 3 5 6
//   w: 0 1 2 3 4 2 3 4 5 6
//   token 10 is at position 7
//   scores of adjacent tokens: 125.29 before the image, 125.29 after
