// A job in which the last rank is killed between two calls of ring_attend, while the others wait for it. Run by expect_killed.sh.
#include <csignal>
#include <rotary/attention/ring.hpp>


int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank = 0, ranks = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  rotary::Tensor<float, 3> q(64, 2, 8), k(64, 2, 8), v(64, 2, 8), out(64, 2, 8);
  q.setRandom(), k.setRandom(), v.setRandom();
  for (int call = 0; call < 100; ++call) {
    if (call == 10 && rank == ranks - 1) std::raise(SIGKILL);
    rotary::ring_attend(q, k, v, out);
  }
  MPI_Finalize();
}
