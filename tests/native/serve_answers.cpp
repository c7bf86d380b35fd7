// What many clients are answered, whatever they send and however they read.

#include "serve_test.h"
#include "support/server_bench.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace server_bench;
using requests::error_reply;
using requests::get_reply;
using requests::ping_reply;
using requests::reply;
using requests::request;

std::string numbered(long n) {
    const std::string number = std::to_string(n);
    std::string text = R"({"n": )" + number + R"(, "same": [)" + number;
    for (int i = 0; i < 40; ++i) text += ", " + number;
    return text + "]}";
}

long number_in(const std::string& text) {
    constexpr std::string_view key = R"("n": )";
    const size_t at = text.find(key);
    return at == std::string::npos ? -1 : std::atol(text.c_str() + at + key.size());
}

void many_clients_while_data_changes(int spin_us) {
    constexpr int clients = 4, rounds = 500;
    const Context context;
    Config config = local();
    config.spin_us = spin_us;
    Running running(config);
    running.put(R"({"name": "tested"})", false, DocumentId::info);
    std::atomic<long> published{0};
    std::atomic<bool> over{false};
    running.put(numbered(0));
    std::thread publisher([&] {
        for (long n = 1; !over.load(); ++n) {
            running.put(numbered(n));
            published.store(n);
            std::this_thread::yield();
        }
    });
    in_threads(clients, [&](int i) {
        const std::string name = "client " + std::to_string(i);
        Client client(context, running.server->endpoint());
        long last = 0;
        for (int round = 0; round < rounds; ++round) {
            if (!CHECK(client.answer_to(request("PING", name)) == ping_reply(name))) break;
            last = std::max(last, published.load());
            const std::string got = client.answer_to(request("GET", name));
            const long n = number_in(got);
            if (!CHECK(got == get_reply(name, numbered(n)))) break;
            CHECK(n >= last);  // never older than what was set before, or seen before
            last = n;
        }
        CHECK(client.answer_to(request("INFO", name)) == reply("INFO", name, R"({"name": "tested"})"));
    });
    over.store(true);
    publisher.join();
    const Counters& counters = running.server->counters();
    CHECK(counters.commands[1].native.load() == clients * rounds);
    CHECK(counters.commands[3].native.load() == clients * rounds);
    CHECK(counters.connections_total.load() == clients);
    CHECK(eventually([&] { return counters.connections.load() == 0; }));  // its thread heard of all
}

void answers_in_the_order_of_requests() {
    constexpr int rounds = 300;
    const Context context;
    Running running;
    const Python python(*running.server);
    running.put("{}");
    in_threads(2, [&](int) {
        Client client(context, running.server->endpoint());
        for (int i = 0; i < rounds; ++i) {
            const std::string name = std::to_string(i);
            CHECK(client.ask(request("SET", name)));
            CHECK(client.ask(request("PING", name)));
            CHECK(client.ask(request("GET", name)));
        }
        for (int i = 0; i < rounds; ++i) {
            const std::string name = std::to_string(i);
            if (!CHECK(client.answer() == Python::made_of(request("SET", name)))) break;
            CHECK(client.answer() == ping_reply(name));
            CHECK(client.answer() == get_reply(name, "{}"));
        }
    });
    // A reply is counted when libzmq has it, and may arrive before.
    CHECK(eventually([&] { return running.server->counters().commands[3].native.load() == 2 * rounds; }));
    CHECK(running.server->counters().pending.load() == 0);
}

void live_data_is_refreshed_for_each_get() {
    const Context context;
    Running running;
    const Python python(*running.server);
    running.put("{}", true);
    Client client(context, running.server->endpoint());
    for (long refresh = 1; refresh <= 300; ++refresh) {
        if (!CHECK(client.answer_to(request("GET", "a")) == get_reply("a", Python::seen(refresh)))) break;
    }
    CHECK(running.server->counters().stale_gets.load() == 0);
}

void a_refresh_that_does_not_come() {
    const Context context;
    Config config = local();
    config.refresh_timeout_ms = 60;
    Running running(config);
    running.put(numbered(1), true);
    Client client(context, running.server->endpoint());
    for (uint64_t i = 1; i <= 5; ++i) {
        const auto begun = Clock::now();
        CHECK(client.answer_to(request("GET", "a")) == get_reply("a", numbered(1)));
        const auto took = Clock::now() - begun;
        CHECK(took >= milliseconds(config.refresh_timeout_ms));
        CHECK(took < milliseconds(config.refresh_timeout_ms + 5000));
        CHECK(running.server->counters().stale_gets.load() == i);
    }
    // New data meanwhile serves who waits.
    CHECK(client.ask(request("GET", "a")));
    running.put(numbered(2));
    CHECK(client.answer() == get_reply("a", numbered(2)));
}

