// What clients may read: the data and the INFO payload, each as immutable JSON text.
// Python puts texts in, the loop takes references out; the lock is held for a few
// assignments only, never around Python or libzmq.
#ifndef LAPLACE_DOCUMENTS_H
#define LAPLACE_DOCUMENTS_H

#include <array>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

namespace laplace {

using Text = std::shared_ptr<const std::string>;

enum document_id { DOCUMENT_DATA, DOCUMENT_INFO, DOCUMENT_COUNT };

// A text as one generation of a document.
struct Content {
    Text text;
    bool is_error = false;  // the text is an error message (JSON string), not a value
    bool live = false;      // a look must be made before it is served
    bool unmade = false;    // the text is still an earlier generation's
    uint64_t generation = 0;
};

// What a take left behind, so that an undelivered value can be put back.
struct Taken {
    Content content;
    uint64_t successor = 0;  // generation of the empty content that replaced it
    explicit operator bool() const noexcept { return content.text != nullptr; }
};

struct Look {
    uint64_t generation = 0;
    uint64_t covers = 0;  // requests that arrived before the look began
};

class Documents {
public:
    explicit Documents(Text empty) noexcept;

    // New content; returns its generation. Looks of older generations are discarded.
    // `serves` tells whether readers that waited can be served now.
    // Without a text the old one stays until a look brings the new one (live only).
    uint64_t replace(document_id which, Text text, bool live, bool& serves) noexcept;
    uint64_t generation(document_id which) noexcept;
    bool is_live(document_id which) noexcept;
    // References to the Python objects were handed out again.
    void mark_live(document_id which, uint64_t generation) noexcept;

    // Loop side. Fills `content` and returns true if it may be served now: frozen,
    // or looked at since `wanted` (0: not yet asked; a look is then asked for and its
    // ticket stored). With `take`, served content is replaced by the empty text.
    bool read(document_id which, bool take, uint64_t& wanted, Content& content, Taken* taken) noexcept;
    // The newest text whatever its state.
    void read_newest(document_id which, bool take, Content& content, Taken* taken) noexcept;
    void put_back(document_id which, const Taken& taken) noexcept;

    // Refresher side.
    void ask_look(document_id which) noexcept;
    // Blocks until a look is due (returns which) or close() (returns -1).
    int wait_look() noexcept;
    Look begin_look(document_id which) noexcept;
    // Returns whether readers waited for it. A look of content that was replaced or
    // taken meanwhile is void.
    bool finish_look(document_id which, const Look& look, Text text, bool is_error, bool live) noexcept;
    void close() noexcept;

private:
    struct Document {
        Content content;
        uint64_t wanted = 0, done = 0;
        bool look_asked = false;
    };
    void take_locked(Document& document, Taken* taken) noexcept;
    Document& at(document_id which) noexcept { return documents_[static_cast<size_t>(which)]; }

    std::mutex mutex_;
    std::condition_variable look_due_;
    std::array<Document, DOCUMENT_COUNT> documents_;
    Text empty_;
    uint64_t last_generation_ = 0;
    bool closed_ = false;
};

}  // namespace laplace

#endif
