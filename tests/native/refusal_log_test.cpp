// Tests of what the log is told of connections refused or closed, with a clock of their own. Returns 1 if
// any failed.

#include "requests/refusal_log.h"
#include "support/checks.h"
#include "support/failing_memory.h"
#include "support/memory_zmq.h"

#include <string>
#include <utility>
#include <vector>

namespace {

using laplace::Attention;
using laplace::Job;
using laplace::JobQueue;
using laplace::Refusal;
using laplace::RefusalLog;
using laplace::refusal_count;
using laplace::Refused;

constexpr uint64_t begin = 5;
constexpr uint64_t minute = 60 * UINT64_C(1000000000);

// What the log was told since the last call; whoever waits for it was woken exactly where there was something.
std::vector<Refused> told(JobQueue& queue) {
    Job job;
    Attention attention = Attention::closed;
    const bool woken = queue.try_next(job, attention);
    std::vector<Refused> records = queue.take_refusals();
    CHECK(woken == !records.empty());
    CHECK(!woken || attention == Attention::log);
    CHECK(!queue.try_next(job, attention));
    return records;
}

void is_one(const std::vector<Refused>& records, Refusal reason, const std::string& address, uint64_t more) {
    if (!CHECK(records.size() == 1)) return;
    CHECK(records[0].reason == reason);
    CHECK(records[0].address == address);
    CHECK(records[0].more == more);
}

void tells_the_first_at_once_and_then_one_a_minute() {
    JobQueue queue;
    RefusalLog log(minute);
    CHECK(told(queue).empty());
    log.note(begin, Refusal::message_size, "10.0.0.3:51234", {}, queue);
    is_one(told(queue), Refusal::message_size, "10.0.0.3:51234", 0);
    for (uint64_t i = 0; i < 12; ++i) {
        log.note(begin + minute - 12 + i, Refusal::message_size, "10.0.0.4:1", {}, queue);
        CHECK(told(queue).empty());
    }
    log.note(begin + minute, Refusal::message_size, "10.0.0.5:2", {}, queue);
    is_one(told(queue), Refusal::message_size, "10.0.0.5:2", 12);
    log.note(begin + 2 * minute - 1, Refusal::message_size, "10.0.0.6:3", {}, queue);
    CHECK(told(queue).empty());
    log.note(begin + 9 * minute, Refusal::message_size, "10.0.0.7:4", {}, queue);
    is_one(told(queue), Refusal::message_size, "10.0.0.7:4", 1);
    log.note(begin + 10 * minute, Refusal::message_size, "10.0.0.8:5", {}, queue);
    is_one(told(queue), Refusal::message_size, "10.0.0.8:5", 0);
}

void counts_each_reason_by_itself() {
    JobQueue queue;
    RefusalLog log(minute);
    for (uint64_t round = 0; round < 3; ++round) {
        for (size_t i = 0; i < refusal_count; ++i) {
            const auto reason = static_cast<Refusal>(i);
            const std::string address = "[fe80::1%eth0]:" + std::to_string(i);
            log.note(begin + round * minute, reason, address, {}, queue);
            is_one(told(queue), reason, address, round == 0 ? 0 : i);
            for (size_t more = 0; more < i; ++more) log.note(begin + round * minute + 1, reason, "other", {}, queue);
            CHECK(told(queue).empty());
        }
    }
}

void a_full_queue_loses_no_count() {
    JobQueue queue;
    RefusalLog log(minute);
    for (size_t i = 0; i < JobQueue::log_limit; ++i) CHECK(queue.push_refusal({Refusal::address, "a", i}));
    CHECK(!queue.push_refusal({Refusal::address, "a", 0}));
    log.note(begin, Refusal::mechanism, "b", {}, queue);
    log.note(begin, Refusal::mechanism, "b", {}, queue);
    const std::vector<Refused> records = queue.take_refusals();
    CHECK(records.size() == JobQueue::log_limit);
    for (size_t i = 0; i < records.size(); ++i) CHECK(records[i].reason == Refusal::address && records[i].more == i);
    log.note(begin, Refusal::mechanism, "c", {}, queue);
    is_one(told(queue), Refusal::mechanism, "c", 2);
}

void no_memory_loses_no_count() {
    const std::string address(100, 'a');  // longer than what a string holds in itself
    uint64_t failures = 0;
    for (bool reached = true; reached; ++failures) {
        JobQueue queue;
        RefusalLog log(minute);
        {
            const failing_memory::At at(failures + 1);
            log.note(begin, Refusal::no_memory, address, {}, queue);
            reached = at.reached();
        }
        if (!reached) {
            is_one(told(queue), Refusal::no_memory, address, 0);
            break;
        }
        CHECK(told(queue).empty());
        log.note(begin, Refusal::no_memory, address, {}, queue);
        is_one(told(queue), Refusal::no_memory, address, 1);
    }
    CHECK(failures >= 2);  // the text and the queue
}

void what_is_logged_does_not_hold_up_jobs() {
    JobQueue queue;
    RefusalLog log(minute);
    log.note(begin, Refusal::not_zmtp, "a", {}, queue);
    CHECK(queue.push_log({1, "\"b\""}));
    Job pushed;
    pushed.id = 7;
    queue.push(std::move(pushed));
    Job job;
    CHECK(queue.next(job) == Attention::log);  // once for both
    CHECK(queue.next(job) == Attention::job);
    CHECK(job.id == 7);
    CHECK(queue.take_log().size() == 1);
    is_one(queue.take_refusals(), Refusal::not_zmtp, "a", 0);
}

void the_end_leaves_what_was_not_taken() {
    JobQueue queue;
    RefusalLog log(minute);
    log.note(begin, Refusal::heartbeat, "a", {}, queue);
    queue.shut();
    queue.close();
    Job job;
    CHECK(queue.next(job) == Attention::closed);
    is_one(queue.take_refusals(), Refusal::heartbeat, "a", 0);
}

}  // namespace

int main() {
    memory_zmq::use();
    tells_the_first_at_once_and_then_one_a_minute();
    counts_each_reason_by_itself();
    a_full_queue_loses_no_count();
    no_memory_loses_no_count();
    what_is_logged_does_not_hold_up_jobs();
    the_end_leaves_what_was_not_taken();
    return checks::status();
}
