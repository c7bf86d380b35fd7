// Tests of when a subscriber that says nothing is forgotten, with a clock of their own. Returns 1 if any
// failed.

#include "support/streams_bench.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace {

using namespace streams_bench;

// The words that a subscriber was sent within so many seconds, by when; the last may be another kind.
std::vector<Word> words_within(Bench& bench, const std::string& peer, int seconds, std::vector<int>& when) {
    std::vector<Word> words;
    for (int second = 1; second <= seconds; ++second) {
        bench.pass_ms(1000);
        for (Word word = bench.read(peer); word.there; word = bench.read(peer)) {
            words.push_back(word);
            when.push_back(second);
        }
    }
    return words;
}

// Out of credit and silent: told a while that the server is there, then that it is not known any more.
void out_of_credit_and_silent() {
    Bench bench;
    const auto stream = bench.declare("s");
    publish(*stream, "1");
    publish(*stream, "2", 0, {"x"});
    const auto ledger = bench.subscribe("a", 7, stream, 1, 1);
    bench.send_all();
    CHECK(bench.read("a").texts == "[1]");
    std::vector<int> when;
    const std::vector<Word> words = words_within(bench, "a", 70, when);
    CHECK(when == (std::vector<int>{1, 2, 3, 4, 5, 6, 7, 8, 18, 28, 38, 48, 58, 60}));
    CHECK(bench.sender.empty() && bench.streams.ledgers().empty());
    CHECK(words.back().header.kind == StreamKind::unknown && words.back().header.subscription == 7);
    CHECK(words.back().header.first == 2 && words[0].header.kind == StreamKind::alive);
    CHECK(ledger->silent.load());
    // If it lives, it comes back and has lost nothing.
    bench.subscribe("a", 7, stream, 2);
    bench.send_all();
    CHECK(bench.read("a").header.first == 2);
}

void whoever_answers_stays() {
    Bench bench;
    const auto stream = bench.declare("s");
    publish(*stream, "1");
    publish(*stream, "2", 0, {"x"});
    const auto ledger = bench.subscribe("a", 1, stream, 1, 1);
    for (int i = 0; i < 10; ++i) {
        for (int second = 0; second < 59; ++second) bench.pass_ms(1000);
        CHECK(ledger->silent.load() && bench.streams.answering() == 0);
        bench.control("a", 1, StreamKind::credit, 1);  // as little as before
        CHECK(!ledger->silent.load() && bench.streams.answering() == 1);
    }
    CHECK(!bench.sender.empty());
}

// Who may be sent what comes is there for it, however long nothing comes.
void with_credit_it_may_be_silent() {
    Bench bench;
    const auto stream = bench.declare("s");
    const auto ledger = bench.subscribe("a", 1, stream, 1, 2);
    for (int second = 0; second < 1000; ++second) bench.pass_ms(1000);
    CHECK(!bench.sender.empty() && ledger->silent.load());
    while (bench.read("a").there) {
    }
    publish(*stream, "1");
    bench.sender.wake();
    bench.send_all();
    CHECK(bench.read("a").texts == "[1]");
    publish(*stream, "2", 0, {"x"});
    bench.sender.wake();
    bench.send_all();
    // It took its last update just now: from here it counts.
    for (int second = 0; second < 59; ++second) bench.pass_ms(1000);
    CHECK(!bench.sender.empty());
    bench.pass_ms(1000);
    CHECK(bench.sender.empty());
}

void whose_connection_takes_nothing(Room room) {
    Bench bench(room);
    const auto stream = bench.declare("s");
    bench.subscribe("full", 1, stream);
    bench.subscribe("parked", 1, stream);
    bench.router.peer("full").room = 0;
    bench.router.peer("parked").holdings.parked_peers = 1;
    publish(*stream, "1");
    for (int second = 0; second < 59; ++second) bench.pass_ms(1000);
    CHECK(bench.streams.ledgers().size() == 2);
    bench.pass_ms(1000);
    CHECK(bench.sender.empty());
    bench.router.peer("parked").holdings.parked_peers = 0;
}

// Where it is not told, words find it out.
void whose_connection_has_ended() {
    Bench bench(Room::tried);
    const auto stream = bench.declare("s");
    bench.subscribe("a", 1, stream, 1, 0);
    for (int second = 0; second < 20; ++second) bench.pass_ms(1000);
    bench.router.lose("a");
    bench.send();
    CHECK(!bench.sender.empty());
    for (int second = 0; second < 10; ++second) bench.pass_ms(1000);
    CHECK(bench.sender.empty());  // long before it would be forgotten
}

// Where publishers wait for subscribers, they say how long.
void whom_publishers_wait_for() {
    Bench bench;
    History history;
    history.block = true;
    const auto stream = bench.declare("s", history);
    const auto ledger = bench.subscribe("a", 1, stream, 1, 0);
    bench.subscribe("latest", 1, stream, 1, 0, much, true);  // nobody waits for this one
    publish(*stream, "1");
    for (int second = 0; second < 1000; ++second) bench.pass_ms(1000);
    CHECK(bench.streams.ledgers().size() == 1 && bench.streams.ledgers()[0] == ledger);
    bench.streams.give_up({Cursor(ledger, &ledger->next)});
    bench.pass_ms(1000);
    CHECK(bench.sender.empty());
}

