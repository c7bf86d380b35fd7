// A whole server without Python over real TCP, what stands for Python, and clients.
#ifndef LAPLACE_TESTS_SERVER_BENCH_H
#define LAPLACE_TESTS_SERVER_BENCH_H

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "server/server.h"
#include "support/checks.h"
#include "support/requests.h"
#include "transport/zmq_frame.h"

namespace server_bench {

using namespace laplace;
using std::chrono::milliseconds;

constexpr int limit_ms = 20000;  // for what must happen soon, on a slow machine, too

// Waits for what another thread does by itself and tells nobody.
inline bool eventually(const std::function<bool()>& holds) {
    const auto end = Clock::now() + milliseconds(limit_ms);
    while (!holds()) {
        if (Clock::now() > end) return false;
        std::this_thread::sleep_for(milliseconds(1));
    }
    return true;
}

// Who carries messages, in the tests that are run now.
inline TransportKind transport = TransportKind::tcp;

inline Config local(const std::string& address = "tcp://127.0.0.1:*") {
    Config config;
    config.address = address;
    config.transport = transport;
    return config;
}

inline uint64_t error_count(Server& server, ErrorKind kind) {
    return server.counters().of(kind).load();
}

// A server that answers until its end.
class Running {
public:
    explicit Running(const Config& config = local()) : server(create(config)) {
        server->set_table(requests::table());
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
        CHECK(error_count(*server, ErrorKind::no_memory) == 0);
        CHECK(server->counters().parked_bytes.load() == 0);
    }
    void put(std::string text, bool live = false, DocumentId which = DocumentId::data) {
        server->documents().replace(which, std::make_shared<const std::string>(std::move(text)), false, live);
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

// What Python does for a server: a thread for requests and one that refreshes live data.
class Python {
public:
    explicit Python(Server& server) : server_(server), worker_([this] { work(); }), refresher_([this] { refresh(); }) {}
    ~Python() {
        server_.request_stop();
        worker_.join();
        refresher_.join();
    }
    Python(const Python&) = delete;
    Python& operator=(const Python&) = delete;

    static std::string made_of(std::string_view body) { return std::string("done: ").append(body); }
    static std::string seen(long refresh) { return R"({"refresh": )" + std::to_string(refresh) + "}"; }
    // False: the server ends.
    static bool next(Server& server, Job& job) {
        Attention attention = Attention::log;
        while (attention == Attention::log) attention = server.jobs().next(job);
        return attention == Attention::job;
    }
    static void finish(Server& server, Job& job) {
        Result result;
        result.id = job.id;
        result.reply = made_of(job.body.view());
        server.jobs().finish(std::move(result));
    }

private:
    void work() {
        Job job;
        while (next(server_, job)) finish(server_, job);
    }
    void refresh() {
        for (long refreshes = 1;; ++refreshes) {
            const RefresherTask task = server_.documents().wait_refresh();
            if (task == RefresherTask::end) return;
            if (task == RefresherTask::release) continue;
            const DocumentId which = task == RefresherTask::data ? DocumentId::data : DocumentId::info;
            const Refresh begun = server_.documents().begin_refresh(which);
            const Text text = std::make_shared<const std::string>(seen(refreshes));
            server_.documents().finish_refresh(which, begun, text, false, true);
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

    bool send(const std::vector<std::string_view>& frames) {
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
        ZmqFrame frame;
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

inline bool answers(const Context& context, const std::string& endpoint, std::string_view name = "somebody") {
    Client client(context, endpoint);
    return client.answer_to(requests::request("PING", name)) == requests::ping_reply(name);
}

inline void in_threads(int count, const std::function<void(int)>& body) {
    std::vector<std::thread> threads;
    for (int i = 0; i < count; ++i) threads.emplace_back(body, i);
    for (std::thread& thread : threads) thread.join();
}

}  // namespace server_bench

#endif
