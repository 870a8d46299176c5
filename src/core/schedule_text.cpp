// The canonical text of a schedule; the contract is in the header file.
//
// Equal schedules must come out equal, and the text must parse to the same schedule: whether a day field starts with
// '*' decides how the two day fields combine, so the choice between '*/n' and a list is not free there.
#include "core/schedule.hpp"

#include "core/schedule_fields.hpp"

namespace pgstream {

using namespace cron_field;

namespace {

/// Text under construction; what does not fit is counted, not written.
struct Text {
  char *buf;
  size_t size;
  size_t length;

  void Put(char c) noexcept {
    if (length + 1 < size) {
      buf[length] = c;
    }
    length++;
  }
  void Put(int64_t v) noexcept {
    char digits[20];
    int n = 0;
    do {
      digits[n++] = static_cast<char>('0' + v % 10);
      v /= 10;
    } while (v != 0);
    while (n > 0) {
      Put(digits[--n]);
    }
  }
};

/// The step n for which the set is what '*/n' gives, 0 when there is none.
int StarStep(uint64_t set, const Field &field) noexcept {
  for (int step = 2; step <= field.max - field.min; step++) {
    uint64_t stepped = 0;
    for (int v = field.min; v <= field.max; v += step) {
      stepped |= Bit(v);
    }
    if (stepped == set) {
      return step;
    }
  }
  return 0;
}

enum class Star { kNever, kWhenNatural, kWherePossible };

/// Writes a field as '*', '*/n' or a list with ranges. Two values are naturally a step only when it divides the range
/// ('*/30' minutes, but '0,6' weekdays). Returns whether the text starts with '*'.
bool PutField(Text *text, uint64_t set, const Field &field, Star star) noexcept {
  if (set == Full(field)) {
    text->Put('*');
    return true;
  }
  int span = field.max - field.min + 1;
  int step = star == Star::kNever ? 0 : StarStep(set, field);
  if (step != 0 && (star == Star::kWherePossible || step < (span + 1) / 2 || span % step == 0)) {
    text->Put('*');
    text->Put('/');
    text->Put(static_cast<int64_t>(step));
    return true;
  }
  bool first = true;
  for (int v = field.min; v <= field.max; v++) {
    if ((set & Bit(v)) == 0) {
      continue;
    }
    int end = v;
    while (end < field.max && (set & Bit(end + 1)) != 0) {
      end++;
    }
    if (!first) {
      text->Put(',');
    }
    first = false;
    text->Put(static_cast<int64_t>(v));
    if (end >= v + 2) {
      text->Put('-');
      text->Put(static_cast<int64_t>(end));
      v = end;
    }
  }
  return false;
}

void PutCron(Text *text, const CronFields &cron) noexcept {
  if (cron.seconds != Bit(0)) {
    PutField(text, cron.seconds, kSecond, Star::kWhenNatural);
    text->Put(' ');
  }
  PutField(text, cron.minutes, kMinute, Star::kWhenNatural);
  text->Put(' ');
  PutField(text, cron.hours, kHour, Star::kWhenNatural);
  text->Put(' ');
  // Both day fields must hold: one of the two has to start with '*'; either suffices: none may.
  Star star = cron.either_day ? Star::kNever : Star::kWhenNatural;
  bool must = !cron.either_day && cron.weekdays != Full(kWeekday);
  bool starred = PutField(text, cron.days, kDay, must ? Star::kWherePossible : star);
  text->Put(' ');
  PutField(text, cron.months, kMonth, Star::kWhenNatural);
  text->Put(' ');
  PutField(text, cron.weekdays, kWeekday, must && !starred ? Star::kWherePossible : star);
}

void PutDuration(Text *text, int64_t seconds) noexcept {
  for (char unit : {'d', 'h', 'm', 's'}) {
    int64_t length = UnitSeconds(unit);
    if (seconds >= length) {
      text->Put(seconds / length);
      text->Put(unit);
      seconds %= length;
    }
  }
}

}  // namespace

size_t Schedule::Format(char *buf, size_t size) const noexcept {
  Text text = {buf, size, 0};
  switch (kind) {
    case ScheduleKind::kCalculated:
      for (const char *p = "calculated"; *p != '\0'; p++) {
        text.Put(*p);
      }
      break;
    case ScheduleKind::kDuration:
      PutDuration(&text, seconds);
      break;
    case ScheduleKind::kCron:
      PutCron(&text, cron);
      break;
  }
  if (size > 0) {
    buf[text.length < size ? text.length : 0] = '\0';
  }
  return text.length;
}

std::string Schedule::Canonical() const {
  char buf[kScheduleTextSize];
  return std::string(buf, Format(buf, sizeof(buf)));
}

}  // namespace pgstream
