// Tests of the whole core without Python, over real TCP: serve_test LIBZMQ_PATH.
// Takes no part of the system for granted but C++17 and the library it is given, so that it runs
// wherever the core has to. Returns 1 if any check failed.

#include "../../csrc/interfaces.h"
#include "../../csrc/server.h"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace laplace;
namespace fs = std::filesystem;
using std::chrono::milliseconds;

std::atomic<int> checks{0};
std::atomic<int> failures{0};

#define CHECK(condition) check((condition), #condition, __LINE__)

bool check(bool holds, const char* condition, int line) {
    ++checks;
    if (holds) return true;
    ++failures;
    std::printf("line %d: %s fails\n", line, condition);
    std::fflush(stdout);
    return false;
}

constexpr int limit_ms = 20000;  // for what must happen soon, on a slow machine, too

// Waits for what another thread does by itself and tells nobody.
bool eventually(const std::function<bool()>& holds) {
    const auto end = Clock::now() + milliseconds(limit_ms);
    while (!holds()) {
        if (Clock::now() > end) return false;
        std::this_thread::sleep_for(milliseconds(1));
    }
    return true;
}

// ---- finding the library

// A folder of its own, removed at the end. (Windows keeps files that are loaded.)
class Scratch {
public:
    Scratch() : path(fs::temp_directory_path() / ("serve_test-" + std::to_string(std::random_device{}()))) {
        fs::create_directories(path);
    }
    ~Scratch() {
        std::error_code ignored;
        fs::remove_all(path, ignored);
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

    const fs::path path;
};

load_status load(const fs::path& path, bool only_loaded, const char** missing = nullptr) {
    return load_zmq(path.u8string().c_str(), only_loaded, missing);
}

// A library carries what it needs in its own folder, unless that is the system's.
fs::path copy_library(const fs::path& library, const fs::path& folder) {
    constexpr std::ptrdiff_t most = 64;
    fs::create_directories(folder);
    const fs::path from = library.parent_path();
    if (std::distance(fs::directory_iterator(from), fs::directory_iterator()) <= most) {
        for (const fs::directory_entry& entry : fs::directory_iterator(from)) {
            if (entry.is_regular_file()) fs::copy_file(entry.path(), folder / entry.path().filename());
        }
    } else {
        fs::copy_file(library, folder / library.filename());
    }
    return folder / library.filename();
}

// A library that every process has and that is no libzmq.
const char* other_library() {
#if defined(_WIN32)
    return "kernel32.dll";
#elif defined(__APPLE__)
    return "/usr/lib/libSystem.B.dylib";
#else
    return "libc.so.6";
#endif
}

void what_cannot_be_loaded(const fs::path& folder, const fs::path& library) {
    CHECK(load(folder / "none.so", false) == load_status::not_found);
    CHECK(load(folder / "none.so", true) == load_status::not_found);
    CHECK(load(folder, false) == load_status::not_found);
    CHECK(load_zmq("\xff\xfe\xfd", false, nullptr) == load_status::not_found);
    const fs::path text = folder / "text.so";
    std::ofstream(text) << "no library\n";
    CHECK(load(text, false) == load_status::not_found);
    CHECK(load(text, true) == load_status::not_found);
    CHECK(load(library, true) == load_status::not_found);  // it is there, but not in this process
    const char* missing = nullptr;
    CHECK(load_zmq(other_library(), true, &missing) == load_status::symbol_missing);
    CHECK(missing != nullptr && std::string_view(missing) == "zmq_version");
    CHECK(load_zmq(other_library(), false, nullptr) != load_status::loaded);  // Windows wants a whole path
    CHECK(zmq_identity() == nullptr);
}

void what_can_be_loaded(const fs::path& library) {
    if (load(library, false) != load_status::loaded) {
        std::printf("no usable libzmq: %s\n", library.u8string().c_str());
        std::exit(1);
    }
    const void* const identity = zmq_identity();
    CHECK(identity != nullptr);
    int major = 0, minor = 0, patch = 0;
    zmq.version(&major, &minor, &patch);
    CHECK(major == 4 && minor >= 2);
    CHECK(load(library, true) == load_status::loaded);
    CHECK(zmq_identity() == identity);
    CHECK(load_zmq(other_library(), true, nullptr) == load_status::symbol_missing);
    CHECK(zmq_identity() == identity);  // a failure leaves the table alone
}

// ---- a server and what stands for Python

constexpr std::string_view version = "\"0.2.2\"";

std::string request(std::string_view command, std::string_view from) {
    std::string text = R"({"from": ")";
    text.append(from).append(R"(", "to": "s", "cmd": ")").append(command);
    return text.append(R"(", "payload": {}, "version": )").append(version).append("}");
}

