// When a schedule is due next; the contract is in the header file. Days are walked, within a day fields are searched by
// their bits; months without a due day are skipped whole.
#include "core/schedule.hpp"

#include "core/schedule_fields.hpp"

namespace pgstream {

using namespace cron_field;

namespace {

/// The smallest member of the set that is at least `from`, or -1.
int Lowest(uint64_t set, int from) noexcept {
  uint64_t rest = from > 63 ? 0 : set >> from;
  return rest == 0 ? -1 : from + __builtin_ctzll(rest);
}

/// The first second of the day, at or after `from`, that is due; -1 when none is left.
int64_t FirstInDay(const CronFields &cron, int64_t from) noexcept {
  int hour = static_cast<int>(from / 3600);
  int minute = static_cast<int>(from / 60 % 60);
  int second = static_cast<int>(from % 60);
  while ((hour = Lowest(cron.hours, hour)) >= 0) {
    if (hour != from / 3600) {
      minute = second = 0;
    }
    while ((minute = Lowest(cron.minutes, minute)) >= 0) {
      if (hour * 60 + minute != from / 60) {
        second = 0;
      }
      int found = Lowest(cron.seconds, second);
      if (found >= 0) {
        return hour * INT64_C(3600) + minute * 60 + found;
      }
      minute++;
      second = 0;
    }
    hour++;
    minute = second = 0;
  }
  return -1;
}

/// A date of the proleptic Gregorian calendar, walked day by day.
struct Date {
  int64_t number;  // days since 1970-01-01
  int64_t year;
  int month;
  int day;

  explicit Date(int64_t n) noexcept : number(n), year(1970), month(1), day(1) {
    constexpr int64_t cycle = 146097;  // days in 400 years
    int64_t cycles = n >= 0 ? n / cycle : -((cycle - 1 - n) / cycle);
    n -= cycles * cycle;
    year += cycles * 400;
    for (;; year++) {
      int64_t length = 337 + DaysInMonth(year, 2);
      if (n < length) {
        break;
      }
      n -= length;
    }
    for (; n >= DaysInMonth(year, month); month++) {
      n -= DaysInMonth(year, month);
    }
    day += static_cast<int>(n);
  }

  int weekday() const noexcept { return static_cast<int>(((number + 4) % 7 + 7) % 7); }  // 1970-01-01 was a Thursday

  void NextMonth() noexcept {
    number += DaysInMonth(year, month) - day + 1;
    day = 1;
    if (++month == 13) {
      month = 1;
      year++;
    }
  }
  void NextDay() noexcept {
    if (day == DaysInMonth(year, month)) {
      NextMonth();
    } else {
      day++;
      number++;
    }
  }
};

bool DayMatches(const CronFields &cron, const Date &date) noexcept {
  bool day = (cron.days & Bit(date.day)) != 0;
  bool weekday = (cron.weekdays & Bit(date.weekday())) != 0;
  return cron.either_day ? day || weekday : day && weekday;
}

}  // namespace

std::optional<UtcSeconds> Schedule::NextAfter(UtcSeconds t) const noexcept {
  constexpr int64_t limit = INT64_C(1) << 53;  // far beyond any timestamp, and no sum below overflows
  int64_t now = t.time_since_epoch().count();
  if (kind == ScheduleKind::kCalculated || now < -limit || now > limit) {
    return std::nullopt;
  }
  if (kind == ScheduleKind::kDuration) {
    return t + std::chrono::seconds(seconds);
  }
  constexpr int64_t day_seconds = 24 * 3600;
  int64_t from = now + 1;
  int64_t number = from >= 0 ? from / day_seconds : -((day_seconds - 1 - from) / day_seconds);
  int64_t in_day = from - number * day_seconds;
  const int64_t last = number + 41 * INT64_C(366);
  for (Date date(number); date.number <= last;) {
    if ((cron.months & Bit(date.month)) == 0) {
      date.NextMonth();
      in_day = 0;
      continue;
    }
    int64_t found = DayMatches(cron, date) ? FirstInDay(cron, in_day) : -1;
    if (found >= 0) {
      return UtcSeconds(std::chrono::seconds(date.number * day_seconds + found));
    }
    date.NextDay();
    in_day = 0;
  }
  return std::nullopt;
}

}  // namespace pgstream
