// expect: rotary: a key/value cache takes keys and values of its own scalar; cast others to it
#include <rotary/rotary.hpp>

void add(rotary::KeyValueCache<Eigen::bfloat16>& cache, rotary::SequenceId id, const rotary::Tensor<float, 3>& keys) {
  cache.append(id, keys, keys);
}
