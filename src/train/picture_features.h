// What frozen encoders make of pictures and prompts: latents and text states, computed when they
// are asked for, or all in advance into a file.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "diffusion/picture_model.h"
#include "formats/safetensors.h"
#include "train/picture_crop.h"
#include "train/picture_set.h"

namespace sumi::train {

class PictureFeatures {
 public:
  // The model must outlive this. `sets`: of training, of evaluation, of classes. size: pixels of a
  // side, which must fit the model's autoencoder.
  PictureFeatures(diffusion::PictureModel& model, std::vector<PictureSet> sets, int64_t size);

  const PictureSet& set(size_t index) const { return sets_.at(index); }
  int64_t size() const { return size_; }

  // Of a picture as cut: [1, h, w, C], unscaled.
  models::LatentDistribution latents(size_t set, int64_t row, const Crop& crop);
  // Of a prompt, cut to the encoder's length: [1, T, C].
  Tensor text(const std::string& prompt);
  // Its tokens, for an encoder that is trained.
  diffusion::PromptTokens tokens(const std::string& prompt);

  // Encodes all pictures (the first set's mirrored too, if `flips`), and if `texts` all prompts and
  // the empty one, into the file, unless it has them already for the same pictures and encoders.
  // They come from there from now on, and the model's encoders are given up. Returns whether the
  // file was there.
  bool cache(const std::string& path, bool flips, bool texts,
             const std::function<void(double)>& progress);
  // For dry runs, as if cache() had been called, in time and memory: from now on all pictures are the first one and,
  // if `texts`, all prompts the empty one.
  void stand_in(bool texts);

 private:
  models::LatentDistribution encode(size_t set, int64_t row, const Crop& crop);
  Tensor encode(const std::string& prompt);
  std::string fingerprint(bool flips, bool texts);

  diffusion::PictureModel& model_;
  std::vector<PictureSet> sets_;
  int64_t size_;
  models::LatentDistribution stand_in_;           // undefined: pictures are themselves
  Tensor stand_in_text_;
  std::map<std::string, Tensor> texts_;           // computed so far, without a file
  std::unique_ptr<formats::SafetensorsFile> file_;
  std::map<std::string, size_t> prompts_;         // their numbers in the file
};

}  // namespace sumi::train
