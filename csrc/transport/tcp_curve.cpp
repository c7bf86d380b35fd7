// How TcpRouter gets to know who is at the other end, over NULL and over CURVE.

#include "transport/tcp_router.h"

#include <algorithm>
#include <string_view>

#include "transport/reasons.h"
#include "transport/server_keys.h"
#include "zmtp/commands.h"

namespace laplace {

namespace {

constexpr std::string_view key_required = "key-required";  // RFC 37 allows no spaces
constexpr char first_of_curve = 'C';  // of the mechanisms that there are, alone

}  // namespace

// Who may connect now.
const Admission::Terms& TcpRouter::terms() noexcept {
    if (const uint64_t epoch = admission_.epoch(); epoch != terms_epoch_) {
        terms_ = admission_.get();
        terms_epoch_ = epoch;
    }
    return terms_;
}

void TcpRouter::review() noexcept {
    if (admission_.epoch() == reviewed_epoch_) return;
    const Admission::Terms& now = terms();
    reviewed_epoch_ = terms_epoch_;
    connections_.for_each([&](TcpConnection& connection) {
        if (connection.reader.conversation().in_handshake()) return;
        const uint32_t key = connection.key();
        const Role* const role = key == no_key || now.keys == nullptr ? nullptr : now.keys->role_of(key);
        if (role != nullptr) {
            connection.set_client(*role, key);
        } else if (key != no_key || !now.anonymous) {
            connections_.refuse(connection, Refusal::withdrawn);
            connections_.close(connection);
        }
    });
}

// The bytes of the one that has waited longest for its turn.
void TcpRouter::hear_next() noexcept {
    const ConnectionRef kept = handshakes_.pop();
    if (kept.get() == nullptr) return;
    TcpConnection& connection = tcp(*kept);
    connections_.watch(connection);
    read(connection);
}

// ---- bytes that come over CURVE, or may

// Where the next bytes of a large frame over CURVE are put directly.
TcpRouter::Room TcpRouter::room_of(TcpConnection& connection) noexcept {
    if (connection.curve == nullptr) return {};
    const zmtp::CurveReader::Room room = connection.curve->reader().room();
    return {room.begin, room.size};
}

// Where the greeting is to tell the mechanism, no more than that: what follows may have to wait for its turn.
size_t TcpRouter::most_of(const TcpConnection& connection) noexcept {
    if (connection.mechanism != Mechanism::open) return connection.receive_size;
    return zmtp::greeting_size - connection.reader.conversation().greeted();
}

// Makes bytes for the connection's reader of those that came. False: there are no more.
bool TcpRouter::open_more(TcpConnection& connection) {
    if (connection.mechanism == Mechanism::open) return read_mechanism(connection);
    zmtp::CurveReader& reader = connection.curve->reader();
    if (!connection.curve->read_greeting(come_, come_end_)) {
        refuse(connection, Refusal::mechanism, {});
        return true;
    }
    switch (reader.next(come_, come_end_)) {
        case zmtp::CurveReader::Event::begin:
        case zmtp::CurveReader::Event::end:  // not asked for
        case zmtp::CurveReader::Event::need_more: return false;
        case zmtp::CurveReader::Event::command: hear(connection); break;
        case zmtp::CurveReader::Event::plain:
        case zmtp::CurveReader::Event::too_large:
            at_ = reader.plain().data();
            end_ = at_ + reader.plain().size();
            break;
        case zmtp::CurveReader::Event::no_memory: refuse(connection, Refusal::no_memory, {}); break;
        case zmtp::CurveReader::Event::fault: refuse(connection, refusal_of(reader.fault()), {}); break;
    }
    return true;
}

// What is common to all greetings is read as over NULL. The next byte tells which mechanism it is, and then it
// is said that it is ours, too.
bool TcpRouter::read_mechanism(TcpConnection& connection) {
    const size_t missing = zmtp::greeting_in_common - connection.reader.conversation().greeted();
    const size_t come = static_cast<size_t>(come_end_ - come_);
    if (come == 0) return false;
    at_ = come_;
    if (missing > 0) {
        end_ = come_ += std::min(missing, come);
        return true;
    }
    if (*come_ == first_of_curve && terms().keys != nullptr) {
        at_ = end_;
        begin_curve(connection);
        return true;
    }
    connection.mechanism = Mechanism::null;
    end_ = come_end_;
    put(connection, zmtp::greeting().substr(zmtp::greeting_in_common));
    return true;
}

void TcpRouter::begin_curve(TcpConnection& connection) {
    connection.use_curve(CurveConnection::begin(terms().keys, connections_.of_messages().max_bytes));
    if (connection.curve == nullptr) {
        refuse(connection, Refusal::no_memory, {});
        return;
    }
    put(connection, zmtp::curve_greeting(true).substr(zmtp::greeting_in_common));
}

// A command of the handshake. Who it is that asks is certain when it is answered.
void TcpRouter::hear(TcpConnection& connection) {
    CurveConnection& curve = *connection.curve;
    char said[CurveConnection::most_said];
    zmtp::CurveStep step = curve.hear(said);
    if (step.event == zmtp::CurveEvent::asks) {
        const ServerKeys* const keys = terms().keys.get();
        const ServerKeys::Client* const client = keys == nullptr ? nullptr : keys->find(curve.handshake().client());
        if (client != nullptr) connection.set_client(client->role, client->number);
        step = client == nullptr ? curve.handshake().refuse(said) : curve.handshake().permit(said);
    }
    const std::string_view answer(said, step.to_send);
    if (step.event == zmtp::CurveEvent::fault) {
        // Only of a key that is certainly its own the log is told which it is.
        const bool certain = curve.handshake().fault() == zmtp::CurveFault::not_permitted;
        const std::string_view key(reinterpret_cast<const char*>(curve.handshake().client().bytes), crypto::key_size);
        refuse(connection, refusal_of(curve.handshake().fault()), answer, certain ? key : std::string_view());
        return;
    }
    if (step.event == zmtp::CurveEvent::ready) {
        connection.reader.begin_traffic(curve.end_handshake());
        connections_.ready(connection, arrived_);
    }
    put(connection, answer);
}

// Here it is known who has connected, and so whether that may be.
void TcpRouter::end_handshake(TcpConnection& connection) {
    if (!terms().anonymous) {
        char error[zmtp::max_error];
        const char* const behind = zmtp::encode_error(key_required, error);
        refuse(connection, Refusal::anonymous, {error, static_cast<size_t>(behind - error)});
        return;
    }
    connections_.ready(connection, arrived_);
    put(connection, connection.reader.conversation().to_send());
}

}  // namespace laplace
