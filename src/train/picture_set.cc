#include "train/picture_set.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>

#include "base/error.h"
#include "formats/bytes.h"
#include "formats/csv.h"
#include "formats/json.h"
#include "train/fingerprint.h"

namespace sumi::train {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Fields = std::map<std::string, std::string>;

constexpr size_t kLargestMetadata = size_t{1} << 30;
constexpr const char* kPictureEnds[] = {"jpg", "jpeg", "png", "webp"};

bool is_picture_end(std::string end) {
  std::transform(end.begin(), end.end(), end.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::find(std::begin(kPictureEnds), std::end(kPictureEnds), end) !=
         std::end(kPictureEnds);
}

// The names under which a column may come.
std::vector<std::string> names_of(const std::string& chosen, std::vector<std::string> usual) {
  return chosen.empty() ? usual : std::vector<std::string>{chosen};
}

std::string found_columns(const Fields& fields) {
  std::vector<std::string> names;
  for (const auto& [name, value] : fields) names.push_back(formats::shown(name));
  return fmt::format("{}", fmt::join(names, ", "));
}

const std::string& required(const Fields& fields, const std::vector<std::string>& names,
                            const std::string& where) {
  for (const std::string& name : names)
    if (const auto found = fields.find(name); found != fields.end()) return found->second;
  fail("{}: expected a column {}; found {}", where, fmt::join(names, " or "),
       fields.empty() ? "none" : found_columns(fields));
}

struct MetadataRow {
  Fields fields;
  std::string where;
};

std::vector<MetadataRow> read_json_lines(const std::string& path) {
  std::vector<MetadataRow> rows;
  formats::for_each_json_line(path, {}, [&](const Json& object, int64_t, const std::string& where) {
    MetadataRow row{.fields = {}, .where = where};
    for (const auto& [key, value] : object.items())
      if (value.is_string()) row.fields.emplace(key, value.get<std::string>());
    rows.push_back(std::move(row));
  });
  return rows;
}

std::vector<MetadataRow> read_table(const std::string& path) {
  const auto table = formats::parse_csv(formats::read_text_file(path, kLargestMetadata), path);
  std::vector<MetadataRow> rows;
  for (size_t i = 1; i < table.size(); ++i) {
    MetadataRow row;
    row.where = fmt::format("{}, row {}", path, i);
    for (size_t c = 0; c < table[i].size(); ++c) row.fields.emplace(table[0][c], table[i][c]);
    rows.push_back(std::move(row));
  }
  return rows;
}

// A picture that the metadata name, inside the folder.
std::string picture_path(const std::string& folder, const std::string& name,
                         const std::string& where) {
  const fs::path path(name);
  bool inside = path.is_relative() && !name.empty();
  for (const fs::path& part : path) inside = inside && part != "..";
  if (!inside)
    fail("{}: expected a file inside the folder, found {}", where, formats::shown(name));
  const std::string full = folder + "/" + name;
  if (!formats::file_exists(full)) fail("{}: there is no file {}", where, full);
  return full;
}

}  // namespace

PictureSet PictureSet::open(const std::string& path, const PictureColumns& columns,
                            const PictureNeeds& needs) {
  PictureSet set;
  if (fs::is_directory(path))
    set.read_folder(path, columns, needs);
  else if (formats::file_exists(path))
    set.read_archive(path, columns, needs);
  else
    fail("{}: expected a folder with metadata.jsonl or metadata.csv, or a .tar file", path);
  if (set.rows_.empty()) fail("{}: there are no pictures", path);
  return set;
}

void PictureSet::read_folder(const std::string& folder, const PictureColumns& columns,
                             const PictureNeeds& needs) {
  const std::string lines = folder + "/metadata.jsonl", table = folder + "/metadata.csv";
  const bool has_lines = formats::file_exists(lines), has_table = formats::file_exists(table);
  if (has_lines == has_table)
    fail("{}: expected one of metadata.jsonl and metadata.csv, found {}", folder,
         has_lines ? "both" : "neither");
  for (const MetadataRow& row : has_lines ? read_json_lines(lines) : read_table(table)) {
    Row out;
    const auto picture = [&](const std::string& chosen, std::vector<std::string> usual) {
      const std::string& name = required(row.fields, names_of(chosen, std::move(usual)), row.where);
      return Place{picture_path(folder, name, row.where)};
    };
    out.image = picture(columns.image, {"image", "file_name"});
    if (needs.condition) out.condition = picture(columns.condition, {"conditioning_image"});
    if (needs.prompt)
      out.prompt = required(row.fields, names_of(columns.prompt, {"prompt", "text"}), row.where);
    rows_.push_back(std::move(out));
  }
}

void PictureSet::read_archive(const std::string& path, const PictureColumns& columns,
                              const PictureNeeds& needs) {
  archive_ = std::make_shared<const formats::TarFile>(path);
  const std::string condition =
      columns.condition.empty() ? "conditioning_image" : columns.condition;
  const std::vector<std::string> prompts = names_of(columns.prompt, {"prompt", "text"});
  std::vector<Row> rows;
  std::vector<Fields> others;                // what else the archive has under a key: ending, name
  std::vector<std::string> keys;
  std::map<std::string, size_t> index;
  for (size_t i = 0; i < archive_->members().size(); ++i) {
    const std::string& name = archive_->members()[i].name;
    const size_t folder = name.rfind('/') + 1;  // npos + 1 is 0
    const size_t dot = name.find('.', folder);
    if (dot == std::string::npos || dot == folder) continue;
    const std::string key = name.substr(0, dot), end = name.substr(dot + 1);
    const auto [found, added] = index.emplace(key, rows.size());
    if (added) {
      rows.emplace_back();
      others.emplace_back();
      keys.push_back(key);
    }
    Row& row = rows[found->second];
    const size_t last = end.rfind('.');
    const std::string column = last == std::string::npos ? "" : end.substr(0, last);
    const Place place{name, static_cast<int64_t>(i)};
    if (is_picture_end(last == std::string::npos ? end : end.substr(last + 1))) {
      if (column == condition) row.condition = place;
      else if (column == columns.image || (columns.image.empty() && column == "image"))
        row.image = place;
    }
    const auto bytes = archive_->bytes(archive_->members()[i]);
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    Fields& fields = others[found->second];
    if (end == "txt") {
      for (const std::string& prompt : prompts) fields.emplace(prompt, text);
    } else if (end == "json") {
      const std::string where = path + ": " + name;
      const Json object = formats::parse_json(text, where);
      if (!object.is_object()) fail("{}: expected an object, found {}", where, object.type_name());
      for (const auto& [field, value] : object.items())
        if (value.is_string()) fields.insert_or_assign(field, value.get<std::string>());
    }
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    const std::string where = path + ": " + formats::shown(keys[i]);
    Row& row = rows[i];
    if (row.image.empty())
      fail("{}: has no picture {}", where,
           columns.image.empty() ? ".jpg, .jpeg, .png or .webp" : "." + columns.image + ".png");
    if (needs.condition && row.condition.empty())
      fail("{}: has no picture .{}.png", where, condition);
    if (needs.prompt) row.prompt = required(others[i], prompts, where);
  }
  rows_ = std::move(rows);
}

std::vector<std::string> picture_files(const std::string& folder) {
  if (!fs::is_directory(folder)) fail("{}: expected a folder of pictures", folder);
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string end = entry.path().extension().string();
    if (entry.is_regular_file() && !end.empty() && is_picture_end(end.substr(1)))
      files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

PictureSet PictureSet::of_folder(const std::string& folder, const std::string& prompt) {
  PictureSet set;
  for (const std::string& file : picture_files(folder)) set.rows_.push_back({{file}, {}, prompt});
  if (set.rows_.empty()) fail("{}: there are no pictures (.jpg, .jpeg, .png or .webp)", folder);
  return set;
}

formats::Image PictureSet::read(const Place& place) const {
  if (place.member < 0) return formats::read_image(place.name);
  const auto& member = archive_->members()[static_cast<size_t>(place.member)];
  return formats::decode_image(archive_->bytes(member), archive_->path() + ": " + place.name);
}

uint64_t PictureSet::fingerprint(bool with_times) const {
  Fingerprint print;
  if (archive_) print.add_file(archive_->path(), with_times);
  for (const Row& row : rows_) {
    print.add(row.prompt);
    for (const Place* place : {&row.image, &row.condition}) {
      print.add(fs::path(place->name).filename().string());
      if (place->member < 0 && !place->empty()) print.add_file(place->name, with_times);
    }
  }
  return print.value();
}

}  // namespace sumi::train
