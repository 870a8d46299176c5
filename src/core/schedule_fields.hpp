// What parsing, formatting and searching of schedules share: the fields of a cron expression as ranges and bit sets.
// Internal to the three schedule sources; nobody else includes it.
#pragma once

#include <cstdint>

namespace pgstream::cron_field {

/// A cron field: its name in messages and the range of its values.
struct Field {
  const char *name;
  int min;
  int max;
  const char *names;  // of the values from min on, three letters each; null when there are none
};

inline constexpr Field kSecond = {"second", 0, 59, nullptr};
inline constexpr Field kMinute = {"minute", 0, 59, nullptr};
inline constexpr Field kHour = {"hour", 0, 23, nullptr};
inline constexpr Field kDay = {"day of month", 1, 31, nullptr};
inline constexpr Field kMonth = {"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"};
inline constexpr Field kWeekday = {"day of week", 0, 6, "sunmontuewedthufrisat"};  // 7 is read as well, and becomes 0

constexpr uint64_t Bit(int v) noexcept {
  return UINT64_C(1) << v;
}

/// All values of a field.
constexpr uint64_t Full(const Field &field) noexcept {
  return (Bit(field.max + 1) - 1) & ~(Bit(field.min) - 1);
}

/// Length in seconds of a duration's unit, 0 for none.
constexpr int64_t UnitSeconds(char unit) noexcept {
  switch (unit) {
    case 'w':
      return 7 * 24 * 3600;
    case 'd':
      return 24 * 3600;
    case 'h':
      return 3600;
    case 'm':
      return 60;
    case 's':
      return 1;
    default:
      return 0;
  }
}

/// Days of a month (1-12) in the Gregorian calendar.
inline int DaysInMonth(int64_t year, int month) noexcept {
  static constexpr int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return month == 2 && leap ? 29 : days[month - 1];
}

}  // namespace pgstream::cron_field
