#include "outboard/supervisor/service_store.hpp"

#include "outboard/base/error.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/kcmp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace outboard {

namespace {

using nlohmann::json;

constexpr std::string_view state_prefix = "outboard-state-";
constexpr std::string_view descriptor_prefix = "outboard-";
constexpr off_t longest_state = 64 * 1024;

std::string state_name(std::uint64_t number) {
    return fmt::format("{}{}", state_prefix, number);
}

/// The number behind the prefix; nothing for a name of another form.
std::optional<std::uint64_t> number_of(std::string_view name, std::string_view prefix) {
    if (!name.starts_with(prefix))
        return std::nullopt;
    name.remove_prefix(prefix.size());
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error != std::errc() || end != name.data() + name.size())
        return std::nullopt;
    return number;
}

Fd copy_of(int descriptor) {
    Fd copy(::fcntl(descriptor, F_DUPFD_CLOEXEC, 0));
    if (!copy)
        throw_errno(errno, "copy", "a descriptor that is kept");
    return copy;
}

/// Both are copies of one descriptor.
bool same_file(int one, int other) {
    const pid_t self = ::getpid();
    const long result = ::syscall(SYS_kcmp, self, self, KCMP_FILE, one, other);
    if (result < 0)
        throw_errno(errno, "compare", "descriptors that are kept", "the kernel needs CONFIG_KCMP");
    return result == 0;
}

Fd file_of(const std::string& text) {
    Fd file(::memfd_create("outboard-state", MFD_CLOEXEC));
    if (!file || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
        throw_errno(errno, "write", "the state of a device");
    return file;
}

/// Null for what is no state.
json read_state(int file) {
    struct stat status{};
    if (::fstat(file, &status) != 0 || status.st_size > longest_state)
        return nullptr;
    std::string text(static_cast<std::size_t>(status.st_size), '\0');
    if (::pread(file, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
        return nullptr;
    json document = json::parse(text, nullptr, false);
    const bool sound = document.is_object() && document.value("device", json()).is_string() &&
                       document.value("descriptors", json()).is_array() && document.contains("state");
    return sound ? document : json();
}

}  // namespace

bool ServiceStore::Entry::names(const std::string& name) const {
    return std::ranges::find(descriptors, name, &NamedDescriptor::name) != descriptors.end();
}

ServiceStore::ServiceStore(ServiceManager& manager) : manager_(&manager) {
    std::vector<NamedDescriptor> kept = manager.take_kept();
    const auto find = [&](const json& name) {
        return std::ranges::find_if(kept, [&](const NamedDescriptor& one) { return name == one.name; });
    };
    for (const NamedDescriptor& one : kept) {
        const auto number = number_of(one.name, state_prefix);
        next_ = std::max(next_, number_of(one.name, descriptor_prefix).value_or(0) + 1);
        next_ = std::max(next_, number.value_or(0) + 1);
        json document = number ? read_state(one.descriptor.get()) : json();
        if (document.is_null())
            continue;
        const json& names = document.at("descriptors");
        Entry& entry = entries_[document.at("device").get<std::string>()];
        // The one before is there still when outboardd was killed while it replaced it.
        if (entry.number > *number ||
            !std::ranges::all_of(names, [&](const json& name) { return find(name) != kept.end(); }))
            continue;
        entry = {.number = *number, .state = document.at("state"), .descriptors = {}};
        for (const json& name : names) {
            const auto place = find(name);
            entry.descriptors.push_back(
                {.name = place->name, .descriptor = copy_of(place->descriptor.get())});
        }
    }
    std::erase_if(entries_, [](const auto& one) { return one.second.number == 0; });
    // What belongs to none of them is of no use.
    for (const NamedDescriptor& one : kept) {
        const bool of_use = std::ranges::any_of(entries_, [&](const auto& known) {
            return one.name == state_name(known.second.number) || known.second.names(one.name);
        });
        if (!of_use)
            manager_->forget(one.name);
    }
}

std::vector<KeptEntry> ServiceStore::list() {
    std::vector<KeptEntry> all;
    for (const auto& [name, entry] : entries_) {
        KeptEntry copy{.name = name, .state = entry.state, .descriptors = {}};
        for (const NamedDescriptor& one : entry.descriptors)
            copy.descriptors.push_back(copy_of(one.descriptor.get()));
        all.push_back(std::move(copy));
    }
    return all;
}

void ServiceStore::put(const std::string& name, const json& state, std::span<const int> descriptors) {
    Entry& known = entries_[name];
    Entry entry{.number = next_++, .state = state, .descriptors = {}};
    json order = json::array();
    for (const int descriptor : descriptors) {
        const auto stored = std::ranges::find_if(known.descriptors, [&](const NamedDescriptor& one) {
            return same_file(one.descriptor.get(), descriptor);
        });
        // The store would not take it a second time.
        const bool new_one = stored == known.descriptors.end();
        std::string stored_name = new_one ? fmt::format("{}{}", descriptor_prefix, next_++) : stored->name;
        if (new_one)
            manager_->keep(stored_name, descriptor);
        order.push_back(stored_name);
        entry.descriptors.push_back({.name = std::move(stored_name), .descriptor = copy_of(descriptor)});
    }
    const json document{{"device", name}, {"state", state}, {"descriptors", order}};
    const Fd file = file_of(document.dump(-1, ' ', false, json::error_handler_t::replace));
    manager_->keep(state_name(entry.number), file.get());
    const Entry before = std::exchange(known, std::move(entry));
    drop(before, known);
    manager_->settle();
}

void ServiceStore::remove(const std::string& name) {
    const auto known = entries_.find(name);
    if (known == entries_.end())
        return;
    drop(known->second, {});
    entries_.erase(known);
    manager_->settle();
}

void ServiceStore::dismiss() {
    for (const auto& [name, entry] : entries_)
        drop(entry, {});
    entries_.clear();
    manager_->settle();
}

/// All of it but what `left` has too. The state goes first: what it names need not be whole from then on.
void ServiceStore::drop(const Entry& entry, const Entry& left) {
    if (entry.number == 0)
        return;
    manager_->forget(state_name(entry.number));
    for (const NamedDescriptor& one : entry.descriptors)
        if (!left.names(one.name))
            manager_->forget(one.name);
}

}  // namespace outboard
