#include "outboard/cli/table.hpp"

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace outboard::cli {

namespace {

/// Characters on the screen: UTF-8 continuation bytes do not count.
std::size_t width(std::string_view text) {
    return static_cast<std::size_t>(std::ranges::count_if(
        text, [](char character) { return (static_cast<unsigned char>(character) & 0xc0) != 0x80; }));
}

}  // namespace

std::string Table::text() const {
    std::vector<std::size_t> widths(rows_.front().size());
    for (const auto& row : rows_)
        for (std::size_t i = 0; i < row.size(); ++i)
            widths[i] = std::max(widths[i], width(row[i]));
    std::string result;
    for (const auto& row : rows_) {
        for (std::size_t i = 0; i < row.size(); ++i)
            result += row[i] + std::string(widths[i] - width(row[i]) + 2, ' ');
        result.erase(result.find_last_not_of(' ') + 1);
        result += '\n';
    }
    return result;
}

}  // namespace outboard::cli