void taken_by_one_client_only() {
    const Context context;
    Running running;
    running.server->set_take_after_get(true);
    std::atomic<bool> over{false};
    std::vector<std::multiset<long>> taken(3);
    std::thread publisher([&] {
        for (long n = 1; !over.load(); ++n) {
            running.put(numbered(n));
            std::this_thread::yield();
        }
    });
    in_threads(3, [&](int i) {
        Client client(context, running.server->endpoint());
        for (int round = 0; round < 500; ++round) {
            const std::string got = client.answer_to(request("GET", "a"));
            const long n = number_in(got);
            if (!CHECK(got == get_reply("a", n < 0 ? "{}" : numbered(n)))) break;
            if (n >= 0) taken[static_cast<size_t>(i)].insert(n);
        }
    });
    over.store(true);
    publisher.join();
    std::set<long> all;
    size_t count = 0;
    for (const std::multiset<long>& some : taken) {
        all.insert(some.begin(), some.end());
        count += some.size();
    }
    CHECK(count > 0 && all.size() == count);
}

// Asks for much and reads nothing of it, meanwhile others are served.
void ask_without_reading(const Context& context, const Server& server, Client& slow, std::string_view text, int times) {
    for (int i = 0; i < times; ++i) CHECK(slow.ask(text));
    Client other(context, server.endpoint());
    for (int i = 0; i < 100; ++i) CHECK(other.answer_to(request("PING", "b")) == ping_reply("b"));
}

void large_data_and_who_reads_late() {
    constexpr int asked = 40;
    const Context context;
    Config config = local();
    config.limits.peer_parked_bytes = size_t{4} << 20;
    Running running(config);
    const std::string data = '"' + std::string(size_t{1} << 20, 'x') + '"';
    running.put(data);
    const std::string large = get_reply("a", data);
    Client slow(context, running.server->endpoint(), ZMQ_DEALER, 1);
    ask_without_reading(context, *running.server, slow, request("GET", "a"), asked);
    CHECK(running.server->counters().parked_bytes.load() <= config.limits.peer_parked_bytes);
    for (int i = 0; i < asked; ++i) {
        if (!CHECK(slow.answer() == large)) break;
    }
    CHECK(slow.answer_to(request("PING", "a")) == ping_reply("a"));
    CHECK(error_count(*running.server, ErrorKind::reply_overflow) == 0);
}

void what_python_made_for_who_does_not_read() {
    constexpr int asked = 40;
    const Context context;
    Config config = local();
    config.limits.peer_parked_bytes = size_t{4} << 20;
    Running running(config);
    Server& server = *running.server;
    const std::string text = request("SET", std::string(size_t{1} << 20, 'x'));
    Client slow(context, server.endpoint(), ZMQ_DEALER, 1);
    ask_without_reading(context, server, slow, text, asked);
    std::vector<Job> jobs(asked);
    for (Job& job : jobs) CHECK(Python::next(server, job));
    for (Job& job : jobs) Python::finish(server, job);
    // More than the server keeps for one client is dropped, and counted.
    const auto dropped = [&] { return static_cast<int>(error_count(server, ErrorKind::reply_overflow)); };
    CHECK(eventually([&] { return server.counters().pending.load() == 0; }));
    CHECK(dropped() > 0);
    CHECK(server.counters().parked_bytes.load() <= config.limits.peer_parked_bytes);
    const int left = asked - dropped();
    for (int i = 0; i < left; ++i) {
        if (!CHECK(slow.answer() == Python::made_of(text))) break;
    }
    CHECK(slow.answer_to(request("PING", "a")) == ping_reply("a"));
    CHECK(dropped() == asked - left);
}

// ---- what is no request

