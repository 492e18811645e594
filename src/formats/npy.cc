#include "formats/npy.h"

#include <charconv>

#include "base/error.h"
#include "formats/atomic_file.h"
#include "formats/bytes.h"

namespace sumi::formats {

namespace {

constexpr std::string_view kMagic("\x93NUMPY", 6);

struct TypeName {
  DType dtype;
  const char* descr;
};
constexpr TypeName kTypes[] = {{DType::f32, "<f4"}, {DType::f16, "<f2"},    {DType::f64, "<f8"},
                               {DType::i64, "<i8"}, {DType::i32, "<i4"},    {DType::u8, "|u1"},
                               {DType::i8, "|i1"},  {DType::boolean, "|b1"}};

// The header: a Python dictionary with the keys descr, fortran_order and shape, in any order.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& path) : text_(text), path_(path) {}

  void parse() {
    expect('{');
    while (!accept('}')) {
      const std::string key = quoted();
      expect(':');
      if (key == "descr")
        descr_ = quoted();
      else if (key == "fortran_order")
        fortran_ = boolean();
      else if (key == "shape")
        parse_shape();
      else
        fail("{}: npy header: unknown key {}", path_, shown(key));
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_blanks();
    if (at_ != text_.size()) wrong("nothing more");
    if (descr_.empty() || !fortran_ || !has_shape_)
      fail("{}: npy header: expected descr, fortran_order and shape in {}", path_, shown(text_));
  }

  const std::string& descr() const { return descr_; }
  bool fortran() const { return *fortran_; }
  const Shape& shape() const { return shape_; }

 private:
  [[noreturn]] void wrong(const char* expected) const {
    fail("{}: npy header: expected {} at byte {} of {}", path_, expected, at_, shown(text_));
  }
  void skip_blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool accept(char c) {
    skip_blanks();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    const char expected[] = {'\'', c, '\'', 0};
    if (!accept(c)) wrong(expected);
  }
  std::string quoted() {
    skip_blanks();
    const char quote = at_ < text_.size() ? text_[at_] : 0;
    if (quote != '\'' && quote != '"') wrong("a string");
    const size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) wrong("the end of a string");
    const std::string value(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return value;
  }
  bool boolean() {
    skip_blanks();
    for (const std::string_view word : {"True", "False"})
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return word == "True";
      }
    wrong("True or False");
  }
  void parse_shape() {
    expect('(');
    shape_.clear();
    while (!accept(')')) {
      skip_blanks();
      int64_t size = 0;
      const char* start = text_.data() + at_;
      const auto [end, error] = std::from_chars(start, text_.data() + text_.size(), size);
      if (error != std::errc() || size < 0 || shape_.size() == 32) wrong("a size");
      at_ += static_cast<size_t>(end - start);
      shape_.push_back(size);
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    has_shape_ = true;
  }

  std::string_view text_;
  const std::string& path_;
  size_t at_ = 0;
  std::string descr_;
  std::optional<bool> fortran_;
  Shape shape_;
  bool has_shape_ = false;
};

}  // namespace

Tensor read_npy(const std::string& path) {
  const auto file = std::make_shared<base::MappedFile>(path);
  ByteCursor cursor(file->data(), file->size(), file->path());
  if (!cursor.rest().starts_with(kMagic)) {
    fail_if_known_stranger(path, cursor.rest().substr(0, 64));
    fail("{}: not an npy file: it starts with {}", path, shown(cursor.rest().substr(0, 6)));
  }
  cursor.read_bytes(kMagic.size(), "magic");
  const int major = cursor.read<uint8_t>("version");
  cursor.read<uint8_t>("version");
  if (major < 1 || major > 3) fail("{}: npy version {}, expected 1 to 3", path, major);
  const uint32_t length =
      major == 1 ? cursor.read<uint16_t>("header length") : cursor.read<uint32_t>("header length");
  HeaderParser header(cursor.read_bytes(length, "header"), path);
  header.parse();
  for (const TypeName& type : kTypes) {
    if (header.descr() != type.descr) continue;
    if (header.fortran() && header.shape().size() > 1)
      fail("{}: fortran_order: expected False, found True", path);
    const std::optional<uint64_t> bytes = checked_byte_count(header.shape(), type.dtype);
    if (!bytes || *bytes != cursor.remaining())
      fail("{}: an array of {} {} does not have the {} bytes that follow the header", path,
           type.descr, tensor::shape_string(header.shape()), cursor.remaining());
    return tensor_in_file(file, cursor.position(), header.shape(), type.dtype);
  }
  fail("{}: descr: {} is not read; expected little-endian f2, f4, f8, i4, i8, or u1, i1, b1", path,
       shown(header.descr()));
}

void write_npy(const std::string& path, const Tensor& tensor) {
  for (const TypeName& type : kTypes) {
    if (type.dtype != tensor.dtype()) continue;
    std::string sizes;
    for (const int64_t size : tensor.shape()) sizes += fmt::format("{},", size);
    std::string header =
        fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({})}}", type.descr, sizes);
    header.append(63 - (kMagic.size() + 4 + header.size()) % 64, ' ');  // data at a multiple of 64
    header += '\n';
    const char version_and_length[] = {1, 0, static_cast<char>(header.size() & 0xff),
                                       static_cast<char>(header.size() >> 8)};
    AtomicFile file(path);
    file.write(kMagic.data(), kMagic.size());
    file.write(version_and_length, sizeof version_and_length);
    file.write(header.data(), header.size());
    file.write(tensor.bytes(), static_cast<size_t>(tensor.nbytes()));
    file.commit();
    return;
  }
  fail("{}: npy files have no elements of type {}", path, tensor::dtype_name(tensor.dtype()));
}

}  // namespace sumi::formats