std::string reply(std::string_view command, std::string_view to, std::string_view payload) {
    std::string text = R"({"cmd": ")";
    text.append(command).append(R"(", "to": ")").append(to).append(R"(", "version": )").append(version);
    return text.append(R"(, "payload": )").append(payload).append("}");
}

std::string ping_reply(std::string_view to) { return reply("PING", to, R"({"PING": "PONG"})"); }
std::string get_reply(std::string_view to, std::string_view data) {
    return reply("GET", to, std::string(R"({"data": )").append(data).append("}"));
}

std::string error_reply(std::string_view command, std::string_view to, std::string_view error) {
    std::string text = R"({"error": ")";
    text.append(error).append(R"(", "cmd": )").append(command).append(R"(, "to": )").append(to);
    return text.append(R"(, "version": )").append(version).append("}");
}

ReplyTemplate answer_template(const std::string& command, const std::string& before, const std::string& after) {
    ReplyTemplate text;
    text.pieces.push_back({R"({"cmd": ")" + command + R"(", "to": )", HOLE_TO});
    text.pieces.push_back({R"(, "version": )", HOLE_VERSION});
    text.pieces.push_back({R"(, "payload": )" + before, HOLE_BODY});
    text.pieces.push_back({after + "}", HOLE_COUNT});
    return text;
}

std::shared_ptr<const DispatchTable> table() {
    auto made = std::make_shared<DispatchTable>();
    made->commands = {{"PING", ACTION_PING, 1},
                      {"INFO", ACTION_INFO, 2},
                      {"GET", ACTION_GET, 3},
                      {"SET", ACTION_PYTHON, 4}};
    made->accepted_versions = {"0.2.2"};
    made->ping = answer_template("PING", R"({"PING": "PONG"})", "");
    made->info = answer_template("INFO", "", "");
    made->get = answer_template("GET", R"({"data": )", "}");
    made->error.pieces = {{R"({"error": )", HOLE_ERROR},
                          {R"(, "cmd": )", HOLE_CMD},
                          {R"(, "to": )", HOLE_TO},
                          {R"(, "version": )", HOLE_VERSION},
                          {"}", HOLE_COUNT}};
    made->default_version = version;
    made->unknown = R"("UNKNOWN")";
    made->busy = R"("busy")";
    made->stopping = R"("stopping")";
    return made;
}

Config local(const std::string& address = "tcp://127.0.0.1:*") {
    Config config;
    config.address = address;
    return config;
}

uint64_t error_count(const Server& server, error_kind kind) {
    return server.shared.counters.errors[static_cast<size_t>(kind)].load();
}

// A server that answers until its end.
class Running {
public:
    explicit Running(const Config& config = local()) : server(create(config)) {
        server->shared.set_table(table());
        CHECK(!server->started());
        CHECK(server->start() == 0);
        CHECK(server->started());
        CHECK(!server->wait_ended(1));
    }
    ~Running() { stop(); }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

    void stop() {
        server->request_stop();
        CHECK(server->wait_ended(limit_ms));
        CHECK(!server->started());
        CHECK(server->fault() == 0);
        CHECK(error_count(*server, ERROR_NO_MEMORY) == 0);
        CHECK(server->shared.counters.parked_bytes.load() == 0);
    }
    void put(std::string text, bool live = false, document_id which = DOCUMENT_DATA) {
        server->replace_document(which, std::make_shared<const std::string>(std::move(text)), false, live);
    }

    const std::shared_ptr<Server> server;

private:
    static std::shared_ptr<Server> create(const Config& config) {
        int error = 0;
        std::shared_ptr<Server> made = Server::create(config, error);
        if (made == nullptr) {
            std::printf("%s cannot be bound: errno %d\n", config.address.c_str(), error);
            std::exit(1);
        }
        return made;
    }
};

