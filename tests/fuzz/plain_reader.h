// A slow, plain reader of ZMTP's traffic, behind the handshake, that has all of it at once: what a target
// compares the state machine with. It shares nothing with that.
#ifndef LAPLACE_TESTS_FUZZ_PLAIN_READER_H
#define LAPLACE_TESTS_FUZZ_PLAIN_READER_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fuzz_plain {

class TrafficReader {
public:
    virtual ~TrafficReader() = default;

    // A line for each event.
    std::string events() {
        while (next()) {
        }
        return log;
    }

protected:
    explicit TrafficReader(std::string_view text) : text_(text) {}

    // The last event; always false.
    bool end(const std::string& event) {
        log += event + '\n';
        return false;
    }
    // False: nothing is read behind it. `body` is what has come of a frame.
    virtual bool frame(uint64_t size, std::string_view body, bool more) = 0;
    virtual bool may_command(uint64_t size) = 0;
    virtual bool malformed() = 0;
    virtual bool refused(std::string_view reason) = 0;
    virtual void ping(unsigned ttl_tenths, std::string_view context) = 0;
    virtual void pong() = 0;

    std::string log;

private:
    static constexpr size_t longest_reason = 44, longest_context = 16;

    static unsigned byte(char character) { return static_cast<unsigned char>(character); }

    bool next() {
        if (text_.empty()) return false;
        const unsigned flags = byte(text_[0]);
        if (flags > 7 || (flags & 5) == 5) return malformed();
        const size_t header = (flags & 2) != 0 ? 9 : 2;
        if (text_.size() < header) return false;
        uint64_t size = 0;
        for (size_t i = 1; i < header; ++i) size = size * 256 + byte(text_[i]);
        if (size > INT64_MAX) return malformed();
        text_.remove_prefix(header);
        const std::string_view body = text_.substr(0, static_cast<size_t>(size < SIZE_MAX ? size : SIZE_MAX));
        if (!((flags & 4) != 0 ? command(size, body) : frame(size, body, (flags & 1) != 0))) return false;
        if (body.size() < size) return false;
        text_.remove_prefix(body.size());
        return true;
    }

    bool command(uint64_t size, std::string_view body) {
        if (size == 0) return malformed();
        if (!may_command(size)) return false;
        if (body.empty()) return false;
        const size_t name_size = byte(body[0]);
        if (name_size == 0 || name_size >= size) return malformed();
        const uint64_t data_size = size - 1 - name_size;
        if (name_size > 5) return true;
        if (body.size() < 1 + name_size) return false;
        const std::string_view name = body.substr(1, name_size), data = body.substr(1 + name_size);
        if (name == "PONG") pong();
        if (name == "PING") {
            if (data_size < 2) return malformed();
            const size_t needed = data_size < 2 + longest_context ? static_cast<size_t>(data_size) : 2 + longest_context;
            if (data.size() < needed) return false;
            ping(byte(data[0]) * 256 + byte(data[1]), data.substr(2, needed - 2));
        }
        if (name == "ERROR") {
            if (data_size == 0) return malformed();
            if (data.empty()) return false;
            if (byte(data[0]) != data_size - 1) return malformed();
            const size_t needed = data_size - 1 < longest_reason ? static_cast<size_t>(data_size) : 1 + longest_reason;
            return data.size() < needed ? false : refused(data.substr(1, needed - 1));
        }
        return true;
    }

    std::string_view text_;
};

}  // namespace fuzz_plain

#endif
