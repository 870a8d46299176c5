// Linking one object with itself; see code_image.hpp.
//
// The objects come from LLVM in the same process, but every offset is checked: a surprise is a reason not to compile.
#include "jit/code_image.hpp"

#include <elf.h>

#include <cstring>

#include "jit/lowering.hpp"

namespace pgstream {
namespace {

constexpr size_t kNotLoaded = SIZE_MAX;

class Linker {
 public:
  Linker(const uint8_t *object, size_t size, CodeImage *image) : object_(object), size_(size), image_(image) {}

  std::string Link() {
    Elf64_Ehdr header;
    if (!Get(0, &header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_type != ET_REL || header.e_shentsize != sizeof(Elf64_Shdr))
      return "the object is no relocatable ELF64 file";
    machine_ = header.e_machine;
    sections_.resize(header.e_shnum);
    for (size_t i = 0; i < sections_.size(); i++)
      if (!Get(header.e_shoff + i * sizeof(Elf64_Shdr), &sections_[i])) return "the object is truncated";
    if (std::string why = PlaceSections(); !why.empty()) return why;
    for (const Elf64_Shdr &section : sections_) {
      if (section.sh_type == SHT_SYMTAB) {
        if (std::string why = FindEntries(section); !why.empty()) return why;
      } else if (section.sh_type == SHT_RELA || section.sh_type == SHT_REL) {
        if (section.sh_info < places_.size() && places_[section.sh_info] == kNotLoaded) continue;
        if (std::string why = Relocate(section); !why.empty()) return why;
      }
    }
    return found_ == 2 ? "" : "the object lacks an entry point";
  }

 private:
  template <class T>
  bool Get(size_t offset, T *value) const {
    if (offset > size_ || sizeof(T) > size_ - offset) return false;
    std::memcpy(value, object_ + offset, sizeof(T));
    return true;
  }

  // What counts of the unwinder's tables: nothing, as nobody unwinds.
  bool IsUnwindTable(const Elf64_Shdr &section) const {
    const char *const name = SectionName(section);
    return section.sh_type == SHT_X86_64_UNWIND || std::strcmp(name, ".eh_frame") == 0;
  }

  const char *SectionName(const Elf64_Shdr &section) const {
    Elf64_Ehdr header;
    if (!Get(0, &header) || header.e_shstrndx >= sections_.size()) return "";
    return Text(sections_[header.e_shstrndx], section.sh_name);
  }

  const char *Text(const Elf64_Shdr &strings, size_t at) const {
    if (strings.sh_offset > size_ || strings.sh_size > size_ - strings.sh_offset || at >= strings.sh_size) return "";
    const char *const text = reinterpret_cast<const char *>(object_ + strings.sh_offset);
    return text[strings.sh_size - 1] == '\0' ? text + at : "";
  }

  std::string PlaceSections() {
    places_.assign(sections_.size(), kNotLoaded);
    for (size_t i = 0; i < sections_.size(); i++) {
      const Elf64_Shdr &section = sections_[i];
      if ((section.sh_flags & SHF_ALLOC) == 0 || section.sh_size == 0 || IsUnwindTable(section)) continue;
      if (section.sh_type != SHT_PROGBITS || (section.sh_flags & (SHF_WRITE | SHF_TLS)) != 0)
        return std::string("the object has a section ") + SectionName(section) + " that is neither code nor constants";
      if (section.sh_offset > size_ || section.sh_size > size_ - section.sh_offset || section.sh_addralign > 4096)
        return "the object is truncated";
      const size_t alignment = section.sh_addralign == 0 ? 1 : section.sh_addralign;
      image_->bytes.resize((image_->bytes.size() + alignment - 1) / alignment * alignment);
      places_[i] = image_->bytes.size();
      image_->bytes.insert(image_->bytes.end(), object_ + section.sh_offset, object_ + section.sh_offset + section.sh_size);
    }
    return "";
  }

  std::string FindEntries(const Elf64_Shdr &table) {
    if (table.sh_link >= sections_.size()) return "the object is truncated";
    for (size_t i = 0; i < table.sh_size / sizeof(Elf64_Sym); i++) {
      Elf64_Sym symbol;
      if (!Get(table.sh_offset + i * sizeof(symbol), &symbol)) return "the object is truncated";
      const char *const name = Text(sections_[table.sh_link], symbol.st_name);
      size_t *const entry = std::strcmp(name, kRowSymbol) == 0        ? &image_->row
                            : std::strcmp(name, kImageRowSymbol) == 0 ? &image_->image_row
                                                                      : nullptr;
      if (entry == nullptr) continue;
      if (!PlaceOf(symbol, entry)) return "an entry point is nowhere";
      found_++;
    }
    return "";
  }

  bool PlaceOf(const Elf64_Sym &symbol, size_t *place) const {
    if (symbol.st_shndx >= places_.size() || places_[symbol.st_shndx] == kNotLoaded) return false;
    if (symbol.st_value > sections_[symbol.st_shndx].sh_size) return false;
    *place = places_[symbol.st_shndx] + symbol.st_value;
    return true;
  }

  std::string Relocate(const Elf64_Shdr &section) {
    if (section.sh_type != SHT_RELA || section.sh_info >= places_.size() || section.sh_link >= sections_.size())
      return "the object has relocations of an unknown form";
    const Elf64_Shdr &symbols = sections_[section.sh_link];
    for (size_t i = 0; i < section.sh_size / sizeof(Elf64_Rela); i++) {
      Elf64_Rela relocation;
      Elf64_Sym symbol;
      if (!Get(section.sh_offset + i * sizeof(relocation), &relocation) ||
          !Get(symbols.sh_offset + ELF64_R_SYM(relocation.r_info) * sizeof(symbol), &symbol))
        return "the object is truncated";
      size_t target;
      if (!PlaceOf(symbol, &target))
        return std::string("the code refers to ") + Text(sections_[symbols.sh_link], symbol.st_name) + " outside of it";
      const uint64_t type = ELF64_R_TYPE(relocation.r_info);
      // Distance to the target, plus an addend: all that position-independent code refers to itself by.
      if (machine_ != EM_X86_64 || (type != R_X86_64_PC32 && type != R_X86_64_PLT32))
        return "the code has a relocation of type " + std::to_string(type) + " for machine " + std::to_string(machine_);
      const uint64_t room = sections_[section.sh_info].sh_size;
      if (room < sizeof(int32_t) || relocation.r_offset > room - sizeof(int32_t)) return "the object is truncated";
      const size_t place = places_[section.sh_info] + relocation.r_offset;
      const int64_t distance = static_cast<int64_t>(target) + relocation.r_addend - static_cast<int64_t>(place);
      if (distance < INT32_MIN || distance > INT32_MAX) return "the code is too large";
      const int32_t value = static_cast<int32_t>(distance);
      std::memcpy(image_->bytes.data() + place, &value, sizeof(value));
    }
    return "";
  }

  const uint8_t *object_;
  size_t size_;
  CodeImage *image_;
  uint16_t machine_ = 0;
  int found_ = 0;
  std::vector<Elf64_Shdr> sections_;
  std::vector<size_t> places_;  // of each section in the image
};

}  // namespace

std::string LinkObject(const uint8_t *object, size_t size, CodeImage *image) {
  return Linker(object, size, image).Link();
}

}  // namespace pgstream
