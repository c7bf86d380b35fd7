// A client over CURVE, and a server whose words are changed, cut, repeated and lost on their way, as an
// input says by a row of steps. Each step is a byte of what to do, and what that needs.
#ifndef LAPLACE_TESTS_FUZZ_HOSTILE_SERVER_H
#define LAPLACE_TESTS_FUZZ_HOSTILE_SERVER_H

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "client/curve_link.h"
#include "fuzz/cuts.h"
#include "fuzz/keys.h"
#include "fuzz/steps.h"
#include "support/curve_ends.h"
#include "support/incoming_events.h"
#include "zmtp/commands.h"

namespace hostile_server {

using curve_ends::CurveEvent;
using curve_ends::CurveServer;
using curve_ends::CurveTraffic;
using curve_ends::Keys;
using curve_ends::Kind;
using incoming_events::Listener;
using incoming_events::SocketType;

enum Step : unsigned {
    honest,    // the next word of the handshake, if it is the server's turn
    says,      // a frame: whether more follow, a byte of its size
    commands,  // which, and a byte of its size
    change,    // of the last word: two bytes of where, one of how
    cut,       // of the same: two bytes of its size
    longer,    // of the same: a byte of how much
    repeat,    // of the same
    drop,      // of the same
    foreign,   // a size, and that many bytes
    step_count
};

constexpr uint64_t most_memory = 64 * 1024;

inline std::shared_ptr<const laplace::ClientKeys> client_keys(const Keys& keys) {
    const auto made = std::make_shared<laplace::ClientKeys>();
    if (!made->set(reinterpret_cast<const char*>(keys.client->secret_key.bytes),
                   reinterpret_cast<const char*>(keys.server->public_key.bytes)))
        std::abort();
    return made;
}

class Conversation {
public:
    // What is delivered comes in parts of these sizes.
    Conversation(std::string_view input, std::string_view distances, SocketType own, bool directly)
        : keys_(fuzz_keys::the_same_keys()),
          steps_(input.data(), input.size()),
          distances_(distances),
          own_(own),
          directly_(directly),
          link_(client_keys(keys_), own),
          listener_(own, most_memory, &link_),
          server_(*keys_.server) {
        const std::string opening(link_.begin());
        hello_ = curve_ends::body_of(std::string_view(opening).substr(laplace::zmtp::greeting_size));
        while (!steps_.empty()) step(steps_.byte() % step_count);
        deliver();
        is_true = delivered_ == truth_.substr(0, delivered_.size());
        log = listener_.log;
        sent = listener_.sent;
        wrong = listener_.wrong;
        is_answered_right = stage_ < 3 || only_pings_are_answered();
    }

    // Whether what is heard is what was said, as it would be over NULL: where nothing was changed all of it,
    // else some, in that order, and then perhaps a fault. That a word is missing nobody can tell.
    bool is_heard_right() const {
        std::string_view left = log;
        for (const Word& word : said_) {
            if (is_true && word.end > delivered_.size()) break;  // it has not come whole
            const std::string event = event_of(word.plain);
            const bool is_heard = left.compare(0, event.size(), event) == 0;
            if (is_true && !is_heard) return false;
            if (is_heard) left.remove_prefix(event.size());
            if (is_fault(event) && is_heard) break;
        }
        return left.empty() || (!is_true && is_fault(left));
    }

    std::string log, sent;  // of the client
    bool is_true = false;   // all that was delivered is what the server said, in that order
    bool wrong = false;
    bool mistaken = false;  // the server took it for somebody else
    bool is_answered_right = false;  // the client sends a PONG for each PING it hears, and nothing else

private:
    struct Word {
        size_t end;         // in the truth
        std::string plain;  // as it would be over NULL
        std::string pong;   // what the client answers; mostly nothing
    };

    // What is answered is sealed by who sends it, and still in the clear here.
    bool only_pings_are_answered() const {
        std::string_view left = sent;
        for (const Word& word : said_) {
            if (is_true && (word.end > delivered_.size() || is_fault(event_of(word.plain)))) break;
            if (left.compare(0, word.pong.size(), word.pong) == 0) {
                left.remove_prefix(word.pong.size());
            } else if (is_true) {
                return false;
            }
        }
        return left.empty();
    }

