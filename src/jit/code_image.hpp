// From an object file to code that can be mapped as it is.
//
// Promises: the image holds the object's code and read-only data with every reference between them resolved, all relative to
// the place of the reference: it runs wherever it is mapped at a page boundary, and who maps it needs no linker. Refuses, with
// a reason: objects that refer to anything outside themselves, have writable data, or relocations of another kind.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace pgstream {

struct CodeImage {
  std::vector<uint8_t> bytes;
  size_t row = 0, image_row = 0;  ///< offsets of the entry points (core/native_code.hpp)
};

/// Links an ELF64 relocatable object. Returns why it cannot; empty when it could.
std::string LinkObject(const uint8_t *object, size_t size, CodeImage *image);

}  // namespace pgstream
