// Tests that what subscribers are sent and what is told as lost add up, whatever happens. Returns 1 if
// any failed.

#include "support/failing_memory.h"
#include "support/streams_bench.h"

#include <memory>
#include <random>
#include <string>

namespace {

using namespace streams_bench;

// However credit, room and history go, what is sent and what is told as lost add up, in order.
void random_work(unsigned seed, Room room) {
    std::mt19937 random(seed);
    const auto upto = [&](unsigned limit) { return random() % (limit + 1); };
    Bench bench(room);
    History history;
    history.updates = 1 + upto(30);
    const auto stream = bench.declare("s", history);
    const bool latest_only = upto(3) == 0;
    const auto ledger = bench.subscribe("a", 1, stream, 1, 2, much, latest_only);
    uint64_t published = 0, next = 1, messages = 0, allowed = 2;
    const auto read_all = [&] {
        for (;;) {
            const Word word = bench.read("a");
            if (!word.there) return;
            if (word.header.count == 0) continue;
            ++messages;
            CHECK(messages <= allowed);
            CHECK(word.header.first == next + word.header.lost);
            std::string texts = "[";
            for (uint32_t i = 0; i < word.header.count; ++i) {
                texts += (i > 0 ? "," : "") + std::to_string(word.header.first + i);
            }
            CHECK(word.texts == texts + ']');
            if (latest_only) CHECK(word.header.count == 1);
            next = word.header.first + word.header.count;
            CHECK(word.header.sent_in_all + word.header.lost_in_all == next - 1);
        }
    };
    for (int step = 0; step < 300; ++step) {
        switch (upto(6)) {
            case 0:
            case 1:
            case 2:
                for (auto i = upto(20); i > 0; --i) {
                    ++published;
                    publish(*stream, std::to_string(published), 0, upto(10) == 0 ? Frames{"x"} : Frames{});
                }
                bench.sender.wake();
                break;
            case 3:
                allowed += upto(3);
                bench.control("a", 1, StreamKind::credit, allowed);
                break;
            case 4: bench.router.peer("a").room = upto(3); break;
            case 5: read_all(); break;
            default: bench.pass_ms(upto(1500)); break;
        }
        if (upto(1) == 0) bench.send();
    }
    bench.router.peer("a").room = SIZE_MAX;
    allowed = much;
    bench.control("a", 1, StreamKind::credit, allowed);
    bench.pass_ms(1);
    bench.send_all();
    read_all();
    CHECK(next == published + 1);
    CHECK(ledger->sent.load() + ledger->lost.load() == published);
}

// One allocation fails, whichever: the next try goes on as if nothing had been.
bool without_memory(uint64_t number) {
    Bench bench;
    const auto stream = bench.declare("s");
    for (int i = 1; i <= 3; ++i) publish(*stream, std::to_string(i));
    bench.subscribe("a", 1, stream);
    bool reached = false;
    Grant grant;
    grant.stream = stream;
    grant.ledger = std::make_shared<Ledger>();
    grant.ledger->next.store(1);
    grant.ledger->allowed_messages.store(much);
    grant.ledger->allowed_bytes.store(much);
    grant.id = 1;
    const Route route = bench.route_to("b");
    bool granted = false;
    {
        const failing_memory::At nth(number);
        for (int i = 0; i < 2; ++i) {
            try {
                if (!granted) granted = bench.sender.subscribe(route, grant, bench.now) == Begun::yes;
                bench.send();
            } catch (const std::bad_alloc&) {
            }
        }
        reached = nth.reached();
    }
    bench.sender.wake();
    bench.send_all();
    CHECK(granted && bench.streams.ledgers().size() == 2);
    for (const char* const peer : {"a", "b"}) {
        const Word word = bench.read(peer);
        CHECK(word.there && word.header.first == 1 && word.header.lost == 0);
        CHECK(word.texts == "[1,2,3]");
        CHECK(bench.nothing_for(peer));
    }
    return reached;
}

// Roles that may not follow streams any more: their subscribers are told, and nobody else notices. Without
// memory they hear it later.
void roles_that_lose_the_right_to_follow() {
    for (uint64_t failing = 0; failing < 3; ++failing) {
        Bench bench;
        const auto stream = bench.declare("s");
        publish(*stream, "1");
        for (const char* const peer : {"a", "b", "c"}) {
            bench.router.peer(peer).set_role(static_cast<laplace::Role>(*peer - 'a'));
            bench.subscribe(peer, 7, stream);
        }
        bench.send_all();
        {
            const failing_memory::At at(failing);
            bench.sender.give_up_roles(laplace::Roles{1} << 1 | laplace::Roles{1} << 5, bench.now);
        }
        publish(*stream, "2");
        bench.sender.wake();
        bench.send_all();
        CHECK(bench.streams.ledgers().size() == 2);
        for (const char* const peer : {"a", "c"}) {
            CHECK(bench.read(peer).texts == "[1]" && bench.read(peer).texts == "[2]");
        }
        CHECK(bench.read("b").texts == "[1]");
        if (failing != 0) {
            CHECK(bench.nothing_for("b"));
            CHECK(bench.control("b", 7, StreamKind::credit));
        }
        const Word word = bench.read("b");
        CHECK(word.there && word.header.kind == StreamKind::unknown && word.header.subscription == 7);
        CHECK(bench.nothing_for("b"));
    }
}

}  // namespace

int main() {
    memory_router::use();
    for (const Room room : {Room::told, Room::tried}) {
        for (unsigned seed = 1; seed <= 300; ++seed) random_work(seed, room);
    }
    uint64_t number = 1;
    while (without_memory(number)) ++number;
    CHECK(number > 5);
    roles_that_lose_the_right_to_follow();
    CHECK(memory_router::living == 0);
    return checks::status();
}
