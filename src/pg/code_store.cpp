// Files of native code; see code_store.hpp.
//
// A file is written under another name and renamed, never changed in place; what is mapped is a copy of what was verified.
#include "pg/code_store.hpp"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

extern "C" {
#include "catalog/pg_database.h"
#include "common/file_perm.h"
#include "portability/instr_time.h"
#include "storage/fd.h"
#include "utils/hsearch.h"
}

namespace pgstream {
namespace {

constexpr const char *kDirectory = "pg_stream_jit";
constexpr Size kMostCode = 16 * 1024 * 1024;
// Mapped code that nobody holds is kept for the next reader, up to so many pieces.
constexpr int kMostIdle = 64;
// Files younger than this are not swept: their stream table may be in a transaction that has not committed.
constexpr int kSweepAge = 600;

struct FileHeader {
  char magic[8];
  uint8 key[kCodeKeySize];
  uint8 digest[kCodeKeySize];  // of the whole file with this as zeroes
  uint64 size;                 // of the code, which follows
  uint64 row, image_row;       // entry points
  double compile_ms;
};
constexpr char kMagic[8] = {'P', 'G', 'S', 'C', 'O', 'D', 'E', '1'};

HTAB *loaded = nullptr;
// Memory may not become executable here, as where SELinux forbids it: nothing is compiled then.
bool unmappable = false;
int nidle = 0;

void DirectoryOf(char *path, Oid database) { snprintf(path, MAXPGPATH, "%s/%u", kDirectory, database); }

void FileOf(char *path, Oid relid, const CodeKey *key) {
  int n = snprintf(path, MAXPGPATH, "%s/%u/%u.", kDirectory, MyDatabaseId, relid);
  for (int i = 0; i < kCodeKeySize; i++) n += snprintf(path + n, MAXPGPATH - n, "%02x", key->bytes[i]);
}

// Reads a whole file into palloc'd memory; nullptr, and *why, when it is not there or is not one of ours.
char *ReadWhole(const char *path, Size *size, const char **why) {
  const int fd = OpenTransientFile(path, O_RDONLY | PG_BINARY | O_NOFOLLOW);
  if (fd < 0) {
    *why = errno == ENOENT ? "no native code is stored" : "its native code cannot be read";
    return nullptr;
  }
  struct stat state;
  char *data = nullptr;
  *why = "its native code is damaged";
  if (fstat(fd, &state) == 0 && S_ISREG(state.st_mode) && state.st_uid == geteuid() && (state.st_mode & 0777 & pg_mode_mask) == 0 &&
      state.st_size >= static_cast<off_t>(sizeof(FileHeader)) && state.st_size <= static_cast<off_t>(kMostCode)) {
    *size = static_cast<Size>(state.st_size);
    data = static_cast<char *>(palloc(*size));
    if (read(fd, data, *size) != static_cast<ssize_t>(*size)) {
      pfree(data);
      data = nullptr;
    }
  }
  CloseTransientFile(fd);
  return data;
}

bool IsIntact(char *file, Size size, const CodeKey *key) {
  FileHeader header;
  memcpy(&header, file, sizeof(header));
  if (memcmp(header.magic, kMagic, sizeof(kMagic)) != 0 || memcmp(header.key, key->bytes, kCodeKeySize) != 0 ||
      header.size != size - sizeof(header) || header.row >= header.size || header.image_row >= header.size)
    return false;
  memset(file + offsetof(FileHeader, digest), 0, kCodeKeySize);
  uint8 digest[kCodeKeySize];
  return Digest(file, size, digest) && memcmp(digest, header.digest, kCodeKeySize) == 0;
}

void Unmap(LoadedCode *code) {
  munmap(code->memory, code->size);
  hash_search(loaded, &code->key, HASH_REMOVE, nullptr);
}

void UnmapIdle() {
  HASH_SEQ_STATUS status;
  hash_seq_init(&status, loaded);
  while (auto *code = static_cast<LoadedCode *>(hash_seq_search(&status)))
    if (code->holders == 0) Unmap(code);
  nidle = 0;
}

LoadedCode *Map(const char *file, const CodeKey *key) {
  FileHeader header;
  memcpy(&header, file, sizeof(header));
  void *const memory = mmap(nullptr, header.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  memcpy(memory, file + sizeof(header), header.size);
  if (mprotect(memory, header.size, PROT_READ | PROT_EXEC) != 0) {
    munmap(memory, header.size);
    return nullptr;
  }
  __builtin___clear_cache(static_cast<char *>(memory), static_cast<char *>(memory) + header.size);
  auto *const code = static_cast<LoadedCode *>(hash_search(loaded, key, HASH_ENTER_NULL, nullptr));
  if (code == nullptr) {
    munmap(memory, header.size);
    return nullptr;
  }
  code->memory = memory;
  code->size = header.size;
  code->row = reinterpret_cast<NativeRow>(static_cast<char *>(memory) + header.row);
  code->image_row = reinterpret_cast<NativeImageRow>(static_cast<char *>(memory) + header.image_row);
  code->compile_ms = header.compile_ms;
  code->holders = 0;
  nidle++;
  return code;
}

LoadedCode *Load(Oid relid, const CodeKey *key, const char **why) {
  instr_time start, now;
  INSTR_TIME_SET_CURRENT(start);
  char path[MAXPGPATH];
  FileOf(path, relid, key);
  Size size;
  char *const file = ReadWhole(path, &size, why);
  if (file == nullptr) return nullptr;
  LoadedCode *code = nullptr;
  if (!IsIntact(file, size, key)) {
    *why = "its native code is damaged";
  } else if ((code = Map(file, key)) == nullptr) {
    *why = "its native code cannot be mapped";
    unmappable = true;
  } else {
    INSTR_TIME_SET_CURRENT(now);
    INSTR_TIME_SUBTRACT(now, start);
    code->load_ms = INSTR_TIME_GET_MILLISEC(now);
  }
  pfree(file);
  return code;
}

bool MakeDirectories(char *directory) {
  DirectoryOf(directory, MyDatabaseId);
  if (MakePGDirectory(directory) == 0 || errno == EEXIST) return true;
  if (MakePGDirectory(kDirectory) != 0 && errno != EEXIST) return false;
  return MakePGDirectory(directory) == 0 || errno == EEXIST;
}

bool WriteWhole(const char *path, const void *parts[2], const Size sizes[2]) {
  const int fd = OpenTransientFile(path, O_WRONLY | O_CREAT | O_EXCL | PG_BINARY | O_NOFOLLOW);
  if (fd < 0) return false;
  bool done = true;
  for (int i = 0; i < 2; i++) done = done && write(fd, parts[i], sizes[i]) == static_cast<ssize_t>(sizes[i]);
  done = CloseTransientFile(fd) == 0 && done;
  if (!done) unlink(path);
  return done;
}

// Calls visit for the files of a directory; true when it could be read.
template <class F>
void ForFiles(const char *directory, F &&visit) {
  DIR *const dir = AllocateDir(directory);
  if (dir == nullptr) return;
  while (const dirent *entry = ReadDirExtended(dir, directory, LOG))
    if (entry->d_name[0] != '.') visit(entry->d_name);
  FreeDir(dir);
}

// Removes the files of a stream table, but for one.
void RemoveFilesOf(Oid relid, const char *kept) {
  char directory[MAXPGPATH], prefix[32];
  DirectoryOf(directory, MyDatabaseId);
  const int length = snprintf(prefix, sizeof(prefix), "%u.", relid);
  ForFiles(directory, [&](const char *name) {
    if (strncmp(name, prefix, static_cast<size_t>(length)) != 0) return;
    char path[MAXPGPATH];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    if (kept == nullptr || strcmp(path, kept) != 0) (void)unlink(path);
  });
}

bool IsOld(const char *path) {
  struct stat state;
  return lstat(path, &state) == 0 && state.st_mtime + kSweepAge < time(nullptr);
}

}  // namespace

LoadedCode *HoldCode(Oid relid, const CodeKey *key, const char **why) {
  if (loaded == nullptr) {
    HASHCTL control = {};
    control.keysize = sizeof(CodeKey);
    control.entrysize = sizeof(LoadedCode);
    loaded = hash_create("pg_stream native code", 32, &control, HASH_ELEM | HASH_BLOBS);
  }
  auto *code = static_cast<LoadedCode *>(hash_search(loaded, key, HASH_FIND, nullptr));
  if (code == nullptr) code = Load(relid, key, why);
  if (code == nullptr) return nullptr;
  if (code->holders++ == 0) nidle--;
  return code;
}

void DropCode(LoadedCode *code) {
  if (--code->holders > 0) return;
  if (++nidle > kMostIdle) UnmapIdle();
}

const char *WhyNotStorable() {
  char directory[MAXPGPATH];
  if (unmappable) return "its native code cannot be mapped";
  if (!MakeDirectories(directory)) return "the directory of native code cannot be made";
  return access(directory, W_OK) == 0 ? nullptr : "the directory of native code cannot be written";
}

const char *StoreCode(Oid relid, const CodeKey *key, const NativeCode *code, double compile_ms) {
  char directory[MAXPGPATH], path[MAXPGPATH], draft[MAXPGPATH + 16];
  if (!MakeDirectories(directory)) return "the directory of native code cannot be made";
  if (code->size > kMostCode - sizeof(FileHeader)) return "its native code is too large";
  FileHeader header = {};
  memcpy(header.magic, kMagic, sizeof(kMagic));
  memcpy(header.key, key->bytes, kCodeKeySize);
  header.size = code->size;
  header.row = code->row;
  header.image_row = code->image_row;
  header.compile_ms = compile_ms;
  char *const whole = static_cast<char *>(palloc(sizeof(header) + code->size));
  memcpy(whole, &header, sizeof(header));
  memcpy(whole + sizeof(header), code->bytes, code->size);
  const bool digested = Digest(whole, sizeof(header) + code->size, header.digest);
  pfree(whole);
  if (!digested) return "its digest cannot be computed";
  FileOf(path, relid, key);
  snprintf(draft, sizeof(draft), "%s.%d", path, MyProcPid);
  const void *const parts[2] = {&header, code->bytes};
  const Size sizes[2] = {sizeof(header), code->size};
  (void)unlink(draft);
  if (!WriteWhole(draft, const_cast<const void **>(parts), sizes)) return "its native code cannot be stored";
  if (rename(draft, path) != 0) {
    (void)unlink(draft);
    return "its native code cannot be stored";
  }
  RemoveFilesOf(relid, path);
  return nullptr;
}

void StoreText(Oid relid, const char *extension, const char *text) {
  char path[MAXPGPATH];
  snprintf(path, sizeof(path), "%s/%u/%u.%s", kDirectory, MyDatabaseId, relid, extension);
  (void)unlink(path);
  const void *parts[2] = {text, ""};
  const Size sizes[2] = {strlen(text), 0};
  if (!WriteWhole(path, parts, sizes)) ereport(LOG, (errcode_for_file_access(), errmsg("could not write file \"%s\": %m", path)));
}

void RemoveCode(Oid relid) { RemoveFilesOf(relid, nullptr); }

void SweepCode() {
  ForFiles(kDirectory, [&](const char *database) {
    const Oid oid = atooid(database);
    if (oid != MyDatabaseId && SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(oid))) return;
    char directory[MAXPGPATH];
    snprintf(directory, sizeof(directory), "%s/%s", kDirectory, database);
    ForFiles(directory, [&](const char *name) {
      if (oid == MyDatabaseId && SearchSysCacheExists1(RELOID, ObjectIdGetDatum(atooid(name)))) return;
      char path[MAXPGPATH * 2];
      snprintf(path, sizeof(path), "%s/%s", directory, name);
      if (IsOld(path)) (void)unlink(path);
    });
    if (oid != MyDatabaseId) (void)rmdir(directory);
  });
}

}  // namespace pgstream
