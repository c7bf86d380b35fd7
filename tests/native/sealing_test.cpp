// Tests of what waits to be sent over CURVE: the other end opens what was added, in order, however much of it is
// sealed at once and however little leaves; a large frame keeps nobody waiting for long.
//     sealing_test LIBSODIUM

#include "support/checks.h"
#include "support/curve_ends.h"
#include "support/failing_memory.h"
#include "support/random_numbers.h"
#include "support/sodium_library.h"

#include "transport/outbox.h"
#include "transport/sealing.h"

#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <vector>

using namespace curve_ends;
using laplace::Message;
using laplace::Outbox;
using laplace::Piece;
using laplace::Sealing;

namespace {

constexpr size_t sizes[] = {0, 1, 20, 150, 221, 222, 223, 4096, 8191, 8192, 20000, 70000, 200000};

std::string text_of(size_t size, RandomNumbers& random) {
    std::string text(size, 'x');
    for (char& each : text) each = static_cast<char>('a' + random.below(26));
    return text;
}

Message message_of(std::string_view text) {
    Message message;
    if (!message.allocate(text.size())) std::abort();
    if (!text.empty()) std::memcpy(message.data(), text.data(), text.size());
    return message;
}

std::string encoded(unsigned flags, std::string_view body) {
    char header[laplace::zmtp::max_header];
    std::string frame(header, laplace::zmtp::detail::encode_header(flags, body.size(), header));
    return frame.append(body);
}

// The other end of the connection: frames as text, a line for each.
class Client {
public:
    explicit Client(CurveTraffic& traffic) : traffic_(traffic) {}
    void hear(std::string_view bytes) {
        using namespace laplace::zmtp;
        come_.append(bytes);
        for (;;) {
            if (come_.empty()) return;
            const bool is_long = (byte_of(come_[0]) & flag_long) != 0;
            const size_t header = is_long ? long_header : short_header;
            if (come_.size() < header) return;
            const size_t size = is_long ? static_cast<size_t>(read_uint64(&come_[1])) : byte_of(come_[1]);
            if (come_.size() - header < size) return;
            const Heard heard = opened(traffic_, std::string_view(come_).substr(header, size));
            CHECK(heard.fault == CurveFault::none);
            note(heard.kind, heard.text);
            come_.erase(0, header + size);
        }
    }
    bool in_frame() const { return !come_.empty(); }
    static std::string line(Kind kind, std::string_view text) {
        const char* const name = kind == Kind::more ? "more " : kind == Kind::last ? "last " : "command ";
        return std::string(name).append(text).append("\n");
    }
    std::string log;

private:
    void note(Kind kind, std::string_view text) { log += line(kind, text); }
    CurveTraffic& traffic_;
    std::string come_;
};

struct Connection {
    Connection() { CHECK(ends.complete()); }
    const Keys keys;
    Ends ends{keys};
    Outbox clear;
    Sealing sealing{ends.server.traffic()};
    Client client{ends.client.traffic()};

