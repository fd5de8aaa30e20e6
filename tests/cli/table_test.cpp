#include "outboard/cli/table.hpp"

#include <gtest/gtest.h>

namespace outboard::cli {
namespace {

TEST(Table, ColumnsAreAsWideAsTheirWidestCell) {
    Table table({"A", "LONG", "C"});
    table.add({"first", "x", "end"});
    table.add({"2", "", "z"});
    EXPECT_EQ(table.text(),
              "A      LONG  C\n"
              "first  x     end\n"
              "2            z\n");
}

TEST(Table, NoBlanksEndALine) {
    Table table({"A", "B"});
    table.add({"x"});
    table.add({"", "→ y"});
    EXPECT_EQ(table.text(), "A  B\nx\n   → y\n");
}

TEST(Table, CharactersCountAndNotBytes) {
    Table table({"A", "B"});
    table.add({"é→", "x"});
    EXPECT_EQ(table.text(), "A   B\né→  x\n");
}

}  // namespace
}  // namespace outboard::cli
