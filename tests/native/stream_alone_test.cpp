// Tests of what a publisher's thread sends in the loop's place, without a network and with a clock of
// their own. Returns 1 if any failed.

#include "support/streams_bench.h"

#include <memory>
#include <string>

namespace {

using namespace streams_bench;

// A stream, and one subscriber that has had all there is.
struct Alone : Bench {
    explicit Alone(uint64_t messages = much, uint64_t bytes = much, bool latest_only = false)
        : stream(declare("s")), ledger(subscribe("a", 1, stream, 1, messages, bytes, latest_only)) {
        send_all();
    }
    bool publish_alone(const std::string& text) {
        publish(*stream, text);
        return stream->word_is_wanted() && sender.send_alone(*stream, now);
    }

    std::shared_ptr<Stream> stream;
    std::shared_ptr<Ledger> ledger;
};

void one_update_for_one_subscriber() {
    for (const bool latest_only : {false, true}) {
        Alone bench(much, much, latest_only);
        for (uint64_t number = 1; number <= 3; ++number) {
            bench.now += ns_per_ms;
            CHECK(bench.publish_alone(std::to_string(number)));
            const Word word = bench.read("a");
            CHECK(word.header.kind == StreamKind::updates && word.header.count == 1 && word.header.lost == 0);
            CHECK(word.header.first == number && word.header.last == number);
            CHECK(word.texts == '[' + std::to_string(number) + ']' && bench.nothing_for("a"));
            CHECK(bench.ledger->next.load() == number + 1 && bench.ledger->sent.load() == number);
        }
        CHECK(bench.ledger->lost.load() == 0 && bench.ledger->messages.load() == 3);
        CHECK(bench.sender.due(bench.now) > bench.now);  // nothing is left for the loop
        bench.sender.wake();
        bench.send_all();
        CHECK(bench.nothing_for("a"));
    }
}

void it_was_told_something() {
    Alone bench;
    bench.pass_ms(900);
    CHECK(bench.publish_alone("1") && bench.read("a").header.first == 1);
    bench.pass_ms(900);
    CHECK(bench.nothing_for("a"));
    bench.pass_ms(1100);
    CHECK(bench.read("a").header.kind == StreamKind::alive);
}

void of_several_the_loop_sends() {
    Alone bench;
    const auto other = bench.declare("other");
    bench.subscribe("b", 2, other);
    bench.send_all();
    CHECK(bench.publish_alone("1") && bench.read("a").there && bench.nothing_for("b"));
    bench.subscribe("b", 3, bench.stream, 2);
    bench.send_all();
    CHECK(!bench.publish_alone("2") && bench.nothing_for("a") && bench.nothing_for("b"));
    bench.sender.wake();
    bench.send_all();
    CHECK(bench.read("a").texts == "[2]" && bench.read("b").texts == "[2]");
    bench.control("b", 3, StreamKind::leave);
    CHECK(bench.publish_alone("3") && bench.read("a").texts == "[3]");
    bench.router.lose("a");
    CHECK(!bench.publish_alone("4"));
}

void among_very_many_the_loop_sends() {
    Alone bench;
    const auto other = bench.declare("other");
    for (uint32_t id = 2; id <= 64; ++id) bench.subscribe("b", id, other);
    bench.send_all();
    CHECK(bench.publish_alone("1") && bench.read("a").texts == "[1]");
    bench.subscribe("b", 65, other);
    bench.send_all();
    CHECK(!bench.publish_alone("2") && bench.nothing_for("a"));
    bench.sender.wake();
    bench.send_all();
    CHECK(bench.read("a").texts == "[2]");
}

void within_its_credit() {
    Alone bench(2);
    CHECK(bench.publish_alone("1") && bench.publish_alone("2"));
    CHECK(!bench.publish_alone("3"));
    CHECK(bench.read("a").there && bench.read("a").there && bench.nothing_for("a"));
    bench.control("a", 1, StreamKind::credit, 3);
    bench.send_all();
    CHECK(bench.read("a").texts == "[3]");
    Alone of_bytes(much, 1);
    CHECK(of_bytes.publish_alone("1"));  // begun within it
    CHECK(!of_bytes.publish_alone("2"));
}

void what_came_before_comes_before() {
    Alone bench;
    publish(*bench.stream, "1");
    CHECK(bench.stream->word_is_wanted());
    CHECK(!bench.publish_alone("2") && !bench.sender.send_alone(*bench.stream, bench.now));
    CHECK(bench.nothing_for("a"));
    bench.sender.wake();
    bench.send_all();
    CHECK(bench.read("a").texts == "[1,2]");
}

// An answer waits for room, and would wait longer for each update.
void answers_come_first() {
    Alone bench;
    Connection& connection = bench.router.peer("a");
    ++connection.holdings.parked_peers;
    CHECK(!bench.publish_alone("1") && bench.nothing_for("a"));
    --connection.holdings.parked_peers;
    bench.sender.wake();
    bench.send_all();
    CHECK(bench.read("a").texts == "[1]");
}

void where_there_is_no_room() {
    for (const Room room : {Room::told, Room::tried}) {
        Bench bench(room);
        const auto stream = bench.declare("s");
        const auto ledger = bench.subscribe("a", 1, stream);
        bench.send_all();
        bench.router.peer("a").room = 0;
        publish(*stream, "1");
        CHECK(!bench.sender.send_alone(*stream, bench.now));
        CHECK(ledger->next.load() == 1 && ledger->sent.load() == 0);
        bench.router.peer("a").room = 10;
        bench.sender.wake();
        bench.send_all();
        CHECK(bench.read("a").texts == "[1]" && ledger->next.load() == 2);
    }
}

}  // namespace

int main() {
    memory_router::use();
    one_update_for_one_subscriber();
    it_was_told_something();
    of_several_the_loop_sends();
    among_very_many_the_loop_sends();
    within_its_credit();
    what_came_before_comes_before();
    answers_come_first();
    where_there_is_no_room();
    CHECK(memory_router::living == 0);
    return checks::status();
}
