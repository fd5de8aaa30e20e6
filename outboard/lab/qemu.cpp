#include "outboard/lab/qemu.hpp"

#include "outboard/base/error.hpp"
#include "outboard/lab/process.hpp"

namespace outboard::lab {

Qemu find_qemu(const std::filesystem::path&, const std::string& wish, const std::vector<std::string>&) {
    const std::string name = wish == "auto" ? "qemu-system-x86_64" : wish;
    const std::filesystem::path program = find_program(name);
    if (program.empty())
        throw Error({.kind = ErrorKind::not_found,
                     .action = "start the lab's machine with",
                     .subject = name,
                     .cause = "this machine has no such program",
                     .remedy = "run: apt-get install qemu-system-x86"});
    return {.argv = {program.string()}};
}

}  // namespace outboard::lab
