// Typed device registers: a register is a type, a value read from it is a snapshot, and what may be done with
// a bit (read, write, write one to clear) is part of the type. Bus accesses stay visible: they are the calls
// read, write, clear and modify of RegisterBlock (outboard/device/region.hpp); everything here is arithmetic
// on snapshots.
#pragma once

#include <concepts>
#include <cstddef>
#include <type_traits>

namespace outboard {

enum class Access { read_only, write_only, read_write };

/// Base of a register's type. `Self` is the register itself; `Raw` its width on the bus; `Offset` in bytes
/// from the start of its block. A register that has write-one-to-clear bits hides `write_one_to_clear` with
/// their mask.
template <class Self, std::unsigned_integral RawType, std::size_t Offset, Access Allowed>
struct Register {  // NOLINT(bugprone-crtp-constructor-accessibility): registers are types, never objects
    using Raw = RawType;
    static constexpr std::size_t offset = Offset;
    static constexpr Access access = Allowed;
    static constexpr Raw write_one_to_clear = 0;
};

template <class R>
concept RegisterType = requires {
    typename R::Raw;
    { R::offset } -> std::convertible_to<std::size_t>;
    { R::access } -> std::convertible_to<Access>;
};

template <class R>
concept Readable = RegisterType<R> && R::access != Access::write_only;
template <class R>
concept Writable = RegisterType<R> && R::access != Access::read_only;

/// Bits [Lsb, Lsb + Width) of register `Reg`, seen as `Type` (an integer or an enumeration).
template <class Reg, unsigned Lsb, unsigned Width, class Type>
struct Field {
    using Register = Reg;
    using Value = Type;

    /// The field's bits in the register, shifted into place.
    template <class Raw>
    static constexpr Raw mask() noexcept {
        static_assert(Lsb + Width <= 8 * sizeof(Raw), "the field lies outside its register");
        constexpr auto ones = Width == 8 * sizeof(Raw) ? ~Raw{0} : static_cast<Raw>((Raw{1} << Width) - 1);
        return static_cast<Raw>(ones << Lsb);
    }
    static constexpr unsigned lsb = Lsb;
};

/// One bit of register `Reg`.
template <class Reg, unsigned Position>
struct Bit : Field<Reg, Position, 1, bool> {};

/// A snapshot of register `Reg`: what was read, or what is to be written. It never touches the bus.
template <RegisterType Reg>
class Value {
  public:
    using Raw = typename Reg::Raw;

    constexpr Value() noexcept = default;
    constexpr explicit Value(Raw raw) noexcept : raw_(raw) {}

    constexpr Raw raw() const noexcept { return raw_; }

    /// The field's content.
    template <unsigned Lsb, unsigned Width, class Type>
    constexpr Type operator[](Field<Reg, Lsb, Width, Type> field) const noexcept {
        return static_cast<Type>((raw_ & field.template mask<Raw>()) >> Lsb);
    }

    /// A copy in which the field has this content; bits of `content` beyond the field's width are dropped.
    template <unsigned Lsb, unsigned Width, class Type>
    [[nodiscard]] constexpr Value with(Field<Reg, Lsb, Width, Type> field, Type content) const noexcept {
        const auto mask = field.template mask<Raw>();
        const auto bits = static_cast<Raw>(static_cast<Raw>(content) << Lsb);
        return Value(static_cast<Raw>((raw_ & static_cast<Raw>(~mask)) | (bits & mask)));
    }

    /// A copy in which the bit is one.
    template <unsigned Position>
    [[nodiscard]] constexpr Value with(Bit<Reg, Position> bit) const noexcept {
        return Value(static_cast<Raw>(raw_ | bit.template mask<Raw>()));
    }

    friend constexpr bool operator==(Value, Value) noexcept = default;

  private:
    Raw raw_ = 0;
};

}  // namespace outboard
