// Columns for people: what the verbs print to a terminal.
#pragma once

#include <string>
#include <vector>

namespace outboard::cli {

/// A table with a heading for each column. A row may have fewer cells than there are headings, not more.
class Table {
  public:
    explicit Table(std::vector<std::string> headings) : rows_{std::move(headings)} {}

    void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

    /// The lines, each with a newline: columns as wide as their widest cell, two blanks apart, no blanks at
    /// the end.
    std::string text() const;

  private:
    std::vector<std::vector<std::string>> rows_;
};

}  // namespace outboard::cli
