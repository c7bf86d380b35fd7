// Tests of streams that begin at a number and end with losses behind their last update, as replayed ones do.
// Returns 1 if any failed.

#include "support/streams_bench.h"

#include <memory>
#include <string>

namespace {

using namespace streams_bench;

History blocking() {
    History history;
    history.block = true;
    history.updates = 20;
    return history;
}

std::shared_ptr<Stream> begun_at(Bench& bench, uint64_t first, const History& history = {}) {
    return bench.streams.declare("s", "\"s\"", history, false, first);
}

void numbers_begin_where_they_are_to() {
    for (const uint64_t first : {uint64_t{1}, uint64_t{5}, uint64_t{1} << 62}) {
        for (const History& history : {History{}, blocking()}) {
            Bench bench;
            const auto stream = begun_at(bench, first, history);
            CHECK(stream->range().first == first && stream->range().last == first - 1);
            CHECK(stream->range().newest == first - 1 && stream->block_of(first) == nullptr);
            CHECK(publish(*stream, "1") == first && publish(*stream, "2", 0, {}, false, 3) == first + 4);
            CHECK(stream->block_of(first)->first() == first && stream->block_of(first - 1) == nullptr);
            bench.subscribe("a", 1, stream, first);
            bench.send_all();
            Word word = bench.read("a");
            CHECK(word.header.first == first && word.header.lost == 0 && word.texts == "[1]");
            word = bench.read("a");
            CHECK(word.header.first == first + 4 && word.header.lost == 3 && word.texts == "[2]");
            CHECK(bench.streams.declare("s", "\"s\"", history, true, first + 9) == stream);  // it has begun
            CHECK(publish(*stream, "3") == first + 5);
        }
    }
}

void nothing_comes_behind_its_end() {
    Bench bench;
    const auto stream = bench.declare("s");
    publish(*stream, "1");
    stream->finish(2, true);
    stream->finish(7, false);  // once only
    const Range range = stream->range();
    CHECK(range.first == 1 && range.newest == 1 && range.last == 3 && stream->says_its_end());
    CHECK(publish(*stream, "2") == Stream::sealed && publish(*stream, "2", 0, {"x"}) == Stream::sealed);
    CHECK(stream->block_of(1) != nullptr && stream->block_of(2) == nullptr && stream->block_of(3) == nullptr);
    History history;
    history.updates = 1;
    stream->set_history(history);  // the last update stays, whatever is lost behind it
    CHECK(stream->block_of(1) != nullptr && stream->range().first == 1);
    const auto sealed = bench.declare("t");
    sealed->seal();
    sealed->finish(2, false);
    CHECK(sealed->range().last == 0 && sealed->says_its_end());
}

// At once, and once; whether it has credit or not.
void what_is_lost_at_the_end_is_told() {
    for (const uint64_t messages : {uint64_t{1}, much}) {
        for (const bool latest_only : {false, true}) {
            Bench bench;
            const auto stream = bench.declare("s");
            publish(*stream, "1");
            const auto ledger = bench.subscribe("a", 1, stream, 1, messages, much, latest_only);
            bench.send_all();
            CHECK(bench.read("a").header.last == 1 && bench.nothing_for("a"));
            stream->finish(2, true);
            bench.sender.wake();
            bench.send_all();
            const Word word = bench.read("a");
            CHECK(word.header.kind == StreamKind::alive && word.header.first == 2 && word.header.last == 3);
            CHECK(word.header.lost_in_all == 0 && ledger->next == 2 && ledger->lost == 0);
            bench.sender.wake();
            bench.send_all();
            CHECK(bench.nothing_for("a") && bench.sender.due(bench.now) > bench.now);
            bench.pass_ms(1000);
            CHECK(bench.read("a").header.kind == StreamKind::alive);
        }
    }
}

void an_update_tells_it_too() {
    Bench bench;
    const auto stream = bench.declare("s");
    bench.subscribe("a", 1, stream);
    publish(*stream, "1");
    stream->finish(2, true);
    bench.send_all();
    const Word word = bench.read("a");
    CHECK(word.header.kind == StreamKind::updates && word.header.first == 1 && word.header.last == 3);
    CHECK(bench.nothing_for("a"));
    bench.streams.seal();
    bench.sender.end(true, bench.now);
    const Word end = bench.read("a");
    CHECK(end.header.kind == StreamKind::end && end.header.first == 2 && end.header.last == 3);
    CHECK(bench.sender.empty());
}

// As if the server had died of it; but what came before is told.
void an_end_without_a_word() {
    Bench bench;
    const auto stream = bench.declare("s"), other = bench.declare("other");
    publish(*stream, "1", 0, {"x"});
    publish(*stream, "2", 0, {"x"});
    bench.subscribe("a", 1, stream);
    bench.subscribe("behind", 1, stream, 1, 1);
    bench.subscribe("b", 1, other);
    bench.send_all();
    for (int i = 0; i < 2; ++i) CHECK(bench.read("a").header.kind == StreamKind::updates);
    CHECK(bench.read("behind").header.first == 1);
    stream->finish(1, false);
    bench.streams.seal();
    bench.sender.end(true, bench.now);
    CHECK(bench.read("b").header.kind == StreamKind::end);
    CHECK(bench.streams.ledgers().size() == 2 && bench.nothing_for("a"));  // which are to hear of the lost one
    bench.sender.wake();
    bench.send_all();
    CHECK(bench.read("a").header.kind == StreamKind::alive && bench.read("behind").header.last == 3);
    bench.sender.end(true, bench.now);
    CHECK(bench.streams.ledgers().size() == 1 && bench.nothing_for("a"));
    bench.control("behind", 1, StreamKind::credit);
    bench.send_all();
    CHECK(bench.read("behind").header.first == 2);
    bench.sender.end(true, bench.now);
    CHECK(bench.sender.empty() && bench.nothing_for("behind"));
}

void one_without_room_does_not_hold_up_the_end() {
    Bench bench;
    const auto stream = bench.declare("s");
    bench.subscribe("a", 1, stream);
    bench.router.peer("a").room = 0;
    stream->finish(1, false);
    bench.sender.wake();
    bench.send();
    bench.sender.end(true, bench.now);
    CHECK(!bench.sender.empty());
    bench.sender.end(false, bench.now);
    CHECK(bench.sender.empty() && bench.nothing_for("a"));
}

}  // namespace

int main() {
    memory_router::use();
    numbers_begin_where_they_are_to();
    nothing_comes_behind_its_end();
    what_is_lost_at_the_end_is_told();
    an_update_tells_it_too();
    an_end_without_a_word();
    one_without_room_does_not_hold_up_the_end();
    CHECK(memory_router::living == 0);
    return checks::status();
}
