// What subscribers say, made and read by hand.
#ifndef LAPLACE_TESTS_FUZZ_CONTROL_WORDS_H
#define LAPLACE_TESTS_FUZZ_CONTROL_WORDS_H

#include <cstdint>
#include <string>

namespace control_words {

struct ControlWord {
    bool leaves = false;  // else it gives credit
    uint32_t id = 0;
    uint64_t messages = 0, bytes = 0;
};

inline void append(std::string& text, uint64_t number, size_t size) {
    for (; size > 0; --size, number >>= 8) text += static_cast<char>(number & 0xFF);
}

inline uint64_t number_at(const std::string& text, size_t at, size_t size) {
    uint64_t number = 0;
    while (size-- > 0) number = number << 8 | static_cast<unsigned char>(text[at + size]);
    return number;
}

inline std::string written(const ControlWord& word) {
    std::string text("\0LHC\1", 5);
    append(text, word.leaves ? 17 : 16, 3);
    append(text, word.id, 8);
    append(text, word.messages, 8);
    append(text, word.bytes, 8);
    append(text, 1, 8);
    return text;
}

// False: it is no word of a subscriber.
inline bool read(const std::string& text, ControlWord& word) {
    if (text.size() != 40 || text.compare(0, 5, std::string("\0LHC\1", 5)) != 0) return false;
    if (text[5] != 16 && text[5] != 17) return false;
    word = {text[5] == 17, static_cast<uint32_t>(number_at(text, 8, 4)), number_at(text, 16, 8), number_at(text, 24, 8)};
    return true;
}

}  // namespace control_words

#endif
