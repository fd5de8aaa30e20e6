#include "outboard/sim/models/disk_options.hpp"

namespace outboard::sim {

StorageOptions choose_medium(const ModelOptions& values, const std::string& file) {
    StorageOptions storage;
    if (values.flag("null")) {
        if (!file.empty())
            values.refuse("file", "a disk that keeps nothing has no image");
        storage.kind = StorageOptions::Kind::null;
    } else if (!file.empty()) {
        storage.kind = StorageOptions::Kind::file;
        storage.file = file;
    }
    return storage;
}

}  // namespace outboard::sim
