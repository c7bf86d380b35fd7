// What clients may read: the data and the INFO payload, each as immutable JSON text.
// Python puts texts in, the loop takes references out; the lock is held for a few
// assignments only, never around Python or libzmq.
#ifndef LAPLACE_DOCUMENTS_H
#define LAPLACE_DOCUMENTS_H

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bell.h"

namespace laplace {

using Text = std::shared_ptr<const std::string>;

// One text of several parts; null without memory.
Text joined(const std::vector<std::string_view>& parts) noexcept;

enum document_id { DOCUMENT_DATA, DOCUMENT_INFO, DOCUMENT_COUNT };

// What wait_look() returns besides the number of a document.
enum attention { LOOK_NO_MORE = -1, LOOK_AT_LOANS = DOCUMENT_COUNT };

// A text, and what it was made of.
struct Content {
    Text text;
    bool is_error = false;    // the text is an error message (JSON string), not a value
    uint64_t generation = 0;  // of what was handed over
    uint64_t order = 0;       // among all copies that texts are made of
};

// What a take left behind, so that an undelivered value can be put back.
struct Taken {
    Content content;
    uint64_t successor = 0;  // generation of the empty content that replaced it
    bool live = false;
    explicit operator bool() const noexcept { return content.text != nullptr; }
};

// What a reader waits for.
struct Ticket {
    uint64_t look = 0;        // number of the look; 0: it has not asked yet
    uint64_t generation = 0;  // it must not be shown anything older
};

struct Look {
    uint64_t generation = 0;
    uint64_t covers = 0;  // readers that asked before the look began
    uint64_t order = 0;
};

class Documents {
public:
    explicit Documents(Text empty);

    // Something new was handed over; returns its generation. `live`: it can still change.
    // Without a text the old one stays until a look brings a newer one, and is shown to those only
    // who asked before. `serves` tells whether readers that waited can be served now.
    uint64_t replace(document_id which, Text text, bool is_error, bool live, bool& serves) noexcept;
    // What is there has changed: from now on its present text is too old. Returns its new generation,
    // 0 where it is not of the given one any more.
    uint64_t touch(document_id which, uint64_t generation) noexcept;
    uint64_t generation(document_id which) noexcept;
    bool is_live(document_id which) noexcept;
    // Whether a look has to make the text of what was handed over last.
    bool is_unmade(document_id which) noexcept;
    // The error shown to readers, null without one.
    Text error(document_id which) noexcept;
    // References to the Python objects were handed out.
    void mark_live(document_id which, uint64_t generation) noexcept;

    // Loop side. Fills `content` and returns true if it may be served now: final, or looked at since
    // `ticket` was made (if it has not been, a look is asked for). With `take`, what is served is
    // replaced by the empty text.
    bool read(document_id which, bool take, Ticket& ticket, Content& content, Taken* taken) noexcept;
    // What there is, whatever its state; false where that is too old for the ticket.
    bool read_now(document_id which, bool take, const Ticket& ticket, Content& content, Taken* taken) noexcept;
    void put_back(document_id which, const Taken& taken) noexcept;

    // Refresher side.
    void ask_look(document_id which) noexcept;
    // Blocks until a look is due (returns which), loans have come back, or close().
    int wait_look() noexcept;
    Look begin_look(document_id which) noexcept;
    // Returns whether readers waited for it. What was taken or shown in a newer state meanwhile
    // is kept from them.
    bool finish_look(document_id which, const Look& look, Text text, bool is_error, bool live) noexcept;
    void close() noexcept;

    const std::shared_ptr<Bell>& bell() const noexcept { return bell_; }

private:
    struct Document {
        Content content;
        uint64_t newest = 0;  // generation of what was handed over last
        bool live = false;
        uint64_t wanted = 0, done = 0;
        bool look_asked = false;

        bool unmade() const noexcept { return content.generation != newest; }
    };
    void take_locked(Document& document, Taken* taken) noexcept;
    int due_locked() noexcept;
    Document& at(document_id which) noexcept { return documents_[static_cast<size_t>(which)]; }

    const std::shared_ptr<Bell> bell_ = std::make_shared<Bell>();  // its mutex guards all below
    std::array<Document, DOCUMENT_COUNT> documents_;
    Text empty_;
    uint64_t last_generation_ = 0, last_order_ = 0;
    bool closed_ = false;
};

}  // namespace laplace

#endif
