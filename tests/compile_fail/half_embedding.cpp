// expect: rotary: cosines and sines are held in float or double, also for 16-bit tensors
#include <rotary/rotary.hpp>

rotary::RotaryEmbedding<Eigen::half> rotary_emb(rotary::RotaryEmbeddingOptions{.dim = 64});
