// What is asked of a retrieval drafter in a round, and how its trees come back.
//
//   asks     one a sequence                       count     3 | 0 | 2        nodes of each tree
//   reply    arrays that the caller owns:         token     a b c | d e      all trees, one behind the other
#pragma once

#include <algorithm>
#include <cstdint>

namespace outrider::retrieval {

constexpr int32_t ANCHOR = -1;

// Laid out for ctypes, as are the other structs of this folder that cross the C interface.
struct Ask {
    void *sequence;
    int64_t nodes, depth;
    double min_survival;

    bool is_empty() const { return nodes <= 0 || depth <= 0; }
};

struct Gain {
    void *sequence;
    int64_t count;   // tokens gained
    int64_t emitted; // how many of them, the last ones, are output: the others are prompt
};

struct Reply {
    int32_t *count, *token, *parent;
    double *score;
    int64_t capacity; // nodes
};

// The floor under a node's survival: the twin of drafting/thrift.py.
struct Thrift {
    int64_t cheap;
    double first, later;

    static Thrift within(const Ask &ask, double floor, int64_t cheap) {
        return {cheap, std::max(ask.min_survival, floor * 0.25), std::max(ask.min_survival, floor)};
    }
    bool allows(double survival, int64_t drafted) const { return survival >= (drafted < cheap ? first : later); }
};

// Writes one tree; `room` bounds it whatever was asked.
class DraftWriter {
  public:
    DraftWriter(const Reply &reply, int64_t used)
        : token_(reply.token + used), parent_(reply.parent + used), score_(reply.score + used),
          room_(reply.capacity - used) {}

    int64_t size() const { return size_; }
    int64_t room() const { return room_; }
    void add(int32_t token, int32_t parent, double score) {
        token_[size_] = token;
        parent_[size_] = parent;
        score_[size_++] = score;
    }
    void clear() { size_ = 0; }

  private:
    int32_t *token_, *parent_;
    double *score_;
    int64_t room_, size_ = 0;
};

} // namespace outrider::retrieval
