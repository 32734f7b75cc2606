// A program that leaves its memory to C++: new and delete, plain and aligned, and the library's
// collections, from several threads. Its output depends on nothing else.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <numeric>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

template <std::size_t Align> struct alignas(Align) Aligned {
    unsigned char bytes[Align];
    Aligned() { std::fill(std::begin(bytes), std::end(bytes), static_cast<unsigned char>(Align)); }
};

template <std::size_t Align> std::uint64_t aligned() {
    std::uint64_t wrong = 0;
    for (int round = 0; round < 100; round++) {
        std::unique_ptr<Aligned<Align>> one(new Aligned<Align>);
        std::unique_ptr<Aligned<Align>[]> some(new Aligned<Align>[3]);
        std::vector<Aligned<Align>> many(round);
        for (const void *at : {static_cast<const void *>(one.get()),
                               static_cast<const void *>(some.get()),
                               static_cast<const void *>(many.data())})
            wrong += reinterpret_cast<std::uintptr_t>(at) % Align != 0;
    }
    return wrong;
}

static std::uint64_t mix(std::uint64_t sum, std::uint64_t value) {
    return (sum ^ value) * 0x9e3779b97f4a7c15u + (sum >> 29);
}

static std::uint64_t collections(unsigned seed) {
    std::uint64_t sum = seed;
    std::map<std::string, std::vector<int>> ordered;
    std::unordered_map<std::uint64_t, std::shared_ptr<std::string>> hashed;
    for (unsigned step = 0; step < 30000; step++) {
        std::uint64_t value = mix(seed, step);
        auto &list = ordered["key " + std::to_string(value % 5000) + std::string(value % 40, 'x')];
        list.push_back(static_cast<int>(value % 1000));
        hashed[value % 7000] = std::make_shared<std::string>(value % 300, 'a' + value % 26);
        if (step % 3 == 0) hashed.erase(value / 3 % 7000);
        if (step % 5 == 0 && !ordered.empty()) ordered.erase(ordered.begin());
    }
    for (const auto &[key, list] : ordered)
        sum = mix(sum, std::accumulate(list.begin(), list.end(), key.size()));
    std::vector<std::uint64_t> keys;
    for (const auto &[key, text] : hashed) keys.push_back(key * 1000 + text->size());
    std::sort(keys.begin(), keys.end());
    return std::accumulate(keys.begin(), keys.end(), sum, mix);
}

struct Tree {
    std::unique_ptr<Tree> left, right;
    std::uint64_t value;
    Tree(unsigned depth, std::uint64_t seed) : value(mix(seed, depth)) {
        if (depth == 0) return;
        left = std::make_unique<Tree>(depth - 1, value);
        right = std::make_unique<Tree>(depth - 1, value + 1);
    }
    std::uint64_t sum() const { return left ? mix(left->sum(), right->sum()) : value; }
};

int main() {
    std::vector<std::uint64_t> growing;
    for (std::uint64_t value = 0; value < 3000000; value++) growing.push_back(value);
    std::printf("vector %llu\n", static_cast<unsigned long long>(
        std::accumulate(growing.begin(), growing.end(), std::uint64_t{1}, mix)));
    std::printf("aligned %llu\n", static_cast<unsigned long long>(
        aligned<32>() + aligned<64>() + aligned<512>() + aligned<4096>() + aligned<65536>()));
    std::vector<std::future<std::uint64_t>> parts;
    for (unsigned seed = 0; seed < 6; seed++)
        parts.push_back(std::async(std::launch::async, collections, seed));
    for (auto &part : parts)
        std::printf("collections %llu\n", static_cast<unsigned long long>(part.get()));
    // Made in one thread, dropped in another.
    std::vector<std::unique_ptr<Tree>> trees;
    for (unsigned seed = 0; seed < 8; seed++) trees.push_back(std::make_unique<Tree>(14, seed));
    std::atomic<std::uint64_t> sum{0};
    std::vector<std::thread> threads;
    for (auto &tree : trees)
        threads.emplace_back([&sum, tree = std::move(tree)] { sum += tree->sum(); });
    for (auto &thread : threads) thread.join();
    std::printf("trees %llu\n", static_cast<unsigned long long>(sum.load()));
    volatile std::size_t most = std::size_t{1} << 46;
    try {
        std::unique_ptr<char[]> much(new char[most]);
        std::printf("so much memory %p\n", static_cast<void *>(much.get()));
    } catch (const std::bad_alloc &) {
        std::printf("bad_alloc\n");
    }
    std::printf("nothrow %d\n", new (std::nothrow) char[most] == nullptr);
    return 0;
}
