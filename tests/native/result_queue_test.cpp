// Tests of results on their way to the loop: how many bytes, and who waits. Returns 1 if any failed.

#include "server/result_queue.h"
#include "support/checks.h"

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using laplace::Message;
using laplace::Result;
using laplace::ResultQueue;

constexpr size_t most_bytes = 1000;

Result result_of(size_t size, uint64_t id = 1) {
    Result result;
    result.id = id;
    result.reply = std::string(size, 'x');
    return result;
}

bool fits(ResultQueue& queue, Result result) { return queue.try_push(result); }

void holds_so_many_bytes_and_one_result() {
    ResultQueue queue(most_bytes);
    CHECK(fits(queue, result_of(most_bytes - 1)));
    CHECK(fits(queue, result_of(50 * most_bytes)));
    Result refused = result_of(10, 7);
    CHECK(!queue.try_push(refused));
    CHECK(refused.id == 7 && refused.reply.size() == 10);  // it is still the caller's
    CHECK(!fits(queue, result_of(0)));  // it keeps its place behind them
    CHECK(queue.take().size() == 2);
    CHECK(fits(queue, result_of(50 * most_bytes)));
    CHECK(!fits(queue, result_of(1)));
    CHECK(queue.take().size() == 1);
    CHECK(queue.take().empty());
}

void counts_whatever_it_holds() {
    Result with_array = result_of(most_bytes / 4);
    with_array.refusal = std::string(most_bytes / 4, 'x');
    with_array.arrays.emplace_back();
    CHECK(with_array.arrays.back().allocate(most_bytes / 2));
    CHECK(with_array.size() == most_bytes);
    ResultQueue queue(most_bytes);
    CHECK(queue.try_push(with_array));
    CHECK(!fits(queue, result_of(1)));
}

void a_bound_of_nothing_lets_one_through() {
    ResultQueue queue(0);
    CHECK(fits(queue, result_of(0)));
    CHECK(!fits(queue, result_of(0)));
    CHECK(queue.take().size() == 1);
    CHECK(fits(queue, result_of(5)));
}

// Three threads, as a server has, that make more than fits; all comes, each thread's in its order.
void who_waits_goes_on_when_they_are_taken() {
    constexpr uint64_t threads = 3, each = 300;
    ResultQueue queue(most_bytes);
    std::vector<std::thread> makers;
    for (uint64_t maker = 0; maker < threads; ++maker) {
        makers.emplace_back([&queue, maker] {
            for (uint64_t i = 0; i < each; ++i) queue.push(result_of(most_bytes / 2, maker * each + i));
        });
    }
    std::vector<uint64_t> next{0, each, 2 * each};
    for (uint64_t taken = 0; taken < threads * each;) {
        const std::vector<Result> results = queue.take();
        CHECK(results.size() <= 2);
        for (const Result& result : results) CHECK(result.id == next[result.id / each]++);
        taken += results.size();
        std::this_thread::yield();
    }
    for (std::thread& maker : makers) maker.join();
    CHECK(queue.take().empty());
}

void nobody_waits_once_the_loop_has_ended() {
    ResultQueue queue(most_bytes);
    CHECK(fits(queue, result_of(most_bytes)));
    std::atomic<int> begun{0};
    std::vector<std::thread> makers;
    for (int i = 0; i < 2; ++i) {
        makers.emplace_back([&] {
            begun.fetch_add(1);
            queue.push(result_of(most_bytes));
        });
    }
    while (begun.load() < 2) std::this_thread::yield();
    queue.close();
    for (std::thread& maker : makers) maker.join();
    CHECK(fits(queue, result_of(most_bytes)));
    queue.push(result_of(most_bytes));
    CHECK(queue.take().empty());  // they are dropped
}

}  // namespace

int main() {
    holds_so_many_bytes_and_one_result();
    counts_whatever_it_holds();
    a_bound_of_nothing_lets_one_through();
    who_waits_goes_on_when_they_are_taken();
    nobody_waits_once_the_loop_has_ended();
    return checks::status();
}
