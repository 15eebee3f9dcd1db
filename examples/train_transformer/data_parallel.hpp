// Data-parallel training: the processes that mpirun starts train one model, each with some of the shards of every batch. A
// program that is built without MPI, or not started by mpirun, is one process.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <utility>
#include <vector>

#include "matrix.hpp"

#if defined(TRAIN_TRANSFORMER_MPI)
#define OMPI_SKIP_MPICXX 1  // the C++ functions that MPI 3 has removed
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>
#endif

namespace train {

/// The processes that train a model together. All of them call its functions, in the same order.
class Ranks {
 public:
  /// One process.
  Ranks() = default;
  Ranks(Ranks&& other) noexcept { swap(other); }
  Ranks& operator=(Ranks&& other) noexcept {
    swap(other);
    return *this;
  }

  Index rank() const { return rank_; }
  Index count() const { return count_; }
  bool is_first() const { return rank_ == 0; }
  /// May any thread call MPI, one at a time?
  bool any_thread() const { return any_thread_; }

#if defined(TRAIN_TRANSFORMER_MPI)
  /// The processes of the job that this one is part of. MPI runs until the object is destroyed, unless no launcher has started
  /// this process.
  static Ranks of_job() {
    Ranks ranks;
    // Launchers that use PMIx, such as those of Open MPI and Slurm, set the first, and those of MPICH and Intel MPI the second.
    if (!std::getenv("PMIX_RANK") && !std::getenv("PMI_RANK")) return ranks;
    int level = MPI_THREAD_SINGLE, rank = 0, count = 1;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &level);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &count);
    ranks.rank_ = rank, ranks.count_ = count;
    ranks.running_ = true;
    ranks.any_thread_ = level >= MPI_THREAD_SERIALIZED;
    return ranks;
  }
  ~Ranks() {
    if (running_) MPI_Finalize();
  }

  /// Adds the numbers of all processes, place by place. Each place is 0 in all but one of them, so that sums are exact.
  void gather(std::vector<double>& numbers) const {
    if (count_ > 1)
      MPI_Allreduce(MPI_IN_PLACE, numbers.data(), static_cast<int>(numbers.size()), MPI_DOUBLE, MPI_SUM,
                    MPI_COMM_WORLD);
  }
  /// Is it true in any process?
  bool any(bool here) const {
    int value = here;
    if (count_ > 1) MPI_Allreduce(MPI_IN_PLACE, &value, 1, MPI_INT, MPI_LOR, MPI_COMM_WORLD);
    return value != 0;
  }
  /// Ends all processes, as the others would wait for this one. Does nothing without others.
  void end_job() const {
    if (count_ > 1) MPI_Abort(MPI_COMM_WORLD, 1);
  }
#else
  static Ranks of_job() { return {}; }
  void gather(std::vector<double>&) const {}
  bool any(bool here) const { return here; }
  void end_job() const {}
#endif

 private:
  void swap(Ranks& other) {
    std::swap(rank_, other.rank_), std::swap(count_, other.count_);
    std::swap(running_, other.running_), std::swap(any_thread_, other.any_thread_);
  }

  Index rank_ = 0, count_ = 1;
  bool running_ = false, any_thread_ = true;
};

inline const Ranks one_process;

/// Sums of gradients over the processes. The gradients of a stage are on their way while backward computes the next stage.
class GradientSums {
 public:
#if defined(TRAIN_TRANSFORMER_MPI)
  /// Starts to sum the gradients of one stage. All processes start the same stages in the same order.
  void start(Parameters<float>& stage) {
    std::vector<float>& numbers = stages_.emplace_back(&stage, std::vector<float>()).second;
    for (const auto& gradient : stage)
      numbers.insert(numbers.end(), gradient.data, gradient.data + gradient.size());
    MPI_Iallreduce(MPI_IN_PLACE, numbers.data(), static_cast<int>(numbers.size()), MPI_FLOAT, MPI_SUM,
                   MPI_COMM_WORLD, &requests_.emplace_back(MPI_REQUEST_NULL));
    int done = 0;  // MPI may need calls to go on with what was started before
    MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &done, MPI_STATUSES_IGNORE);
  }
  /// Waits for the sums, and puts them in the place of the gradients.
  void finish() {
    if (requests_.empty()) return;
    MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), MPI_STATUSES_IGNORE);
    for (auto& [stage, numbers] : stages_) {
      const float* from = numbers.data();
      for (const auto& gradient : *stage) {
        std::copy_n(from, gradient.size(), gradient.data);
        from += gradient.size();
      }
    }
  }

 private:
  std::vector<std::pair<Parameters<float>*, std::vector<float>>> stages_;
  std::vector<MPI_Request> requests_;
#else
  void start(Parameters<float>&) {}
  void finish() {}
#endif
};

}  // namespace train
