// Places by name and in buckets that split, as an index's nodes do: C++ containers in a heap that
// survives kill -9.
//
//     places HEAP add NAME LATITUDE LONGITUDE
//     places HEAP find NAME
//     places HEAP near LATITUDE LONGITUDE     the nearest
//     places HEAP stress [STEPS]              changes places of its own, for ever or so many times;
//                                             says "durable N" when the first N will survive
//     places HEAP check                       whether they are as some number of changes leaves them
#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "stillheap.hpp"

namespace {

struct point {
    double latitude, longitude;
    double operator[](int axis) const { return axis == 0 ? latitude : longitude; }
};

struct entry {
    point at;
    std::uint64_t id;
};

// A node: entries, or two halves of the plane.
struct bucket {
    stillheap::vector<entry> entries;
    int axis = 0;
    double border = 0;
    bucket *below = nullptr, *above = nullptr;

    ~bucket() {
        stillheap::destroy(below);
        stillheap::destroy(above);
    }
    bool is_leaf() const { return below == nullptr; }
    bucket *half(point at) const { return at[axis] < border ? below : above; }
};

struct place {
    std::uint64_t id;
    point at;
};

// The root.
struct places {
    std::uint64_t steps = 0, next_id = 1;
    stillheap::map<stillheap::string, place, std::less<>> by_name;
    stillheap::unordered_map<std::uint64_t, stillheap::string> names;
    bucket all;
};

constexpr std::size_t room = 32;

void split(bucket &full, int axis) {
    auto &entries = full.entries;
    auto middle = entries.begin() + entries.size() / 2;
    auto is_before = [axis](const entry &a, const entry &b) { return a.at[axis] < b.at[axis]; };
    std::nth_element(entries.begin(), middle, entries.end(), is_before);
    full.axis = axis;
    full.border = middle->at[axis];
    bucket *below = stillheap::make<bucket>(), *above = stillheap::make<bucket>();
    for (const entry &each : entries) {
        (each.at[axis] < full.border ? below : above)->entries.push_back(each);
    }
    full.below = below;
    full.above = above;
    entries = {};
}

void insert(bucket &top, entry added) {
    bucket *node = &top;
    int axis = 0;
    for (; !node->is_leaf(); axis = 1 - axis) node = node->half(added.at);
    node->entries.push_back(added);
    if (node->entries.size() > room) split(*node, axis);
}

bool erase(bucket &top, entry gone) {
    bucket *node = &top;
    while (!node->is_leaf()) node = node->half(gone.at);
    auto is_it = [&](const entry &each) { return each.id == gone.id; };
    auto found = std::find_if(node->entries.begin(), node->entries.end(), is_it);
    if (found == node->entries.end()) return false;
    *found = node->entries.back();
    node->entries.pop_back();
    return true;
}

bool remove(places &all, const std::string &name) {
    auto found = all.by_name.find(name.c_str());
    if (found == all.by_name.end()) return false;
    const place gone = found->second;
    all.by_name.erase(found);
    all.names.erase(gone.id);
    return erase(all.all, {gone.at, gone.id});
}

void add(places &all, const std::string &name, point at) {
    remove(all, name);
    const std::uint64_t id = all.next_id++;
    all.by_name.emplace(name.c_str(), place{id, at});
    all.names.emplace(id, name.c_str());
    insert(all.all, {at, id});
}

double squared(point a, point b) {
    return (a[0] - b[0]) * (a[0] - b[0]) + (a[1] - b[1]) * (a[1] - b[1]);
}

void nearest(const bucket &node, point from, const entry *&best) {
    if (node.is_leaf()) {
        for (const entry &each : node.entries) {
            if (!best || squared(each.at, from) < squared(best->at, from)) best = &each;
        }
        return;
    }
    const bucket *first = node.half(from), *second = first == node.below ? node.above : node.below;
    nearest(*first, from, best);
    const double border = from[node.axis] - node.border;
    if (!best || border * border <= squared(best->at, from)) nearest(*second, from, best);
}

// ---- Changes that can be told from their number ----

std::uint64_t mix(std::uint64_t number) {
    number = (number ^ number >> 31) * 0x9e3779b97f4a7c15;
    return number ^ number >> 29;
}

// The name is long enough to be outside of its string now and then.
std::string name_of(std::uint64_t number) {
    return "#" + std::to_string(number) + std::string(mix(number) % 40, '.');
}

point place_of(std::uint64_t step) {
    return {double(mix(step) % 18001) / 100 - 90, double(mix(~step) % 36001) / 100 - 180};
}

// Calls one of the two with what the change is about.
template <class Add, class Remove> void change(std::uint64_t step, Add add, Remove remove) {
    const std::uint64_t other = mix(step) % step;
    switch (step % 4) {
    case 0: return remove(name_of(other));
    case 1: return add(name_of(other), place_of(step));
    default: return add(name_of(step), place_of(step));
    }
}

void stress(const stillheap::heap &heap, const stillheap::root<places> &root, std::uint64_t steps) {
    constexpr std::uint64_t round = 400, ahead = 100;
    while (root->steps < steps) {
        const std::uint64_t frozen = root->steps;
        const stillheap::still still = heap.snapshot();
        for (std::uint64_t done = 0; done < round && root->steps < steps; done++) {
            if (done == ahead) {
                still.wait();
                std::printf("durable %" PRIu64 "\n", frozen);
                std::fflush(stdout);
            }
            root.write([](places &all) {
                const std::uint64_t step = ++all.steps;
                change(step, [&](const std::string &name, point at) { add(all, name, at); },
                       [&](const std::string &name) { remove(all, name); });
            });
        }
    }
}

// Counts the entries that are where they belong, and whose names are known.
std::size_t count(const places &all, const bucket &node, point low, point high) {
    if (!node.is_leaf()) {
        point middle_high = high, middle_low = low;
        (node.axis == 0 ? middle_high.latitude : middle_high.longitude) = node.border;
        (node.axis == 0 ? middle_low.latitude : middle_low.longitude) = node.border;
        return count(all, *node.below, low, middle_high) +
               count(all, *node.above, middle_low, high);
    }
    return std::size_t(std::count_if(node.entries.begin(), node.entries.end(), [&](const entry &e) {
        auto name = all.names.find(e.id);
        if (name == all.names.end()) return false;
        auto found = all.by_name.find(name->second);
        return found != all.by_name.end() && found->second.id == e.id &&
               squared(found->second.at, e.at) == 0 && e.at[0] >= low[0] && e.at[1] >= low[1] &&
               e.at[0] <= high[0] && e.at[1] <= high[1];
    }));
}

int check(const places &all) {
    std::map<std::string, point> model;
    for (std::uint64_t step = 1; step <= all.steps; step++) {
        change(step, [&](const std::string &name, point at) { model[name] = at; },
               [&](const std::string &name) { model.erase(name); });
    }
    std::size_t own = 0;
    bool is_sound = true;
    for (const auto &[name, where] : all.by_name) {
        if (name[0] != '#') continue;
        auto expected = model.find(std::string(name.c_str()));
        is_sound &= expected != model.end() && squared(expected->second, where.at) == 0;
        own++;
    }
    const double infinity = HUGE_VAL;
    const std::size_t entries =
        count(all, all.all, {-infinity, -infinity}, {infinity, infinity});
    is_sound &= own == model.size() && entries == all.by_name.size() &&
                entries == all.names.size();
    std::printf("%s after %" PRIu64 " changes: %zu places\n", is_sound ? "sound" : "WRONG",
                all.steps, model.size());
    return is_sound ? 0 : 1;
}

int run(int argc, char **argv) {
    // Snapshots come by themselves, too, whenever so many changes have been made.
    stillheap::options often;
    stillheap::heap heap(argv[1], often.set(stillheap_options_snapshot_every_ops, 90));
    stillheap::root<places> root("places", "places 1");
    const std::string command = argv[2];
    int status = 0;
    if (command == "add" && argc == 6) {
        const point at = {std::atof(argv[4]), std::atof(argv[5])};
        root.write([&](places &all) { add(all, argv[3], at); });
    } else if (command == "find" && argc == 4) {
        auto found = root->by_name.find(argv[3]);
        status = found == root->by_name.end();
        if (status == 0) {
            const point at = found->second.at;
            std::printf("%s: %g %g\n", argv[3], at.latitude, at.longitude);
        }
    } else if (command == "near" && argc == 5) {
        const entry *best = nullptr;
        nearest(root->all, {std::atof(argv[3]), std::atof(argv[4])}, best);
        if (best) std::printf("%s\n", root->names.at(best->id).c_str());
    } else if (command == "stress") {
        stress(heap, root, argc > 3 ? std::strtoull(argv[3], nullptr, 10) : UINT64_MAX);
    } else if (command == "check") {
        status = check(*root);
    } else {
        std::fprintf(stderr, "places: no such command: %s\n", argv[2]);
        status = 2;
    }
    heap.close();
    return status;
}

} // namespace

int main(int argc, char **argv) {
    if (argc < 3) {
        std::fprintf(stderr, "usage: places HEAP add NAME LATITUDE LONGITUDE | find NAME |"
                             " near LATITUDE LONGITUDE | stress [STEPS] | check\n");
        return 2;
    }
    try {
        return run(argc, argv);
    } catch (const std::exception &failure) {
        std::fprintf(stderr, "places: %s\n", failure.what());
        return 1;
    }
}
