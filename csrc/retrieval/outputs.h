// Past outputs, searchable, in bounded memory: the twin of the shelves in drafting/output_memory.py.
#pragma once

#include "automaton.h"

#include <memory>
#include <string>
#include <vector>

namespace outrider::retrieval {

// Some outputs and their automaton, which cursors may outlive the shelf with.
struct Generation {
    std::shared_ptr<SuffixAutomaton> automaton = std::make_shared<SuffixAutomaton>();
    std::vector<int32_t> tokens;
    std::vector<int64_t> sizes;

    void add(const int32_t *token, int64_t count);
};

// The outputs of one scope, the youngest generation first, at most two.
struct Shelf {
    std::vector<Generation> generations = std::vector<Generation>(1);

    void add(const int32_t *token, int64_t count, int64_t max_tokens);
};

class OutputShelves {
  public:
    explicit OutputShelves(int64_t max_tokens) : max_tokens_(max_tokens) {}

    int64_t num_tokens() const;
    const Shelf *find(const std::string &scope) const;
    void learn(const int32_t *token, int64_t count, const std::string &scope);
    // Replaces a scope's outputs, given oldest first.
    void restore(const int32_t *token, const int64_t *sizes, int64_t num_outputs, const std::string &scope);

  private:
    struct Owned {
        std::string scope;
        Shelf shelf;
    };
    int64_t max_tokens_;
    std::vector<Owned> shelves_; // the one unused for longest first
};

} // namespace outrider::retrieval
