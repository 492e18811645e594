// Where the parts of a picture model lie, whatever holds them: a diffusers folder
// (model_index.json) has one folder for each, a checkpoint in the original naming has all in one
// file (single_file/).
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "formats/tensor_source.h"
#include "models/language/config.h"
#include "text/tokenizer.h"

namespace sumi::diffusion {

struct PictureFilesOptions {
  std::string variant;          // of the weights: "fp16" ... (formats/weights_folder.h)
  std::string tokenizer;        // a folder or tokenizer.json, in place of the model's
  std::string prediction_type;  // in place of the scheduler's: epsilon, v_prediction, sample
  // Of a single file: a diffusers folder whose configurations, scheduler and tokenizer hold in
  // place of what can be derived.
  std::string config;
  bool safety_checker = true;  // false: such a part counts as absent
};

struct PicturePart {
  std::string name;        // "unet", "vae", "text_encoder" ...
  std::string class_name;  // as diffusers and transformers call it
};

class PictureFiles {
 public:
  virtual ~PictureFiles() = default;

  virtual const std::string& path() const = 0;
  virtual std::string format() const = 0;            // for people: "diffusers folder"
  virtual const std::string& pipeline() const = 0;   // diffusers' class of the whole
  // Those that are there, in the order of the files.
  virtual const std::vector<PicturePart>& parts() const = 0;
  virtual models::Config config(const std::string& part) const = 0;
  // Mapped; nothing is read but headers.
  virtual std::unique_ptr<formats::TensorSource> weights(const std::string& part) const = 0;
  // A scheduler_config.json: of "scheduler", or the upscaler's "low_res_scheduler".
  virtual models::Config scheduler(const std::string& part) const = 0;
  // Of "tokenizer", or XL's "tokenizer_2".
  virtual std::unique_ptr<text::Tokenizer> tokenizer(const std::string& part) const = 0;
  // A switch of the whole pipeline, such as force_zeros_for_empty_prompt.
  virtual bool flag(const std::string&, bool missing) const { return missing; }
  // A preprocessor_config.json. Throws Error if there is none.
  virtual models::Config preprocessor() const;

  // The class of a part, "" if there is no such part.
  std::string class_of(const std::string& part) const;
};

// Throws Error naming the file and field at fault. Which parts there are, and whether Sumi knows
// them, is not checked.
std::unique_ptr<PictureFiles> open_picture_files(const std::string& path,
                                                 const PictureFilesOptions& options = {});

// A ControlNet for the network that `unet` describes: a folder, or a single file.
std::unique_ptr<PictureFiles> open_controlnet(const std::string& path,
                                              const PictureFilesOptions& options,
                                              const models::Config& unet);

// A tokenizer's folder, one with tokenizer/ in it, a tokenizer.json, or a name in the caches.
std::unique_ptr<text::Tokenizer> open_vocabulary(const std::string& path);
// A scheduler's configuration with another prediction_type, unless that is empty.
models::Config with_prediction_type(const models::Config& scheduler, const std::string& type);

// Whether a path looks like such a model; or like one part of it in a folder of its own, such as a
// ControlNet (config.json has a _class_name).
bool is_picture_model(const std::string& path);
bool is_picture_part(const std::string& path);
std::unique_ptr<PictureFiles> open_picture_part(const std::string& path,
                                                const PictureFilesOptions& options = {});

// Throws Error naming file and field if Sumi cannot run the part.
void check_part(const PictureFiles& files, const PicturePart& part);
// The same for all parts, and that none is missing but `optional` ones.
void check_parts(const PictureFiles& files, const std::vector<std::string>& optional = {});

}  // namespace sumi::diffusion
