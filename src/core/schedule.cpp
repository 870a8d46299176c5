// The parser of refresh schedules; the contract is in the header file.
#include "core/schedule.hpp"

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <type_traits>

#include "core/schedule_fields.hpp"

namespace pgstream {

using namespace cron_field;

static_assert(std::is_trivial_v<Schedule> && std::is_trivial_v<ScheduleError>,
              "schedules live in frames that an error may jump over");

namespace {

constexpr const char *kGeneralHint =
    "Use a duration such as '30s', '5m' or '1h30m', a cron expression such as '0 * * * *', '@hourly', or 'calculated'.";
constexpr const char *kDurationHint = "Write numbers with the units w, d, h, m and s, largest first, such as '1h30m'.";

/// A piece of the text. Never NUL-terminated.
struct Piece {
  const char *begin;
  const char *end;
  int length() const noexcept { return static_cast<int>(end - begin); }
};

/// For %.*s: as much of a piece as a message has room for.
int Shown(const Piece &p) noexcept {
  return p.length() < 40 ? p.length() : 40;
}

bool IsBlank(char c) noexcept {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}
bool IsDigit(char c) noexcept {
  return c >= '0' && c <= '9';
}
char Lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool EqualsWord(const Piece &p, const char *word) noexcept {
  size_t n = std::strlen(word);
  if (static_cast<size_t>(p.length()) != n) {
    return false;
  }
  for (size_t i = 0; i < n; i++) {
    if (Lower(p.begin[i]) != word[i]) {
      return false;
    }
  }
  return true;
}

/// Fills the error and returns false.
__attribute__((format(printf, 4, 5))) bool Fail(ScheduleError *error, const char *field, const char *hint,
                                                const char *format, ...) noexcept {
  va_list args;
  va_start(args, format);
  std::vsnprintf(error->message, sizeof(error->message), format, args);
  va_end(args);
  std::snprintf(error->hint, sizeof(error->hint), "%s", hint);
  error->field = field;
  return false;
}

bool FailField(ScheduleError *error, const Field &field, const Piece &part, const char *what) noexcept {
  char hint[sizeof(error->hint)];
  std::snprintf(hint, sizeof(hint),
                "The %s takes %d-%d%s, '*', lists, ranges and steps, such as '%d', '%d,%d', '%d-%d' or '*/2'.",
                field.name, field.min, field.max,
                field.names == nullptr ? "" : (field.min == 1 ? " or jan-dec" : " or sun-sat"), field.min, field.min,
                field.min + 2, field.min, field.min + 3);
  return Fail(error, field.name, hint, "%s in %s field: \"%.*s\"", what, field.name, Shown(part), part.begin);
}

bool ParseDuration(const Piece &text, Schedule *schedule, ScheduleError *error) noexcept {
  int64_t total = 0;
  int64_t previous = INT64_MAX;
  for (const char *p = text.begin; p < text.end;) {
    int64_t number = 0;
    const char *start = p;
    for (; p < text.end && IsDigit(*p); p++) {
      number = number * 10 + (*p - '0');
      if (number > kMaxScheduleSeconds) {
        return Fail(error, "duration", "Use at most 100 years.", "duration \"%.*s\" is too long", Shown(text),
                    text.begin);
      }
    }
    if (p == start) {
      return Fail(error, "duration", kDurationHint, "invalid duration \"%.*s\"", Shown(text), text.begin);
    }
    if (p == text.end) {
      return Fail(error, "duration", kDurationHint, "number without a unit in duration \"%.*s\"", Shown(text),
                  text.begin);
    }
    int64_t unit = UnitSeconds(*p);
    if (unit == 0) {
      return Fail(error, "duration", kDurationHint, "invalid unit in duration \"%.*s\"", Shown(text), text.begin);
    }
    if (unit >= previous) {
      return Fail(error, "duration", kDurationHint, "units out of order in duration \"%.*s\"", Shown(text), text.begin);
    }
    p++;
    previous = unit;
    if (number > (kMaxScheduleSeconds - total) / unit) {
      return Fail(error, "duration", "Use at most 100 years.", "duration \"%.*s\" is too long", Shown(text),
                  text.begin);
    }
    total += number * unit;
  }
  if (total == 0) {
    return Fail(error, "duration", "Use at least '1s'.", "duration \"%.*s\" is zero", Shown(text), text.begin);
  }
  *schedule = Schedule();
  schedule->kind = ScheduleKind::kDuration;
  schedule->seconds = total;
  return true;
}

/// Reads one value of a field, a number or a name, at *pos.
bool ReadValue(const char **pos, const char *end, const Field &field, int *value) noexcept {
  const char *p = *pos;
  if (p < end && IsDigit(*p)) {
    int v = 0;
    for (; p < end && IsDigit(*p); p++) {
      v = v < 1000 ? v * 10 + (*p - '0') : v;  // out of every range from then on
    }
    *value = v;
    *pos = p;
    return true;
  }
  if (field.names == nullptr || end - p < 3) {
    return false;
  }
  for (int i = 0; i <= field.max - field.min; i++) {
    const char *name = field.names + 3 * i;
    if (Lower(p[0]) == name[0] && Lower(p[1]) == name[1] && Lower(p[2]) == name[2]) {
      *value = field.min + i;
      *pos = p + 3;
      return true;
    }
  }
  return false;
}

/// Parses one element of a field's list: '*', 'a', 'a-b', each with '/step' ('a/step' runs to the end of the range).
bool ParseElement(const Piece &part, const Field &field, uint64_t *set, ScheduleError *error) noexcept {
  const char *p = part.begin;
  const bool weekday = field.names == kWeekday.names;
  const int limit = weekday ? 7 : field.max;
  int low = field.min;
  int high = field.max;
  bool single = false;
  if (p < part.end && *p == '*') {
    p++;
  } else {
    if (!ReadValue(&p, part.end, field, &low)) {
      return FailField(error, field, part, "invalid value");
    }
    high = low;
    single = true;
    if (p < part.end && *p == '-') {
      p++;
      if (!ReadValue(&p, part.end, field, &high)) {
        return FailField(error, field, part, "invalid range");
      }
      if (weekday && high == 0 && low > 0) {
        high = 7;  // 'fri-sun'
      }
      single = false;
    }
    if (low < field.min || low > limit || high > limit) {
      return FailField(error, field, part, "value out of range");
    }
    if (high < low) {
      return FailField(error, field, part, "range runs backwards");
    }
  }
  int step = 1;
  if (p < part.end && *p == '/') {
    p++;
    if (p == part.end || !IsDigit(*p) || !ReadValue(&p, part.end, field, &step)) {
      return FailField(error, field, part, "invalid step");
    }
    if (single) {
      high = field.max;
    }
    // A step that never comes around is a mistake: '*/90' minutes would be once an hour.
    if (step == 0 || (step > 1 && step > high - low)) {
      return FailField(error, field, part, "step out of range");
    }
  }
  if (p != part.end) {
    return FailField(error, field, part, "invalid value");
  }
  for (int v = low; v <= high; v += step) {
    *set |= Bit(weekday && v == 7 ? 0 : v);
  }
  return true;
}

/// Parses one field into its set. *star tells whether it starts with '*', which decides how the day fields combine.
bool ParseField(const Piece &text, const Field &field, uint64_t *set, bool *star, ScheduleError *error) noexcept {
  *set = 0;
  *star = *text.begin == '*';
  for (const char *p = text.begin;; p++) {
    const char *begin = p;
    while (p < text.end && *p != ',') {
      p++;
    }
    if (p == begin) {
      return FailField(error, field, text, "empty value");
    }
    if (!ParseElement({begin, p}, field, set, error)) {
      return false;
    }
    if (p == text.end) {
      break;
    }
    // What '*/2,5' means beside another day field differs between crons.
    if (*star && (field.names == kWeekday.names || field.name == kDay.name)) {
      return FailField(error, field, text, "'*' in a list");
    }
  }
  return true;
}

bool ParseCron(const Piece &text, Schedule *schedule, ScheduleError *error) noexcept {
  Piece fields[6];
  int n = 0;
  for (const char *p = text.begin; p < text.end;) {
    const char *begin = p;
    while (p < text.end && !IsBlank(*p)) {
      p++;
    }
    if (n < 6) {
      fields[n] = {begin, p};
    }
    n++;
    while (p < text.end && IsBlank(*p)) {
      p++;
    }
  }
  if (n != 5 && n != 6) {
    return Fail(error, "", kGeneralHint, "cron expression \"%.*s\" has %d field%s, not 5 or 6", Shown(text), text.begin,
                n, n == 1 ? "" : "s");
  }
  CronFields cron = CronFields();
  bool star, day_star, weekday_star;
  const Piece *f = fields;
  cron.seconds = Bit(0);
  if (n == 6 && !ParseField(*f++, kSecond, &cron.seconds, &star, error)) {
    return false;
  }
  if (!ParseField(f[0], kMinute, &cron.minutes, &star, error) || !ParseField(f[1], kHour, &cron.hours, &star, error) ||
      !ParseField(f[2], kDay, &cron.days, &day_star, error) || !ParseField(f[3], kMonth, &cron.months, &star, error) ||
      !ParseField(f[4], kWeekday, &cron.weekdays, &weekday_star, error)) {
    return false;
  }
  cron.either_day = !day_star && !weekday_star;
  if (cron.either_day && (cron.days == Full(kDay) || cron.weekdays == Full(kWeekday))) {
    cron.days = Full(kDay);  // one of the two takes every day: equal to '* *'
    cron.weekdays = Full(kWeekday);
    cron.either_day = false;
  }
  if (!cron.either_day) {
    bool possible = false;
    for (int month = 1; month <= 12; month++) {
      uint64_t in_month = Bit(DaysInMonth(2000, month) + 1) - 1;
      possible = possible || ((cron.months & Bit(month)) != 0 && (cron.days & in_month) != 0);
    }
    if (!possible) {
      return Fail(error, kDay.name, "None of the months has such a day.", "cron expression \"%.*s\" is never due",
                  Shown(text), text.begin);
    }
  }
  *schedule = Schedule();
  schedule->kind = ScheduleKind::kCron;
  schedule->cron = cron;
  return true;
}

bool ParseShorthand(const Piece &text, Schedule *schedule, ScheduleError *error) noexcept {
  static constexpr struct {
    const char *word;
    const char *cron;
  } words[] = {{"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},   {"@midnight", "0 0 * * *"},
               {"@weekly", "0 0 * * 0"},  {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
               {"@annually", "0 0 1 1 *"}};
  for (const auto &entry : words) {
    if (EqualsWord(text, entry.word)) {
      return ParseCron({entry.cron, entry.cron + std::strlen(entry.cron)}, schedule, error);
    }
  }
  return Fail(error, "", "Use @hourly, @daily, @midnight, @weekly, @monthly, @yearly or @annually.",
              "unrecognized schedule \"%.*s\"", Shown(text), text.begin);
}

bool SameFields(const CronFields &a, const CronFields &b) noexcept {
  return a.seconds == b.seconds && a.minutes == b.minutes && a.hours == b.hours && a.days == b.days &&
         a.months == b.months && a.weekdays == b.weekdays && a.either_day == b.either_day;
}

void CopyText(const char *text, char *buf, size_t size) noexcept {
  if (size > 0) {
    std::snprintf(buf, size, "%s", text);
  }
}

}  // namespace

bool operator==(const Schedule &a, const Schedule &b) noexcept {
  return a.kind == b.kind && a.seconds == b.seconds && SameFields(a.cron, b.cron);
}

bool ParseSchedule(const char *text, Schedule *schedule, ScheduleError *error) noexcept {
  Piece piece = {text, text == nullptr ? text : text + std::strlen(text)};
  while (piece.begin < piece.end && IsBlank(piece.begin[0])) {
    piece.begin++;
  }
  while (piece.begin < piece.end && IsBlank(piece.end[-1])) {
    piece.end--;
  }
  if (piece.begin == piece.end) {
    return Fail(error, "", kGeneralHint, "schedule is empty");
  }
  if (EqualsWord(piece, "calculated")) {
    *schedule = Schedule();
    schedule->kind = ScheduleKind::kCalculated;
    return true;
  }
  if (*piece.begin == '@') {
    return ParseShorthand(piece, schedule, error);
  }
  bool blank = false;
  bool cron = false;
  for (const char *p = piece.begin; p < piece.end; p++) {
    blank = blank || IsBlank(*p);
    cron = cron || *p == '*' || *p == '/' || *p == ',';
  }
  if (blank || cron) {
    return ParseCron(piece, schedule, error);
  }
  if (*piece.begin == '-' || *piece.begin == '+') {
    return Fail(error, "duration", kDurationHint, "duration \"%.*s\" must be a positive number without a sign",
                Shown(piece), piece.begin);
  }
  if (IsDigit(*piece.begin)) {
    return ParseDuration(piece, schedule, error);
  }
  return Fail(error, "", kGeneralHint, "unrecognized schedule \"%.*s\"", Shown(piece), piece.begin);
}

bool ParseScheduleC(const char *text, ScheduleKind *kind, int64_t *seconds, char *canonical, size_t ncanonical,
                    char *error, size_t nerror, char *hint, size_t nhint) noexcept {
  Schedule schedule;
  ScheduleError failure;
  CopyText("", canonical, ncanonical);
  CopyText("", error, nerror);
  CopyText("", hint, nhint);
  *kind = ScheduleKind::kCalculated;
  *seconds = 0;
  bool ok = ParseSchedule(text, &schedule, &failure);
  if (ok && schedule.Format(canonical, ncanonical) >= ncanonical) {
    CopyText("", canonical, ncanonical);
    ok = Fail(&failure, "", "Use fewer values in the lists of the schedule.", "schedule is too long");
  }
  if (!ok) {
    CopyText(failure.message, error, nerror);
    CopyText(failure.hint, hint, nhint);
    return false;
  }
  *kind = schedule.kind;
  *seconds = schedule.seconds;
  return true;
}

}  // namespace pgstream
