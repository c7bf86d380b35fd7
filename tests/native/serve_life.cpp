// A server's life: bound, run, stopped, dropped.

#include "serve_test.h"
#include "support/server_bench.h"

#include <atomic>
#include <cerrno>
#include <memory>
#include <string>
#include <thread>

namespace {

using namespace server_bench;
using requests::error_reply;
using requests::ping_reply;
using requests::request;

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
    server->set_table(requests::table());
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
    CHECK(eventually([&] { return running.server->counters().pending.load() == 3; }));
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
    CHECK(client.answer() == error_reply(R"("UNKNOWN")", R"("UNKNOWN")", "begun"));
    CHECK(running.server->wait_ended(limit_ms));
    CHECK(Clock::now() - begun >= milliseconds(config.callback_grace_ms));
    Python::finish(*running.server, job);  // too late, and no harm
}

}  // namespace

void lives_and_ends() {
    a_server_that_never_runs();
    an_address_that_cannot_be_bound();
    the_same_port_again_and_again();
    stopped_by_several_amid_requests();
    dropped_while_it_runs();
    work_in_hand_is_finished_and_the_rest_refused();
    work_that_does_not_end();
}
