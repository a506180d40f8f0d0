// Rolling hashes of n-grams, every n at once: the twin of drafting/rolling.py, number for number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace outrider::retrieval {

constexpr uint64_t BASE = 0x9E6C63D0876A9A4D;
constexpr uint64_t MIX = 0xD6E8FEB86659FD93;
constexpr int MIX_SHIFT = 31;

// One n-gram length: what turns two prefix hashes into a key.
struct Gram {
    int64_t size;
    uint64_t power, salt;

    uint64_t key(uint64_t newest, uint64_t oldest) const {
        const uint64_t gram = (newest - oldest * power) ^ salt;
        return (gram ^ (gram >> MIX_SHIFT)) * MIX;
    }
};

inline uint64_t extended(uint64_t hash, int32_t token) {
    return hash * BASE + static_cast<uint64_t>(static_cast<int64_t>(token)) + 1;
}

inline uint64_t mix(uint64_t word) { // SplitMix64's output function
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9;
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB;
    return word ^ (word >> 31);
}

// The grams of `sizes` for one scope; keys of different scopes have nothing in common.
inline std::vector<Gram> grams(const std::vector<int64_t> &sizes, const std::string &scope) {
    uint64_t secret = 0;
    for (const unsigned char byte : scope) secret = mix(secret + byte + 1);
    std::vector<Gram> found;
    for (const int64_t size : sizes) {
        uint64_t power = 1;
        for (int64_t i = 0; i < size; ++i) power *= BASE;
        found.push_back({size, power, mix(secret + static_cast<uint64_t>(size))});
    }
    return found;
}

// The newest prefix hashes of a text, at least `reach` back; the last one covers everything so far.
class Trail {
  public:
    explicit Trail(int64_t reach) : reach_(static_cast<size_t>(reach)), hashes_(1, 0) {}

    size_t size() const { return hashes_.size(); }
    uint64_t newest() const { return hashes_.back(); }
    uint64_t before(int64_t tokens) const { return hashes_[hashes_.size() - 1 - static_cast<size_t>(tokens)]; }
    void extend(int32_t token) { hashes_.push_back(extended(hashes_.back(), token)); }

    // Drops what no gram reaches any more, now and then, so that a trail stays small.
    void trim() {
        if (hashes_.size() > reach_ + 1 + SPARE) hashes_.erase(hashes_.begin(), hashes_.end() - (reach_ + 1));
    }
    // The newest `reach` + 1 hashes or fewer, for a walk that goes on without being remembered.
    void copy_recent(std::vector<uint64_t> &to) const {
        const size_t count = hashes_.size() < reach_ + 1 ? hashes_.size() : reach_ + 1;
        to.assign(hashes_.end() - static_cast<int64_t>(count), hashes_.end());
    }

  private:
    static constexpr size_t SPARE = 4096;
    size_t reach_;
    std::vector<uint64_t> hashes_;
};

} // namespace outrider::retrieval
