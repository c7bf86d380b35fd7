// Fuzz target of CurveZMQ: whoever stands between the two ends, and changes, drops, repeats and swaps what
// they say, or says what it likes, is never believed: what is taken was said by the other end, in that order.
//
// An input is a row of steps, each a byte of what to do and what that needs. The keys are always the same.

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fuzz/engine.h"
#include "fuzz/keys.h"
#include "fuzz/steps.h"
#include "support/curve_ends.h"
#include "zmtp/curve_reader.h"

using namespace curve_ends;
using laplace::zmtp::CurveReader;

namespace {

enum Step : unsigned {
    to_server,  // the first command that waits for it
    to_client,
    client_says,
    server_says,
    change,   // of the last that was said: two bytes of where, one of how
    cut,      // of the same: two bytes of its size
    longer,   // of the same: a byte of how much
    repeat,   // of the same
    swap,     // the last two
    drop,     // the first that waits
    foreign,  // a size, and a command of those bytes, to one of them
    another,  // begins a connection, and what was said before is said on it
    step_count
};

// What waits for one end.
struct Waiting {
    std::string command, said;  // what the other end said, on this connection
    bool was_said;
    unsigned text;  // which of the texts
    bool is_true() const { return was_said && command == said; }
};

Waiting said_by_other(const std::string& command, unsigned text = 0) { return {command, command, true, text}; }

// What a new reader makes of a frame that comes in two pieces; over NULL, it is a header and the text.
Heard read(CurveTraffic& by, const std::string& body, size_t first, bool tells_large) {
    char header[laplace::zmtp::max_header];
    std::string frame(header, laplace::zmtp::encode_header(false, body.size(), header));
    frame += body;
    const size_t cut = first % frame.size();
    CurveReader reader(SIZE_MAX - 100, tells_large);
    reader.begin_traffic(by);
    std::vector<char> large;
    Heard heard{CurveFault::malformed, Kind::last, {}};  // of what has less than a header and a box
    for (const auto& [begin, size] : {std::pair(size_t{0}, cut), std::pair(cut, frame.size() - cut)}) {
        std::vector<char> piece(frame.data() + begin, frame.data() + begin + size);
        char* at = piece.data();
        for (;;) {
            const CurveReader::Event event = reader.next(at, piece.data() + size);
            if (event == CurveReader::Event::need_more) break;
            if (event == CurveReader::Event::begin) {
                large.resize(reader.body_size());
                reader.put_into(large.data());
            } else if (event == CurveReader::Event::end) {
                heard = {CurveFault::none, reader.kind(), std::string(large.data(), large.size())};
            } else if (event == CurveReader::Event::plain) {
                heard = {CurveFault::none, Kind::last, body_of(reader.plain())};
            } else {
                return {reader.fault(), Kind::last, {}};
            }
        }
    }
    return heard;
}

class Between {
public:
    Between(const Keys& keys, const char* data, size_t size) : keys_(keys), steps_(data, size) {
        begin();
    }

    // True where a handshake was over.
    bool run() {
        while (!steps_.empty()) {
            const unsigned what = steps_.byte() % step_count;
            switch (what) {
                case to_server: pass(for_server_, true); break;
                case to_client: pass(for_client_, false); break;
                case client_says: say(true); break;
                case server_says: say(false); break;
                case another: begin(); break;
                case foreign: {
                    std::deque<Waiting>& to = steps_.bit() ? for_client_ : for_server_;
                    const std::string made(steps_.bytes(steps_.byte()));
                    to.push_front({made, made, false, 0});
                    break;
                }
                case drop:
                    if (!last_->empty()) last_->pop_front();
                    break;
                default: meddle(what);
            }
        }
        return ready_;
    }

private:
    void demand(bool holds, const char* what) const { fuzz_engine::require(holds, what); }

    void begin() {
        ends_ = std::make_unique<Ends>(keys_);
        // What was said on another connection is true on none.
        for (auto* each : {&for_server_, &for_client_})
            for (Waiting& waiting : *each) waiting.was_said = false;
        for_server_.push_front(said_by_other(ends_->hello()));
        server_ready_ = client_ready_ = false;
        taken_by_server_ = taken_by_client_ = 0;
        handshake_is_true_ = true;
        last_ = &for_server_;
    }

    void say(bool client) {
        if (!(client ? client_ready_ : server_ready_)) return;
        const unsigned size = steps_.byte();
        const std::string text = std::to_string(++said_) + std::string(size * 40, 't');
        CurveTraffic& by = client ? ends_->client.traffic() : ends_->server.traffic();
        last_ = client ? &for_server_ : &for_client_;
        last_->push_back(said_by_other(body_of(sealed(by, Kind::last, text)), said_));
    }

