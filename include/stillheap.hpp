// stillheap.hpp: a heap that survives crashes, for C++17. Read stillheap.h first: it says what may
// lie in the heap, what scopes are, and what threads and forks do.
//
//     struct db {
//         stillheap::map<stillheap::string, std::uint64_t> by_name;
//     };
//     stillheap::heap heap("places.heap");
//     stillheap::root<db> db("db", "db 1");              // found again, or made by its constructor
//     db.write([](auto &db) { db.by_name.emplace("Paris", 75); });          // a scope
//     heap.snapshot().wait();
//
// OBJECTS stay where they are: nothing is copied or converted when a heap comes back, and no
// constructor runs. So an object in the heap may point to itself, and types need not be trivially
// copyable. But
//   - the object itself has to lie in the heap, not only what it allocates: std::map, set and list
//     keep pointers to a part of themselves, short strings to their own characters. `root` and
//     `make` see to that; a container on the stack is not durable, and its nodes are lost;
//   - all that it allocates has to come from stillheap::allocator, also what its elements allocate:
//     a stillheap::vector<std::string> does not compile;
//   - it must have no virtual functions, and keep no pointers to functions or to static memory.
//
// OF THE STANDARD LIBRARY these can be durable, with stillheap::allocator where they allocate:
// vector, deque, list, forward_list, map, set, unordered_map, unordered_set and their multi-forms,
// basic_string, array, pair, tuple, optional, variant, bitset, complex, chrono's types, atomic (in
// scopes), and unique_ptr with a deleter that frees what `make` made. (An empty or tiny
// unordered_map of libstdc++ points to a bucket inside itself, which is fine.)
// These cannot: function, any, shared_ptr and weak_ptr (virtual functions in their control block),
// the containers of pmr (a pointer to a resource with virtual functions), string_view and span
// unless they view durable memory, streams, locale, regex, exception_ptr, thread, mutexes.
// Nor can any of them with _GLIBCXX_DEBUG, whose containers keep lists of iterators on stacks, or
// with libstdc++'s old strings, whose empty ones point into the library.
// What can be told from a type is refused by the compiler (is_durable); members of structs cannot
// be looked at, so specialise is_durable for those of yours that are not to lie in the heap.
//
// A TAG names a type's form: change it whenever the layout of the type, or of one that it leads to,
// changes. Size, alignment and the standard library are compared besides, and mostly tell.
//
// EXCEPTIONS come from this layer alone; none crosses the library. A scope that is left by one
// keeps what has been changed until then, and may be saved.
#ifndef STILLHEAP_HPP
#define STILLHEAP_HPP

#include "stillheap.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#if defined(_GLIBCXX_DEBUG)
#error "stillheap: with _GLIBCXX_DEBUG containers keep pointers to iterators on stacks"
#endif
#if defined(_GLIBCXX_USE_CXX11_ABI) && !_GLIBCXX_USE_CXX11_ABI
#error "stillheap: strings of libstdc++'s old ABI point into the library when they are empty"
#endif

namespace stillheap {

/// A failed call: a code of stillheap.h, and the sentence that goes with it.
class error : public std::runtime_error {
  public:
    error(int code, const std::string &text) : std::runtime_error(text), code_(code) {}
    int code() const noexcept { return code_; }

