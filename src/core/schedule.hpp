// Refresh schedules: what their text means, their canonical text, and when a cron schedule is due next.
//
// Promises: no allocation, exception or destructor in parsing, formatting and searching, so that server frames may use
// it directly; equal schedules have equal canonical texts ('60s' and '1m', '@hourly' and '0 * * * *'); the canonical
// text parses to the same schedule. Refuses: time zones (cron fields are UTC), '@reboot', months and years as
// durations.
//
// Accepted, blanks around the text and upper case in words aside:
//   duration    one or more <number><unit>, units w d h m s, each at most once, largest first: '30s', '1h30m', '2d'
//   cron        minute hour day-of-month month day-of-week, or with a leading second: lists, ranges, steps, names
//               ('jan', 'mon'), 0 and 7 for Sunday. When both day fields are restricted (neither starts with '*') a day
//               that matches either is due, as in every cron.
//   shorthand   @hourly @daily @midnight @weekly @monthly @yearly @annually
//   calculated  as often as the tightest consumer needs
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace pgstream {

enum class ScheduleKind : uint8_t { kCalculated, kDuration, kCron };

/// An instant in UTC, to the second.
using UtcSeconds = std::chrono::time_point<std::chrono::system_clock, std::chrono::seconds>;

/// Longest duration accepted, in seconds: 100 years, so that arithmetic on microseconds stays far from its limits.
constexpr int64_t kMaxScheduleSeconds = INT64_C(100) * 366 * 24 * 3600;

/// Bytes that hold any canonical text with its NUL.
constexpr size_t kScheduleTextSize = 768;

/// The fields of a cron schedule as sets: bit v is set when value v is due.
struct CronFields {
  uint64_t seconds;   // 0-59; only bit 0 for five fields
  uint64_t minutes;   // 0-59
  uint64_t hours;     // 0-23
  uint64_t days;      // 1-31
  uint64_t months;    // 1-12
  uint64_t weekdays;  // 0-6, Sunday is 0
  bool either_day;    // a day in `days` or in `weekdays` is due; otherwise it must be in both
};

/// A parsed schedule.
struct Schedule {
  ScheduleKind kind;
  int64_t seconds;  // kDuration only, else 0
  CronFields cron;  // kCron only, else all zero

  /// Writes the canonical text with its NUL and returns its length; when `size` is not above the length the text
  /// written is empty (nothing at all for size 0). kScheduleTextSize is always enough.
  size_t Format(char *buf, size_t size) const noexcept;

  /// The canonical text as a string (engine frames only).
  std::string Canonical() const;

  /// The first instant after `t` that is due: for a duration t + duration; for cron the next match within 41 years
  /// (29 February on a given weekday can be 40 years off), else nullopt; for CALCULATED nullopt.
  std::optional<UtcSeconds> NextAfter(UtcSeconds t) const noexcept;
};

bool operator==(const Schedule &a, const Schedule &b) noexcept;
inline bool operator!=(const Schedule &a, const Schedule &b) noexcept {
  return !(a == b);
}

/// Why a text is no schedule. `message` is a phrase (lower case, no period), `hint` a sentence; both are
/// NUL-terminated.
struct ScheduleError {
  char message[200];
  char hint[240];
  const char *field;  // "duration", "second", "minute", "hour", "day of month", "month", "day of week", or ""
};

/// Parses a schedule. On failure returns false, fills `*error` and leaves `*schedule` alone.
bool ParseSchedule(const char *text, Schedule *schedule, ScheduleError *error) noexcept;

/// ParseSchedule with plain results: the canonical text into `canonical[0 .. ncanonical)`, or the message and hint into
/// `error` and `hint`, cut to their size. A canonical text that does not fit is an error too (kScheduleTextSize always
/// fits). Buffers of size 0 may be null; outputs that do not apply are set to 0 or "".
bool ParseScheduleC(const char *text, ScheduleKind *kind, int64_t *seconds, char *canonical, size_t ncanonical,
                    char *error, size_t nerror, char *hint, size_t nhint) noexcept;

}  // namespace pgstream