// What Python does for a server: a thread for requests and one that looks at live data.
class Python {
public:
    explicit Python(Server& server) : server_(server), worker_([this] { work(); }), refresher_([this] { look(); }) {}
    ~Python() {
        server_.request_stop();
        worker_.join();
        refresher_.join();
    }
    Python(const Python&) = delete;
    Python& operator=(const Python&) = delete;

    static std::string made_of(std::string_view body) { return std::string("done: ").append(body); }
    static std::string seen(long look) { return R"({"look": )" + std::to_string(look) + "}"; }
    // False: the server ends.
    static bool next(Server& server, Job& job) {
        Attention attention = Attention::log;
        while (attention == Attention::log) attention = server.shared.inbox.next(job);
        return attention == Attention::job;
    }
    static void finish(Server& server, Job& job) {
        Finished finished;
        finished.id = job.id;
        finished.reply = made_of(job.body.view());
        server.finish_job(std::move(finished));
    }

private:
    void work() {
        Job job;
        while (next(server_, job)) finish(server_, job);
    }
    void look() {
        for (long looks = 1;; ++looks) {
            const int which = server_.shared.documents.wait_look();
            if (which == LOOK_NO_MORE) return;
            if (which == LOOK_AT_LOANS) continue;
            const Look begun = server_.shared.documents.begin_look(static_cast<document_id>(which));
            const Text text = std::make_shared<const std::string>(seen(looks));
            server_.finish_look(static_cast<document_id>(which), begun, text, false, true);
        }
    }

    Server& server_;
    std::thread worker_, refresher_;
};

// ---- clients

class Context {
public:
    Context() : raw(zmq.ctx_new()) {}
    ~Context() { CHECK(zmq.ctx_term(raw) == 0); }
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;

    void* const raw;
};

constexpr int stream_type = 11, receive_high_water = 24;  // in zmq.h; the core needs neither

class Client {
public:
    using Frames = std::vector<std::string>;

    Client(const Context& context, const std::string& endpoint, int type = ZMQ_DEALER, int high_water = 0)
        : socket_(zmq.socket(context.raw, type)) {
        set(ZMQ_LINGER, 0);
        set(ZMQ_RCVTIMEO, limit_ms);
        set(receive_high_water, high_water);
        CHECK(zmq.connect(socket_, endpoint.c_str()) == 0);
    }
    ~Client() { zmq.close(socket_); }
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    void set(int option, int value) { CHECK(zmq.setsockopt(socket_, option, &value, sizeof value) == 0); }

    bool send(std::initializer_list<std::string_view> frames) {
        size_t left = frames.size();
        for (const std::string_view frame : frames) {
            const int flags = --left > 0 ? ZMQ_SNDMORE : 0;
            if (zmq.send(socket_, frame.data(), frame.size(), flags) < 0) return false;
        }
        return true;
    }
    // No frames: nothing came in time.
    Frames receive() {
        Frames frames;
        Message frame;
        do {
            if (zmq.msg_recv(frame.raw(), socket_, 0) < 0) return {};
            frames.emplace_back(frame.view());
        } while (frame.more());
        return frames;
    }
    bool ask(std::string_view text) { return send({"", text}); }
    // The text of a reply, or what no reply is.
    std::string answer() {
        const Frames frames = receive();
        return frames.size() == 2 && frames[0].empty() ? frames[1] : "no reply";
    }
    std::string answer_to(std::string_view text) { return ask(text) ? answer() : "not sent"; }

private:
    void* const socket_;
};

bool answers(const Context& context, const std::string& endpoint, std::string_view name = "somebody") {
    Client client(context, endpoint);
    return client.answer_to(request("PING", name)) == ping_reply(name);
}

void in_threads(int count, const std::function<void(int)>& body) {
    std::vector<std::thread> threads;
    for (int i = 0; i < count; ++i) threads.emplace_back(body, i);
    for (std::thread& thread : threads) thread.join();
}

// ---- the life of a server

void a_server_that_never_runs() {
    for (int i = 0; i < 20; ++i) {
        int error = -1;
        const std::shared_ptr<Server> server = Server::create(local(), error);
        CHECK(server != nullptr && error == 0);
        CHECK(server->endpoint().rfind("tcp://127.0.0.1:", 0) == 0);
        CHECK(!server->started());
        CHECK(!server->wait_ended(0));
        if (i % 2 == 0) continue;  // destroyed as it is
        server->request_stop();
        CHECK(server->wait_ended(0));
        CHECK(server->start() == EINVAL);
        server->request_stop();
    }
}

