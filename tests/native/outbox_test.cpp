// Tests of what waits for a connection: what leaves is what was added, in order, whatever the sizes and
// however little the network takes at once; and without memory nothing changes. Returns 1 if any failed.

#include "support/checks.h"
#include "support/failing_memory.h"
#include "support/random_numbers.h"

#include "transport/outbox.h"
#include "zmtp/frames.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <vector>

namespace {

using laplace::Message;
using laplace::Outbox;
using laplace::Piece;

constexpr size_t sizes[] = {0, 1, 20, 150, 255, 256, 2000, 4096, 4097, 16384, 70000};

std::string text_of(size_t size, RandomNumbers& random) {
    std::string text(size, 'x');
    for (char& each : text) each = static_cast<char>('a' + random.below(26));
    return text;
}

Message message_of(std::string_view text) {
    Message message;
    if (!message.allocate(text.size())) std::abort();
    if (!text.empty()) std::memcpy(message.data(), text.data(), text.size());
    return message;
}

void append_frame(std::string& wire, std::string_view body, bool more) {
    char header[laplace::zmtp::max_header];
    wire.append(header, laplace::zmtp::encode_header(more, body.size(), header));
    wire.append(body);
}

// What would leave next.
std::string next_of(const Outbox& outbox, size_t most) {
    Piece pieces[laplace::most_pieces];
    const size_t count = outbox.next(pieces, most);
    std::string bytes;
    for (size_t i = 0; i < count; ++i) bytes.append(static_cast<const char*>(pieces[i].data), pieces[i].size);
    return bytes;
}

// Adds something, to the box and to what is awaited. Throws std::bad_alloc.
void add(Outbox& outbox, std::string& awaited, RandomNumbers& random) {
    const auto any_size = [&random] { return sizes[random.below(sizeof sizes / sizeof *sizes)]; };
    if (random.one_in(4)) {
        const std::string bytes = text_of(any_size(), random);
        outbox.add(bytes);
        awaited += bytes;
        return;
    }
    const std::string route = text_of(random.one_in(8) ? any_size() : 2, random), body = text_of(any_size(), random);
    std::vector<std::string> more;
    std::vector<Message> frames;
    if (random.one_in(5)) {
        for (size_t i = random.below(3) + 1; i > 0; --i) more.push_back(text_of(any_size(), random));
    }
    for (const std::string& each : more) frames.push_back(message_of(each));
    const Message shared = message_of(body);
    outbox.add(route, shared, frames);
    awaited += route;
    append_frame(awaited, body, !more.empty());
    for (const std::string& each : more) append_frame(awaited, each, &each != &more.back());
}

void what_leaves_is_what_was_added(uint64_t seed) {
    RandomNumbers random(seed);
    Outbox outbox;
    std::string awaited;
    for (int step = 0; step < 400; ++step) {
        if (random.one_in(2) || awaited.size() < 100'000) add(outbox, awaited, random);
        CHECK(outbox.size() == awaited.size() && outbox.empty() == awaited.empty());
        const std::string next = next_of(outbox, random.below(200'000) + 1);
        CHECK(std::string_view(awaited).substr(0, next.size()) == next);
        CHECK(next.empty() == awaited.empty());
        if (random.one_in(3)) continue;
        const size_t left = random.below(next.size() + 1);
        outbox.left(left);
        awaited.erase(0, left);
    }
    while (!outbox.empty()) {
        const std::string next = next_of(outbox, 1'000'000);
        CHECK(std::string_view(awaited).substr(0, next.size()) == next);
        outbox.left(next.size());
        awaited.erase(0, next.size());
    }
    CHECK(awaited.empty() && next_of(outbox, 1).empty());
}

void many_small_ones_are_few_pieces() {
    Outbox outbox;
    const Message body = message_of(std::string(148, 'b'));
    for (int i = 0; i < 1000; ++i) outbox.add(std::string_view("\1\0", 2), body, {});
    Piece pieces[laplace::most_pieces];
    CHECK(outbox.size() == 152'000);
    CHECK(outbox.next(pieces, SIZE_MAX) <= 10);
}

void without_memory(uint64_t seed) {
    RandomNumbers random(seed);
    Outbox outbox;
    std::string awaited;
    for (int step = 0; step < 100; ++step) {
        const size_t before = outbox.size();
        std::string added = awaited;
        bool refused = false;
        try {
            const Message body = message_of(text_of(sizes[random.below(11)], random));
            const std::string route = text_of(sizes[random.below(6)], random);
            std::vector<Message> more;
            if (random.one_in(3)) more.push_back(message_of("more"));
            added += route;
            append_frame(added, body.view(), !more.empty());
            if (!more.empty()) append_frame(added, "more", false);
            failing_memory::At at(random.below(3) + 1);
            outbox.add(route, body, more);
        } catch (const std::bad_alloc&) {
            refused = true;
        }
        if (!refused) awaited = added;
        CHECK(outbox.size() == awaited.size() && (!refused || outbox.size() == before));
    }
    while (!outbox.empty()) {
        const std::string next = next_of(outbox, 1'000'000);
        CHECK(std::string_view(awaited).substr(0, next.size()) == next);
        outbox.left(next.size());
        awaited.erase(0, next.size());
    }
}

}  // namespace

int main() {
    laplace::message_memory_fails = [](size_t) noexcept { return failing_memory::fails(); };
    for (uint64_t seed = 1; seed <= 30; ++seed) what_leaves_is_what_was_added(seed);
    many_small_ones_are_few_pieces();
    for (uint64_t seed = 1; seed <= 30; ++seed) without_memory(seed);
    return checks::status();
}
