// The edges of all states of an automaton, so that copying an automaton is copying a few arrays.
//
//   none, one    inside the state itself: nearly all states
//   a few        a block of `capacity` edges, oldest first, searched from the front
//   many         the same; behind it, in as much room again, 2 x capacity places of a hash table of positions + 1
//
// Edges keep the order in which they came, whatever they are redirected to: drafts depend on it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace outrider::retrieval {

constexpr int32_t NONE = -1;

struct Edge {
    int32_t token, target;
};

// The edges of one state. For a single one `only` is the edge, for more the log2 of the capacity and the block.
struct Edges {
    int32_t size = 0;
    Edge only = {0, 0};

    int bits() const { return only.token; }
    size_t block() const { return static_cast<size_t>(static_cast<uint32_t>(only.target)); }
};

class EdgeStore {
  public:
    const Edge *begin(const Edges &of) const { return of.size == 1 ? &of.only : pool_.data() + of.block(); }

    // The edge of `token`, or null.
    const Edge *find(const Edges &of, int32_t token) const {
        if (of.size == 0) return nullptr;
        if (of.size > 1 && of.bits() > SCANNED_BITS) return find_hashed(of, token);
        const Edge *edge = begin(of), *end = edge + of.size;
        while (edge != end && edge->token != token) ++edge;
        return edge == end ? nullptr : edge;
    }
    void redirect(Edges &of, int32_t token, int32_t target) { const_cast<Edge *>(find(of, token))->target = target; }
    void add(Edges &to, int32_t token, int32_t target); // a token that is not there yet
    Edges copy(const Edges &from);

  private:
    static constexpr int SCANNED_BITS = 4;

    static size_t extent(int bits) { return size_t{bits > SCANNED_BITS ? 2u : 1u} << bits; }
    static size_t hash(int32_t token, int bits) { return (static_cast<uint32_t>(token) * 0x9E3779B1u) >> (31 - bits); }
    const int32_t *places(const Edges &of) const { return &pool_[of.block() + (size_t{1} << of.bits())].token; }

    const Edge *find_hashed(const Edges &of, int32_t token) const;
    void index(const Edges &of, int32_t position);
    int32_t take(int bits);
    void enlarge(Edges &edges);

    std::vector<Edge> pool_;
    std::array<std::vector<int32_t>, 32> free_; // blocks given back, by log2 of their capacity
};

} // namespace outrider::retrieval