    size_t waiting() const { return clear.size() + sealing.size(); }
    // Up to so many bytes leave; returns how many.
    size_t send(size_t most) {
        Piece pieces[laplace::most_pieces];
        const size_t count = sealing.ready().next(pieces, most);
        size_t sent = 0;
        for (size_t i = 0; i < count; ++i) {
            client.hear({static_cast<const char*>(pieces[i].data), pieces[i].size});
            sent += pieces[i].size;
        }
        if (sent > 0) sealing.ready().left(sent);
        return sent;
    }
    void send_all() {
        while (waiting() > 0) {
            CHECK(sealing.go_on(clear, 100'000));
            send(SIZE_MAX);
        }
    }
};

// ---- what waits

void add(Connection& to, std::string& awaited, RandomNumbers& random) {
    const auto any = [&random] { return text_of(sizes[random.below(sizeof sizes / sizeof *sizes)], random); };
    std::string route;
    for (size_t i = random.below(3); i > 0; --i) {
        const std::string frame = any();
        route += encoded(laplace::zmtp::flag_more, frame);
        awaited += Client::line(Kind::more, frame);
    }
    route += encoded(laplace::zmtp::flag_more, "");
    awaited += Client::line(Kind::more, "");
    std::vector<std::string> texts{any()};
    if (random.one_in(3)) {
        for (size_t i = random.below(3) + 1; i > 0; --i) texts.push_back(any());
    }
    std::vector<Message> more;
    for (size_t i = 1; i < texts.size(); ++i) more.push_back(message_of(texts[i]));
    for (const std::string& text : texts) awaited += Client::line(&text == &texts.back() ? Kind::last : Kind::more, text);
    to.clear.add(route, message_of(texts[0]), more);
}

void all_is_opened_in_order(uint64_t seed) {
    RandomNumbers random(seed);
    Connection connection;
    std::string awaited;
    for (int step = 0; step < 60; ++step) {
        if (random.one_in(2)) add(connection, awaited, random);
        const size_t before = connection.waiting();
        CHECK(connection.sealing.go_on(connection.clear, random.below(150'000) + 1));
        CHECK(connection.waiting() >= before);  // 33 bytes more for each frame, and no byte is lost
        const size_t held = connection.waiting();
        const size_t sent = connection.send(random.below(100'000));
        CHECK(connection.waiting() == held - sent);
        CHECK(awaited.compare(0, connection.client.log.size(), connection.client.log) == 0);
    }
    connection.send_all();
    CHECK(connection.client.log == awaited && !connection.client.in_frame());
    CHECK(connection.clear.empty() && connection.sealing.ready().empty());
}

// ---- one at once

void small_ones_at_once() {
    Connection connection;
    RandomNumbers random(1);
    std::string awaited;
    for (const size_t size : sizes) {
        const std::string body = text_of(size, random);
        const std::string route = encoded(1, "proxy") + encoded(1, "");
        std::string out(Sealing::most_sealed(route, size), 'x');
        const char* const behind = connection.sealing.seal(route, body, out.data());
        if (!CHECK(behind == out.data() + out.size())) return;
        connection.client.hear(out);
        awaited += Client::line(Kind::more, "proxy") + Client::line(Kind::more, "") + Client::line(Kind::last, body);
    }
    const std::string pong = encoded(laplace::zmtp::flag_command, "\4PONGx");
    std::string out(100, 'x');
    out.resize(static_cast<size_t>(connection.sealing.seal_frame(pong, out.data()) - out.data()));
    connection.client.hear(out);
    CHECK(connection.client.log == awaited + Client::line(Kind::command, "\4PONGx"));
}

// ---- how much at once

void a_large_frame_takes_several_turns() {
    Connection connection;
    constexpr size_t size = 1 << 20, step = 64 * 1024;
    RandomNumbers random(2);
    const std::string text = text_of(size, random);
    connection.clear.add(encoded(1, ""), message_of(text), {});
    connection.clear.add(encoded(1, ""), message_of("behind"), {});
    size_t turns = 0;
    std::string awaited = Client::line(Kind::more, "") + Client::line(Kind::last, text) + Client::line(Kind::more, "");
    awaited += Client::line(Kind::last, "behind");
    while (connection.client.log != awaited && turns < 100) {
        CHECK(connection.sealing.go_on(connection.clear, step));
        CHECK(!connection.client.in_frame());  // nothing of it leaves before it is finished
        connection.send(SIZE_MAX);
        ++turns;
    }
    CHECK(turns >= size / step && turns <= size / step + 2);
}

void no_more_is_sealed_than_is_taken() {
    Connection connection;
    for (int i = 0; i < 1000; ++i) connection.clear.add(encoded(1, ""), message_of(std::string(1000, 'a')), {});
    for (int i = 0; i < 50; ++i) CHECK(connection.sealing.go_on(connection.clear, 10'000));
    CHECK(connection.sealing.size() >= 10'000 && connection.sealing.size() < 13'000);
    CHECK(connection.clear.size() > 980'000);
    connection.send_all();
    CHECK(connection.client.log.size() == 1000 * (6 + 1006));
}

void what_is_shared_stays_as_it_is() {
    RandomNumbers random(3);
    const std::string text = text_of(300'000, random);
    const Message shared = message_of(text);
    Connection one, other;
    one.clear.add(encoded(1, ""), shared, {});
    other.clear.add(encoded(1, ""), shared, {});
    while (one.waiting() + other.waiting() > 0) {
        for (Connection* const each : {&one, &other}) {
            CHECK(each->sealing.go_on(each->clear, 20'000));
            each->send(SIZE_MAX);
        }
    }
    CHECK(shared.view() == text);
    CHECK(one.client.log == other.client.log);
    CHECK(one.client.log == Client::line(Kind::more, "") + Client::line(Kind::last, text));
}

// ---- ends

void a_connection_that_ends_lets_go_of_all() {
    RandomNumbers random(4);
    const Message shared = message_of(text_of(300'000, random));
    Connection connection;
    connection.clear.add(encoded(1, ""), shared, {});
    CHECK(connection.sealing.go_on(connection.clear, 20'000));
    CHECK(connection.sealing.size() > 300'000);
    connection.sealing.clear();
    connection.clear.clear();
    CHECK(connection.waiting() == 0);
}

// What has a number would be missing: whoever seals hears of it, and ends the connection.
void without_memory() {
    uint64_t failed = 0;
    for (uint64_t at = 1; at < 10; ++at) {
        for (const size_t size : {size_t{100}, size_t{100'000}}) {
            Connection connection;
            connection.clear.add(encoded(1, ""), message_of(std::string(size, 'a')), {});
            const failing_memory::At failing(at);
            bool threw = false;
            try {
                while (connection.waiting() > connection.sealing.ready().size()) {
                    if (!connection.sealing.go_on(connection.clear, 200'000)) break;
                }
            } catch (const std::bad_alloc&) {
                threw = true;
            }
            CHECK(threw == failing.reached());
            failed += threw ? 1 : 0;
        }
    }
    CHECK(failed >= 5);
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 2 || !sodium_library::load(arguments[1])) return 2;
    laplace::message_memory_fails = [](size_t) noexcept { return failing_memory::fails(); };
    for (uint64_t seed = 1; seed <= 30; ++seed) all_is_opened_in_order(seed);
    small_ones_at_once();
    a_large_frame_takes_several_turns();
    no_more_is_sealed_than_is_taken();
    what_is_shared_stays_as_it_is();
    a_connection_that_ends_lets_go_of_all();
    without_memory();
    return checks::status();
}
