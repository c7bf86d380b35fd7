// Tests of requests that come again, byte for byte: what was answered before is sent again, unless
// anything has changed. Returns 1 if any failed.

#include "support/checks.h"
#include "support/peers_bench.h"

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

namespace {

using laplace::Action;
using laplace::Content;
using laplace::DocumentId;
using laplace::ErrorKind;
using laplace::Taken;
using laplace::Ticket;
using requests::error_reply;
using requests::get_reply;
using requests::ping_reply;
using requests::request;

const char* const get = R"({"from": "a", "to": "s", "cmd": "GET", "payload": {}, "version": "0.2.2"})";

// Asks the same three times: first of all, when it is known, and once more.
void ask_three_times(PeersBench& bench, const std::string& text, const std::string& expected) {
    for (int i = 0; i < 3; ++i) {
        bench.ask("a", text);
        CHECK(bench.answer("a") == expected);
    }
}

uint64_t latencies(const PeersBench& bench) {
    uint64_t all = 0;
    for (const laplace::Counter& bucket : bench.counters.native_latency.buckets) all += bucket.load();
    return all;
}

void the_same_again() {
    PeersBench bench;
    bench.put("[1]");
    ask_three_times(bench, request("GET", "a"), get_reply("a", "[1]"));
    ask_three_times(bench, request("PING", "a"), ping_reply("a"));
    ask_three_times(bench, request("GET", "b"), get_reply("b", "[1]"));
    CHECK(bench.counters.commands[1].native.load() == 3 && bench.counters.commands[3].native.load() == 6);
    CHECK(latencies(bench) == 9);
    CHECK(bench.nothing_waits());
}

// ---- what has changed is told

void new_data() {
    PeersBench bench;
    for (const char* const text : {"[1]", "[2]", "[1]"}) {
        bench.put(text);
        ask_three_times(bench, get, get_reply("a", text));
    }
}

void data_that_became_live() {
    PeersBench bench;
    bench.put("[1]");
    ask_three_times(bench, get, get_reply("a", "[1]"));
    bench.documents.mark_live(DocumentId::data, bench.documents.generation(DocumentId::data));
    bench.ask("a", get);
    CHECK(bench.answer("a").empty() && bench.peers.any_waiting());
    bench.refresh("[2]");
    CHECK(bench.answer("a") == get_reply("a", "[2]"));
    bench.ask("a", get);  // still live
    CHECK(bench.answer("a").empty());
    bench.refresh("[3]");
    CHECK(bench.answer("a") == get_reply("a", "[3]"));
    bench.put("[4]");
    ask_three_times(bench, get, get_reply("a", "[4]"));
}

void data_that_was_touched() {
    PeersBench bench;
    bench.put("[1]");
    ask_three_times(bench, get, get_reply("a", "[1]"));
    CHECK(bench.documents.touch(DocumentId::data, bench.documents.generation(DocumentId::data)) != 0);
    bench.ask("a", get);
    CHECK(bench.answer("a").empty() && bench.peers.any_waiting());
    bench.refresh("[2]");
    CHECK(bench.answer("a") == get_reply("a", "[2]"));
}

void data_whose_text_is_unmade() {
    PeersBench bench;
    bench.put("[1]");
    ask_three_times(bench, get, get_reply("a", "[1]"));
    bench.put_unmade();
    bench.ask("a", get);
    CHECK(bench.answer("a").empty() && bench.peers.any_waiting());
    bench.refresh("[2]");
    CHECK(bench.answer("a") == get_reply("a", "[2]"));
}

void data_that_became_an_error() {
    PeersBench bench;
    bench.put("[1]");
    ask_three_times(bench, get, get_reply("a", "[1]"));
    bool serves = false;
    const auto text = std::make_shared<const std::string>("\"no JSON\"");
    bench.documents.replace(DocumentId::data, text, true, false, serves);
    ask_three_times(bench, get, error_reply("\"GET\"", "\"a\"", "no JSON"));
    CHECK(bench.count(ErrorKind::data) == 3);
    bench.put("[2]");
    ask_three_times(bench, get, get_reply("a", "[2]"));
}

void data_that_was_taken_by_another_and_put_back() {
    PeersBench bench;
    bench.put("[1]");
    ask_three_times(bench, get, get_reply("a", "[1]"));
    Ticket ticket;
    Content content;
    Taken taken;
    CHECK(bench.documents.read(DocumentId::data, true, ticket, content, &taken) && taken);
    ask_three_times(bench, get, get_reply("a", "{}"));
    bench.documents.put_back(DocumentId::data, taken);
    ask_three_times(bench, get, get_reply("a", "[1]"));
}

void values_that_are_told_once() {
    PeersBench bench;
    bench.put("[1]");
    ask_three_times(bench, get, get_reply("a", "[1]"));
    bench.take_after_get.store(true);
    bench.ask("a", get);
    CHECK(bench.answer("a") == get_reply("a", "[1]"));
    ask_three_times(bench, get, get_reply("a", "{}"));
    bench.put("[2]");
    bench.ask("a", get);
    CHECK(bench.answer("a") == get_reply("a", "[2]"));
    ask_three_times(bench, get, get_reply("a", "{}"));
}

void info_tells_of_its_moment() {
    PeersBench bench;
    bool serves = false;
    const auto text = std::make_shared<const std::string>(R"({"n": 1})");
    bench.documents.replace(DocumentId::info, text, false, false, serves);
    std::string answers[2];
    for (std::string& answer : answers) {
        bench.more_info = bench.more_info.empty() ? R"("more": 1)" : R"("more": 2)";
        bench.ask("a", request("INFO", "a"));
        answer = bench.answer("a");
    }
    CHECK(answers[0].find(R"("more": 1)") != std::string::npos);
    CHECK(answers[1].find(R"("more": 2)") != std::string::npos);
}

// ---- what else there is to do is done

void another_table() {
    PeersBench bench;
    bench.put("[1]");
    ask_three_times(bench, get, get_reply("a", "[1]"));
    bench.table.set(requests::table(Action::python));
    bench.ask("a", get);
    CHECK(bench.answer("a").empty() && bench.begin() == get);
    bench.finish("Python's");
    CHECK(bench.answer("a") == "Python's");
}

void order() {
    PeersBench bench;
    bench.put("[1]");
    ask_three_times(bench, get, get_reply("a", "[1]"));
    bench.ask("a", request("SET", "a"));
    bench.ask("a", get);
    bench.ask("b", get);
    CHECK(bench.answer("a").empty() && bench.answer("b") == get_reply("a", "[1]"));
    CHECK(!bench.begin().empty());
    bench.put("[2]");
    bench.finish("done");
    CHECK(bench.answer("a") == "done" && bench.answer("a") == get_reply("a", "[2]"));
    CHECK(bench.nothing_waits());
}

void a_peer_that_takes_nothing_or_has_gone() {
    PeersBench bench;
    bench.put("[1]");
    ask_three_times(bench, get, get_reply("a", "[1]"));
    bench.router.peer("a").room = 0;
    bench.ask("a", get);
    bench.put("[2]");
    bench.ask("a", get);
    CHECK(bench.answer("a").empty() && !bench.peers.empty());
    bench.router.peer("a").room = SIZE_MAX;
    bench.hear_of_room();
    CHECK(bench.answer("a") == get_reply("a", "[1]") && bench.answer("a") == get_reply("a", "[2]"));
    CHECK(bench.nothing_waits() && bench.counters.commands[3].native.load() == 5);
    bench.router.peer("a").gone = true;
    bench.ask("a", get);
    CHECK(bench.nothing_waits() && bench.count(ErrorKind::unroutable) == 1);
    CHECK(bench.counters.commands[3].native.load() == 5);
}

void answers_that_are_to_be_logged() {
    PeersBench bench;
    bench.put("[1]");
    ask_three_times(bench, get, get_reply("a", "[1]"));
    bench.log_answers.store(true);
    bench.ask("a", get);
    laplace::Job job;
    laplace::Attention attention = laplace::Attention::job;
    CHECK(bench.jobs.try_next(job, attention) && attention == laplace::Attention::log);
}

void a_server_that_stops() {
    PeersBench bench;
    bench.put("[1]");
    ask_three_times(bench, get, get_reply("a", "[1]"));
    bench.responder.stop();
    bench.ask("a", get);
    CHECK(bench.answer("a").find("error") != std::string::npos && bench.count(ErrorKind::stopping) == 1);
}

// Whoever asks after new data was handed over is told that or newer, without a lock too.
void beside_a_thread_that_hands_over_data() {
    constexpr uint64_t last = 20000;
    PeersBench bench;
    bench.put("0");
    std::atomic<uint64_t> handed_over{0};
    std::thread program([&] {
        for (uint64_t number = 1; number <= last; ++number) {
            bool serves = false;
            const auto text = std::make_shared<const std::string>(std::to_string(number));
            bench.documents.replace(DocumentId::data, text, false, false, serves);
            handed_over.store(number);
        }
    });
    const size_t before = get_reply("a", "").size() - 2;  // the number
    for (uint64_t told = 0; told < last;) {
        const uint64_t at_least = handed_over.load();
        bench.ask("a", get);
        told = std::strtoull(bench.answer("a").c_str() + before, nullptr, 10);
        if (!CHECK(told >= at_least && told <= last)) break;
    }
    program.join();
}

}  // namespace

int main() {
    memory_router::use();
    the_same_again();
    new_data();
    data_that_became_live();
    data_that_was_touched();
    data_whose_text_is_unmade();
    data_that_became_an_error();
    data_that_was_taken_by_another_and_put_back();
    values_that_are_told_once();
    info_tells_of_its_moment();
    another_table();
    order();
    a_peer_that_takes_nothing_or_has_gone();
    answers_that_are_to_be_logged();
    a_server_that_stops();
    beside_a_thread_that_hands_over_data();
    return checks::status();
}
