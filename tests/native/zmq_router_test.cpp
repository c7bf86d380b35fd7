// Tests of the router over libzmq, with a ROUTER made of memory. Returns 1 if any failed.

#include "support/checks.h"
#include "support/failing_memory.h"
#include "support/memory_zmq.h"

#include "transport/zmq_router.h"

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "zmtp/frames.h"

namespace {

using laplace::ConnectionRef;
using laplace::Counters;
using laplace::ErrorKind;
using laplace::Got;
using laplace::Message;
using laplace::Received;
using laplace::Sent;
using laplace::WakeUp;
using laplace::ZmqRouter;
using memory_zmq::Frames;
using memory_zmq::Wire;

std::string encoded(const Frames& frames) {
    std::string encoded;
    for (const std::string& frame : frames) {
        char header[laplace::zmtp::max_header];
        const char* const behind = laplace::zmtp::encode_header(true, frame.size(), header);
        encoded.append(header, static_cast<size_t>(behind - header)).append(frame);
    }
    return encoded;
}

Message message_of(std::string_view text) {
    Message message;
    if (!message.allocate(text.size())) std::abort();
    if (!text.empty()) std::memcpy(message.data(), text.data(), text.size());
    return message;
}

std::vector<Message> arrays_of(const std::vector<size_t>& sizes) {
    std::vector<Message> arrays;
    for (const size_t size : sizes) arrays.push_back(message_of(std::string(size, 'a')));
    return arrays;
}

ZmqRouter::Options options(size_t most_in_flight) {
    ZmqRouter::Options options;
    options.most_in_flight = most_in_flight;
    return options;
}

struct Bench {
    explicit Bench(size_t most_in_flight = SIZE_MAX)
        : alarm(wire), router(options(most_in_flight), wake_up, counters) {
        router.use_socket(&wire);
        wake_up.set_alarm(&alarm);
    }
    Got receive(int wait_ms = 0) { return router.receive(message, wait_ms, true, error); }
    // The connection of that id, known since it has sent something.
    ConnectionRef connect(const std::string& id) {
        wire.deliver({id, "", "hello"});
        if (receive() != Got::message) std::abort();
        return ConnectionRef(message.connection);
    }
    Sent send(const ConnectionRef& to, const Frames& route, std::string_view text,
              const std::vector<size_t>& array_sizes = {}) {
        return router.send(*to, encoded(route), message_of(text), arrays_of(array_sizes));
    }
    uint64_t count(ErrorKind kind) { return counters.of(kind).load(); }

