// Tests of what the threads of Python send in the loop's place while it sleeps: one small reply, and
// nothing that was waiting for it. That may be much to answer, and they have the GIL. Over a router made of
// memory. Returns 1 if any failed.

#include "server/worker.h"
#include "support/checks.h"
#include "support/memory_router.h"
#include "support/requests.h"

#include <deque>
#include <functional>
#include <string>
#include <utility>

namespace {

using namespace laplace;
using memory_router::MemoryRouter;
using requests::get_reply;
using requests::ping_reply;
using requests::request;

constexpr size_t most_bytes = 16 * 1024;

struct Bench {
    Bench() { shared.table.set(requests::table()); }

    void ask(const std::string& peer, const std::string& command) {
        router.deliver({peer, "", request(command, "a")});
    }
    // The loop runs until it has nothing to do, however often, and while it sleeps the next of these is done.
    // Then it stops.
    void run(std::deque<std::function<void()>> asleep) {
        router.on_sleep = [&] {
            if (asleep.empty()) {
                shared.stop_requested.store(true);
                shared.wake();
                return;
            }
            shared.wake_up.turn.lend();
            asleep.front()();
            shared.wake_up.turn.take_back();
            asleep.pop_front();
        };
        CHECK(loop.run() == 0);
        CHECK(asleep.empty());
    }
    // The callback of the job that came first returns, with a reply of so many bytes. How many answers its
    // thread has sent.
    size_t finish(size_t reply_size, const std::function<void(Result&)>& change = [](Result&) {}) {
        Job job;
        Attention attention = Attention::log;
        while (attention == Attention::log && CHECK(worker.try_next(job, attention))) {
        }
        const size_t before = router.held("a") + router.held("b");
        Result result;
        result.id = job.id;
        result.reply = std::string(reply_size, 'x');
        change(result);
        worker.finish(std::move(result));
        return router.held("a") + router.held("b") - before;
    }
    std::string answer(const std::string& peer) {
        const memory_router::Frames frames = router.read(peer);
        return frames.empty() ? "" : frames.back();
    }

    Shared shared{Config{}};
    MemoryRouter router{memory_router::Room::told, shared.wake_up, shared.counters};
    Loop loop{shared, router};
    Worker worker{shared};
};

void a_small_reply_leaves_at_once() {
    for (const size_t size : {size_t{0}, size_t{100}, most_bytes}) {
        Bench bench;
        bench.ask("a", "SET");
        bench.run({[&] {
            CHECK(bench.finish(size) == 1);
            CHECK(!bench.shared.wake_up.wanted());  // the loop sleeps on
        }});
        CHECK(bench.answer("a").size() == size);
    }
}

void a_large_one_is_the_loops() {
    for (const size_t size : {most_bytes + 1, 100 * most_bytes}) {
        Bench bench;
        bench.ask("a", "SET");
        bench.run({[&] {
            CHECK(bench.finish(size) == 0);
            CHECK(bench.shared.wake_up.wanted());
        }});
        CHECK(bench.answer("a").size() == size);
    }
}

void one_of_the_data_is_the_loops() {
    Bench bench;
    bench.ask("a", "SET");
    bench.run({[&] {
        CHECK(bench.finish(0, [](Result& result) {
            result.render = Render::get;
            result.to = "\"a\"";
            result.version = requests::version;
        }) == 0);
    }});
    CHECK(bench.answer("a") == get_reply("a", "{}"));
}

void what_waits_behind_it_is_the_loops() {
    for (const size_t waiting : {1, 2, 1000}) {
        Bench bench;
        bench.ask("a", "SET");
        for (size_t i = 0; i < waiting; ++i) bench.ask("a", i % 2 == 0 ? "GET" : "PING");
        bench.run({[&] {
            CHECK(bench.router.held("a") == 0);
            CHECK(bench.finish(10) == 0);
            CHECK(bench.shared.wake_up.wanted());
        }});
        CHECK(bench.router.held("a") == waiting + 1);
        CHECK(bench.answer("a") == std::string(10, 'x'));
        for (size_t i = 0; i < waiting; ++i) {
            CHECK(bench.answer("a") == (i % 2 == 0 ? get_reply("a", "{}") : ping_reply("a")));
        }
    }
}

void so_is_another_callback_and_what_is_behind_that() {
    Bench bench;
    for (const char* const command : {"SET", "SET", "GET", "SET"}) bench.ask("a", command);
    bench.run({[&] { CHECK(bench.finish(10) == 0); },  // the GET waits for both
               [&] { CHECK(bench.finish(20) == 0); },
               [&] { CHECK(bench.finish(30) == 1); }});
    for (const std::string& answer : {std::string(10, 'x'), std::string(20, 'x'), get_reply("a", "{}"),
                                      std::string(30, 'x')}) {
        CHECK(bench.answer("a") == answer);
    }
}

void of_several_requests_all_but_the_last_are_the_loops() {
    Bench bench;
    bench.ask("a", "SET");
    bench.ask("b", "SET");
    bench.run({[&] {
                   CHECK(bench.finish(10) == 0);
                   CHECK(bench.shared.wake_up.wanted());
               },
               [&] { CHECK(bench.finish(20) == 1); }});
    CHECK(bench.answer("a") == std::string(10, 'x'));
    CHECK(bench.answer("b") == std::string(20, 'x'));
}

}  // namespace

int main() {
    a_small_reply_leaves_at_once();
    a_large_one_is_the_loops();
    one_of_the_data_is_the_loops();
    what_waits_behind_it_is_the_loops();
    so_is_another_callback_and_what_is_behind_that();
    of_several_requests_all_but_the_last_are_the_loops();
    return checks::status();
}
