// A map from mixed 64-bit keys to tokens or positions: open addressing in one array, so that copying is one memcpy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace outrider::retrieval {

class FlatMap {
  public:
    static constexpr int32_t NONE = -1; // no value is negative

    bool empty() const { return size_ == 0; }

    int32_t find(uint64_t key) const {
        if (!size_) return NONE;
        for (size_t at = key >> shift_;; at = (at + 1) & (slots_.size() - 1)) {
            if (slots_[at].value == NONE || slots_[at].key == key) return slots_[at].value;
        }
    }

    void set(uint64_t key, int32_t value) {
        if (2 * (size_ + 1) > slots_.size()) grow();
        Slot &slot = place(key);
        size_ += slot.value == NONE;
        slot = {key, value};
    }

  private:
    struct Slot {
        uint64_t key = 0;
        int32_t value = NONE;
    };

    Slot &place(uint64_t key) { // keys are mixed: their high bits are as good as any hash
        size_t at = key >> shift_;
        while (slots_[at].value != NONE && slots_[at].key != key) at = (at + 1) & (slots_.size() - 1);
        return slots_[at];
    }

    void grow() {
        std::vector<Slot> old(slots_.empty() ? 64 : 2 * slots_.size());
        old.swap(slots_);
        shift_ = old.empty() ? 64 - 6 : shift_ - 1;
        for (const Slot &slot : old)
            if (slot.value != NONE) place(slot.key) = slot;
    }

    std::vector<Slot> slots_;
    size_t size_ = 0;
    int shift_ = 64;
};

} // namespace outrider::retrieval
