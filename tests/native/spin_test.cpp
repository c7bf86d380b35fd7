// Tests of when the loop sleeps, with a clock of their own. Returns 1 if any failed.

#include "base/spin.h"
#include "support/checks.h"

#include <cstdint>

namespace {

using laplace::Spin;

constexpr uint64_t us = 1000;
constexpr uint64_t longest = 200 * us;

// A wait of this length, asking every microsecond; returns how often it would have slept.
int wait(Spin& spin, uint64_t& now, uint64_t length) {
    int sleeps = 0;
    const uint64_t end = now + length;
    if (!spin.brisk()) {
        spin.sleep(now);
        now = end;
        ++sleeps;
    }
    while (now < end) {
        if (spin.again(now)) {
            now += us;
        } else {
            ++sleeps;
            now = end;
        }
    }
    spin.over(now);
    return sleeps;
}

void sleeps_at_first_and_after_a_long_wait() {
    Spin spin(longest);
    uint64_t now = 1;
    CHECK(!spin.brisk());
    CHECK(wait(spin, now, 10 * us) == 1);   // nothing is known yet
    CHECK(spin.brisk());
    CHECK(wait(spin, now, 10 * us) == 0);   // the last wait was short
    CHECK(wait(spin, now, 199 * us) == 0);
    CHECK(wait(spin, now, 300 * us) == 1);  // spins its time, then sleeps
    CHECK(wait(spin, now, 10 * us) == 1);   // the last wait was long
    CHECK(wait(spin, now, 10 * us) == 0);
}

void a_seldom_read_server_never_spins() {
    Spin spin(longest);
    uint64_t now = 1;
    for (int i = 0; i < 100; ++i) {
        CHECK(!spin.brisk());
        CHECK(!spin.again(now));
        spin.sleep(now);
        now += 250 * us;
        spin.over(now);
    }
}

void never_spins_longer_than_told() {
    Spin spin(longest);
    uint64_t now = 1;
    wait(spin, now, us);
    const uint64_t began = now;
    while (spin.again(now)) now += us;
    CHECK(now - began == longest);
    now += 1000 * us;
    CHECK(!spin.again(now));  // asked again after an interrupted sleep,
    spin.over(now);
    wait(spin, now, us);
    CHECK(wait(spin, now, us) == 0);  // which is no sign of a crowd
}

void leaves_a_crowded_core_alone() {
    Spin spin(longest);
    uint64_t now = 1;
    wait(spin, now, us);
    CHECK(spin.again(now));
    now += Spin::crowded_ns + 1;  // the yield took long
    CHECK(!spin.again(now));
    const uint64_t retreat = now + Spin::retreat_ns;
    spin.over(now);
    while (now + 10 * us < retreat) CHECK(wait(spin, now, 10 * us) == 1);
    now = retreat;
    wait(spin, now, 10 * us);
    CHECK(wait(spin, now, 10 * us) == 0);
}

void a_long_sleep_is_no_sign_of_a_crowd() {
    Spin spin(longest);
    uint64_t now = 1;
    wait(spin, now, us);
    wait(spin, now, 1000000 * us);
    wait(spin, now, us);
    CHECK(wait(spin, now, us) == 0);
}

void what_is_there_at_once_keeps_it_brisk() {
    Spin spin(longest);
    uint64_t now = 1;
    wait(spin, now, us);
    for (int i = 0; i < 10; ++i) {
        CHECK(spin.brisk());
        now += 10000 * us;  // of work, not of waiting
        spin.over(now);
    }
    CHECK(wait(spin, now, 10 * us) == 0);
}

void may_sleep_although_brisk() {
    Spin spin(longest);
    uint64_t now = 1;
    wait(spin, now, us);
    CHECK(spin.brisk());
    spin.sleep(now);
    now += 150 * us;
    CHECK(spin.again(now));  // the sleep was no sign of a crowd, and not too long
    now += 60 * us;
    CHECK(!spin.again(now));
}

void a_wake_up_is_no_message() {
    Spin spin(longest);
    uint64_t now = 1;
    // Requests far apart, each with a result from Python shortly after it.
    for (int i = 0; i < 10; ++i) {
        CHECK(wait(spin, now, 1000 * us) == 1);
        CHECK(!spin.brisk());
        spin.sleep(now);
        now += 20 * us;
        spin.interrupted();
        spin.answered();
        CHECK(!spin.brisk());
    }
    // Requests close to one another stay so.
    CHECK(wait(spin, now, us) == 1);
    CHECK(spin.brisk());
    CHECK(spin.again(now));
    spin.interrupted();
    spin.answered();
    CHECK(spin.brisk());
    CHECK(wait(spin, now, 100 * us) == 0);
}

void a_wake_up_does_not_make_a_wait_short() {
    Spin spin(longest);
    uint64_t now = 1;
    wait(spin, now, us);
    for (int i = 0; i < 10; ++i) {  // what is published, say
        spin.again(now);
        now += 100 * us;
        spin.interrupted();
    }
    CHECK(!spin.again(now));
    spin.over(now);
    CHECK(!spin.brisk());
}

void a_message_that_comes_in_a_crowd() {
    Spin spin(longest);
    uint64_t now = 1;
    wait(spin, now, us);
    CHECK(spin.again(now));
    now += Spin::crowded_ns + 1;  // the yield took long, and then a message was there
    spin.over(now);
    CHECK(!spin.brisk());
}

void zero_always_sleeps() {
    Spin spin(0);
    uint64_t now = 1;
    for (int i = 0; i < 10; ++i) CHECK(wait(spin, now, us) == 1);
}

}  // namespace

int main() {
    sleeps_at_first_and_after_a_long_wait();
    a_seldom_read_server_never_spins();
    never_spins_longer_than_told();
    leaves_a_crowded_core_alone();
    a_long_sleep_is_no_sign_of_a_crowd();
    may_sleep_although_brisk();
    a_wake_up_is_no_message();
    a_wake_up_does_not_make_a_wait_short();
    a_message_that_comes_in_a_crowd();
    what_is_there_at_once_keeps_it_brisk();
    zero_always_sleeps();
    return checks::status();
}