    static bool is_fault(std::string_view events) {
        return events.compare(0, 6, "fault ") == 0 && events.find('\n') == events.size() - 1;
    }
    std::string event_of(const std::string& plain) const {
        Listener over_null(own_, most_memory);
        const std::string opening = zmtp_events::opening("ROUTER");
        if (plain != opening) over_null.hear(opening);
        const size_t before = over_null.log.size();
        over_null.hear(plain);
        return over_null.log.substr(before);
    }

    void step(unsigned what) {
        switch (what) {
            case honest: return handshake();
            case says: {
                const bool more = steps_.bit();
                const size_t size = steps_.byte() * size_t{40};  // some are large
                return say(more ? Kind::more : Kind::last, std::to_string(said_.size()) + std::string(size, 's'));
            }
            case commands: return command(steps_.byte() % 4, steps_.byte() % 20);
            case foreign: return word(std::string(steps_.bytes(steps_.byte())));
            case repeat: return word(std::string(waiting_));
            case drop: return waiting_.clear();
            case change: {
                const size_t where = steps_.two_bytes();
                const unsigned with = steps_.byte();
                if (!waiting_.empty()) waiting_[where % waiting_.size()] ^= static_cast<char>(with);
                return;
            }
            case cut: return waiting_.resize(std::min<size_t>(steps_.two_bytes(), waiting_.size()));
            default: waiting_.append(steps_.byte(), 'x');
        }
    }

    void handshake() {
        deliver();
        if (stage_ == 0) {
            truly(std::string(laplace::zmtp::curve_greeting(true)), {});
        } else if (stage_ == 1) {
            truly(curve_ends::hear(server_, hello_).frame, {});
        } else if (stage_ == 2) {
            const size_t come = listener_.sent.size();
            if (come == 0) return;  // the client has not heard WELCOME
            const auto asks = curve_ends::hear(server_, curve_ends::body_of(listener_.sent));
            listener_.sent.clear();
            if (asks.event != CurveEvent::asks || !(server_.client() == keys_.client->public_key)) {
                mistaken = true;
                return;
            }
            std::vector<char> out(laplace::zmtp::max_curve_ready);
            const auto ready = server_.permit(out.data());
            truly({out.data(), ready.to_send}, zmtp_events::opening("ROUTER"));
        } else {
            return;
        }
        ++stage_;
    }

    void say(Kind kind, const std::string& body, const std::string& pong = {}) {
        if (stage_ < 3) return;
        deliver();
        const std::string plain = kind == Kind::command ? zmtp_events::command(body)
                                                        : zmtp_events::frame(body, kind == Kind::more);
        truly(curve_ends::sealed(server_.traffic(), kind, body), plain, pong);
    }

    void command(unsigned which, size_t size) {
        const std::string text(size, 'c');
        switch (which) {
            case 0: return say(Kind::command, "\4PING" + text, size < 2 ? "" : zmtp_events::pong(text.substr(2)));
            case 1: return say(Kind::command, "\4PONG" + text);
            case 2: return say(Kind::command, "\5ERROR" + std::string(1, static_cast<char>(size)) + text);
            default: return say(Kind::command, "\1X" + text);
        }
    }

    void truly(const std::string& bytes, const std::string& plain, const std::string& pong = {}) {
        truth_ += bytes;
        said_.push_back({truth_.size(), plain, pong});
        waiting_ = bytes;
    }
    void word(std::string bytes) {
        deliver();
        waiting_ = std::move(bytes);
    }

    void deliver() {
        for (const std::string_view part : fuzz_cuts::parts_of(waiting_, distances_)) {
            if (!listener_.is_over()) listener_.hear(part, directly_);
        }
        delivered_ += waiting_;
        waiting_.clear();
        // What a greeting says where nobody looks.
        const size_t greeted = std::min(delivered_.size(), std::min(truth_.size(), laplace::zmtp::greeting_size));
        for (size_t i = 1; i < greeted; ++i) {
            const bool is_looked_at = i == 9 ? delivered_[9] % 2 == 0 : i == 10 ? laplace::zmtp::byte_of(delivered_[10]) < 3 : i >= 12 && i < 32;
            if (!is_looked_at) delivered_[i] = truth_[i];
        }
    }

    const Keys& keys_;
    fuzz_steps::Steps steps_;
    const std::string_view distances_;
    const SocketType own_;
    const bool directly_;
    laplace::CurveLink link_;
    Listener listener_;
    CurveServer server_;
    std::string hello_, waiting_;
    unsigned stage_ = 0;  // of the handshake: how many words are said
    std::string truth_, delivered_;
    std::vector<Word> said_;
};

}  // namespace hostile_server

#endif
