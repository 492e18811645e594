#include "formats/csv.h"

#include "base/error.h"

namespace sumi::formats {

namespace {

class Reader {
 public:
  Reader(std::string_view text, const std::string& name) : text_(text), name_(name) {
    if (text_.substr(0, 3) == "\xef\xbb\xbf") text_.remove_prefix(3);  // a byte order mark
  }

  std::vector<std::vector<std::string>> rows() {
    std::vector<std::vector<std::string>> rows;
    while (!text_.empty()) {
      const int64_t line = line_;
      std::vector<std::string> row = {field()};
      while (take(',')) row.push_back(field());
      end_of_line();
      if (row.size() == 1 && row[0].empty()) continue;
      if (!rows.empty() && row.size() != rows[0].size())
        fail("{}, line {}: {} fields, the first line has {}", name_, line, row.size(),
             rows[0].size());
      rows.push_back(std::move(row));
    }
    return rows;
  }

 private:
  bool take(char c) {
    if (text_.empty() || text_[0] != c) return false;
    text_.remove_prefix(1);
    if (c == '\n') ++line_;
    return true;
  }

  std::string field() {
    if (!take('"')) {
      const std::string_view plain = text_.substr(0, text_.find_first_of(",\r\n"));
      text_.remove_prefix(plain.size());
      return std::string(plain);
    }
    const int64_t line = line_;
    std::string value;
    while (!text_.empty()) {
      if (take('"')) {
        if (!take('"')) return value;
        value += '"';
        continue;
      }
      const char c = text_[0];
      take(c);
      value += c;
    }
    fail("{}, line {}: a quote is not closed", name_, line);
  }

  void end_of_line() {
    take('\r');
    if (!text_.empty() && !take('\n'))
      fail("{}, line {}: expected a comma or the line's end after a field", name_, line_);
  }

  std::string_view text_;
  const std::string& name_;
  int64_t line_ = 1;
};

}  // namespace

std::vector<std::vector<std::string>> parse_csv(std::string_view text, const std::string& name) {
  return Reader(text, name).rows();
}

}  // namespace sumi::formats
