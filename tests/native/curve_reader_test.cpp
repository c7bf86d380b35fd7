// What comes over CURVE, opened into the bytes that would have come over NULL, however it is cut.
//     curve_reader_test LIBSODIUM

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "support/checks.h"
#include "support/curve_ends.h"
#include "support/random_numbers.h"
#include "support/sodium_library.h"
#include "zmtp/curve_reader.h"

using namespace curve_ends;
using laplace::zmtp::CurveReader;
using Event = CurveReader::Event;

namespace {

constexpr size_t enough = 1 << 20;
constexpr size_t any_size = SIZE_MAX;

struct Pair {
    Pair() : ends(keys) { CHECK(ends.complete()); }
    CurveTraffic& client() { return ends.client.traffic(); }
    CurveTraffic& server() { return ends.server.traffic(); }
    const Keys keys;
    Ends ends;
};

std::string text_of(size_t size) {
    std::string text;
    for (size_t i = 0; i < size; ++i) text += static_cast<char>(i * 11 + i / 256);
    return text;
}

std::string plain_frame(Kind kind, const std::string& text) {
    const unsigned flags = kind == Kind::more      ? laplace::zmtp::flag_more
                           : kind == Kind::command ? laplace::zmtp::flag_command
                                                   : 0;
    char header[laplace::zmtp::max_header];
    return std::string(header, laplace::zmtp::detail::encode_header(flags, text.size(), header)) + text;
}

// What a reader made of all that it was given.
struct Read {
    std::string plain;
    size_t runs = 0, apart = 0, by_room = 0, most_held = 0;
    Event last = Event::need_more;
};

// Gives it `bytes` in pieces of the sizes that `next_size` says, each in memory of its own.
template <typename Sizes>
void give(CurveReader& reader, std::string_view bytes, Sizes next_size, Read& read) {
    std::vector<char> frame;
    size_t given = 0;
    while (!bytes.empty()) {
        const CurveReader::Room room = reader.room();
        const size_t size = std::min<size_t>({next_size(), bytes.size(), room.size > 0 ? room.size : any_size});
        std::vector<char> piece(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
        bytes.remove_prefix(size);
        given += size;
        char* at = piece.data();
        char* end = at + size;
        if (room.size > 0) {
            std::copy(at, end, room.begin);
            reader.received(size);
            at = end;
            ++read.by_room;
        }
        for (;;) {
            read.last = reader.next(at, end);
            if (read.last == Event::need_more) break;
            if (read.last == Event::plain) {
                read.plain += reader.plain();
                ++read.runs;
            } else if (read.last == Event::begin) {
                frame.assign(reader.body_size(), 'x');
                reader.put_into(frame.data());
            } else if (read.last == Event::end) {
                read.plain += plain_frame(reader.kind(), std::string(frame.data(), frame.size()));
                ++read.apart;
            } else {
                return;
            }
        }
        CHECK(at == end);
        read.most_held = std::max(read.most_held, reader.held());
        CHECK(reader.held() <= 2 * given + 1024);
    }
}

struct Script {
    std::string sealed, plain;
    size_t frames = 0;

    void add(CurveTraffic& from, Kind kind, const std::string& text) {
        sealed += curve_ends::sealed(from, kind, text);
        plain += plain_frame(kind, text);
        ++frames;
    }
};

Script all_sizes(CurveTraffic& from) {
    Script script;
    for (const size_t size : {0, 1, 5, 30, 31, 32, 64, 200, 221, 222, 223, 255, 256, 300, 2000, 2048, 2049, 8191, 8192,
                              8193, 16415, 40000, 70000, 0, 3}) {
        for (const Kind kind : {Kind::more, Kind::last, Kind::command})
            script.add(from, kind, text_of(static_cast<size_t>(size)));
    }
    return script;
}

void whole_and_cut() {
    for (const bool tells_large : {false, true}) {
        for (const size_t cut : {any_size, size_t{1}, size_t{2}, size_t{9}, size_t{33}, size_t{40}, size_t{4096},
                                 size_t{65536}}) {
            Pair pair;
            const Script script = all_sizes(pair.server());
            CurveReader reader(enough, tells_large);
            reader.begin_traffic(pair.client());
            Read read;
            give(reader, script.sealed, [cut] { return cut; }, read);
            CHECK(read.last == Event::need_more);
            CHECK(read.plain == script.plain);
            CHECK((read.apart > 0) == (tells_large && cut != any_size));
            if (cut == any_size) CHECK(read.runs < script.frames);  // small ones were put together
            reader.release();
            CHECK(reader.held() == 0);
        }
    }
}

void cut_anyhow() {
    RandomNumbers random(7);
    for (int round = 0; round < 60; ++round) {
        Pair pair;
        const Script script = all_sizes(pair.client());
        CurveReader reader(enough, round % 2 == 0);
        reader.begin_traffic(pair.server());
        const size_t most = size_t{1} << random.below(17);
        Read read;
        give(reader, script.sealed, [&] { return 1 + random.below(most); }, read);
        CHECK(read.last == Event::need_more && read.plain == script.plain);
    }
}

void large_ones_go_where_they_belong() {
    Pair pair;
    Script script;
    script.add(pair.server(), Kind::last, text_of(500000));
    CurveReader reader(enough, true);
    reader.begin_traffic(pair.client());
    Read read;
    give(reader, script.sealed, [] { return size_t{65536}; }, read);
    CHECK(read.plain == script.plain && read.apart == 1 && read.by_room == 7 && read.most_held == 0);
}

// A handshake, told command by command, and the first messages in the same piece as its end.
void handshakes() {
    for (const size_t cut : {any_size, size_t{1}, size_t{7}, size_t{100}}) {
        const Keys keys;
        CurveClient client(*keys.client, keys.server->public_key, SocketType::dealer, "me");
        CurveServer server(*keys.server);
        CurveReader reader(enough);
        std::string to_server(laplace::zmtp::max_curve_hello, 'x');
        to_server.resize(client.begin(to_server.data()).to_send);
        std::string answers;
        bool is_through = false;
        for (int turn = 0; turn < 2 && !is_through; ++turn) {
            for (std::string_view left = to_server; !left.empty();) {
                const std::string_view part = left.substr(0, cut);
                std::vector<char> piece(part.begin(), part.end());
                left.remove_prefix(piece.size());
                char* at = piece.data();
                char* const end = at + piece.size();
                for (Event event; (event = reader.next(at, end)) != Event::need_more;) {
                    CHECK(event == Event::command);
                    std::vector<char> out(1024);
                    CurveStep step = server.hear(reader.command(), reader.command_size(), out.data());
                    if (step.event == CurveEvent::asks) {
                        CHECK(server.client() == keys.client->public_key);
                        step = server.permit(out.data());
                        CHECK(step.event == CurveEvent::ready);
                        reader.begin_traffic(server.traffic());
                        is_through = true;
                    }
                    answers.assign(out.data(), step.to_send);
                }
            }
            const Said said = hear(client, body_of(answers));
            to_server = said.frame;
        }
        CHECK(is_through);
        const std::string frame = sealed(client.traffic(), Kind::last, "text");
        Read read;
        give(reader, frame, [cut] { return cut; }, read);
        CHECK(read.plain == plain_frame(Kind::last, "text"));
    }
}

// ---- what is wrong

void is_over(CurveReader& reader, Event event) {
    char more[100] = {};
    char* at = more;
    CHECK(reader.next(at, more + sizeof more) == event && at == more);
    CHECK(reader.room().size == 0);
}

void too_large() {
    for (const size_t size : {size_t{101}, size_t{300}, size_t{70000}}) {
        Pair pair;
        Script script;
        script.add(pair.client(), Kind::more, text_of(100));
        script.add(pair.client(), Kind::last, text_of(size));
        CurveReader reader(100);
        reader.begin_traffic(pair.server());
        Read read;
        give(reader, script.sealed, [] { return any_size; }, read);
        CHECK(read.last == Event::too_large && read.plain == plain_frame(Kind::more, text_of(100)));
        const std::string expected = plain_frame(Kind::last, text_of(size));
        CHECK(reader.plain() == expected.substr(0, expected.size() - size));
        is_over(reader, Event::too_large);
    }
}

void changed() {
    for (const size_t size : {size_t{0}, size_t{20}, size_t{300}, size_t{9000}, size_t{20000}}) {
        for (const bool tells_large : {false, true}) {
            for (int at = 0; at < 60; ++at) {
                Pair pair;
                Script script;
                script.add(pair.server(), Kind::last, "before");
                const std::string frame = sealed(pair.server(), Kind::last, text_of(size));
                const size_t header = frame.size() - size - laplace::zmtp::curve::message_body;
                // All that is in front, and bytes of the body.
                const size_t from_end = static_cast<size_t>(at - 32);
                const size_t place = at < 33 ? header + static_cast<size_t>(at) : frame.size() - from_end;
                if (place < header || place >= frame.size()) continue;
                std::string bytes = script.sealed + frame;
                bytes[script.sealed.size() + place] = static_cast<char>(bytes[script.sealed.size() + place] ^ 4);
                CurveReader reader(enough, tells_large);
                reader.begin_traffic(pair.client());
                Read read;
                give(reader, bytes, [] { return size_t{4096}; }, read);
                CHECK(read.last == Event::fault && read.plain == script.plain);
                CHECK(reader.fault() != CurveFault::none);
                is_over(reader, Event::fault);
            }
        }
    }
}

void said_again() {
    for (const size_t size : {size_t{10}, size_t{50000}}) {
        Pair pair;
        Script script;
        script.add(pair.server(), Kind::last, text_of(size));
        CurveReader reader(enough, true);
        reader.begin_traffic(pair.client());
        Read read;
        give(reader, script.sealed + script.sealed, [] { return size_t{4096}; }, read);
        CHECK(read.last == Event::fault && reader.fault() == CurveFault::replayed && read.plain == script.plain);
    }
}

void malformed_headers() {
    struct Case {
        std::string bytes;
        bool in_traffic;
        Event event;
    };
    const std::string huge("\2\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 9);
    const std::string negative("\2\x80\0\0\0\0\0\0\0", 9);
    const std::string long_command("\6\0\0\0\0\0\0\x10\1", 9);
    const Case cases[] = {
        {std::string("\0\40", 2), true, Event::fault},     // less than a MESSAGE has
        {std::string("\1\50", 2), true, Event::fault},     // "more" outside
        {std::string("\10\50", 2), true, Event::fault},    // reserved
        {std::string("\5\50", 2), true, Event::fault},     // a command in parts
        {negative, true, Event::fault},
        {huge, true, Event::too_large},
        {std::string("\0\50", 2), false, Event::fault},    // a message in the handshake
        {std::string("\4\0", 2), false, Event::fault},     // a command without a name
        {long_command, false, Event::fault},
        {std::string("\4\50", 2), true, Event::need_more},
        {std::string("\4\50", 2), false, Event::need_more},
    };
    for (const Case& each : cases) {
        for (const size_t cut : {any_size, size_t{1}}) {
            Pair pair;
            CurveReader reader(enough);
            if (each.in_traffic) reader.begin_traffic(pair.client());
            Read read;
            give(reader, each.bytes, [cut] { return cut; }, read);
            CHECK(read.last == each.event && reader.held() == 0);
            if (each.event != Event::need_more) is_over(reader, each.event);
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2 || !sodium_library::load(argv[1])) return 2;
    whole_and_cut();
    cut_anyhow();
    large_ones_go_where_they_belong();
    handshakes();
    too_large();
    changed();
    said_again();
    malformed_headers();
    return checks::status();
}
