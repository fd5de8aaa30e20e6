// IDENTIFY DEVICE data (ATA/ATAPI-7 volume 1, 6.17) made word by word, and what a device could lie.
#include "outboard/ata/identify.hpp"

#include <array>
#include <cstdint>
#include <string_view>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace outboard::ata {
namespace {

class Words {
  public:
    /// A disk of 1 GiB with 28-bit commands, multiword DMA 2 offered and selected.
    Words() {
        text(10, 10, "SERIAL 1");
        text(23, 4, "FW 2");
        text(27, 20, "A MODEL");
        words_[49] = 0x0300;
        words_[53] = 0x0006;
        dword(60, 2097152);
        words_[63] = 0x0407;
        words_[80] = 0x00f0;
        words_[82] = 0x0060;
        words_[83] = 0x5000;
        words_[84] = 0x4000;
        words_[85] = 0x0020;
        words_[87] = 0x4000;
    }
    std::uint16_t& operator[](std::size_t word) { return words_[word]; }
    void dword(std::size_t word, std::uint32_t value) {
        words_[word] = static_cast<std::uint16_t>(value);
        words_[word + 1] = static_cast<std::uint16_t>(value >> 16);
    }
    void text(std::size_t first, std::size_t count, std::string_view characters) {
        for (std::size_t i = 0; i < count; ++i) {
            const auto at = [&](std::size_t n) -> unsigned {
                return n < characters.size() ? static_cast<unsigned char>(characters[n]) : ' ';
            };
            words_[first + i] = static_cast<std::uint16_t>(at(2 * i) << 8 | at(2 * i + 1));
        }
    }
    auto parse() const { return parse_identify(words_); }

