// The loop: what to do next, without Python. Receiving and sending are the router's, the order of
// answers the peer queues', what streams send the stream sender's. While it runs, they are used by whoever
// has the turn.
#ifndef LAPLACE_LOOP_H
#define LAPLACE_LOOP_H

#include <cstdint>

#include "base/crash_notes.h"
#include "requests/peer_queues.h"
#include "requests/responder.h"
#include "server/direct_sends.h"
#include "server/shared.h"
#include "streams/stream_sender.h"
#include "transport/router.h"

namespace laplace {

// What has become of work that another thread began in the loop's place.
enum class InPlace {
    done,     // the loop may sleep on
    begun,    // wake it for the rest
    refused   // all of it is the loop's
};

class Loop {
public:
    Loop(Shared& shared, Router& router);
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;
    // Answers until a stop is requested and carried out. Returns 0, or the errno of
    // a socket that failed for good.
    int run() noexcept;
    // After run(): what is left of the time replies have to leave.
    int linger_ms() const noexcept;

    // By another thread, which has borrowed the turn. The update is appended already; of the result, the
    // loop's answer to that one request is all that is made: what waits behind it may be much.
    InPlace send_update(Stream& stream) noexcept;
    InPlace send_result(Result& result) noexcept;

private:
    template <typename Work>
    InPlace stand_in(Work work) noexcept;
    bool step(Received& message, int& error);
    Got receive(Received& message, int wait_ms, int& error);
    void on_receipt(Got got, Received& message);
    void on_message(Received& message);
    void on_wake_up();
    void finish_results(uint64_t now);
    void finish(Result& result, uint64_t now);
    bool begin(const Route& route, Result& result, uint64_t now);
    void send_updates(uint64_t now);
    int milliseconds_to_wait(uint64_t now) const noexcept;
    void begin_stop(uint64_t now);
    bool stopped(uint64_t now);

    Shared& shared_;
    Router& router_;
    CrashNote note_;
    Responder responder_;
    PeerQueues peers_;
    StreamSender streams_;
    DirectSends direct_sends_;
    uint64_t last_request_ = 0;
    bool stopping_ = false;
    uint64_t callback_deadline_ = 0, flush_deadline_ = 0;
};

}  // namespace laplace

#endif