void an_address_that_cannot_be_bound() {
    int error = 0;
    CHECK(Server::create(local("tcp://nowhere"), error) == nullptr);
    CHECK(error != 0);
    const std::shared_ptr<Server> first = Server::create(local(), error);
    CHECK(first != nullptr && error == 0);
    // Taken twice, so that a failure is seen to change nothing.
    for (int i = 0; i < 2; ++i) {
        CHECK(Server::create(local(first->endpoint()), error) == nullptr);
        CHECK(error == EADDRINUSE);
    }
    first->request_stop();
    const std::shared_ptr<Server> second = Server::create(local(first->endpoint()), error);
    CHECK(second != nullptr && error == 0);
}

void the_same_port_again_and_again() {
    const Context context;
    std::string endpoint = "tcp://127.0.0.1:*";
    for (int i = 0; i < 20; ++i) {
        Running running(local(endpoint));
        endpoint = running.server->endpoint();
        CHECK(running.server->start() == EINVAL);
        CHECK(answers(context, endpoint));
    }
}

void stopped_by_several_amid_requests() {
    const Context context;
    std::string endpoint = "tcp://127.0.0.1:*";
    for (int round = 0; round < 5; ++round) {
        Running running(local(endpoint));
        const Python python(*running.server);
        endpoint = running.server->endpoint();
        std::atomic<int> busy{0};
        std::thread stopper([&] {
            CHECK(eventually([&] { return busy.load() == 3; }));
            in_threads(3, [&](int) { running.server->request_stop(); });
        });
        in_threads(3, [&](int i) {
            Client client(context, endpoint);
            CHECK(client.answer_to(request("PING", "a")) == ping_reply("a"));
            ++busy;
            client.set(ZMQ_RCVTIMEO, 10);
            const std::string asked = request(i == 0 ? "SET" : "GET", "a");
            while (running.server->started()) {
                if (!CHECK(client.ask(asked))) break;
                client.receive();
            }
        });
        stopper.join();
    }
}

void dropped_while_it_runs() {
    const Context context;
    int error = 0;
    std::shared_ptr<Server> server = Server::create(local(), error);
    server->shared.set_table(table());
    CHECK(server->start() == 0);
    const std::string endpoint = server->endpoint();
    CHECK(answers(context, endpoint));
    server->request_stop();
    server.reset();  // the loop thread may hold the last reference now
    CHECK(eventually([&] {
        server = Server::create(local(endpoint), error);
        return server != nullptr;
    }));
}

// ---- answers

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
    running.put(R"({"name": "tested"})", false, DOCUMENT_INFO);
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
    const Counters& counters = running.server->shared.counters;
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
    CHECK(eventually([&] { return running.server->shared.counters.commands[3].native.load() == 2 * rounds; }));
    CHECK(running.server->shared.counters.pending.load() == 0);
}

void live_data_is_looked_at_for_each_get() {
    const Context context;
    Running running;
    const Python python(*running.server);
    running.put("{}", true);
    Client client(context, running.server->endpoint());
    for (long look = 1; look <= 300; ++look) {
        if (!CHECK(client.answer_to(request("GET", "a")) == get_reply("a", Python::seen(look)))) break;
    }
    CHECK(running.server->shared.counters.stale_gets.load() == 0);
}

void a_look_that_does_not_come() {
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
        CHECK(running.server->shared.counters.stale_gets.load() == i);
    }
    // New data meanwhile serves who waits.
    CHECK(client.ask(request("GET", "a")));
    running.put(numbered(2));
    CHECK(client.answer() == get_reply("a", numbered(2)));
}

