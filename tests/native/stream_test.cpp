// Tests of a stream's history against a model, and of readers beside publishers. Returns 1 if any
// failed.

#include "support/checks.h"

#include "streams/stream.h"

#include <atomic>
#include <cstdlib>
#include <deque>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

using laplace::Block;
using laplace::History;
using laplace::Message;
using laplace::Range;
using laplace::Stream;

std::atomic<int> living{0};  // arrays

std::vector<Message> arrays_of(size_t bytes) {
    std::vector<Message> arrays;
    if (bytes == 0) return arrays;
    char* const array = new char[bytes];
    const auto release = [](void* data, void*) {
        delete[] static_cast<char*>(data);
        --living;
    };
    ++living;
    if (!arrays.emplace_back().borrow(array, bytes, release, nullptr)) std::abort();
    return arrays;
}

uint64_t append(Stream& stream, const std::string& text, double time = 0, size_t array_bytes = 0,
                uint64_t lost_before = 0) {
    std::vector<Message> arrays = arrays_of(array_bytes);
    return stream.append(text, false, time, arrays, lost_before);
}

// ---- against a model

struct Update {
    std::string text;
    double time;
    size_t array_bytes;
};

std::string text_of(uint64_t number, size_t size) {
    std::string text = "{\"n\":" + std::to_string(number) + ",\"pad\":\"";
    if (text.size() + 2 < size) text.append(size - text.size() - 2, 'p');
    return text + "\"}";
}

// Every update there is, read block by block, is what was appended.
void holds_what_was_appended(Stream& stream, const std::vector<Update>& all) {
    const Range range = stream.range();
    CHECK(range.last == all.size());
    CHECK(range.first >= 1 && range.first <= range.last + 1);
    CHECK(stream.block_of(range.first - 1) == nullptr);
    CHECK(stream.block_of(range.last + 1) == nullptr);
    uint64_t number = range.first;
    while (number <= range.last) {
        const std::shared_ptr<Block> block = stream.block_of(number);
        if (!CHECK(block != nullptr)) return;
        const auto begin = static_cast<uint32_t>(number - block->first());
        const uint32_t end = block->count();
        if (!CHECK(block->first() <= number && begin < end)) return;
        std::string wanted;
        for (uint32_t i = begin; i < end; ++i) {
            const Update& update = all[block->first() + i - 1];
            if (i > begin) wanted += ',';
            wanted += update.text;
            CHECK(block->times(begin)[i - begin] == update.time);
            CHECK(block->texts(i, i + 1) == update.text);
            CHECK(block->arrays().size() == (update.array_bytes > 0 ? 1 : 0));
        }
        CHECK(block->texts(begin, end) == wanted);
        number = block->first() + end;
    }
    CHECK(number == range.last + 1);
}

void is_as_the_model(unsigned seed) {
    std::mt19937 random(seed);
    const auto upto = [&](size_t limit) { return static_cast<size_t>(random() % (limit + 1)); };
    History history;
    history.bytes = size_t{1} << upto(22);
    history.updates = upto(2) == 0 ? upto(300) : UINT64_MAX;
    Stream stream(history);
    std::vector<Update> all;
    uint64_t first_seen = 1;
    const size_t steps = 200 + upto(1500);
    for (size_t step = 0; step < steps; ++step) {
        if (upto(400) == 0) {
            history.bytes = size_t{1} << upto(22);
            history.updates = upto(2) == 0 ? upto(300) : UINT64_MAX;
            stream.set_history(history);
        }
        const size_t size = upto(20) == 0 ? upto(200000) : upto(100);
        Update update{text_of(all.size() + 1, size), 1e9 + static_cast<double>(step), upto(30) == 0 ? 1 + upto(100000) : 0};
        CHECK(append(stream, update.text, update.time, update.array_bytes) == all.size() + 1);
        const size_t own = update.text.size() + update.array_bytes;
        all.push_back(std::move(update));

        const Range range = stream.range();
        CHECK(range.first >= first_seen);  // what is gone does not come back
        first_seen = range.first;
        CHECK(range.first <= range.last);  // the last one is always there
        CHECK(range.last - range.first + 1 <= std::max<uint64_t>(history.updates, 1));
        // Beyond the limit only where the last block alone is.
        CHECK(stream.bytes() <= std::max(history.bytes, own + 200000));
        if (upto(100) == 0) holds_what_was_appended(stream, all);
    }
    holds_what_was_appended(stream, all);
}

