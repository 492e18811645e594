// Large pictures through a network in overlapping tiles, seams blended as in diffusers'
// autoencoder_kl.py.
#pragma once

#include <functional>

#include "tensor/tensor.h"

namespace sumi::models {

struct TilesIn {
  int64_t size = 0, stride = 0;  // a tile's side, and the distance of neighbours
};
struct TilesOut {
  int64_t overlap = 0, stride = 0;  // rows that are blended with the tile before; rows kept of each
};

// x [B, H, W, C] cut into tiles (those at the right and bottom are smaller), each through `network`;
// of each result a square of out.stride pixels is kept after its first out.overlap rows and columns
// were blended linearly with the neighbours above and to the left.
Tensor in_tiles(const Tensor& x, const TilesIn& in, const TilesOut& out,
                const std::function<Tensor(const Tensor&)>& network);

}  // namespace sumi::models