void taken_by_one_client_only() {
    const Context context;
    Running running;
    running.server->shared.take_after_get.store(true);
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
    CHECK(running.server->shared.counters.parked_bytes.load() <= config.limits.peer_parked_bytes);
    for (int i = 0; i < asked; ++i) {
        if (!CHECK(slow.answer() == large)) break;
    }
    CHECK(slow.answer_to(request("PING", "a")) == ping_reply("a"));
    CHECK(error_count(*running.server, ERROR_REPLY_OVERFLOW) == 0);
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
    const auto dropped = [&] { return static_cast<int>(error_count(server, ERROR_REPLY_OVERFLOW)); };
    CHECK(eventually([&] { return server.shared.counters.pending.load() == 0; }));
    CHECK(dropped() > 0);
    CHECK(server.shared.counters.parked_bytes.load() <= config.limits.peer_parked_bytes);
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
    CHECK(error_count(*running.server, ERROR_NO_DELIMITER) == 2);

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
    CHECK(large.ask(std::string(2000, ' ') + request("PING", "a")));
    large.set(ZMQ_RCVTIMEO, 100);
    CHECK(large.answer() == "no reply");
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

// ---- ends amid work

void work_in_hand_is_finished_and_the_rest_refused() {
    const Context context;
    Config config = local();
    config.callback_grace_ms = limit_ms;
    Running running(config);
    Client client(context, running.server->endpoint());
    CHECK(client.ask(request("SET", "1")));
    CHECK(client.ask(request("SET", "2")));
    CHECK(client.ask(request("PING", "3")));
    Job job;
    CHECK(Python::next(*running.server, job));
    CHECK(eventually([&] { return running.server->shared.counters.pending.load() == 3; }));
    running.server->request_stop();
    Job none;
    CHECK(!Python::next(*running.server, none));
    CHECK(!running.server->wait_ended(20));
    Python::finish(*running.server, job);
    CHECK(client.answer() == Python::made_of(request("SET", "1")));
    CHECK(client.answer() == error_reply(R"("SET")", R"("2")", "stopping"));
    CHECK(client.answer() == error_reply(R"("PING")", R"("3")", "stopping"));
    CHECK(running.server->wait_ended(limit_ms));
}

void work_that_does_not_end() {
    const Context context;
    Config config = local();
    config.callback_grace_ms = 50;
    Running running(config);
    Client client(context, running.server->endpoint());
    CHECK(client.ask(request("SET", "1")));
    Job job;
    CHECK(Python::next(*running.server, job));
    const auto begun = Clock::now();
    running.server->request_stop();
    CHECK(client.answer() == error_reply(R"("UNKNOWN")", R"("UNKNOWN")", "stopping"));
    CHECK(running.server->wait_ended(limit_ms));
    CHECK(Clock::now() - begun >= milliseconds(config.callback_grace_ms));
    Python::finish(*running.server, job);  // too late, and no harm
}

void this_machines_addresses() {
    std::vector<InterfaceAddress> found;
    CHECK(list_interfaces(found) == 0);
    bool has_loopback = false;
    for (const InterfaceAddress& each : found) {
        CHECK(each.address.size() == 4 || each.address.size() == 16);
        CHECK(!each.name.empty());
        if (each.address == std::string("\x7f\0\0\1", 4)) {
            has_loopback = true;
            CHECK(each.running && each.loopback);
        }
    }
    CHECK(has_loopback);
}

void serve() {
    this_machines_addresses();
    a_server_that_never_runs();
    an_address_that_cannot_be_bound();
    the_same_port_again_and_again();
    stopped_by_several_amid_requests();
    dropped_while_it_runs();
    many_clients_while_data_changes(0);
    many_clients_while_data_changes(200);
    answers_in_the_order_of_requests();
    live_data_is_looked_at_for_each_get();
    a_look_that_does_not_come();
    taken_by_one_client_only();
    large_data_and_who_reads_late();
    what_python_made_for_who_does_not_read();
    malformed_messages();
    a_message_too_large();
    strangers();
    work_in_hand_is_finished_and_the_rest_refused();
    work_that_does_not_end();
}

}  // namespace

int main(int arguments, char** values) {
    if (arguments != 2) {
        std::fprintf(stderr, "usage: serve_test LIBZMQ_PATH\n");
        return 2;
    }
    CHECK(watch_forks() && fork_count() == 0);
    const fs::path library = fs::absolute(values[1]).make_preferred();
    const Scratch scratch;
    what_cannot_be_loaded(scratch.path, library);
    // Names of people and labs are not all ASCII.
    what_can_be_loaded(copy_library(library, scratch.path / fs::u8path("caf\xc3\xa9 \xe6\xb8\xac\xe5\xae\x9a")));
    {
        const Context context;
        const Running running;
        CHECK(answers(context, running.server->endpoint()));
    }
    what_can_be_loaded(library);
    serve();
    std::printf("%d checks, %d failed\n", checks.load(), failures.load());
    return failures.load() == 0 ? 0 : 1;
}
