// expect: rotary: a key cache takes keys of its own scalar; cast others to it
#include <rotary/rotary.hpp>

void add(rotary::KeyCache<Eigen::bfloat16>& cache, const rotary::Tensor<float, 3>& keys) {
  cache.append(keys);
}