void malformed_messages() {
    const Context context;
    Running running;
    const Python python(*running.server);
    Client client(context, running.server->endpoint());
    const std::string ping = request("PING", "a");
    // Without an empty frame there is nobody to answer to.
    CHECK(client.send({ping}));
    CHECK(client.send({"x", ping}));
    CHECK(client.answer_to(ping) == ping_reply("a"));
    CHECK(error_count(*running.server, ErrorKind::no_delimiter) == 2);

    for (const std::string_view text : {"", "{", "[]", "null", "\xff\xfe", "{\"cmd\": [1]}", "{\"cmd\": \"PING\"}"}) {
        CHECK(client.answer_to(text) == Python::made_of(text));
    }
    const std::string deep(10000, '[');
    CHECK(client.answer_to(deep) == Python::made_of(deep));
    // More frames than one, or none, are no request either.
    CHECK(client.send({"", ping, ping}) && client.answer() == Python::made_of(""));
    CHECK(client.send({"", "", ""}) && client.answer() == Python::made_of(""));
    CHECK(client.send({""}) && client.answer() == Python::made_of(""));
    // Routing frames come back as they are, however many.
    CHECK(client.send({"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "", ping}));
    const Client::Frames routed = client.receive();
    CHECK(routed.size() == 14 && routed[0] == "1" && routed[11] == "12" && routed[12].empty());
    CHECK(routed.size() == 14 && routed[13] == ping_reply("a"));
    CHECK(client.answer_to(ping) == ping_reply("a"));
}

void a_message_too_large() {
    const Context context;
    Config config = local();
    config.max_message_bytes = 1000;
    Running running(config);
    Client large(context, running.server->endpoint());
    CHECK(large.answer_to(request("PING", "a")) == ping_reply("a"));
    const std::string too_large = std::string(2000, ' ') + request("PING", "a");
    if (transport == TransportKind::libzmq) {
        CHECK(large.ask(too_large));
        large.set(ZMQ_RCVTIMEO, 100);
        CHECK(large.answer() == "no reply");  // libzmq closes the connection
    } else {
        CHECK(large.answer_to(too_large) == error_reply(R"("UNKNOWN")", R"("UNKNOWN")", "too large"));
        CHECK(running.server->counters().of(Refusal::message_size).load() == 1);
    }
    CHECK(answers(context, running.server->endpoint()));
}

// What it asked before is answered, and first.
void a_message_too_large_behind_others() {
    if (transport == TransportKind::libzmq) return;  // which ends the connection before anybody hears of it
    const Context context;
    Config config = local();
    config.max_message_bytes = 1000;
    Running running(config);
    Client client(context, running.server->endpoint());
    CHECK(client.ask(request("SET", "1")));
    CHECK(client.ask(request("PING", "2")));
    CHECK(client.ask(std::string(2000, ' ')));
    CHECK(eventually([&] { return running.server->counters().of(Refusal::message_size).load() == 1; }));
    Job job;
    CHECK(Python::next(*running.server, job));
    Python::finish(*running.server, job);
    CHECK(client.answer() == Python::made_of(request("SET", "1")));
    CHECK(client.answer() == ping_reply("2"));
    CHECK(client.answer() == error_reply(R"("UNKNOWN")", R"("UNKNOWN")", "too large"));
    CHECK(answers(context, running.server->endpoint()));
}

void a_message_of_too_many_frames() {
    const Context context;
    Config config = local();
    config.max_message_frames = 20;
    Running running(config);
    Client client(context, running.server->endpoint());
    std::vector<std::string_view> frames(18, "r");
    for (const std::string_view frame : {std::string_view(), std::string_view("x")}) frames.push_back(frame);
    const Python python(*running.server);
    CHECK(client.send(frames) && client.receive().back() == Python::made_of("x"));
    frames.emplace_back("one more");
    CHECK(client.send(frames));
    const Client::Frames answer = client.receive();
    if (transport == TransportKind::libzmq) {  // which knows no such limit
        CHECK(answer.back() == Python::made_of(""));
    } else {
        CHECK(answer.size() == 20 && answer[17] == "r" && answer[18].empty());
        CHECK(answer.back() == error_reply(R"("UNKNOWN")", R"("UNKNOWN")", "too many frames"));
        CHECK(running.server->counters().of(Refusal::message_frames).load() == 1);
    }
    CHECK(answers(context, running.server->endpoint()));
}

// Programs that speak something else to the port, and are still connected when the server ends.
void strangers() {
    const Context context;
    Running running;
    std::vector<std::unique_ptr<Client>> connected;
    const std::string texts[] = {"GET / HTTP/1.1\r\n\r\n",
                                 std::string(64, '\0'),
                                 std::string(64, '\xff'),
                                 std::string("\xff\0\0\0\0\0\0\0\x01\x7f\x03", 11),
                                 std::string("\x01\0", 2),
                                 std::string(100000, 'x')};
    for (const std::string& text : texts) {
        auto stranger = std::make_unique<Client>(context, running.server->endpoint(), stream_type);
        const Client::Frames greeting = stranger->receive();  // its own name for the connection
        CHECK(!greeting.empty());
        if (!greeting.empty()) CHECK(stranger->send({greeting[0], text}));
        connected.push_back(std::move(stranger));
        CHECK(answers(context, running.server->endpoint()));
    }
    running.stop();
}

}  // namespace

void answers_clients() {
    many_clients_while_data_changes(0);
    many_clients_while_data_changes(200);
    answers_in_the_order_of_requests();
    live_data_is_refreshed_for_each_get();
    a_refresh_that_does_not_come();
    taken_by_one_client_only();
    large_data_and_who_reads_late();
    what_python_made_for_who_does_not_read();
    malformed_messages();
    a_message_too_large();
    a_message_too_large_behind_others();
    a_message_of_too_many_frames();
    strangers();
}
