// What clients may read: the data and the INFO payload, each as immutable JSON text.
// Python puts texts in, the loop takes references out; the lock is held for a few
// assignments only, never around Python or libzmq.
#ifndef LAPLACE_DOCUMENTS_H
#define LAPLACE_DOCUMENTS_H

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bell.h"

namespace laplace {

using Text = std::shared_ptr<const std::string>;

// One text of several parts; null without memory.
Text joined(const std::vector<std::string_view>& parts) noexcept;

enum class DocumentId { data, info };
constexpr size_t document_count = 2;

// What the refresher has to do: refresh a document, let go of what messages had borrowed, or see to jobs.
enum class RefresherTask { data, info, release, jobs, end };

// A text, and what it was made of.
struct Content {
    Text text;
    bool is_error = false;    // the text is an error message (JSON string), not a value
    uint64_t generation = 0;  // of what was handed over
    uint64_t order = 0;       // among all copies that texts are made of
    uint64_t state = 0;       // as read: of the document, for is_still(); 0 where it is live
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
    uint64_t refresh = 0;     // number of the refresh; 0: it has not asked yet
    uint64_t generation = 0;  // it must not be shown anything older
};

struct Refresh {
    uint64_t generation = 0;
    uint64_t covers = 0;  // readers that asked before the refresh began
    uint64_t order = 0;
};

class Documents {
public:
    explicit Documents(Text empty);

    // Something new was handed over; returns its generation. `live`: it can still change.
    // Without a text the old one stays until a refresh brings a newer one, and is shown to those only
    // who asked before. `serves` tells whether readers that waited can be served now.
    uint64_t replace(DocumentId which, Text text, bool is_error, bool live, bool& serves) noexcept;
    // What is there has changed: from now on its present text is too old. Returns its new generation,
    // 0 where it is not of the given one any more.
    uint64_t touch(DocumentId which, uint64_t generation) noexcept;
    uint64_t generation(DocumentId which) noexcept;
    bool is_live(DocumentId which) noexcept;
    // Whether a refresh has to make the text of what was handed over last.
    bool is_unmade(DocumentId which) noexcept;
    // The error shown to readers, null without one.
    Text error(DocumentId which) noexcept;
    // References to the Python objects were handed out.
    void mark_live(DocumentId which, uint64_t generation) noexcept;

    // Loop side. Fills `content` and returns true if it may be served now: final, or refreshed since
    // `ticket` was made (if it has not been, a refresh is asked for). With `take`, what is served is
    // replaced by the empty text.
    bool read(DocumentId which, bool take, Ticket& ticket, Content& content, Taken* taken) noexcept;
    // Whether read() would give the same again, as far as a text was read that is not live. Takes no lock.
    bool is_still(DocumentId which, uint64_t state) const noexcept {
        return documents_[static_cast<size_t>(which)].state.load(std::memory_order_acquire) == state;
    }
    // What there is, whatever its state; false where that is too old for the ticket.
    bool read_now(DocumentId which, bool take, const Ticket& ticket, Content& content, Taken* taken) noexcept;
    void put_back(DocumentId which, const Taken& taken) noexcept;

    // Refresher side.
    void ask_refresh(DocumentId which) noexcept;
    // Blocks until a refresh is due, borrowed buffers have come back, jobs have come, or close().
    RefresherTask wait_refresh() noexcept;
    Refresh begin_refresh(DocumentId which) noexcept;
    // Returns whether readers waited for it. What was taken or shown in a newer state meanwhile
    // is kept from them.
    bool finish_refresh(DocumentId which, const Refresh& refresh, Text text, bool is_error, bool live) noexcept;
    void close() noexcept;

    const std::shared_ptr<Bell>& bell() const noexcept { return bell_; }

private:
    struct Document {
        Content content;
        uint64_t newest = 0;  // generation of what was handed over last
        bool live = false;
        uint64_t wanted = 0, done = 0;
        bool refresh_asked = false;
        std::atomic<uint64_t> state{1};  // another one after each change of what is read

        bool unmade() const noexcept { return content.generation != newest; }
        // Under the lock, by whoever changes it.
        void changes() noexcept { state.store(state.load(std::memory_order_relaxed) + 1, std::memory_order_release); }
    };
    void take_locked(Document& document, Taken* taken) noexcept;
    RefresherTask due_locked() noexcept;
    Document& at(DocumentId which) noexcept { return documents_[static_cast<size_t>(which)]; }

    const std::shared_ptr<Bell> bell_ = std::make_shared<Bell>();  // its mutex guards all below
    std::array<Document, document_count> documents_;
    Text empty_;
    uint64_t last_generation_ = 0, last_order_ = 0;
    bool closed_ = false;
    bool jobs_last_ = false;  // the refresher was told of
};

}  // namespace laplace

#endif