  private:
    std::array<std::uint16_t, 256> words_{};
};

TEST(Identify, ReadsAnOldDisk) {
    const auto identity = Words().parse();
    ASSERT_TRUE(identity);
    EXPECT_EQ(identity->model, "A MODEL");
    EXPECT_EQ(identity->serial, "SERIAL 1");
    EXPECT_EQ(identity->firmware, "FW 2");
    EXPECT_EQ(identity->sectors, 2097152U);
    EXPECT_EQ(identity->sector_size, 512U);
    EXPECT_EQ(identity->physical_sector_size, 512U);
    EXPECT_TRUE(identity->dma);
    EXPECT_FALSE(identity->lba48);
    EXPECT_TRUE(identity->flush);
    EXPECT_FALSE(identity->flush_ext);
    EXPECT_TRUE(identity->write_cache && identity->write_cache_enabled && identity->read_look_ahead);
    EXPECT_EQ(identity->selected_dma, TransferMode::multiword_dma(2));
    EXPECT_TRUE(identity->rotational);
}

TEST(Identify, ReadsALargeDisk) {
    Words words;
    words.dword(60, 0x0fffffff);
    words.dword(100, 0x80000000);
    words[83] = 0x7400;
    words[84] = 0x4040;
    words[88] = 0x203f;
    words[169] = 1;
    words[105] = 8;
    words[217] = 1;
    const auto identity = words.parse();
    ASSERT_TRUE(identity);
    EXPECT_EQ(identity->sectors, 0x80000000U);
    EXPECT_TRUE(identity->lba48 && identity->flush_ext && identity->force_unit_access && identity->trim);
    EXPECT_EQ(identity->trim_blocks, 8);
    EXPECT_EQ(identity->selected_dma, TransferMode::ultra_dma(5));
    EXPECT_EQ(identity->best_dma, TransferMode::ultra_dma(5));
    EXPECT_FALSE(identity->rotational);
}

TEST(Identify, KnowsLogicalAndPhysicalSectorSizes) {
    Words words;
    words[106] = 0x6003;  // 8 logical sectors in a physical one
    EXPECT_EQ(words.parse()->sector_size, 512U);
    EXPECT_EQ(words.parse()->physical_sector_size, 4096U);
    words[106] = 0x5000;  // logical sectors longer than 256 words
    words.dword(117, 2048);
    EXPECT_EQ(words.parse()->sector_size, 4096U);
    EXPECT_EQ(words.parse()->physical_sector_size, 4096U);
    words.dword(117, 260);  // 520 bytes
    EXPECT_FALSE(words.parse());
    words[106] = 0x9000;  // not valid: ignored
    EXPECT_EQ(words.parse()->sector_size, 512U);
}

TEST(Identify, TakesNothingThatIsNotSaidToBeValid) {
    Words words;
    words[53] = 0;  // word 88 is not valid
    words[88] = 0x203f;
    EXPECT_EQ(words.parse()->selected_dma, TransferMode::multiword_dma(2));
    words[83] = 0xf400;  // bits 15:14 say that 82 to 84 are not valid
    EXPECT_FALSE(words.parse()->lba48);
    EXPECT_FALSE(words.parse()->flush);
    words = {};
    words[63] = 0x0707;  // three modes selected at once
    EXPECT_FALSE(words.parse()->selected_dma.has_value());
    words = {};
    words[49] = 0x0200;
    EXPECT_FALSE(words.parse()->dma);
}

TEST(Identify, RefusesWhatIsNoDisk) {
    Words words;
    words[0] = 0x8580;
    EXPECT_FALSE(words.parse()) << "a packet device";
    words = {};
    words[49] = 0x0100;
    EXPECT_FALSE(words.parse()) << "no LBA";
    words = {};
    words.dword(60, 0);
    EXPECT_FALSE(words.parse()) << "no sectors";
    words = {};
    words.dword(60, 0x10000000);
    EXPECT_FALSE(words.parse()) << "more than 28 bits";
    words = {};
    words[83] = 0x7400;
    words[103] = 0xffff;
    EXPECT_FALSE(words.parse()) << "more than 48 bits";
    words = {};
    words[255] = 0x00a5;
    EXPECT_FALSE(words.parse()) << "a wrong checksum";
}

TEST(Identify, CleansStrings) {
    Words words;
    words.text(27, 20, "  \x01 BAD\x7f\xff NAME\n ");
    EXPECT_EQ(words.parse()->model, "BAD   NAME");
    words.text(10, 10, "");
    EXPECT_EQ(words.parse()->serial, "");
}

TEST(Identify, NamesTransferModes) {
    EXPECT_EQ(to_string(TransferMode::ultra_dma(5)), "UDMA5");
    EXPECT_EQ(to_string(TransferMode::multiword_dma(2)), "MWDMA2");
    EXPECT_EQ(to_string(TransferMode::pio(4)), "PIO4");
    EXPECT_EQ(TransferMode::ultra_dma(5).code, 0x45);
    EXPECT_EQ(TransferMode::multiword_dma(2).code, 0x22);
}

RC_GTEST_PROP(IdentifyProperty, WhateverTheDeviceSaysIsRefusedOrWithinBounds,
              (const std::vector<std::uint16_t>& noise)) {
    std::array<std::uint16_t, 256> words{};
    for (std::size_t i = 0; i < noise.size(); ++i)
        words[(i * 37) % 256] = noise[i];
    words[0] &= 0x7fff;
    words[49] |= 0x0200;
    words[61] &= 0x0fff;
    const auto identity = parse_identify(words);
    if (!identity)
        return;
    RC_ASSERT(identity->sectors > 0U);
    RC_ASSERT(identity->sectors <= std::uint64_t{1} << 48);
    RC_ASSERT(identity->sector_size == 512U || identity->sector_size == 4096U);
    RC_ASSERT(identity->physical_sector_size >= identity->sector_size);
    for (const char character : identity->model + identity->serial + identity->firmware)
        RC_ASSERT(character >= ' ' && character <= '~');
}

}  // namespace
}  // namespace outboard::ata
