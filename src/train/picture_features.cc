#include "train/picture_features.h"

#include <filesystem>
#include <utility>

#include "base/error.h"
#include "diffusion/layout.h"
#include "tensor/autograd.h"
#include "train/checkpoints.h"
#include "train/fingerprint.h"

namespace sumi::train {
namespace {

constexpr size_t kMostTexts = 4096;  // kept in memory
constexpr const char* kMark = "made_from";

std::string latents_name(size_t set, int64_t row, bool flip, const char* what) {
  return fmt::format("{}.{}{}.{}", set, row, flip ? ".mirrored" : "", what);
}

std::string text_name(size_t index) { return fmt::format("text.{}", index); }

}  // namespace

PictureFeatures::PictureFeatures(diffusion::PictureModel& model, std::vector<PictureSet> sets,
                                 int64_t size)
    : model_(model), sets_(std::move(sets)), size_(size) {
  if (size < 1 || size > 8192 || size % model.factor() != 0)
    fail("resolution: expected a multiple of {} up to 8192, found {}", model.factor(), size);
}

models::LatentDistribution PictureFeatures::encode(size_t set, int64_t row, const Crop& crop) {
  const tensor::NoGrad no_grad;
  const formats::Image image = cropped(sets_.at(set).image(row), size_, crop);
  return model_.vae(true).encode(diffusion::from_image(image, true));
}

models::LatentDistribution PictureFeatures::latents(size_t set, int64_t row, const Crop& crop) {
  if (stand_in_.mean.defined()) return stand_in_;
  if (!file_) return encode(set, row, crop);
  const std::string std = latents_name(set, row, crop.flip, "std");
  return {file_->get(latents_name(set, row, crop.flip, "mean")),
          file_->has(std) ? file_->get(std) : Tensor()};
}

diffusion::PromptTokens PictureFeatures::tokens(const std::string& prompt) {
  const models::TextEncoder& encoder = model_.text_encoder();
  return diffusion::plain_prompt(model_.tokenizer(), prompt, encoder.max_positions(),
                                 encoder.vocab_size());
}

Tensor PictureFeatures::encode(const std::string& prompt) {
  const tensor::NoGrad no_grad;
  return diffusion::encode_prompt(model_.text_encoder(), tokens(prompt));
}

Tensor PictureFeatures::text(const std::string& prompt) {
  if (stand_in_text_.defined()) return stand_in_text_;
  if (file_)
    if (const auto found = prompts_.find(prompt); found != prompts_.end())
      return file_->get(text_name(found->second));
  if (const auto found = texts_.find(prompt); found != texts_.end()) return found->second;
  const Tensor states = encode(prompt);
  if (texts_.size() < kMostTexts) texts_.emplace(prompt, states);
  return states;
}

std::string PictureFeatures::fingerprint(bool flips, bool texts) {
  Fingerprint print;
  for (const PictureSet& set : sets_) print.add_number(set.fingerprint(true));
  print.add_number(static_cast<uint64_t>(size_));
  print.add_number(flips);
  print.add_number(texts);
  for (const char* part : {"vae", "text_encoder"}) {
    if (model_.files().class_of(part).empty()) continue;
    print.add(model_.files().config(part).json().dump());
    std::string last;
    const auto weights = model_.files().weights(part);
    for (const formats::TensorInfo& tensor : weights->tensors())
      if (std::exchange(last, tensor.file) != tensor.file) print.add_file(tensor.file);
  }
  for (const auto& [prompt, index] : prompts_)  // as the tokenizer reads them
    for (const int32_t id : tokens(prompt).ids) print.add_number(static_cast<uint64_t>(id));
  return fmt::format("{:016x}", print.value());
}

void PictureFeatures::stand_in(bool texts) {
  stand_in_ = encode(0, 0, {});
  if (texts) stand_in_text_ = encode("");
  model_.text_done();
}

bool PictureFeatures::cache(const std::string& path, bool flips, bool texts,
                            const std::function<void(double)>& progress) {
  prompts_.clear();
  if (texts) {
    prompts_.emplace("", 0);
    for (const PictureSet& set : sets_)
      for (int64_t row = 0; row < set.size(); ++row)
        prompts_.emplace(set.prompt(row), prompts_.size());
  }
  const std::string mark = fingerprint(flips, texts);
  bool there = false;
  if (formats::file_exists(path)) {
    const formats::SafetensorsFile old(path);
    const auto found = old.metadata().find(kMark);
    there = found != old.metadata().end() && found->second == mark;
  }
  if (!there) {
    std::vector<formats::TensorProducer> tensors;
    models::LatentDistribution last;  // of the picture whose mean is written first, then its spread
    size_t done = 0, all = 0;
    const auto add = [&](const std::string& name, const Shape& shape,
                         std::function<Tensor()> make) {
      tensors.push_back({name, shape, DType::f32, [&, make = std::move(make)] {
                           if (progress) progress(static_cast<double>(++done) /
                                                  static_cast<double>(all));
                           return make();
                         }});
    };
    const models::LatentDistribution first = encode(0, 0, {});
    for (size_t s = 0; s < sets_.size(); ++s)
      for (int64_t row = 0; row < sets_[s].size(); ++row)
        for (const bool flip : {false, true}) {
          if (flip && !(flips && s == 0)) continue;
          add(latents_name(s, row, flip, "mean"), first.mean.shape(), [&, s, row, flip] {
            last = encode(s, row, {.flip = flip});
            return last.mean;
          });
          if (first.std.defined())
            add(latents_name(s, row, flip, "std"), first.std.shape(), [&] { return last.std; });
        }
    if (texts) {
      const Shape shape = encode("").shape();
      for (const auto& [prompt, index] : prompts_)
        add(text_name(index), shape, [&, text = prompt] { return encode(text); });
    }
    all = tensors.size();
    size_t bytes = 0;
    for (const formats::TensorProducer& tensor : tensors)
      bytes += static_cast<size_t>(tensor::byte_count(tensor.shape, tensor.dtype));
    const std::string folder = std::filesystem::path(path).parent_path().string();
    std::filesystem::create_directories(folder);
    check_disk_space(folder, bytes);
    formats::write_safetensors(path, tensors, {{kMark, mark}});
  }
  file_ = std::make_unique<formats::SafetensorsFile>(path);
  texts_.clear();
  model_.text_done();
  return there;
}

}  // namespace sumi::train
