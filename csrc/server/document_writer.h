// What the program's threads do with the documents: they put texts in, and make those that are asked
// for. The loop is woken where readers can be served. `Documents` says what each function does.
#ifndef LAPLACE_DOCUMENT_WRITER_H
#define LAPLACE_DOCUMENT_WRITER_H

#include <cstdint>
#include <memory>
#include <utility>

#include "server/shared.h"

namespace laplace {

class DocumentWriter {
public:
    explicit DocumentWriter(Shared& shared) noexcept : shared_(shared), documents_(shared.documents) {}
    DocumentWriter(const DocumentWriter&) = delete;
    DocumentWriter& operator=(const DocumentWriter&) = delete;

    uint64_t replace(DocumentId which, Text text, bool is_error, bool live) noexcept {
        bool serves = false;
        const uint64_t generation = documents_.replace(which, std::move(text), is_error, live, serves);
        if (serves) shared_.wake();
        return generation;
    }
    uint64_t touch(DocumentId which, uint64_t generation) noexcept { return documents_.touch(which, generation); }
    void mark_live(DocumentId which, uint64_t generation) noexcept { documents_.mark_live(which, generation); }

    uint64_t generation(DocumentId which) noexcept { return documents_.generation(which); }
    bool is_live(DocumentId which) noexcept { return documents_.is_live(which); }
    bool is_unmade(DocumentId which) noexcept { return documents_.is_unmade(which); }
    Text error(DocumentId which) noexcept { return documents_.error(which); }
    // Whether the data is given to one reader only.
    bool take_after_get() const noexcept { return shared_.take_after_get.load(); }

    // The data that there is, whatever its state; with `take`, it is taken.
    void read_data(bool take, Content& content, Taken& taken) noexcept {
        documents_.read_now(DocumentId::data, take, Ticket{}, content, &taken);
    }
    void put_back_data(const Taken& taken) noexcept { documents_.put_back(DocumentId::data, taken); }

    void ask_refresh(DocumentId which) noexcept { documents_.ask_refresh(which); }
    RefresherTask wait_refresh() noexcept { return documents_.wait_refresh(); }
    Refresh begin_refresh(DocumentId which) noexcept { return documents_.begin_refresh(which); }
    void finish_refresh(DocumentId which, const Refresh& refresh, Text text, bool is_error, bool live) noexcept {
        add(shared_.counters.refreshes);
        if (documents_.finish_refresh(which, refresh, std::move(text), is_error, live)) shared_.wake();
    }

    // Rung for whoever waits for a refresh, when borrowed buffers have come back.
    const std::shared_ptr<Bell>& bell() const noexcept { return documents_.bell(); }

private:
    Shared& shared_;
    Documents& documents_;
};

}  // namespace laplace

#endif