  private:
    int code_;
};

/// Throws if a call of the C interface has failed.
inline void check(int code) {
    if (code != STILLHEAP_OK) throw error(code, stillheap_last_error());
}

namespace detail {

template <class T, class = void> struct allocates : std::false_type {};
template <class T>
struct allocates<T, std::void_t<typename T::allocator_type, typename T::value_type>>
    : std::true_type {};

[[noreturn]] inline void give_up() noexcept {
    std::fprintf(stderr, "stillheap: %s\n", stillheap_last_error());
    std::abort();
}

} // namespace detail

template <class T> class allocator;

/// Whether values of a type may lie in the heap, as far as the type tells.
template <class T, class = void>
struct is_durable
    : std::bool_constant<!std::is_reference_v<T> && !std::is_function_v<std::remove_pointer_t<T>> &&
                         !std::is_member_pointer_v<T> && !std::is_polymorphic_v<T>> {};
template <class T> struct is_durable<const T> : is_durable<T> {};
template <class T, std::size_t N> struct is_durable<T[N]> : is_durable<T> {};
template <class A, class B>
struct is_durable<std::pair<A, B>> : std::conjunction<is_durable<A>, is_durable<B>> {};
template <class T> struct is_durable<std::optional<T>> : is_durable<T> {};
template <class T> struct is_durable<std::function<T>> : std::false_type {};
template <class T> struct is_durable<std::shared_ptr<T>> : std::false_type {};
template <class T> struct is_durable<std::weak_ptr<T>> : std::false_type {};
template <class T> struct is_durable<std::unique_ptr<T>> : std::false_type {};
/// Containers allocate from the heap, and hold what may lie there.
template <class T>
struct is_durable<T, std::enable_if_t<detail::allocates<T>::value && !std::is_const_v<T>>>
    : std::bool_constant<
          std::is_same_v<typename std::allocator_traits<typename T::allocator_type>::
                             template rebind_alloc<char>,
                         allocator<char>> &&
          is_durable<typename T::value_type>::value> {};

/// An allocator for containers in the heap. All are equal: they stand for the process's one heap.
template <class T> class allocator {
  public:
    using value_type = T;
    using is_always_equal = std::true_type;
    using propagate_on_container_move_assignment = std::true_type;

    allocator() noexcept = default;
    template <class U> allocator(const allocator<U> &) noexcept {}

    /// Throws std::bad_alloc if there is no memory, and `error` if no heap has been opened.
    [[nodiscard]] T *allocate(std::size_t count) {
        static_assert(is_durable<T>::value, "values of this type cannot lie in a durable heap");
        if (count > std::numeric_limits<std::size_t>::max() / sizeof(T)) {
            throw std::bad_array_new_length();
        }
        void *block = alignof(T) <= 16 ? stillheap_alloc(count * sizeof(T))
                                       : stillheap_aligned_alloc(alignof(T), count * sizeof(T));
        if (block != nullptr) return static_cast<T *>(block);
        if (stillheap_last_code() == STILLHEAP_NO_MEMORY) throw std::bad_alloc();
        throw error(stillheap_last_code(), stillheap_last_error());
    }

    /// A block that is none ends the process: something has gone wrong before.
    void deallocate(T *block, std::size_t) noexcept {
        if (stillheap_free(block) != STILLHEAP_OK) detail::give_up();
    }
};

template <class T, class U> bool operator==(const allocator<T> &, const allocator<U> &) noexcept {
    return true;
}
template <class T, class U> bool operator!=(const allocator<T> &, const allocator<U> &) noexcept {
    return false;
}

using string = std::basic_string<char, std::char_traits<char>, allocator<char>>;
template <class T> using vector = std::vector<T, allocator<T>>;
template <class T> using deque = std::deque<T, allocator<T>>;
template <class K, class V, class C = std::less<K>>
using map = std::map<K, V, C, allocator<std::pair<const K, V>>>;
template <class K, class C = std::less<K>> using set = std::set<K, C, allocator<K>>;
template <class K, class V, class H = std::hash<K>, class E = std::equal_to<K>>
using unordered_map = std::unordered_map<K, V, H, E, allocator<std::pair<const K, V>>>;

/// The time in which the calling thread may change what roots reach.
class scope {
  public:
    scope() { check(stillheap_scope_enter()); }
    ~scope() {
        if (stillheap_scope_leave() != STILLHEAP_OK) detail::give_up();
    }
    scope(const scope &) = delete;
    scope &operator=(const scope &) = delete;
};

/// Makes an object in the heap.
template <class T, class... Args> [[nodiscard]] T *make(Args &&...args) {
    allocator<T> from;
    T *place = from.allocate(1);
    try {
        return ::new (static_cast<void *>(place)) T(std::forward<Args>(args)...);
    } catch (...) {
        from.deallocate(place, 1);
        throw;
    }
}

/// Destroys an object that `make` made; null is fine.
template <class T> void destroy(T *object) noexcept {
    if (object == nullptr) return;
    object->~T();
    allocator<T>().deallocate(object, 1);
}

/// Options for opening: `options().set(stillheap_options_keep, 5)`, with any of the setters.
class options {
  public:
    options() : options_(stillheap_options_new()) {
        if (options_ == nullptr) throw std::bad_alloc();
    }
    template <class... Args, class... Given>
    options &set(int (*setter)(stillheap_options *, Args...), Given &&...given) {
        check(setter(options_.get(), static_cast<Args>(given)...));
        return *this;
    }
    const stillheap_options *get() const noexcept { return options_.get(); }