    void meddle(unsigned how) {
        if (last_->empty()) return;
        Waiting& waiting = last_->back();
        std::string& command = waiting.command;
        if (how == change) {
            const size_t where = steps_.two_bytes();
            const unsigned with = steps_.byte();
            if (!command.empty()) command[where % command.size()] ^= static_cast<char>(with);
        } else if (how == cut) {
            command.resize(std::min<size_t>(steps_.two_bytes(), command.size()));
        } else if (how == longer) {
            command.append(steps_.byte(), 'x');
        } else if (how == repeat) {
            last_->push_back(Waiting(waiting));
            return;
        } else if (how == swap && last_->size() > 1) {
            std::swap(waiting, (*last_)[last_->size() - 2]);
            return;
        }
    }

    void pass(std::deque<Waiting>& from, bool to_the_server) {
        last_ = &from;
        if (from.empty()) return;
        const Waiting waiting = from.front();
        from.pop_front();
        if (to_the_server ? server_ready_ : client_ready_) return traffic(waiting, to_the_server);
        if (to_the_server) {
            const Said said = hear(ends_->server, waiting.command);
            if (said.event == CurveEvent::answer) {
                // Of the highest bit of a public key nothing depends yet.
                handshake_is_true_ = waiting.is_true();
                for_client_.push_back(said_by_other(said.body()));
            } else if (said.event == CurveEvent::asks) {
                demand(waiting.is_true() && handshake_is_true_, "a server believes what no client said");
                demand(ends_->server.client() == keys_.client->public_key, "a server takes a client for another");
                for_client_.push_back(said_by_other(ends_->permit().body()));
                server_ready_ = true;
            } else {
                demand(said.event == CurveEvent::fault && said.frame.empty(), "a server answers to nonsense");
            }
            return;
        }
        const Said said = hear(ends_->client, waiting.command);
        if (said.event == CurveEvent::fault) {
            demand(said.frame.empty(), "a client answers to nonsense");
            return;
        }
        demand(waiting.is_true(), "a client believes what no server said");
        if (said.event == CurveEvent::answer) for_server_.push_back(said_by_other(said.body()));
        if (said.event == CurveEvent::ready) client_ready_ = ready_ = true;
    }

    void traffic(const Waiting& waiting, bool to_the_server) {
        CurveTraffic& by = to_the_server ? ends_->server.traffic() : ends_->client.traffic();
        const Heard heard = read(by, waiting.command, waiting.command.size() / 3 + said_, said_ % 2 == 0);
        if (heard.fault != CurveFault::none) return demand(heard.text.empty(), "a fault with a text");
        unsigned& taken = to_the_server ? taken_by_server_ : taken_by_client_;
        demand(waiting.is_true() && waiting.text > taken, "what was taken was not said, or not in that order");
        const std::string number = std::to_string(waiting.text);
        demand(heard.text.compare(0, number.size(), number) == 0, "what was taken was not said so");
        taken = waiting.text;
    }

    const Keys& keys_;
    fuzz_steps::Steps steps_;
    std::unique_ptr<Ends> ends_;
    std::deque<Waiting> for_server_, for_client_;
    std::deque<Waiting>* last_ = &for_server_;
    unsigned said_ = 0, taken_by_server_ = 0, taken_by_client_ = 0;
    bool server_ready_ = false, client_ready_ = false, ready_ = false, handshake_is_true_ = true;
};

bool check(const char* data, size_t size) {
    return Between(fuzz_keys::the_same_keys(), data, size).run();
}

}  // namespace

fuzz_engine::Target fuzz_engine::target() {
    using fuzz_steps::steps;
    const std::string handshake = steps({to_server, to_client, to_server, to_client});
    const std::string talk = steps({client_says, 1, server_says, 2, to_server, to_client});
    return {check,
            "through the handshake",
            {steps({to_server}), steps({to_client}), steps({client_says, 3}), steps({server_says, 0}),
             steps({change, 0, 80, 1}), steps({change, 1, 1, 64}), steps({cut, 0, 33}), steps({longer, 1}),
             steps({repeat}), steps({swap}), steps({drop}), steps({another}), steps({foreign, 0, 2, 5, 'H'}),
             handshake, talk},
            {handshake + talk + talk, handshake + steps({client_says, 0, client_says, 0, swap, to_server, to_server}),
             steps({repeat, to_server, repeat, to_client, to_server, to_server, to_client}) + talk,
             handshake + steps({client_says, 9, repeat, another}) + handshake + talk}};
}
