// Records: length u64, masked CRC of it u32, data, masked CRC of it u32, little-endian
// (tensorflow/core/lib/io/record_writer.h). Data: the protocol buffer Event
// (tensorflow/core/util/event.proto), of which a few fields are enough.
#include "train/tensorboard.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/error.h"

namespace sumi::train {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie");

std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = c & 1 ? (c >> 1) ^ 0x82f63b78u : c >> 1;
    table[i] = c;
  }
  return table;
}

template <class Number>
void put_raw(std::string& out, Number value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 128; value >>= 7) out += static_cast<char>(value | 128);
  out += static_cast<char>(value);
}

// A field's key: its number and how it is written (0 varint, 1 64 bits, 2 with a length, 5 32 bits).
void put_key(std::string& out, int field, int wire) {
  put_varint(out, static_cast<uint64_t>(field << 3 | wire));
}

void put_bytes(std::string& out, int field, std::string_view bytes) {
  put_key(out, field, 2);
  put_varint(out, bytes.size());
  out += bytes;
}

std::string event_at(double wall_time) {
  std::string event;
  put_key(event, 1, 1);
  put_raw(event, wall_time);
  return event;
}

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  static const std::array<uint32_t, 256> table = make_table();
  uint32_t crc = ~0u;
  for (const char byte : bytes)
    crc = table[(crc ^ static_cast<uint8_t>(byte)) & 255] ^ (crc >> 8);
  return ~crc;
}

uint32_t masked_crc32c(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return std::rotr(crc, 15) + 0xa282ead8u;
}

EventFile::EventFile(const std::string& folder)
    : path_(fmt::format("{}/events.out.tfevents.{:.0f}.{}", folder, now(), ::getpid())),
      file_(std::fopen(path_.c_str(), "wb")) {
  if (!file_) fail("{}: cannot create: {}", path_, std::strerror(errno));
  std::string event = event_at(now());
  put_bytes(event, 3, "brain.Event:2");
  write_record(event);
}

void EventFile::write(int64_t step, double wall_time,
                      const std::vector<std::pair<std::string, float>>& scalars) {
  std::string summary;
  for (const auto& [tag, number] : scalars) {
    std::string value;
    put_bytes(value, 1, tag);
    put_key(value, 2, 5);
    put_raw(value, number);
    put_bytes(summary, 1, value);
  }
  std::string event = event_at(wall_time);
  put_key(event, 2, 0);
  put_varint(event, static_cast<uint64_t>(step));
  put_bytes(event, 5, summary);
  write_record(event);
}

void EventFile::write_record(const std::string& event) {
  std::string record;
  put_raw(record, uint64_t{event.size()});
  const uint32_t crc = masked_crc32c(record);
  put_raw(record, crc);
  record += event;
  put_raw(record, masked_crc32c(event));
  if (std::fwrite(record.data(), 1, record.size(), file_.get()) != record.size() ||
      std::fflush(file_.get()) != 0)
    fail("{}: cannot write: {}", path_, std::strerror(errno));
}

}  // namespace sumi::train