  private:
    struct release {
        void operator()(stillheap_options *options) const noexcept {
            stillheap_options_free(options);
        }
    };
    std::unique_ptr<stillheap_options, release> options_;
};

/// A snapshot that has been taken, on its way to the disk.
class still {
  public:
    explicit still(std::uint64_t number) noexcept : number_(number) {}
    std::uint64_t number() const noexcept { return number_; }
    /// Waits until it is durable.
    stillheap_still wait() const {
        stillheap_still info;
        check(stillheap_wait_durable(number_, &info));
        return info;
    }

  private:
    std::uint64_t number_;
};

/// The process's open heap; closed when this is destroyed. There is one in a process's life.
class heap {
  public:
    explicit heap(const char *directory, const options &how = options()) {
        if (std::strcmp(stillheap_version(), STILLHEAP_VERSION) != 0) {
            throw error(STILLHEAP_UNSUITED, std::string("stillheap.h is of version ") +
                                                STILLHEAP_VERSION + ", the library of " +
                                                stillheap_version() + ": use one version");
        }
        check(stillheap_open(directory, how.get()));
        is_open_ = true;
    }
    heap(heap &&other) noexcept : is_open_(std::exchange(other.is_open_, false)) {}
    heap &operator=(heap &&) = delete;
    /// Closes it. What fails is printed: call `close` to be told.
    ~heap() {
        if (is_open_ && stillheap_close(nullptr) != STILLHEAP_OK) {
            std::fprintf(stderr, "stillheap: %s\n", stillheap_last_error());
        }
    }

    /// What was restored; nothing if the heap was empty.
    std::optional<stillheap_restored> restored() const {
        stillheap_restored found;
        int code = stillheap_get_restored(&found);
        if (code == STILLHEAP_NOT_FOUND) return std::nullopt;
        check(code);
        return found;
    }
    /// Takes a snapshot; not in a scope.
    still snapshot() const {
        std::uint64_t number;
        check(stillheap_snapshot(&number));
        return still(number);
    }
    stillheap_stats stats() const {
        stillheap_stats found;
        check(stillheap_get_stats(&found));
        return found;
    }
    /// Takes the last snapshot, and tells what it was like; its number is 0 if there was none. In
    /// a scope or a callback it throws, and the heap stays open.
    stillheap_still close() {
        stillheap_still last;
        const int code = stillheap_close(&last);
        is_open_ = stillheap_is_open() != 0;
        check(code);
        return last;
    }

  private:
    bool is_open_ = false;
};

/// An object in the heap that is found by name. Copies mean the same object; it is no lock.
template <class T> class root {
    static_assert(std::is_object_v<T> && is_durable<T>::value,
                  "values of this type cannot lie in a durable heap");

  public:
    /// Finds it, or makes it from `args` if the heap has none of that name. Throws `error` with
    /// STILLHEAP_ROOT_TYPE if it was stored with another tag, size or alignment.
    template <class... Args>
    root(const char *name, const char *tag, Args &&...args) {
        std::string full = std::string(tag) + library;
        scope whole;
        void *found;
        int code = stillheap_root_get(name, full.c_str(), sizeof(T), alignof(T), &found);
        if (code != STILLHEAP_NOT_FOUND) {
            check(code);
            object_ = static_cast<T *>(found);
            return;
        }
        object_ = make<T>(std::forward<Args>(args)...);
        code = stillheap_root_set(name, full.c_str(), sizeof(T), alignof(T), object_);
        if (code != STILLHEAP_OK) {
            error failure(code, stillheap_last_error());
            destroy(object_);
            throw failure;
        }
    }

    /// To look at it: anywhere, as long as nobody writes.
    const T &operator*() const noexcept { return *object_; }
    const T *operator->() const noexcept { return object_; }

    /// Changes it, in a scope: gives what `change` gives.
    template <class F> decltype(auto) write(F &&change) const {
        scope whole;
        return std::forward<F>(change)(*object_);
    }

    /// Takes the name away and destroys the object, in a scope.
    static void remove(const char *name, const char *tag) {
        std::string full = std::string(tag) + library;
        scope whole;
        void *found;
        check(stillheap_root_get(name, full.c_str(), sizeof(T), alignof(T), &found));
        check(stillheap_root_remove(name, nullptr));
        destroy(static_cast<T *>(found));
    }

  private:
#if defined(_LIBCPP_VERSION)
    static constexpr const char *library = " [libc++]";
#elif defined(__GLIBCXX__)
    static constexpr const char *library = " [libstdc++]";
#else
    static constexpr const char *library = "";
#endif
    T *object_ = nullptr;
};

} // namespace stillheap

#endif