void keeps_as_much_as_it_may() {
    History history;
    history.bytes = size_t{1} << 20;
    Stream stream(history);
    const std::string text = text_of(1, 100);
    for (int i = 0; i < 100000; ++i) append(stream, text);
    const Range range = stream.range();
    const size_t held = (range.last - range.first + 1) * text.size();
    CHECK(held > history.bytes / 2);  // the rest is what belongs to each update, and the last block
    CHECK(stream.bytes() <= history.bytes);
}

void forgets_arrays() {
    History history;
    history.bytes = 1000000;
    {
        Stream stream(history);
        for (int i = 0; i < 100; ++i) append(stream, "{}", 0, 100000);
        CHECK(living == 9);
        CHECK(stream.range().first == 92);
        const std::shared_ptr<Block> held = stream.block_of(92);
        for (int i = 0; i < 100; ++i) append(stream, "{}", 0, 100000);
        CHECK(living == 10);  // a reader keeps what it reads
        CHECK(held->texts(0, 1) == "{}");
    }
    CHECK(living == 0);
}

// ---- readers beside publishers

void readers_see_whole_updates() {
    History history;
    history.bytes = 64 * 1024;
    Stream stream(history);
    constexpr uint64_t each = 60000;
    constexpr int publishers = 2, readers = 2;
    std::atomic<int> publishing{publishers};
    std::vector<std::thread> threads;
    for (int p = 0; p < publishers; ++p) {
        threads.emplace_back([&, p] {
            const std::string text = p == 0 ? "{\"a\":1}" : "{\"b\":22}";
            for (uint64_t i = 0; i < each; ++i) append(stream, text, p, i % 1000 == 0 ? 100 : 0);
            --publishing;
        });
    }
    for (int r = 0; r < readers; ++r) {
        threads.emplace_back([&] {
            uint64_t next = 1, seen = 0, lost = 0;
            while (publishing > 0 || next <= stream.range().last) {
                const std::shared_ptr<Block> block = stream.block_of(next);
                if (block == nullptr) {
                    const Range range = stream.range();
                    if (next >= range.first) {
                        std::this_thread::yield();
                        continue;
                    }
                    lost += range.first - next;
                    next = range.first;
                    continue;
                }
                const auto begin = static_cast<uint32_t>(next - block->first());
                const uint32_t end = block->count();
                if (!CHECK(begin < end)) return;
                for (uint32_t i = begin; i < end; ++i) {
                    const std::string_view text = block->texts(i, i + 1);
                    const std::string_view wanted = block->times(i)[0] == 0 ? "{\"a\":1}" : "{\"b\":22}";
                    if (text != wanted) CHECK(false && "an update is torn");
                }
                seen += end - begin;
                next = block->first() + end;
            }
            CHECK(seen + lost == publishers * each);
            CHECK(seen > 0);
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(stream.range().last == publishers * each);
}

// ---- publishers that wait

constexpr auto never = std::chrono::steady_clock::time_point::max();
constexpr auto at_once = std::chrono::steady_clock::time_point::min();

uint64_t append_waiting(Stream& stream, const std::string& text, size_t array_bytes,
                        std::chrono::steady_clock::time_point deadline, size_t& given_up) {
    std::vector<Message> arrays = arrays_of(array_bytes);
    for (;;) {
        if (const uint64_t number = stream.append(text, false, 0, arrays)) return number;
        CHECK(arrays.size() == (array_bytes > 0 ? 1 : 0));  // still the caller's
        if (!stream.wait_for_subscribers(text.size(), arrays, deadline)) given_up += stream.give_up(text.size(), arrays).size();
    }
}

// Whatever the history, a subscriber that moves on loses nothing, and one that does not is given up.
void publishers_wait(unsigned seed) {
    std::mt19937 random(seed);
    History history;
    history.bytes = size_t{1} << (random() % 18);
    history.updates = random() % 2 == 0 ? 1 + random() % 50 : UINT64_MAX;
    history.block = true;
    Stream stream(history);
    const auto cursor = std::make_shared<laplace::Counter>(1);
    stream.join(cursor);
    constexpr uint64_t total = 3000;
    std::atomic<bool> over{false};
    std::thread reader([&] {
        std::mt19937 steps(seed + 1);
        uint64_t next = 1;
        while (next <= total && !over) {
            const Range range = stream.range();
            if (!CHECK(range.first <= next)) break;
            if (next > range.last) {
                std::this_thread::yield();
                continue;
            }
            next += 1 + steps() % (range.last - next + 1);
            cursor->store(next);
            stream.advanced();
        }
    });
    size_t given_up = 0;
    for (uint64_t i = 1; i <= total; ++i) {
        CHECK(append_waiting(stream, text_of(i, random() % 200), random() % 20 == 0 ? random() % 5000 : 0, never, given_up) == i);
    }
    reader.join();
    over = true;
    CHECK(given_up == 0);

    cursor->store(total);  // the last one was not sent to him; now he takes nothing
    const uint64_t before = stream.range().last;
    for (int i = 0; i < 1000; ++i) append_waiting(stream, text_of(1, 1000), 0, at_once, given_up);
    CHECK(stream.range().last == before + 1000);
    CHECK(given_up == (stream.range().first > total ? 1 : 0));
    stream.leave(cursor);
    CHECK(append(stream, "{}") == before + 1001);
}

// Where no update goes, nobody is waited for, however far behind he is.
void nobody_waits_for_nothing() {
    History history;
    history.block = true;
    Stream stream(history);
    const auto cursor = std::make_shared<laplace::Counter>(1);
    stream.join(cursor);
    for (uint64_t i = 1; i <= 10000; ++i) CHECK(append(stream, text_of(i, 1000), 0, i % 100 == 0 ? 1 : 0) == i);
    history.updates = 1;
    stream.set_history(history);  // what he has not been sent is gone
    history.updates = UINT64_MAX;
    stream.set_history(history);
    for (uint64_t i = 10001; i <= 11000; ++i) CHECK(append(stream, text_of(i, 1000)) == i);
}

// What numbers there are is found, wherever one looks from, and in order.
void numbers_are_left_out(unsigned seed) {
    std::mt19937 random(seed);
    History history;
    history.bytes = size_t{1} << (10 + random() % 12);
    history.updates = random() % 2 == 0 ? 1 + random() % 300 : UINT64_MAX;
    Stream stream(history);
    std::map<uint64_t, std::string> all;
    uint64_t last = 0;
    for (int step = 0; step < 500; ++step) {
        const uint64_t lost = random() % 5 != 0 ? 0 : random() % 4 == 0 ? random() % 1000 : 1;
        last += lost + 1;
        const std::string text = text_of(last, random() % 100);
        CHECK(append(stream, text, 0, random() % 10 == 0 ? 100 : 0, lost) == last);
        all[last] = text;
    }
    const Range range = stream.range();
    CHECK(range.last == last);
    CHECK(stream.block_of(range.first - 1) == nullptr);
    CHECK(stream.block_of(range.last + 1) == nullptr);
    for (uint64_t number = range.first; number <= last; ++number) {
        const std::shared_ptr<Block> block = stream.block_of(number);
        if (!CHECK(block != nullptr)) return;
        const uint64_t found = std::max(number, block->first());
        CHECK(found == all.lower_bound(number)->first);
        const auto index = static_cast<uint32_t>(found - block->first());
        if (CHECK(index < block->count())) CHECK(block->texts(index, index + 1) == all[found]);
    }
}

// A subscriber who was sent all is not waited for; one who was not is, whatever is left out.
void what_is_left_out_costs_nobody() {
    History history;
    history.block = true;
    history.updates = 10;
    Stream stream(history);
    const auto cursor = std::make_shared<laplace::Counter>(1);
    stream.join(cursor);
    for (uint64_t i = 1; i <= 10; ++i) CHECK(append(stream, "{}") == i);
    cursor->store(11);
    CHECK(append(stream, "{}", 0, 0, 1000) == 1011);
    CHECK(append(stream, "{}", 0, 0, 1000) == Stream::would_cost);
    std::vector<Message> none;
    CHECK(!stream.wait_for_subscribers(2, none, at_once, 1000));
    CHECK(stream.wait_for_subscribers(2, none, at_once));  // without a gap there is room
    cursor->store(1012);
    CHECK(stream.wait_for_subscribers(2, none, at_once, 1000));
    CHECK(append(stream, "{}", 0, 0, 1000) == 2012);
}

void nothing_follows_the_last() {
    Stream stream(History{});
    CHECK(append(stream, "{}") == 1);
    stream.seal();
    CHECK(append(stream, "{}") == Stream::sealed);
    CHECK(append(stream, "{}", 0, 100) == Stream::sealed);
    CHECK(stream.range().last == 1);
}

}  // namespace

int main() {
    for (unsigned seed = 1; seed <= 40; ++seed) is_as_the_model(seed);
    keeps_as_much_as_it_may();
    CHECK(living == 0);
    forgets_arrays();
    readers_see_whole_updates();
    for (unsigned seed = 1; seed <= 40; ++seed) publishers_wait(seed);
    nobody_waits_for_nothing();
    for (unsigned seed = 1; seed <= 40; ++seed) numbers_are_left_out(seed);
    what_is_left_out_costs_nobody();
    nothing_follows_the_last();
    CHECK(living == 0);
    return checks::status();
}
