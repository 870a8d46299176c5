// Schedules: what is accepted and refused, canonical texts, and due times against a search second by second.
#include "core/schedule.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <ctime>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace pgstream {
namespace {

/// Canonical text, or "error: message" of a text.
std::string Canonical(const std::string &text) {
  Schedule schedule;
  ScheduleError error;
  if (!ParseSchedule(text.c_str(), &schedule, &error)) {
    EXPECT_GT(std::strlen(error.message), 0u) << text;
    EXPECT_GT(std::strlen(error.hint), 0u) << text;
    EXPECT_EQ('.', error.hint[std::strlen(error.hint) - 1]) << text << ": " << error.hint;
    return std::string("error: ") + error.message;
  }
  return schedule.Canonical();
}

int64_t Seconds(const char *text) {
  Schedule schedule;
  ScheduleError error;
  return ParseSchedule(text, &schedule, &error) && schedule.kind == ScheduleKind::kDuration ? schedule.seconds : -1;
}

UtcSeconds Utc(int year, int month, int day, int hour = 0, int minute = 0, int second = 0) {
  std::tm tm = {};
  tm.tm_year = year - 1900;
  tm.tm_mon = month - 1;
  tm.tm_mday = day;
  tm.tm_hour = hour;
  tm.tm_min = minute;
  tm.tm_sec = second;
  return UtcSeconds(std::chrono::seconds(timegm(&tm)));
}

/// The next due time as ISO text, "none" when there is none.
std::string Next(const char *text, UtcSeconds t) {
  Schedule schedule;
  ScheduleError error;
  if (!ParseSchedule(text, &schedule, &error)) {
    return error.message;
  }
  std::optional<UtcSeconds> next = schedule.NextAfter(t);
  if (!next) {
    return "none";
  }
  std::time_t seconds = next->time_since_epoch().count();
  std::tm tm;
  gmtime_r(&seconds, &tm);
  char buf[40];
  std::strftime(buf, sizeof(buf), "%Y-%m-%d %H:%M:%S", &tm);
  return buf;
}

TEST(Schedule, Durations) {
  EXPECT_EQ(30, Seconds("30s"));
  EXPECT_EQ(300, Seconds("5m"));
  EXPECT_EQ(5400, Seconds("1h30m"));
  EXPECT_EQ(172800, Seconds("2d"));
  EXPECT_EQ(604800, Seconds("1w"));
  EXPECT_EQ(694861, Seconds("  1w1d1h1m1s\n"));
  EXPECT_EQ(kMaxScheduleSeconds, Seconds("36600d"));
  EXPECT_EQ("1m", Canonical("60s"));
  EXPECT_EQ("1h30m", Canonical("90m"));
  EXPECT_EQ("7d", Canonical("1w"));
  EXPECT_EQ("1d1s", Canonical("86401s"));
}

TEST(Schedule, RefusedDurations) {
  EXPECT_EQ("error: schedule is empty", Canonical(""));
  EXPECT_EQ("error: schedule is empty", Canonical(" \t"));
  EXPECT_EQ("error: duration \"0s\" is zero", Canonical("0s"));
  EXPECT_EQ("error: duration \"0h0m\" is zero", Canonical("0h0m"));
  EXPECT_EQ("error: duration \"-5m\" must be a positive number without a sign", Canonical("-5m"));
  EXPECT_EQ("error: number without a unit in duration \"300\"", Canonical("300"));
  EXPECT_EQ("error: number without a unit in duration \"1h30\"", Canonical("1h30"));
  EXPECT_EQ("error: invalid unit in duration \"5x\"", Canonical("5x"));
  EXPECT_EQ("error: invalid unit in duration \"5M\"", Canonical("5M"));
  EXPECT_EQ("error: invalid unit in duration \"1.5h\"", Canonical("1.5h"));
  EXPECT_EQ("error: invalid duration \"5mm\"", Canonical("5mm"));
  EXPECT_EQ("error: units out of order in duration \"30m1h\"", Canonical("30m1h"));
  EXPECT_EQ("error: units out of order in duration \"5m5m\"", Canonical("5m5m"));
  for (const char *text :
       {"36601d", "36600d1s", "9223372036854775808s", "99999999999999999999999999d", "3162240001s"}) {
    EXPECT_EQ(std::string("error: duration \"") + text + "\" is too long", Canonical(text));
  }
  EXPECT_EQ("error: unrecognized schedule \"often\"", Canonical("often"));
  EXPECT_EQ("error: unrecognized schedule \"calculatedly\"", Canonical("calculatedly"));
  EXPECT_EQ("error: cron expression \"5 m\" has 2 fields, not 5 or 6", Canonical("5 m"));
}

TEST(Schedule, CalculatedAndShorthands) {
  EXPECT_EQ("calculated", Canonical(" CalCulated "));
  EXPECT_EQ("0 * * * *", Canonical("@hourly"));
  EXPECT_EQ("0 0 * * *", Canonical("@DAILY"));
  EXPECT_EQ("0 0 * * *", Canonical("@midnight"));
  EXPECT_EQ("0 0 * * 0", Canonical("@weekly"));
  EXPECT_EQ("0 0 1 * *", Canonical("@monthly"));
  EXPECT_EQ("0 0 1 1 *", Canonical("@yearly"));
  EXPECT_EQ("0 0 1 1 *", Canonical("@annually"));
  EXPECT_EQ("error: unrecognized schedule \"@reboot\"", Canonical("@reboot"));
  EXPECT_EQ("error: unrecognized schedule \"@\"", Canonical("@"));
}

TEST(Schedule, CronCanonicalTexts) {
  const char *const cases[][2] = {
      {"* * * * *", "* * * * *"},
      {"0-59 0-23 1-31 1-12 0-7", "* * * * *"},
      {"0 */5 * * * *", "*/5 * * * *"},
      {"30 * * * * *", "30 * * * * *"},
      {"*/15 * * * * *", "*/15 * * * * *"},
      {"0,15,30,45\t*  * * *", "*/15 * * * *"},
      {"0,30 */12 * * *", "*/30 */12 * * *"},
      {"0,59 * * * *", "0,59 * * * *"},
      {"5/20 * * * *", "5,25,45 * * * *"},
      {"0 9-17 * * MON-fri", "0 9-17 * * 1-5"},
      {"0 0 * Jan,mar-MAY *", "0 0 * 1,3-5 *"},
      {"0 0 * * 7", "0 0 * * 0"},
      {"0 0 * * sat-sun", "0 0 * * 0,6"},
      {"0 0 * * 5-7", "0 0 * * 0,5,6"},
      {"0 0 1 * 1", "0 0 1 * 1"},
      {"0 0 1-31 * 1", "0 0 * * *"},
      {"0 0 1 * 0-6", "0 0 * * *"},
      {"0 0 */2 * 1", "0 0 */2 * 1"},
      {"0 0 1-31/2 * 1", "0 0 1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31 * 1"},
      {"0 0 1-31/2 * *", "0 0 */2 * *"},
      {"0 0 */20 * 1", "0 0 */20 * 1"},
      {"0 0 5 * */6", "0 0 5 * */6"},
      {"00 007 * * *", "0 7 * * *"},
  };
  for (const auto &c : cases) {
    EXPECT_EQ(c[1], Canonical(c[0])) << c[0];
  }
}

TEST(Schedule, RefusedCron) {
  const char *const cases[][2] = {
      {"* * * *", "error: cron expression \"* * * *\" has 4 fields, not 5 or 6"},
      {"*", "error: cron expression \"*\" has 1 field, not 5 or 6"},
      {"* * * * * * *", "error: cron expression \"* * * * * * *\" has 7 fields, not 5 or 6"},
      {"60 * * * *", "error: value out of range in minute field: \"60\""},
      {"60 * * * * *", "error: value out of range in second field: \"60\""},
      {"* 24 * * *", "error: value out of range in hour field: \"24\""},
      {"* * 0 * *", "error: value out of range in day of month field: \"0\""},
      {"* * 32 * *", "error: value out of range in day of month field: \"32\""},
      {"* * * 13 *", "error: value out of range in month field: \"13\""},
      {"* * * * 8", "error: value out of range in day of week field: \"8\""},
      {"99999999999999999999 * * * *", "error: value out of range in minute field: \"99999999999999999999\""},
      {"10-5 * * * *", "error: range runs backwards in minute field: \"10-5\""},
      {"5- * * * *", "error: invalid range in minute field: \"5-\""},
      {"-5 * * * *", "error: invalid value in minute field: \"-5\""},
      {"1,,2 * * * *", "error: empty value in minute field: \"1,,2\""},
      {"1, * * * *", "error: empty value in minute field: \"1,\""},
      {"5x * * * *", "error: invalid value in minute field: \"5x\""},
      {"** * * * *", "error: invalid value in minute field: \"**\""},
      {"*/0 * * * *", "error: step out of range in minute field: \"*/0\""},
      {"*/90 * * * *", "error: step out of range in minute field: \"*/90\""},
      {"*/ * * * *", "error: invalid step in minute field: \"*/\""},
      {"*/5/5 * * * *", "error: invalid value in minute field: \"*/5/5\""},
      {"jan * * * *", "error: invalid value in minute field: \"jan\""},
      {"* * * janu *", "error: invalid value in month field: \"janu\""},
      {"* * * * mo", "error: invalid value in day of week field: \"mo\""},
      {"* * */2,5 * *", "error: '*' in a list in day of month field: \"*/2,5\""},
      {"* * ? * *", "error: invalid value in day of month field: \"?\""},
      {"0 0 30 2 *", "error: cron expression \"0 0 30 2 *\" is never due"},
      {"0 0 31 4,6,9,11 *", "error: cron expression \"0 0 31 4,6,9,11 *\" is never due"},
  };
  for (const auto &c : cases) {
    EXPECT_EQ(c[1], Canonical(c[0]));
  }
  Schedule schedule;
  ScheduleError error;
  ASSERT_FALSE(ParseSchedule("* 24 * * *", &schedule, &error));
  EXPECT_STREQ("hour", error.field);
  EXPECT_STREQ("The hour takes 0-23, '*', lists, ranges and steps, such as '0', '0,2', '0-3' or '*/2'.", error.hint);
  ASSERT_FALSE(ParseSchedule(nullptr, &schedule, &error));
  EXPECT_STREQ("schedule is empty", error.message);
}

TEST(Schedule, NextAfter) {
  EXPECT_EQ("2024-01-01 00:05:00", Next("5m", Utc(2024, 1, 1)));
  EXPECT_EQ("none", Next("calculated", Utc(2024, 1, 1)));
  EXPECT_EQ("2024-01-01 01:00:00", Next("@hourly", Utc(2024, 1, 1)));  // strictly after
  EXPECT_EQ("2024-01-01 00:00:00", Next("@hourly", Utc(2023, 12, 31, 23, 59, 59)));
  EXPECT_EQ("2024-01-01 00:00:30", Next("*/30 * * * * *", Utc(2024, 1, 1)));
  EXPECT_EQ("2024-02-29 12:00:00", Next("0 12 29 2 *", Utc(2023, 3, 1)));
  EXPECT_EQ("2104-02-29 00:00:00", Next("0 0 29 2 *", Utc(2096, 3, 1)));
  EXPECT_EQ("2024-01-05 00:00:00", Next("0 0 13 * fri", Utc(2024, 1, 1)));  // either
  EXPECT_EQ("2024-01-13 00:00:00", Next("0 0 13 * fri", Utc(2024, 1, 12)));
  EXPECT_EQ("2024-01-21 00:00:00", Next("0 0 */20 * sun", Utc(2024, 1, 1)));  // both: the 1st or the 21st, on a Sunday
  EXPECT_EQ("2024-01-06 00:00:00", Next("0 0 * * sat-sun", Utc(2024, 1, 5)));
  EXPECT_EQ("1969-12-31 23:59:00", Next("59 23 * * *", Utc(1969, 12, 31)));
  EXPECT_EQ("1600-02-29 00:00:00", Next("0 0 29 2 *", Utc(1599, 12, 31)));
  EXPECT_EQ("none", Next("@hourly", UtcSeconds(std::chrono::seconds(INT64_MAX))));
  EXPECT_EQ("none", Next("1s", UtcSeconds(std::chrono::seconds(INT64_MAX))));
  Schedule never = {};
  never.kind = ScheduleKind::kCron;
  EXPECT_FALSE(never.NextAfter(Utc(2024, 1, 1)));
}

/// A random field: its text and the values it means, worked out apart from the parser.
std::string RandomField(std::mt19937_64 &rng, int min, int max, std::set<int> *values, bool *star) {
  std::string text;
  values->clear();
  *star = false;
  int span = max - min + 1;
  if (rng() % 3 == 0) {
    int step = rng() % 2 == 0 ? 1 : static_cast<int>(rng() % static_cast<unsigned>(span - 1)) + 1;
    for (int v = min; v <= max; v += step) {
      values->insert(v);
    }
    *star = true;
    return step == 1 ? "*" : "*/" + std::to_string(step);
  }
  for (unsigned n = rng() % 3 + 1; n > 0; n--) {
    int low = min + static_cast<int>(rng() % static_cast<unsigned>(span));
    int high = low + static_cast<int>(rng() % static_cast<unsigned>(max - low + 1));
    text += (text.empty() ? "" : ",") + std::to_string(low);
    if (rng() % 2 == 0) {
      high = low;
    } else {
      text += "-" + std::to_string(high);
    }
    for (int v = low; v <= high; v++) {
      values->insert(v);
    }
  }
  return text;
}

TEST(Schedule, RandomCronAgainstTheCalendar) {
  std::mt19937_64 rng(5);
  int found = 0;
  for (int round = 0; round < 400; round++) {
    std::set<int> second, minute, hour, day, month, weekday;
    bool star, day_star, weekday_star;
    std::string text = RandomField(rng, 0, 59, &second, &star);
    text += " " + RandomField(rng, 0, 59, &minute, &star);
    text += " " + RandomField(rng, 0, 23, &hour, &star);
    text += " " + RandomField(rng, 1, 31, &day, &day_star);
    text += " " + RandomField(rng, 1, 12, &month, &star);
    text += " " + RandomField(rng, 0, 6, &weekday, &weekday_star);
    Schedule schedule, again;
    ScheduleError error;
    if (!ParseSchedule(text.c_str(), &schedule, &error)) {
      ASSERT_NE(nullptr, std::strstr(error.message, "never due")) << text << ": " << error.message;
      continue;
    }
    std::string canonical = schedule.Canonical();
    ASSERT_TRUE(ParseSchedule(canonical.c_str(), &again, &error)) << text << " -> " << canonical << error.message;
    ASSERT_EQ(canonical, again.Canonical()) << text;
    ASSERT_TRUE(schedule == again) << text << " -> " << canonical;

    auto due = [&](std::time_t t) {
      std::tm tm;
      gmtime_r(&t, &tm);
      bool in_days = day.count(tm.tm_mday) != 0;
      bool in_weekdays = weekday.count(tm.tm_wday) != 0;
      bool day_due = day_star || weekday_star ? in_days && in_weekdays : in_days || in_weekdays;
      return day_due && second.count(tm.tm_sec) && minute.count(tm.tm_min) && hour.count(tm.tm_hour) &&
             month.count(tm.tm_mon + 1);
    };
    std::time_t t = static_cast<std::time_t>(rng() % 4000000000u);
    std::optional<UtcSeconds> next = schedule.NextAfter(UtcSeconds(std::chrono::seconds(t)));
    ASSERT_TRUE(next) << text;
    std::time_t expected = next->time_since_epoch().count();
    ASSERT_GT(expected, t);
    ASSERT_TRUE(due(expected)) << text << " at " << expected;
    for (std::time_t u = t + 1, end = std::min(expected, t + 5000); u < end; u++) {
      ASSERT_FALSE(due(u)) << text << " at " << u;
    }
    for (int i = 0; i < 2000; i++) {  // and none in between, by samples
      std::time_t u = t + 1 + static_cast<std::time_t>(rng() % static_cast<uint64_t>(expected - t));
      ASSERT_TRUE(u == expected || !due(u)) << text << " at " << u;
    }
    found++;
  }
  EXPECT_GT(found, 350);
}

TEST(Schedule, GarbageNeverBreaksTheParser) {
  std::mt19937_64 rng(6);
  const char alphabet[] = "0123456789*/,- smhdw@janfrisun?\tZ\xC3";
  int parsed = 0;
  for (int round = 0; round < 100000; round++) {
    std::string text;
    for (size_t n = rng() % 24; n > 0; n--) {
      text.push_back(alphabet[rng() % (sizeof(alphabet) - 1)]);
    }
    Schedule schedule, again;
    ScheduleError error;
    if (!ParseSchedule(text.c_str(), &schedule, &error)) {
      continue;
    }
    parsed++;
    ASSERT_TRUE(ParseSchedule(schedule.Canonical().c_str(), &again, &error)) << text;
    ASSERT_TRUE(schedule == again) << text;
  }
  EXPECT_GT(parsed, 50);
  EXPECT_EQ(0u, Canonical(std::string(100000, '9')).find("error: duration \"999"));
  EXPECT_EQ(0u, Canonical(std::string(100000, '*')).find("error: cron expression"));
}

TEST(Schedule, LongestCanonicalTextFits) {
  std::string every_other;
  for (int v = 0; v < 60; v++) {
    if (v % 3 != 1) {
      every_other += (every_other.empty() ? "" : ",") + std::to_string(v);
    }
  }
  std::string text = every_other + " " + every_other +
                     " 0,2,3,5,6,8,9,11,12,14,15,17,18,20,21,23"
                     " 1,3,4,6,7,9,10,12,13,15,16,18,19,21,22,24,25,27,28,30,31 1,3,4,6,7,9,10,12 0,2,3,5,6";
  EXPECT_EQ(text, Canonical(text));
  EXPECT_LT(text.size(), kScheduleTextSize);
}

TEST(Schedule, PlainInterface) {
  ScheduleKind kind;
  int64_t seconds;
  char canonical[16], error[100], hint[100];
  ASSERT_TRUE(
      ParseScheduleC("90s", &kind, &seconds, canonical, sizeof(canonical), error, sizeof(error), hint, sizeof(hint)));
  EXPECT_EQ(ScheduleKind::kDuration, kind);
  EXPECT_EQ(90, seconds);
  EXPECT_STREQ("1m30s", canonical);
  EXPECT_STREQ("", error);
  ASSERT_TRUE(ParseScheduleC("@daily", &kind, &seconds, canonical, sizeof(canonical), nullptr, 0, nullptr, 0));
  EXPECT_EQ(ScheduleKind::kCron, kind);
  EXPECT_EQ(0, seconds);
  EXPECT_STREQ("0 0 * * *", canonical);
  ASSERT_FALSE(ParseScheduleC("5", &kind, &seconds, canonical, sizeof(canonical), error, 10, hint, sizeof(hint)));
  EXPECT_STREQ("number wi", error);
  EXPECT_STREQ("", canonical);
  EXPECT_STRNE("", hint);
  ASSERT_FALSE(ParseScheduleC("1-3,7 1-3,7 * * *", &kind, &seconds, canonical, 16, error, 100, hint, 100));
  EXPECT_STREQ("schedule is too long", error);
  EXPECT_STREQ("", canonical);
}

}  // namespace
}  // namespace pgstream
