// The C++ adaptor: containers in a heap, over two runs.
//
//     containers fill|find|close_early|closed HEAP
#include "stillheap.hpp"

#include "expect.h"

#include <forward_list>
#include <list>
#include <map>
#include <variant>

namespace {

struct has_virtual {
    virtual ~has_virtual() = default;
};
struct plain {
    int a;
    plain *next;
};

using stillheap::is_durable;
static_assert(is_durable<int>::value && is_durable<plain>::value && is_durable<plain *>::value);
static_assert(is_durable<stillheap::map<stillheap::string, stillheap::vector<int>>>::value);
static_assert(!is_durable<has_virtual>::value && !is_durable<void (*)()>::value);
static_assert(!is_durable<int plain::*>::value && !is_durable<std::shared_ptr<int>>::value);
static_assert(!is_durable<std::string>::value && !is_durable<std::vector<int>>::value);
static_assert(!is_durable<stillheap::vector<std::string>>::value);
static_assert(!is_durable<stillheap::map<int, std::vector<int>>>::value);
static_assert(!is_durable<const std::string>::value && !is_durable<std::function<int()>>::value);

struct alignas(64) wide {
    double values[8];
};

template <class T> using list = std::list<T, stillheap::allocator<T>>;

struct shelf {
    stillheap::map<stillheap::string, stillheap::vector<stillheap::string>> by_name;
    stillheap::unordered_map<std::uint64_t, stillheap::string> by_id, tiny, empty;
    stillheap::set<int> numbers;
    stillheap::deque<int> queue;
    list<stillheap::string> words, no_words;
    std::forward_list<int, stillheap::allocator<int>> chain;
    stillheap::vector<wide> wides;
    std::optional<stillheap::string> maybe;
    std::variant<int, stillheap::string> either;
    stillheap::string small = "small", large = "a string that is too long to lie in its object";
};

stillheap::string text(int number) {
    return stillheap::string(std::size_t(number % 60), char('a' + number % 26));
}

void fill(shelf &all) {
    for (int number = 0; number < 2000; number++) {
        auto &row = all.by_name[text(number % 700)];
        row.push_back(text(number));
        all.by_id.emplace(number, text(number));
        all.numbers.insert(-number);
        all.queue.push_front(number);
        all.words.push_back(text(number));
        all.chain.push_front(number);
    }
    all.tiny.emplace(1, "one");
    all.wides.assign(3, wide{{1, 2, 3, 4, 5, 6, 7, 8}});
    all.maybe.emplace("perhaps");
    all.either = stillheap::string("a variant with a string in it that is long");
}

bool is_filled(const shelf &all) {
    shelf again;
    fill(again);
    EXPECT(all.by_name == again.by_name && all.by_id == again.by_id && all.tiny == again.tiny);
    EXPECT(all.empty.empty() && all.empty.find(3) == all.empty.end() && all.tiny.at(1) == "one");
    EXPECT(all.numbers == again.numbers && all.queue == again.queue && all.words == again.words);
    EXPECT(all.no_words.empty() && all.chain == again.chain && all.wides.size() == 3);
    EXPECT(reinterpret_cast<std::uintptr_t>(all.wides.data()) % 64 == 0);
    EXPECT(all.wides[2].values[7] == 8 && all.maybe == again.maybe && all.either == again.either);
    EXPECT(all.small == "small" && all.large == again.large);
    EXPECT(stillheap_contains(all.small.c_str()) && stillheap_contains(all.large.c_str()));
    return true;
}

// What a call throws; 0: nothing.
template <class F> int thrown(F call) {
    try {
        call();
    } catch (const stillheap::error &failure) {
        EXPECT(failure.what()[0] != 0);
        return failure.code();
    } catch (const std::bad_alloc &) {
        return STILLHEAP_NO_MEMORY;
    }
    return 0;
}

using other = stillheap::vector<int>;

void fails(const char *directory) {
    EXPECT(thrown([] { stillheap::vector<int> early(3); }) == STILLHEAP_NOT_OPEN);
    EXPECT(thrown([] { stillheap::scope early; }) == STILLHEAP_NOT_OPEN);
    stillheap::options only;
    only.set(stillheap_options_create, 0);
    EXPECT(thrown([&] { stillheap::heap none(directory, only); }) == STILLHEAP_NOT_FOUND);
    EXPECT(thrown([&] { only.set(stillheap_options_restore, 9); }) == STILLHEAP_INVALID);
}

void fill_in(const char *directory) {
    fails(directory);
    stillheap::heap opened(directory, stillheap::options().set(stillheap_options_keep, 3));
    stillheap::heap heap(std::move(opened));
    EXPECT(!heap.restored());
    EXPECT(thrown([&] { stillheap::heap twice(directory); }) == STILLHEAP_ALREADY_OPEN);
    stillheap::root<shelf> root("shelf", "shelf 1");
    EXPECT(thrown([] { stillheap::root<shelf>("shelf", "shelf 2"); }) == STILLHEAP_ROOT_TYPE);
    EXPECT(thrown([] { stillheap::root<other>("shelf", "shelf 1"); }) == STILLHEAP_ROOT_TYPE);
    EXPECT(thrown([] { (void)stillheap::allocator<int>().allocate(SIZE_MAX / 8); }) ==
           STILLHEAP_NO_MEMORY);
    EXPECT(thrown([] { (void)stillheap::allocator<int>().allocate(SIZE_MAX); }) ==
           STILLHEAP_NO_MEMORY);
    // What a constructor or a change throws comes through, and leaves the scope.
    struct fragile {
        int number;
        explicit fragile(int number) : number(number) {
            if (number < 0) throw stillheap::error(-1, "negative");
        }
    };
    const auto blocks = heap.stats().blocks;
    EXPECT(thrown([] { stillheap::root<fragile>("fragile", "1", -3); }) == -1);
    EXPECT(thrown([] { (void)stillheap::make<fragile>(-3); }) == -1);
    EXPECT(thrown([&] { root.write([](shelf &) { fragile negative(-3); }); }) == -1);
    EXPECT(heap.stats().blocks == blocks && !stillheap_in_scope());
    EXPECT(stillheap::root<fragile>("fragile", "1", 5)->number == 5);
    EXPECT(stillheap::root<fragile>("fragile", "1", -5)->number == 5);
    stillheap::root<fragile>::remove("fragile", "1");
    EXPECT(heap.stats().blocks == blocks);
    int given = root.write([](shelf &all) {
        fill(all);
        return 7;
    });
    EXPECT(given == 7 && is_filled(*root));
    const stillheap_still info = heap.snapshot().wait();
    EXPECT(info.number == 1 && heap.close().number == 1);
}

void find(const char *directory) {
    stillheap::heap heap(directory);
    EXPECT(heap.restored() && heap.restored()->number == 1);
    stillheap::root<shelf> root("shelf", "shelf 1");
    EXPECT(is_filled(*root));
    root.write([](shelf &all) {
        all.by_name.clear();
        all.by_id.erase(5);
        all.tiny.emplace(2, "two");
        all.empty.emplace(3, "three");
        all.no_words.push_back("word");
        all.small += " and now it is too long for its object";
    });
    EXPECT(root->tiny.size() == 2 && root->empty.at(3) == "three" && root->by_id.count(5) == 0);
    EXPECT(root->no_words.front() == "word");
    const auto blocks = heap.stats().blocks;
    stillheap::root<shelf>::remove("shelf", "shelf 1");
    EXPECT(heap.stats().blocks < blocks);
}

// A heap that cannot be closed yet is closed when its object is destroyed.
void close_early(const char *directory) {
    {
        stillheap::heap heap(directory);
        stillheap::root<int> number("number", "int");
        number.write([](int &value) { value = 5; });
        {
            stillheap::scope whole;
            EXPECT(thrown([&] { heap.close(); }) == STILLHEAP_IN_SCOPE);
        }
        EXPECT(stillheap_is_open());
    }
    EXPECT(!stillheap_is_open());
}

void find_closed(const char *directory) {
    stillheap::heap heap(directory);
    EXPECT(*stillheap::root<int>("number", "int") == 5);
}

} // namespace

int main(int argc, char **argv) {
    EXPECT(argc == 3);
    const std::map<std::string, void (*)(const char *)> parts = {
        {"fill", fill_in}, {"find", find}, {"close_early", close_early}, {"closed", find_closed}};
    parts.at(argv[1])(argv[2]);
    return 0;
}
