// expect: rotary: the tensor to write to is a temporary, so that the result would be lost
// lines: 12
#include <rotary/rotary.hpp>

rotary::Tensor<float, 4> make_queries();

void rotate(const rotary::RotaryEmbedding<float>& rotary_emb) { rotary_emb.rotate_in_place(make_queries()); }
