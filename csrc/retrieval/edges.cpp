#include "edges.h"

#include <algorithm>
#include <stdexcept>

namespace outrider::retrieval {

const Edge *EdgeStore::find_hashed(const Edges &of, int32_t token) const {
    const int32_t *place = places(of);
    const size_t mask = (size_t{2} << of.bits()) - 1;
    for (size_t at = hash(token, of.bits()); place[at]; at = (at + 1) & mask) {
        const Edge *edge = &pool_[of.block() + static_cast<size_t>(place[at] - 1)];
        if (edge->token == token) return edge;
    }
    return nullptr;
}

void EdgeStore::add(Edges &to, int32_t token, int32_t target) {
    if (to.size == 0) {
        to = {1, {token, target}};
        return;
    }
    if (to.size == 1 || to.size == 1 << to.bits()) enlarge(to);
    pool_[to.block() + static_cast<size_t>(to.size)] = {token, target};
    if (to.bits() > SCANNED_BITS) index(to, to.size);
    ++to.size;
}

Edges EdgeStore::copy(const Edges &from) {
    if (from.size <= 1) return from;
    const int32_t block = take(from.bits());
    std::copy_n(pool_.begin() + static_cast<int64_t>(from.block()), extent(from.bits()), pool_.begin() + block);
    return {from.size, {from.bits(), block}};
}

void EdgeStore::enlarge(Edges &edges) {
    const int bits = edges.size == 1 ? 1 : edges.bits() + 1;
    const int32_t block = take(bits);
    std::copy_n(begin(edges), edges.size, &pool_[static_cast<size_t>(block)]);
    if (edges.size > 1) free_[static_cast<size_t>(edges.bits())].push_back(edges.only.target);
    edges.only = {bits, block};
    if (bits > SCANNED_BITS)
        for (int32_t position = 0; position < edges.size; ++position) index(edges, position);
}

void EdgeStore::index(const Edges &of, int32_t position) {
    int32_t *place = const_cast<int32_t *>(places(of));
    const size_t mask = (size_t{2} << of.bits()) - 1;
    size_t at = hash(pool_[of.block() + static_cast<size_t>(position)].token, of.bits());
    while (place[at]) at = (at + 1) & mask;
    place[at] = position + 1;
}

// A block of zeros, from those given back or from the end.
int32_t EdgeStore::take(int bits) {
    std::vector<int32_t> &spare = free_[static_cast<size_t>(bits)];
    if (spare.empty()) {
        if (pool_.size() + extent(bits) > INT32_MAX) throw std::length_error("edges");
        pool_.resize(pool_.size() + extent(bits), Edge{0, 0});
        return static_cast<int32_t>(pool_.size() - extent(bits));
    }
    const int32_t block = spare.back();
    spare.pop_back();
    std::fill_n(pool_.begin() + block, extent(bits), Edge{0, 0});
    return block;
}

} // namespace outrider::retrieval
