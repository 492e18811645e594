// Pictures to learn from, with prompts and, for ControlNets, the pictures that guide them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "formats/image.h"
#include "formats/tar_file.h"

namespace sumi::train {

// Names of the columns; empty: the usual ones ("image" or "file_name"; "conditioning_image";
// "prompt" or "text").
struct PictureColumns {
  std::string image, condition, prompt;
};

struct PictureNeeds {
  bool condition = false, prompt = true;
};

// The pictures that lie in a folder, by name.
std::vector<std::string> picture_files(const std::string& folder);

class PictureSet {
 public:
  // A folder with metadata.jsonl or metadata.csv, whose rows name pictures inside the folder; or a
  // WebDataset .tar, in which files of one name up to the first dot make a row: the picture
  // KEY.jpg (.jpeg, .png, .webp) or KEY.<image column>.png, the condition
  // KEY.<condition column>.png, and the prompt KEY.txt or a field of KEY.json.
  // Nothing is decoded yet, but every file is looked for. Throws Error naming file and row, and the
  // columns that there are.
  static PictureSet open(const std::string& path, const PictureColumns& columns,
                         const PictureNeeds& needs);
  // All pictures of a folder, in the order of their names, with one prompt.
  static PictureSet of_folder(const std::string& folder, const std::string& prompt);

  int64_t size() const { return static_cast<int64_t>(rows_.size()); }
  const std::string& prompt(int64_t row) const { return rows_[at(row)].prompt; }
  formats::Image image(int64_t row) const { return read(rows_[at(row)].image); }
  formats::Image condition(int64_t row) const { return read(rows_[at(row)].condition); }
  // Differs with names, prompts and the files' sizes, and if wanted the times of their changes.
  uint64_t fingerprint(bool with_times) const;

 private:
  struct Place {
    std::string name;           // a path, or a name in the archive
    int64_t member = -1;        // of the archive
    bool empty() const { return name.empty(); }
  };
  struct Row {
    Place image, condition;
    std::string prompt;
  };
  static size_t at(int64_t row) { return static_cast<size_t>(row); }
  void read_folder(const std::string& folder, const PictureColumns& columns,
                   const PictureNeeds& needs);
  void read_archive(const std::string& path, const PictureColumns& columns,
                    const PictureNeeds& needs);
  formats::Image read(const Place& place) const;

  std::shared_ptr<const formats::TarFile> archive_;
  std::vector<Row> rows_;
};

}  // namespace sumi::train
