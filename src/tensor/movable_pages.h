// Memory for large tensors in huge pages that move from blocks given back into new ones of any size. The system is asked
// for a page, and clears it, only while none waits: on virtual machines that costs more than a training step's arithmetic
// on the page. Not thread-safe.
#pragma once

#include <cstddef>
#include <map>
#include <vector>

namespace sumi::tensor {

class MovablePages {
 public:
  static constexpr size_t kPage = size_t{2} << 20;

  // A block of `bytes`, a multiple of kPage; pages that wait first. Throws Error if the system has no more.
  std::byte* take(size_t bytes);
  // Its pages wait.
  void give_back(std::byte* block);
  // Gives all pages that wait to the system.
  void release();
  size_t waiting() const { return waiting_bytes_; }

 private:
  // Bytes of the mappings that lie side by side in a block: a call moves no more than one of them.
  using Mappings = std::vector<size_t>;
  struct Block {
    std::byte* at;
    Mappings mappings;
  };

  std::byte* hand_out(Block block);
  void keep(Block block);
  Block remove_waiting(std::multimap<size_t, Block>::iterator at);
  std::byte* gather(size_t bytes);

  std::map<std::byte*, Mappings> taken_;
  std::multimap<size_t, Block> waiting_;  // by their bytes
  size_t waiting_bytes_ = 0, mappings_ = 0;
};

}  // namespace sumi::tensor
