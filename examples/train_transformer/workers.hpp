// A few threads that share the pieces of a loop.
#pragma once

#include <atomic>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "matrix.hpp"

namespace train {

/// Threads that wait for loops to run. The calling thread is worker 0 and works along.
///
/// Which worker takes which piece is a matter of timing; so a piece writes only what belongs to it, and
/// results that are to be added up are added afterwards, in the order of the pieces. Then the sum is the same
/// for any thread count.
class Workers {
 public:
  explicit Workers(Index count) {
    for (Index worker = 1; worker < count; ++worker) threads_.emplace_back([this, worker] { serve(worker); });
  }

  ~Workers() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  Index count() const { return static_cast<Index>(threads_.size()) + 1; }

  /// Calls body(piece, worker) once for each piece 0 .. pieces - 1 and returns when all are done. An
  /// exception in a piece is thrown on, after the other pieces.
  void run(Index pieces, const std::function<void(Index piece, Index worker)>& body) {
    {
      const std::lock_guard lock(mutex_);
      body_ = &body;
      pieces_ = pieces;
      next_piece_ = 0;
      busy_ = static_cast<Index>(threads_.size());
      failure_ = nullptr;
      ++generation_;
    }
    wake_.notify_all();
    work(0);
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return busy_ == 0; });
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void work(Index worker) {
    for (Index piece = next_piece_++; piece < pieces_; piece = next_piece_++) {
      try {
        (*body_)(piece, worker);
      } catch (...) {
        const std::lock_guard lock(mutex_);
        if (!failure_) failure_ = std::current_exception();
      }
    }
  }

  void serve(Index worker) {
    std::uint64_t seen = 0;
    for (;;) {
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return stopping_ || generation_ != seen; });
        if (stopping_) return;
        seen = generation_;
      }
      work(worker);
      const std::lock_guard lock(mutex_);
      if (--busy_ == 0) done_.notify_one();
    }
  }

  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  const std::function<void(Index, Index)>* body_ = nullptr;
  std::atomic<Index> next_piece_{0};
  Index pieces_ = 0, busy_ = 0;
  std::uint64_t generation_ = 0;
  bool stopping_ = false;
  std::exception_ptr failure_;
};

}  // namespace train