    Wire wire;
    memory_zmq::Alarm alarm;
    WakeUp wake_up;
    Counters counters;
    ZmqRouter router;
    Received message;
    int error = 0;
};

// ---- receiving

void a_message_and_its_route() {
    Bench bench;
    bench.wire.deliver({"a", "", "one"});
    bench.wire.deliver({"b", "proxied", "7", "", "two"});
    CHECK(bench.receive() == Got::message);
    const ConnectionRef first(bench.message.connection);
    CHECK(bench.message.route == encoded({""}) && first->is_open() && !first->has_ended());
    CHECK(bench.message.one_frame && bench.message.body == "one");
    CHECK(bench.message.arrived > 0);
    CHECK(bench.receive() == Got::message && bench.error == 0);
    CHECK(bench.message.connection != first.get() && bench.message.connection->id() != first->id());
    CHECK(bench.message.route == encoded({"proxied", "7", ""}));
    CHECK(bench.message.body == "two");
    const Message body = bench.message.take_body();
    const laplace::Route route = bench.message.keep_route();
    CHECK(bench.counters.bytes_in.load() == 3 + 8 + 3);
    CHECK(bench.receive() == Got::nothing && bench.error == EAGAIN);
    bench.wire.deliver({"a", std::string(1000, 'r'), "", ""});
    CHECK(bench.receive() == Got::message && bench.message.connection == first.get());
    CHECK(bench.message.route == encoded({std::string(1000, 'r'), ""}));
    CHECK(bench.message.one_frame && bench.message.body.empty() && bench.message.take_body().size() == 0);
    CHECK(body.view() == "two" && route.frames == encoded({"proxied", "7", ""}));  // kept
}

void any_number_of_frames() {
    Bench bench;
    for (std::ptrdiff_t before = 0; before < 40; ++before) {
        for (size_t behind = 0; behind < 3; ++behind) {
            Frames frames{"a"};
            frames.insert(frames.end(), static_cast<size_t>(before), "r");
            frames.emplace_back();
            frames.insert(frames.end(), behind, "body");
            bench.wire.deliver(frames);
            CHECK(bench.receive() == Got::message);
            CHECK(bench.message.route == encoded(Frames(frames.begin() + 1, frames.begin() + 2 + before)));
            CHECK(bench.message.one_frame == (behind == 1));
            CHECK(bench.message.body == (behind == 1 ? "body" : ""));
        }
    }
    // The first empty frame ends the route; one more is a frame of the body.
    bench.wire.deliver({"a", "", "", "x"});
    CHECK(bench.receive() == Got::message && bench.message.route == encoded({""}) && !bench.message.one_frame);
}

void nobody_to_answer_to() {
    Bench bench;
    bench.wire.deliver({"a"});
    bench.wire.deliver({"a", "x", "y"});
    bench.wire.deliver({"a", "", "text"});
    CHECK(bench.receive() == Got::other);
    CHECK(bench.receive() == Got::other);
    CHECK(bench.count(ErrorKind::no_delimiter) == 2);
    CHECK(bench.receive() == Got::message && bench.message.body == "text");
}

// Where there is no memory for the frames of a message, the next one is whole.
void a_message_for_which_there_is_no_memory() {
    Bench bench;
    bench.wire.deliver(Frames(20, "frame"));
    bench.wire.deliver({"a", "", "text"});
    bool thrown = false;
    try {
        const failing_memory::At first(1);
        (void)bench.receive();
    } catch (const std::bad_alloc&) {
        thrown = true;
    }
    CHECK(thrown);
    CHECK(bench.receive() == Got::message && bench.message.body == "text");
}

void times_and_faults() {
    Bench bench;
    bench.receive(5);
    CHECK(bench.wire.timeout_ms == 5 && bench.wire.timeouts_set == 1);
    bench.receive(5);
    CHECK(bench.wire.timeouts_set == 1);  // told where it changes
    bench.receive(-1);
    CHECK(bench.wire.timeout_ms == -1 && bench.wire.timeouts_set == 2);
    bench.wire.fault = laplace::ZMQ_ETERM;
    CHECK(bench.receive() == Got::nothing && bench.error == laplace::ZMQ_ETERM);
}

// ---- being woken

void woken_while_it_sleeps() {
    Bench bench;
    bench.wire.on_sleep = [&] {
        for (int i = 0; i < 3; ++i) bench.wake_up.wake();
    };
    CHECK(bench.receive(-1) == Got::other && bench.error == 0);
    CHECK(bench.wire.wake_ups == 1);  // for all three
    CHECK(bench.wake_up.take() && !bench.wake_up.take());
    bench.wire.on_sleep = [] {};
    CHECK(bench.receive(-1) == Got::nothing);
    CHECK(bench.wire.wake_ups == 1);
}

void woken_before_it_sleeps() {
    Bench bench;
    bool slept = false;
    bench.wire.on_sleep = [&] { slept = true; };
    bench.wake_up.wake();
    CHECK(bench.receive(-1) == Got::nothing && bench.error == 0 && !slept);
    CHECK(bench.wire.wake_ups == 0 && bench.wake_up.take());
    // Who only asks is told of messages all the same.
    bench.wake_up.wake();
    bench.wire.deliver({"a", "", "text"});
    CHECK(bench.receive(0) == Got::message);
    bench.wake_up.set_alarm(nullptr);
    CHECK(bench.wake_up.take());
    bench.wire.on_sleep = [&] { bench.wake_up.wake(); };
    CHECK(bench.receive(-1) == Got::nothing && bench.wire.wake_ups == 0);  // nobody is there any more
}

// ---- connections

// As long as somebody keeps it, a connection's record is the same; of others few are left.
void records_of_connections() {
    Bench bench;
    const ConnectionRef kept = bench.connect("kept");
    const uint64_t left = bench.connect("left")->id();
    CHECK(bench.connect("left")->id() == left && bench.connect("kept").get() == kept.get());
    const ConnectionRef reads = bench.connect("reads not");
    const uint64_t reads_not = reads->id();
    CHECK(bench.send(reads, {""}, std::string(100000, 'x')) == Sent::yes);
    for (int i = 0; i < 200; ++i) bench.connect(std::to_string(i));
    CHECK(bench.connect("kept").get() == kept.get());
    CHECK(bench.connect("reads not")->id() == reads_not);
    CHECK(bench.connect("left")->id() != left);
}

// What libzmq holds for a connection keeps its record, too.
void records_while_large_messages_are_on_their_way() {
    Bench bench;
    uint64_t id = 0;
    {
        const ConnectionRef reads_not = bench.connect("reads not");
        id = reads_not->id();
        CHECK(bench.send(reads_not, {""}, std::string(100000, 'x')) == Sent::yes);
    }
    for (int i = 0; i < 200; ++i) bench.connect(std::to_string(i));
    CHECK(bench.connect("reads not")->id() == id);
    CHECK(!bench.wire.read("reads not").empty());
    for (int i = 200; i < 400; ++i) bench.connect(std::to_string(i));
    CHECK(bench.connect("reads not")->id() != id);
}

// ---- sending

void all_frames_arrive() {
    Bench bench;
    CHECK(bench.send(bench.connect("a"), {""}, "text") == Sent::yes);
    CHECK(bench.send(bench.connect("b"), {"7", ""}, "text", {3, 0, 2}) == Sent::yes);
    CHECK(bench.wire.read("a") == (Frames{"", "text"}));
    CHECK(bench.wire.read("b") == (Frames{"7", "", "text", "aaa", "", "aa"}));
    CHECK(bench.counters.bytes_out.load() == 4 + 4 + 5);
    CHECK(bench.router.last_sent() > 0);
}

void no_room_and_nobody() {
    Bench bench;
    const ConnectionRef full = bench.connect("full"), gone = bench.connect("gone");
    bench.wire.peer("full").room = 0;
    bench.wire.peer("gone").gone = true;
    CHECK(bench.send(full, {"7", ""}, "text", {3}) == Sent::full);
    CHECK(bench.send(gone, {""}, "text") == Sent::gone);
    CHECK(bench.counters.bytes_out.load() == 0 && bench.router.last_sent() == 0);
    CHECK(!bench.router.take_room() && bench.router.retry_ns() == laplace::ns_per_ms);  // it is found by trying
    bench.wire.peer("full").room = 1;
    CHECK(bench.send(full, {"7", ""}, "text", {3}) == Sent::yes && bench.router.flush(*full));
    CHECK(bench.wire.read("full") == (Frames{"7", "", "text", "aaa"}));
    // libzmq closes no connection: it is answered on.
    bench.router.finish(*full);
    bench.router.settled(*full);
    CHECK(bench.send(full, {""}, "text") == Sent::yes);
}

void shared_messages_are_sent_again() {
    Bench bench;
    const ConnectionRef to = bench.connect("a");
    const std::string route = encoded({"7", ""});
    const Message body = message_of("text");
    const std::vector<Message> arrays = arrays_of({5, 70000});
    for (int i = 0; i < 3; ++i) CHECK(bench.router.send(*to, route, body, arrays) == Sent::yes);
    CHECK(bench.wire.peer("a").held[0][4].data() == arrays[1].data());  // no copy
    for (int i = 0; i < 3; ++i) {
        const Frames frames = bench.wire.read("a");
        CHECK(frames.size() == 5 && frames[0] == "7" && frames[2] == "text" && frames[4].size() == 70000);
    }
    CHECK(body.view() == "text" && arrays[0].view() == "aaaaa");
}

// ---- what libzmq holds

constexpr size_t large = 100000;

void large_messages_are_bounded_by_bytes() {
    Bench bench(3 * large);
    const ConnectionRef a = bench.connect("a"), b = bench.connect("b");
    // Small ones are not counted: libzmq bounds their number.
    for (int i = 0; i < 1000; ++i) CHECK(bench.send(a, {""}, std::string(1000, 'x')) == Sent::yes);
    const std::string text(large, 'x');
    CHECK(bench.send(a, {""}, text) == Sent::yes);
    CHECK(bench.send(a, {""}, "head", {large / 2, large / 2}) == Sent::yes);
    CHECK(bench.send(a, {""}, text) == Sent::full);  // with its route it is too much
    CHECK(bench.send(b, {""}, text) == Sent::yes);   // of another connection
    CHECK(bench.send(a, {""}, "small") == Sent::yes);
    for (int i = 0; i < 1001; ++i) bench.wire.read("a");
    CHECK(bench.send(a, {""}, text) == Sent::yes);  // the network has the first
    CHECK(bench.send(a, {""}, text) == Sent::full);
    // One always fits, whatever its size, and nothing beside it. Routes count.
    while (bench.wire.held("a") > 0) bench.wire.read("a");
    CHECK(bench.send(a, {std::string(9 * large, 'r'), ""}, "text") == Sent::yes);
    CHECK(bench.send(a, {""}, text) == Sent::full);
    bench.wire.read("a");
    for (int i = 0; i < 2; ++i) CHECK(bench.send(a, {""}, "head", {large}) == Sent::yes);
    CHECK(bench.send(a, {""}, "head", {large}) == Sent::full);
}

// The network may free a message after the router is gone.
void messages_outlive_the_router() {
    Wire wire;
    {
        WakeUp wake_up;
        Counters counters;
        ZmqRouter router(options(3 * large), wake_up, counters);
        router.use_socket(&wire);
        wire.deliver({"a", "", "hello"});
        Received message;
        int error = 0;
        CHECK(router.receive(message, 0, false, error) == Got::message);
        CHECK(router.send(*message.connection, message.route, message_of(std::string(large, 'x')), {}) == Sent::yes);
    }
    CHECK(wire.read("a").size() == 2);
}

// Whatever fails, nothing is sent in part or stays charged, and the next message goes.
void sending_without_memory() {
    bool all_made = false;
    uint64_t n = 1;
    for (; !all_made; ++n) {
        Bench bench(3 * large);
        const ConnectionRef a = bench.connect("a"), b = bench.connect("b");
        const std::string route = encoded({"7", ""});
        const Message body = message_of(std::string(large, 'x'));
        const std::vector<Message> arrays = arrays_of({large});
        bool sent = false;
        {
            const failing_memory::At nth(n);
            try {
                sent = bench.router.send(*a, route, body, arrays) == Sent::yes;
            } catch (const std::bad_alloc&) {
            }
            all_made = !nth.reached();
        }
        CHECK(sent == all_made && bench.wire.held("a") == (sent ? 1 : 0));
        CHECK(bench.send(b, {""}, "text") == Sent::yes);
        CHECK(bench.wire.read("b") == (Frames{"", "text"}));
        if (sent) CHECK(bench.wire.read("a").size() == 4);
        // Two of them fit beside one another only where nothing is charged.
        CHECK(bench.send(a, {""}, std::string(5 * large / 2, 'x')) == Sent::yes);
        CHECK(bench.send(a, {""}, std::string(large / 3, 'x')) == Sent::yes);
    }
    CHECK(n > 10);
}

// A connection of which there can be no record: the next message comes.
void connections_without_memory() {
    bool all_made = false;
    for (uint64_t n = 1; !all_made; ++n) {
        Bench bench;
        bench.wire.deliver({"a", "", "lost"});
        bench.wire.deliver({"a", "", "text"});
        Got got = Got::nothing;
        {
            const failing_memory::At nth(n);
            try {
                got = bench.receive();
            } catch (const std::bad_alloc&) {
            }
            all_made = !nth.reached();
        }
        CHECK((got == Got::message) == all_made);
        CHECK(bench.receive() == Got::message && bench.message.body == "text");
        CHECK(bench.send(ConnectionRef(bench.message.connection), {""}, "answer") == Sent::yes);
        CHECK(bench.wire.read("a") == (Frames{"", "answer"}));
    }
}

}  // namespace

int main() {
    memory_zmq::use();
    a_message_and_its_route();
    any_number_of_frames();
    nobody_to_answer_to();
    a_message_for_which_there_is_no_memory();
    times_and_faults();
    woken_while_it_sleeps();
    woken_before_it_sleeps();
    records_of_connections();
    records_while_large_messages_are_on_their_way();
    all_frames_arrive();
    no_room_and_nobody();
    shared_messages_are_sent_again();
    large_messages_are_bounded_by_bytes();
    messages_outlive_the_router();
    sending_without_memory();
    connections_without_memory();
    CHECK(memory_zmq::living == 0);
    return checks::status();
}