// ---- as many as there may be

std::string peer_number(size_t i) { return "peer " + std::to_string(i); }

void dead_ones_make_room() {
    Bench bench;
    const auto stream = bench.declare("s");
    for (size_t i = 0; i < max_subscriptions; ++i) bench.subscribe(peer_number(i), 1, stream);
    CHECK(bench.streams.answering() == max_subscriptions);
    for (int second = 0; second < 10; ++second) {
        bench.pass_ms(1000);
        bench.control(peer_number(3), 1, StreamKind::credit);
    }
    CHECK(bench.streams.answering() == 1);
    bench.now += ns_per_ms;
    bench.control(peer_number(0), 1, StreamKind::credit);  // the first is back
    for (int second = 0; second < 10; ++second) {
        bench.pass_ms(1000);
        bench.control(peer_number(3), 1, StreamKind::credit);
    }
    // Each new one takes the place of a silent one, not of one that answers.
    for (size_t i = 0; i < max_subscriptions; ++i) bench.subscribe("new " + std::to_string(i), 1, stream);
    const size_t all = bench.streams.ledgers().size();
    CHECK(all == max_subscriptions + 1);  // the last found nobody silent
    CHECK(bench.streams.answering() == all);
    bench.control(peer_number(3), 1, StreamKind::credit);
    Word last;
    for (Word word = bench.read(peer_number(3)); word.there; word = bench.read(peer_number(3))) last = word;
    CHECK(last.header.kind == StreamKind::alive);
    bench.control(peer_number(0), 1, StreamKind::credit);
    for (Word word = bench.read(peer_number(0)); word.there; word = bench.read(peer_number(0))) last = word;
    CHECK(last.header.kind == StreamKind::unknown);  // it was silent again
}

void the_most_silent_goes_first() {
    Bench bench;
    History history;
    history.block = true;
    const auto blocking = bench.declare("b", history);
    const auto stream = bench.declare("s");
    const auto waited_for = bench.subscribe("waited for", 1, blocking);
    bench.now += ns_per_ms;
    const auto first = bench.subscribe("first", 1, stream);
    bench.now += ns_per_ms;
    for (size_t i = 2; i < max_subscriptions; ++i) bench.subscribe(peer_number(i), 1, stream);
    for (int second = 0; second < 10; ++second) bench.pass_ms(1000);
    const auto is_there = [&](const std::shared_ptr<Ledger>& ledger) {
        const auto ledgers = bench.streams.ledgers();
        return std::find(ledgers.begin(), ledgers.end(), ledger) != ledgers.end();
    };
    // Begun anew, it needs no other's place.
    bench.subscribe(peer_number(2), 1, stream);
    CHECK(is_there(waited_for) && is_there(first));
    bench.subscribe("new", 1, stream);
    CHECK(is_there(waited_for) && !is_there(first));
}

// Of one connection, too: behind a proxy, programs die unseen.
void as_many_as_one_connection_may_have() {
    Bench bench;
    const auto stream = bench.declare("s");
    const auto begin = [&](const std::string& peer, size_t id) {
        return bench.sender.subscribe(bench.route_to(peer), Bench::granted(static_cast<uint32_t>(id), stream), bench.now);
    };
    for (size_t id = 0; id < most_of_one; ++id) CHECK(begin("a", id) == Begun::yes);
    CHECK(begin("a", most_of_one) == Begun::too_many);
    CHECK(begin("a", 0) == Begun::yes);  // anew, it is no other
    CHECK(bench.streams.ledgers().size() == most_of_one);
    CHECK(begin("b", 0) == Begun::yes);  // of others there may be more
    // Who leaves makes room for one, and so does who is forgotten.
    CHECK(bench.control("a", 7, StreamKind::leave));
    CHECK(begin("a", most_of_one) == Begun::yes && begin("a", 7) == Begun::too_many);
    for (int second = 0; second < 10; ++second) {
        bench.pass_ms(1000);
        bench.control("b", 0, StreamKind::credit);
    }
    CHECK(bench.streams.answering() == 1);
    CHECK(begin("a", 7) == Begun::yes);
    CHECK(bench.streams.ledgers().size() == most_of_one + 1);
    bench.sender.give_up_roles(all_roles, bench.now);
    CHECK(bench.sender.empty() && begin("a", 1) == Begun::yes);
}

}  // namespace

int main() {
    memory_router::use();
    out_of_credit_and_silent();
    whoever_answers_stays();
    with_credit_it_may_be_silent();
    for (const Room room : {Room::told, Room::tried}) whose_connection_takes_nothing(room);
    whose_connection_has_ended();
    whom_publishers_wait_for();
    dead_ones_make_room();
    the_most_silent_goes_first();
    as_many_as_one_connection_may_have();
    CHECK(memory_router::living == 0);
    return checks::status();
}
