// Stable Diffusion's safety checker: pictures near some concepts in CLIP's space are held back
// (diffusers' safety_checker.py is the numerical reference).
#pragma once

#include <vector>

#include "formats/image.h"
#include "models/encoders/clip_vision.h"

namespace sumi::diffusion {

// How pictures are prepared for CLIP: preprocessor_config.json.
struct ClipPreprocessing {
  int64_t size = 224;       // the shorter side becomes
  int64_t crop = 224;       // then the middle is taken
  std::vector<float> mean, std;  // of the channels in [0, 1]
};
// Throws Error naming the field that is not known.
ClipPreprocessing clip_preprocessing(const models::Config& config);

class SafetyChecker {
 public:
  // `config`: the checker's; its weights; the feature extractor's configuration. Throws Error
  // naming file and field or tensor.
  SafetyChecker(const models::Config& config, const formats::TensorSource& source,
                const models::Config& preprocessor, const nn::LoadOptions& options);

  struct Verdict {
    // How far beyond its threshold each concept is, to three decimals as diffusers rounds.
    std::vector<double> special, concepts;
    bool flagged = false;
  };
  Verdict check(const formats::Image& picture) const;

 private:
  models::ClipVisionSpec spec_;
  ClipPreprocessing preprocessing_;
  std::vector<models::ClipVision> vision_;  // one
  nn::Linear projection_;
  Tensor concepts_, special_;                        // [n, P], of length 1
  Tensor concept_thresholds_, special_thresholds_;  // [n]
};

// Throws Error naming file and field if Sumi cannot run the checker.
void check_safety_checker(const models::Config& config, const models::Config& preprocessor);

}  // namespace sumi::diffusion
